//! What a task may ask for, and what is refused before the CMDB is looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::super::cmdb_backup::allowed_age;
use crate::host::cmdb_tables::BackupName;
use crate::model::{FailureClass, Guid, StepFailure};

/// The most packages and servers that one step names: SQL Server takes 2,100 parameters, and each
/// statement needs a few more.
pub(super) const MOST_KEYS: usize = 1000;

/// The parameters as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct Params {
    pub(super) repair: Option<RepairKind>,
    /// An empty list means no packages; none, that they are not narrowed down.
    #[serde(deserialize_with = "given")]
    pub(super) packages: Option<Vec<Guid>>,
    /// As for packages.
    #[serde(deserialize_with = "given")]
    pub(super) servers: Option<Vec<Guid>>,
    pub(super) expect: Option<Expect>,
    pub(super) all: bool,
    pub(super) typed: Option<String>,
    pub(super) backup_within: Option<String>,
    pub(super) attest_unused_package_setting: bool,
    pub(super) owner_guid: Option<Guid>,
    pub(super) left_hierarchy: Vec<Guid>,
    pub(super) live_parents: Vec<Guid>,
    pub(super) purge_backup: Option<String>,
}

/// How many rows the operator reckons with.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) max: usize,
}

/// What is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RepairKind {
    /// Rows of `SWDPackageCodebase` are deleted (KB 181405, section 2).
    DeleteCodebases,
    /// Rows of `SWDPackageServer` are deleted (KB 181405, section 2, optional).
    DeletePackageStatus,
    /// Of rows of `SWDPackageServer` that are the same, one stays (KB 181405, Additional Queries).
    RemoveDuplicates,
    /// Packages are made this server's own (KB 181405, section 1).
    SetOrigin,
}

impl RepairKind {
    pub(super) const NAMES: &'static [&'static str] =
        &["delete_codebases", "delete_package_status", "remove_duplicates", "set_origin"];

    /// The table, and the columns that the repair must find in it.
    pub(super) fn table(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::DeleteCodebases => ("SWDPackageCodebase", &["PackageId"]),
            Self::DeletePackageStatus | Self::RemoveDuplicates => {
                ("SWDPackageServer", &["PkgSvrId", "PackageId"])
            }
            Self::SetOrigin => ("ItemNSSource", &["ItemGuid", "OriginNSSourceNSId"]),
        }
    }

    /// What must be typed before the whole table is meant; none if it never can be.
    pub(super) fn confirmation(self) -> Option<String> {
        let (table, _) = self.table();
        match self {
            Self::DeleteCodebases | Self::DeletePackageStatus => {
                Some(format!("DELETE ALL ROWS OF {table}"))
            }
            Self::RemoveDuplicates => Some(format!("REMOVE ALL DUPLICATES OF {table}")),
            Self::SetOrigin => None,
        }
    }
}

/// What a task asks for, sound as far as that can be said without the CMDB.
#[derive(Debug)]
pub(super) enum Orders {
    /// Rows are to be repaired.
    Repair(Wanted),
    /// No row can be meant: a list that is given is empty. Why, in words.
    Nothing(String),
    /// A backup table is to be dropped.
    Purge(BackupName),
}

/// A repair that is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: RepairKind,
    /// Each once, in order; none when the task does not name any, and so all.
    pub(super) packages: Vec<Guid>,
    /// Each once, in order; none when the task does not name any, and so all.
    pub(super) servers: Vec<Guid>,
    pub(super) max: usize,
    pub(super) backup_age: Duration,
    /// Only of `set_origin`.
    pub(super) origin: Option<OriginWanted>,
}

/// What the operator says of servers that packages come from.
#[derive(Debug)]
pub(super) struct OriginWanted {
    /// `OwnerNSGuid` of `CoreSettings.config`.
    pub(super) owner: Guid,
    /// Servers that are no parent any more.
    pub(super) left: Vec<Guid>,
    /// Servers that are a parent.
    pub(super) live: Vec<Guid>,
}

