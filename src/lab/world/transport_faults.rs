//! Faults of connections and requests: counted rules behind the fronts' own questions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::lab::front::{ConnectionFault, Faults, Protocol, RequestFault};
use crate::lab::tree::{
    Caller, Disposition, HandleId, OpenOptions, OpenRequest, Share, Tree, TreeError,
};
use crate::protocol::security_descriptor::{FileRights, Sid};

/// One fault of a machine's connections or requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) effect: Effect,
    /// Which protocol it is about; every one when missing.
    pub(super) protocol: Option<Protocol>,
    /// What the front's word for the operation holds, without regard to case.
    pub(super) needle: &'static str,
    /// How many more requests go well before it begins.
    pub(super) after: u32,
    /// How many more meet it; for ever when missing.
    pub(super) left: Option<u32>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Connection(ConnectionFault),
    Request(RequestFault),
}

impl Rule {
    fn meets(&mut self, protocol: Protocol, operation: &str) -> bool {
        let is_about = self.protocol.is_none_or(|about| about == protocol)
            && operation.to_ascii_lowercase().contains(&self.needle.to_ascii_lowercase());
        if !is_about || self.left == Some(0) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }
}

/// A file that another program has open for reading: it can be looked at and read, but not written,
/// moved or deleted.
#[derive(Debug)]
pub(super) struct HeldFile {
    tree: Tree,
    handle: HandleId,
    /// Lower case, as operations are compared.
    path: String,
    /// When a client first touched it.
    touched: Option<Instant>,
    /// How long after that it is let go; never when missing.
    lasts: Option<Duration>,
}

impl HeldFile {
    /// Opens a file as a backup program does; let go `lasts` after a client first touched it.
    pub(super) fn open(
        tree: &Tree,
        path: &str,
        lasts: Option<Duration>,
    ) -> Result<Self, TreeError> {
        const OTHERS_READ: Share = Share(1);

        let system = Caller { user: Sid::system(), identities: Arc::from([Sid::system()]) };
        let request = OpenRequest {
            path,
            caller: &system,
            access: FileRights::READ,
            share: OTHERS_READ,
            disposition: Disposition::Open,
            options: OpenOptions::default(),
            attributes: 0,
            descriptor: None,
            at: 0,
        };
        let handle = tree.open(&request)?.handle;
        let path = path.to_ascii_lowercase();
        Ok(Self { tree: tree.clone(), handle, path, touched: None, lasts })
    }

    /// Whether it stays open after this operation was asked for.
    fn stays(&mut self, operation: &str) -> bool {
        if !operation.contains(&self.path) {
            return true;
        }
        let touched = *self.touched.get_or_insert_with(Instant::now);
        self.lasts.is_none_or(|lasts| touched.elapsed() < lasts)
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.tree.close(self.handle);
    }
}

/// The faults of one machine. They are used up as they happen.
#[derive(Debug)]
pub struct TransportFaults {
    rules: Mutex<Vec<Rule>>,
    held: Mutex<Vec<HeldFile>>,
}

impl TransportFaults {
    pub(super) fn new(rules: Vec<Rule>, held: Vec<HeldFile>) -> Self {
        Self { rules: Mutex::new(rules), held: Mutex::new(held) }
    }

    fn first<T>(
        &self,
        protocol: Protocol,
        operation: &str,
        pick: impl Fn(Effect) -> Option<T>,
    ) -> Option<T> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter_mut().find_map(|rule| {
            let effect = pick(rule.effect)?;
            rule.meets(protocol, operation).then_some(effect)
        })
    }
}

impl Faults for TransportFaults {
    fn on_connect(&self, protocol: Protocol) -> Option<ConnectionFault> {
        self.first(protocol, "", |effect| match effect {
            Effect::Connection(fault) => Some(fault),
            Effect::Request(_) => None,
        })
    }

    fn on_request(&self, protocol: Protocol, operation: &str) -> Option<RequestFault> {
        if protocol == Protocol::Smb {
            let operation = operation.to_ascii_lowercase();
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain_mut(|file| file.stays(&operation));
        }
        self.first(protocol, operation, |effect| match effect {
            Effect::Request(fault) => Some(fault),
            Effect::Connection(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_begins_late_ends_after_its_times_and_minds_only_its_own_requests() {
        let faults = TransportFaults::new(
            vec![Rule {
                effect: Effect::Request(RequestFault::SharingViolation),
                protocol: Some(Protocol::Smb),
                needle: "snapshot.xml",
                after: 1,
                left: Some(2),
            }],
            Vec::new(),
        );
        let ask = |operation| faults.on_request(Protocol::Smb, operation).is_some();

        assert_eq!(faults.on_request(Protocol::WinRm, "Create"), None);
        assert_eq!(faults.on_connect(Protocol::Smb), None);
        let met =
            [r"SET_INFO C:\x\Snapshot.xml", "READ", "snapshot.xml", "snapshot.xml", "snapshot.xml"]
                .map(ask);

        assert_eq!(met, [false, false, true, true, false]);
    }

    #[tokio::test]
    async fn a_held_file_can_be_read_but_not_written_until_it_is_let_go() {
        let tree = Tree::new(1);
        tree.write(r"C:\a\snapshot.xml", "1", 1).unwrap();
        let held = HeldFile::open(&tree, r"C:\a\snapshot.xml", Some(Duration::ZERO)).unwrap();
        let faults = TransportFaults::new(Vec::new(), vec![held]);
        let write = || tree.write(r"C:\a\snapshot.xml", "2", 2);

        assert_eq!(write(), Err(TreeError::SharingViolation));
        faults.on_request(Protocol::Smb, r"CREATE C:\a\other.xml");
        assert_eq!(write(), Err(TreeError::SharingViolation));
        faults.on_request(Protocol::Smb, r"CREATE C:\A\Snapshot.xml");
        assert_eq!(write(), Ok(()));
    }
}
