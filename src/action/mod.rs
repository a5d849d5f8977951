//! The verbs of playbooks: one file each, one registry.

mod acl;
mod acl_tree;
mod agent;
mod agent_download;
mod agent_effect;
mod agent_packages;
mod agent_places;
mod app_pool;
mod assert;
mod audit_packages;
mod carrying;
mod cmdb_backup;
mod cmdb_query;
mod cmdb_repair;
mod collect_files;
mod command;
mod confirm;
mod contract;
mod denied;
mod distribution_points;
mod document;
mod erased;
mod event_log;
mod examine;
mod http;
mod moved;
mod package_files;
mod package_tree;
mod patience;
mod pause;
mod powershell;
mod program;
mod quarantine_files;
mod read_setting;
mod registry;
mod registry_value;
mod restore_files;
mod scan_log;
mod scheduled_task;
#[cfg(test)]
pub(crate) mod scripted_host;
mod scripts;
mod service;
mod set_fact;
mod share;
mod urgent_list;
mod wait_until;

pub use cmdb_query::{QueryShape, query_shapes, refused_parameters};
pub use contract::{Action, Applied, Replay, Verdict};

pub use document::{KeysBy, ParamDoc, ParamKind, claim};
pub use erased::{ActionKind, Decision, ParamsError, Prepared};
pub use registry::{find, registry};
