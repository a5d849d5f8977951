//! What is known of the product itself, pure: versions, its log, what its agent's deeds look like.

pub mod agent_evidence;
pub mod agent_log;
pub mod content;
pub mod core_settings;
pub mod evidence;
pub mod log_date;
pub mod package_status;
pub mod policy;
pub mod signature;
pub mod snapshot;
pub mod traffic;
pub mod triage;
pub mod urgent_list;
mod version;
mod xml;

pub use version::PackageVersion;
pub use xml::Unreadable;
