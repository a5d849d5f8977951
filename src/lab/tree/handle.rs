//! Open handles and share modes.

use super::TreeError;
use super::node::{NodeId, Nodes};

/// Names one open handle of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub u64);

/// What an opener lets others do meanwhile, the bits of [MS-SMB2] 2.2.13 `ShareAccess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share(pub u32);

impl Share {
    /// Nobody else may read, write or delete.
    pub const NONE: Self = Self(0);
    /// Everybody may read, write and delete.
    pub const ALL: Self = Self(7);
}

/// One open of one object.
#[derive(Debug, Clone)]
pub(super) struct OpenHandle {
    pub(super) node: NodeId,
    /// What it does, as share bits: 1 reads, 2 writes, 4 deletes.
    pub(super) uses: u32,
    pub(super) share: Share,
}

impl Nodes {
    pub(super) fn is_open(&self, id: NodeId) -> bool {
        self.handles.values().any(|handle| handle.node == id)
    }

    /// Refuses when an open handle forbids `uses`, or uses what `share` forbids.
    pub(super) fn check_sharing(
        &self,
        id: NodeId,
        uses: u32,
        share: Share,
    ) -> Result<(), TreeError> {
        let clash = self.handles.values().any(|other| {
            other.node == id && (uses & !other.share.0 != 0 || other.uses & !share.0 != 0)
        });
        if clash { Err(TreeError::SharingViolation) } else { Ok(()) }
    }

    /// Refuses when somebody has the object open without sharing it for writing.
    pub(super) fn check_free_to_write(&self, id: NodeId) -> Result<(), TreeError> {
        self.check_sharing(id, 2, Share::ALL)
    }

    /// Opens for the machine itself, for reading and writing.
    pub(super) fn open_as_system(
        &mut self,
        id: NodeId,
        share: Share,
    ) -> Result<HandleId, TreeError> {
        self.check_sharing(id, 3, share)?;
        Ok(self.add_handle(OpenHandle { node: id, uses: 3, share }))
    }

    pub(super) fn add_handle(&mut self, handle: OpenHandle) -> HandleId {
        let id = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(id, handle);
        HandleId(id)
    }

    pub(super) fn release(&mut self, handle: HandleId) {
        self.handles.remove(&handle.0);
    }
}
