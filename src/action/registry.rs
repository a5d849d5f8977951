//! The only list of actions: help, lint and the engine read it.

use super::ActionKind;
use super::acl::Acl;
use super::agent::Agent;
use super::app_pool::AppPool;
use super::assert::Assert;
use super::audit_packages::AuditPackages;
use super::cmdb_backup::CmdbBackup;
use super::cmdb_query::CmdbQuery;
use super::cmdb_repair::CmdbRepair;
use super::collect_files::CollectFiles;
use super::command::Command;
use super::confirm::Confirm;
use super::distribution_points::DistributionPoints;
use super::erased::Erased;
use super::event_log::EventLog;
use super::examine::Examine;
use super::http::Http;
use super::pause::Pause;
use super::powershell::Powershell;
use super::quarantine_files::QuarantineFiles;
use super::read_setting::ReadSetting;
use super::registry_value::Registry;
use super::restore_files::RestoreFiles;
use super::scan_log::ScanLog;
use super::scheduled_task::ScheduledTask;
use super::service::Service;
use super::set_fact::SetFact;
use super::share::Share;
use super::wait_until::WaitUntil;

/// One line for each action, by name in alphabetical order.
const ACTIONS: &[&dyn ActionKind] = &[
    &Erased::<Acl>::new(),
    &Erased::<Agent>::new(),
    &Erased::<AppPool>::new(),
    &Erased::<Assert>::new(),
    &Erased::<AuditPackages>::new(),
    &Erased::<CmdbBackup>::new(),
    &Erased::<CmdbQuery>::new(),
    &Erased::<CmdbRepair>::new(),
    &Erased::<CollectFiles>::new(),
    &Erased::<Command>::new(),
    &Erased::<Confirm>::new(),
    &Erased::<DistributionPoints>::new(),
    &Erased::<EventLog>::new(),
    &Erased::<Examine>::new(),
    &Erased::<Http>::new(),
    &Erased::<Pause>::new(),
    &Erased::<Powershell>::new(),
    &Erased::<QuarantineFiles>::new(),
    &Erased::<ReadSetting>::new(),
    &Erased::<Registry>::new(),
    &Erased::<RestoreFiles>::new(),
    &Erased::<ScanLog>::new(),
    &Erased::<ScheduledTask>::new(),
    &Erased::<Service>::new(),
    &Erased::<SetFact>::new(),
    &Erased::<Share>::new(),
    &Erased::<WaitUntil>::new(),
];

/// Every action, by name in alphabetical order.
pub fn registry() -> &'static [&'static dyn ActionKind] {
    ACTIONS
}

/// The action of that name.
pub fn find(name: &str) -> Option<&'static dyn ActionKind> {
    registry().iter().copied().find(|action| action.name() == name)
}

#[cfg(test)]
#[path = "registry/tests.rs"]
mod tests;