pub(super) fn refused(text: impl Into<String>) -> StepFailure {
    StepFailure::new(FailureClass::Refused, text)
}

impl Params {
    /// Checks what can be checked without the CMDB.
    pub(super) fn orders(&self) -> Result<Orders, StepFailure> {
        match (self.repair, &self.purge_backup) {
            (Some(kind), None) => self.repair(kind),
            (None, Some(name)) => BackupName::new(name)
                .map(Orders::Purge)
                .map_err(|error| StepFailure::from_error(FailureClass::Refused, &error)),
            (Some(_), Some(_)) | (None, None) => {
                Err(refused("`cmdb_repair` needs either `repair` or `purge_backup`"))
            }
        }
    }

    fn repair(&self, kind: RepairKind) -> Result<Orders, StepFailure> {
        let (table, _) = kind.table();
        let packages = once(self.packages.as_deref().unwrap_or_default());
        let servers = once(self.servers.as_deref().unwrap_or_default());
        if packages.len() + servers.len() > MOST_KEYS {
            let count = packages.len() + servers.len();
            return Err(refused(format!(
                "{count} packages and servers are named, and {MOST_KEYS} are allowed in one step"
            )));
        }
        match (self.all, self.packages.is_none() && self.servers.is_none()) {
            (false, true) => {
                return Err(refused(format!(
                    "no packages or servers are named; the whole of {table} needs `all: true`"
                )));
            }
            (true, false) => {
                return Err(refused("`all: true` cannot be narrowed by `packages` or `servers`"));
            }
            (true, true) => {
                let wanted = kind.confirmation().ok_or_else(|| {
                    refused(format!("the rows of {table} are never changed all at once"))
                })?;
                if self.typed.as_deref() != Some(wanted.as_str()) {
                    return Err(refused(format!("`all: true` needs `typed: \"{wanted}\"`")));
                }
            }
            (false, false) => {}
        }
        let expect = self.expect.ok_or_else(|| {
            refused("a repair needs `expect: { max: … }`, the most rows it may meet")
        })?;
        let deletes = matches!(kind, RepairKind::DeleteCodebases | RepairKind::DeletePackageStatus);
        if deletes && !self.attest_unused_package_setting {
            return Err(refused(
                "it is not attested that \"Delete package files if they are unused for\" is set to \
                 1 Week (KB 181405, section 2): package servers could delete what loses its rows; \
                 `attest_unused_package_setting: true` says that somebody looked",
            ));
        }
        if kind == RepairKind::DeleteCodebases && self.packages.is_none() && self.servers.is_some()
        {
            return Err(refused(
                "codebases of servers are found by package: name `packages` as well",
            ));
        }
        let origin = match kind {
            RepairKind::SetOrigin => Some(self.origin()?),
            _ => None,
        };
        let backup_age = allowed_age(self.backup_within.as_deref())?;
        let given = [("packages", &self.packages), ("servers", &self.servers)];
        let is_empty = |list: &Option<Vec<Guid>>| list.as_ref().is_some_and(Vec::is_empty);
        if let Some((key, _)) = given.into_iter().find(|(_, list)| is_empty(list)) {
            return Ok(Orders::Nothing(format!("`{key}` is empty: nothing to repair")));
        }
        Ok(Orders::Repair(Wanted { kind, packages, servers, max: expect.max, backup_age, origin }))
    }

    fn origin(&self) -> Result<OriginWanted, StepFailure> {
        if self.servers.as_ref().is_some_and(|servers| !servers.is_empty()) {
            return Err(refused(
                "a package's origin is no matter of package servers: no `servers`",
            ));
        }
        let owner = self.owner_guid.ok_or_else(|| {
            refused(
                "`set_origin` needs `owner_guid`, the OwnerNSGuid of CoreSettings.config: the local \
                 identifier must be found in both ways of KB 181405",
            )
        })?;
        Ok(OriginWanted { owner, left: once(&self.left_hierarchy), live: once(&self.live_parents) })
    }
}

/// A list that is there: `null` is none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Guid>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

fn once(guids: &[Guid]) -> Vec<Guid> {
    guids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}
