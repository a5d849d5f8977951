//! Shares.

use std::sync::{Arc, Mutex, PoisonError};

use super::machine::SmbMachine;
use super::status::Status;
use crate::lab::tree::Caller;
use crate::protocol::security_descriptor::{FileRights, Sid};

/// A folder that is shared under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedShare {
    /// The name, without backslashes.
    pub name: String,
    /// The folder, `C:\folder`.
    pub path: String,
    /// The remark.
    pub comment: String,
}

/// The named shares of one machine. Clones share the same list.
#[derive(Debug, Clone, Default)]
pub struct Shares(Arc<Mutex<Vec<NamedShare>>>);

impl Shares {
    /// Adds a share, in place of one of the same name.
    pub fn add(&self, share: NamedShare) {
        self.remove(&share.name);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(share);
    }

    /// Removes a share; `false` if there is none of this name.
    pub fn remove(&self, name: &str) -> bool {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shares.len();
        shares.retain(|share| !share.name.eq_ignore_ascii_case(name));
        shares.len() < before
    }

    /// All shares, in the order they were added.
    pub fn list(&self) -> Vec<NamedShare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a client is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// A folder, without a backslash at its end: `C:` or `C:\folder`.
    Disk(String),
    /// The named pipes.
    Pipes,
}

impl Root {
    /// The full path of a name inside the share.
    pub(super) fn join(&self, name: &str) -> Option<String> {
        match self {
            Self::Disk(root) => Some(format!("{root}\\{name}")),
            Self::Pipes => None,
        }
    }

    /// A full path as it is called inside the share, without a backslash in front; a path that
    /// a junction led out of the share stays whole.
    pub(super) fn relative(&self, path: &str) -> String {
        let inside = match self {
            Self::Disk(root) => path
                .get(..root.len())
                .filter(|start| start.eq_ignore_ascii_case(root))
                .map(|_| &path[root.len()..])
                .filter(|rest| rest.is_empty() || rest.starts_with('\\')),
            Self::Pipes => None,
        };
        inside.map_or(path, |rest| rest.trim_start_matches('\\')).to_owned()
    }
}

/// A share and what it grants at most.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) root: Root,
    pub(super) maximal_access: u32,
}

impl SmbMachine {
    /// Connects a caller to a share. Administrative shares are for administrators.
    pub(super) fn connect(&self, name: &str, caller: &Caller) -> Result<Connected, Status> {
        let connected = |root| Connected { root, maximal_access: FileRights::FULL_CONTROL };
        if name.eq_ignore_ascii_case("IPC$") {
            return Ok(connected(Root::Pipes));
        }
        let is_named = |share: &NamedShare| share.name.eq_ignore_ascii_case(name);
        if let Some(share) = self.shares.list().into_iter().find(is_named) {
            let path = share.path.trim_end_matches('\\').to_owned();
            return Ok(connected(Root::Disk(path)));
        }
        let path = self.administrative(name).ok_or(Status::BAD_NETWORK_NAME)?;
        if !caller.identities.contains(&Sid::administrators()) {
            return Err(Status::ACCESS_DENIED);
        }
        Ok(connected(Root::Disk(path)))
    }

    fn administrative(&self, name: &str) -> Option<String> {
        if name.eq_ignore_ascii_case("ADMIN$") {
            return Some(r"C:\Windows".to_owned());
        }
        let mut chars = name.chars();
        let drive = chars.next()?.to_ascii_uppercase();
        let is_drive = chars.as_str() == "$" && self.tree.volumes().contains(&drive);
        is_drive.then(|| format!("{drive}:"))
    }

    /// Name, type ([MS-SRVS] 2.2.2.4) and remark of every share.
    pub(super) fn all_shares(&self) -> Vec<(String, u32, String)> {
        const SPECIAL: u32 = 0x8000_0000;
        let mut all = vec![("ADMIN$".to_owned(), SPECIAL, "Remote Admin".to_owned())];
        for drive in self.tree.volumes() {
            all.push((format!("{drive}$"), SPECIAL, "Default share".to_owned()));
        }
        all.push(("IPC$".to_owned(), SPECIAL | 3, "Remote IPC".to_owned()));
        all.extend(self.shares.list().into_iter().map(|share| (share.name, 0, share.comment)));
        all
    }
}
