//! Open handles, share modes, and what a handle tells about its object.

use std::sync::Arc;

use super::node::{NodeId, Nodes};
use super::{Attributes, Kind, Tree, TreeError};
use crate::protocol::security_descriptor::{FileRights, Sid};

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

const READS: u32 = 1;
const WRITES: u32 = 2;
const DELETES: u32 = 4;

/// Who opens: a remote account and all that it belongs to.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account's own SID; the owner of what it creates, unless it is an administrator.
    pub user: Sid,
    /// The account's SID and those of its groups, well-known ones included.
    pub identities: Arc<[Sid]>,
}

impl Caller {
    /// Administrators make what they create the property of their group, as Windows servers do.
    pub(super) fn owner_of_new(&self) -> Sid {
        if self.is_administrator() { Sid::administrators() } else { self.user.clone() }
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.identities.contains(&Sid::administrators())
    }
}

/// What a handle tells about its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandleInfo {
    /// File, folder or junction.
    pub kind: Kind,
    /// The attributes.
    pub attributes: Attributes,
    /// Where a junction leads.
    pub target: Option<String>,
    /// When it was created.
    pub created: u64,
    /// When it was last read.
    pub accessed: u64,
    /// When its content last changed.
    pub written: u64,
    /// When anything of it last changed.
    pub changed: u64,
    /// Bytes of a file, else 0.
    pub size: u64,
    /// A number that is the object's own on its machine, for as long as it exists.
    pub index: u64,
    /// The full path, with every name as it was written, junctions resolved.
    pub path: String,
    /// Whether it goes away with its last handle.
    pub delete_pending: bool,
    /// The rights that this handle has, [`FileRights`].
    pub granted: u32,
}

/// One open of one object.
#[derive(Debug, Clone)]
pub(super) struct OpenHandle {
    pub(super) node: NodeId,
    pub(super) granted: u32,
    pub(super) share: Share,
    pub(super) delete_on_close: bool,
    /// `None` for the machine itself.
    pub(super) caller: Option<Caller>,
}

/// What these rights let a handle do, as share bits. Rights on attributes and descriptors alone
/// do nothing that others could forbid.
pub(super) fn uses(granted: u32) -> u32 {
    let bit = |rights: u32, bit: u32| if granted & rights == 0 { 0 } else { bit };
    bit(FileRights::READ_DATA | FileRights::EXECUTE, READS)
        | bit(FileRights::WRITE_DATA | FileRights::APPEND_DATA, WRITES)
        | bit(FileRights::DELETE, DELETES)
}

impl Nodes {
    pub(super) fn is_open(&self, id: NodeId) -> bool {
        self.handles.values().any(|handle| handle.node == id)
    }

    /// Refuses when an open handle forbids what `granted` does, or does what `share` forbids.
    pub(super) fn check_sharing(
        &self,
        id: NodeId,
        granted: u32,
        share: Share,
    ) -> Result<(), TreeError> {
        let mine = uses(granted);
        let clash = |other: &OpenHandle| {
            let theirs = uses(other.granted);
            theirs != 0 && (mine & !other.share.0 != 0 || theirs & !share.0 != 0)
        };
        let clashes =
            mine != 0 && self.handles.values().filter(|other| other.node == id).any(clash);
        if clashes { Err(TreeError::SharingViolation) } else { Ok(()) }
    }

    /// Refuses when somebody has the object open without sharing it for writing.
    pub(super) fn check_free_to_write(&self, id: NodeId) -> Result<(), TreeError> {
        self.check_sharing(id, FileRights::WRITE_DATA, Share::ALL)
    }

    /// Opens for the machine itself, for reading and writing.
    pub(super) fn open_as_system(
        &mut self,
        id: NodeId,
        share: Share,
    ) -> Result<HandleId, TreeError> {
        let granted = FileRights::READ_DATA | FileRights::WRITE_DATA;
        self.check_sharing(id, granted, share)?;
        let handle = OpenHandle { node: id, granted, share, delete_on_close: false, caller: None };
        Ok(self.add_handle(handle))
    }

    pub(super) fn add_handle(&mut self, handle: OpenHandle) -> HandleId {
        let id = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(id, handle);
        HandleId(id)
    }

    pub(super) fn handle(&self, handle: HandleId) -> Result<&OpenHandle, TreeError> {
        self.handles.get(&handle.0).ok_or(TreeError::ClosedHandle)
    }

    /// The object of a handle, if the handle has one of the rights in `any_of`.
    pub(super) fn node_of(&self, handle: HandleId, any_of: u32) -> Result<NodeId, TreeError> {
        let handle = self.handle(handle)?;
        if handle.granted & any_of == 0 { Err(TreeError::AccessDenied) } else { Ok(handle.node) }
    }

    /// Closes a handle; the last one takes an object with it that is to be deleted.
    pub(super) fn release(&mut self, handle: HandleId) {
        let Some(closed) = self.handles.remove(&handle.0) else { return };
        let Some(node) = self.table.get_mut(&closed.node) else { return };
        node.delete_pending |= closed.delete_on_close;
        let is_empty = node.children().is_none_or(|children| children.is_empty());
        if node.delete_pending && !self.is_open(closed.node) {
            if is_empty {
                self.remove_all(closed.node);
            } else if let Some(node) = self.table.get_mut(&closed.node) {
                node.delete_pending = false;
            }
        }
    }
}

impl Tree {
    /// Closes a handle. Closing twice is harmless.
    pub fn close(&self, handle: HandleId) {
        self.lock().release(handle);
    }

    /// What a handle tells about its object; every handle may ask.
    pub fn info(&self, handle: HandleId) -> Result<HandleInfo, TreeError> {
        let nodes = self.lock();
        let open = nodes.handle(handle)?;
        let node = nodes.node(open.node)?;
        Ok(HandleInfo {
            kind: node.kind(),
            attributes: node.attributes,
            target: node.target().map(str::to_owned),
            created: node.created,
            accessed: node.accessed,
            written: node.written,
            changed: node.changed,
            size: node.size(),
            index: open.node,
            path: nodes.full_path(open.node),
            delete_pending: node.delete_pending || open.delete_on_close,
            granted: open.granted,
        })
    }
}
