//! What handles do: read, write, rename, delete, list; each only with the right for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handle::HandleId;
use super::node::Body;
use super::owner::Entry;
use super::path::Path;
use super::{Attributes, Kind, Tree, TreeError};
use crate::protocol::security_descriptor::FileRights;

/// New times and attributes; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BasicChange {
    /// When it was created.
    pub created: Option<u64>,
    /// When it was last read.
    pub accessed: Option<u64>,
    /// When its content last changed.
    pub written: Option<u64>,
    /// When anything of it last changed.
    pub changed: Option<u64>,
    /// The attributes.
    pub attributes: Option<u32>,
}

/// No file of the lab may grow beyond this many bytes.
const MAX_FILE: u64 = 64 << 20;

impl Tree {
    /// Up to `length` bytes from `offset`; fewer at the end, none behind it.
    pub fn read_at(
        &self,
        handle: HandleId,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, TreeError> {
        let nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::READ_DATA | FileRights::EXECUTE)?;
        let Body::File(bytes) = &nodes.node(id)?.body else { return Err(TreeError::IsDirectory) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    /// Writes at `offset`, filling a gap with zeros.
    pub fn write_at(
        &self,
        handle: HandleId,
        offset: u64,
        bytes: &[u8],
        at: u64,
    ) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::WRITE_DATA | FileRights::APPEND_DATA)?;
        let end = offset.checked_add(bytes.len() as u64).ok_or(TreeError::Full)?;
        let length = nodes.node(id)?.size().max(end);
        nodes.resize(id, length, at)?;
        let node = nodes.node_mut(id)?;
        let Body::File(content) = &mut node.body else { return Err(TreeError::IsDirectory) };
        let start = usize::try_from(offset).map_err(|_| TreeError::Full)?;
        Arc::make_mut(content)[start..start + bytes.len()].copy_from_slice(bytes);
        node.attributes.0 |= Attributes::ARCHIVE;
        Ok(())
    }

    /// Cuts or extends a file.
    pub fn set_length(&self, handle: HandleId, length: u64, at: u64) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::WRITE_DATA)?;
        nodes.resize(id, length, at)
    }

    /// Sets times and attributes.
    pub fn set_basic(&self, handle: HandleId, change: &BasicChange) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::WRITE_ATTRIBUTES)?;
        let node = nodes.node_mut(id)?;
        node.created = change.created.unwrap_or(node.created);
        node.accessed = change.accessed.unwrap_or(node.accessed);
        node.written = change.written.unwrap_or(node.written);
        node.changed = change.changed.unwrap_or(node.changed);
        if let Some(wanted) = change.attributes {
            node.attributes = node.attributes.with_settable(wanted);
        }
        Ok(())
    }

    /// Marks an object to go away with its last handle, or takes that back.
    pub fn set_delete(&self, handle: HandleId, delete: bool) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::DELETE)?;
        let is_root = nodes.is_root(id);
        let node = nodes.node_mut(id)?;
        if delete {
            if node.attributes.has(Attributes::READ_ONLY) || is_root {
                return Err(TreeError::CannotDelete);
            }
            if node.children().is_some_and(|children| !children.is_empty()) {
                return Err(TreeError::NotEmpty);
            }
        }
        node.delete_pending = delete;
        Ok(())
    }

    /// Renames or moves the object of a handle on its volume.
    ///
    /// With `replace`, a file at the target goes, if the caller may delete it, it is not
    /// read-only and nobody has it open. The object keeps its descriptor, as on NTFS.
    pub fn rename_open(
        &self,
        handle: HandleId,
        target: &str,
        replace: bool,
        at: u64,
    ) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::DELETE)?;
        let caller = nodes.handle(handle)?.caller.clone().ok_or(TreeError::AccessDenied)?;
        let place = nodes.place(&Path::parse(target)?, false)?;
        let is_file = nodes.node(id)?.kind() == Kind::File;
        let needed = if is_file { FileRights::WRITE_DATA } else { FileRights::APPEND_DATA };
        if nodes.granted(place.parent, &caller)? & needed == 0 {
            return Err(TreeError::AccessDenied);
        }
        // Windows does not move a folder below which something is open.
        if nodes.below(id).into_iter().any(|below| below != id && nodes.is_open(below)) {
            return Err(TreeError::AccessDenied);
        }
        if let Some(old) = place.node.filter(|old| *old != id) {
            if !replace {
                return Err(TreeError::Exists);
            }
            let node = nodes.node(old)?;
            if node.kind() != Kind::File || node.attributes.has(Attributes::READ_ONLY) {
                return Err(TreeError::AccessDenied);
            }
            let may_delete = nodes.granted_in_place(old, &caller)? & FileRights::DELETE != 0;
            if !may_delete || nodes.is_open(old) {
                return Err(TreeError::AccessDenied);
            }
            // Whether the move itself is possible is known before the old file goes.
            if nodes.root_of(id) != nodes.root_of(place.parent) {
                return Err(TreeError::OtherVolume);
            }
            nodes.remove_all(old);
        }
        nodes.relocate(id, place.parent, &place.name, at)
    }

    /// What a folder holds, in the order of names.
    pub fn children(&self, handle: HandleId) -> Result<Vec<(u64, Entry)>, TreeError> {
        let nodes = self.lock();
        let id = nodes.node_of(handle, FileRights::READ_DATA)?;
        let children = nodes.node(id)?.children().ok_or(TreeError::NotADirectory)?;
        let entry = |id: &u64| nodes.entry(*id).map(|entry| (*id, entry));
        Ok(BTreeMap::values(children).filter_map(entry).collect())
    }
}

impl super::node::Nodes {
    fn resize(&mut self, id: u64, length: u64, at: u64) -> Result<(), TreeError> {
        let old = self.node(id)?.size();
        if length > MAX_FILE {
            return Err(TreeError::Full);
        }
        if self.node(id)?.kind() != Kind::File {
            return Err(TreeError::IsDirectory);
        }
        if length > old {
            self.grow(length - old)?;
        } else {
            self.used -= old - length;
        }
        let node = self.node_mut(id)?;
        if let Body::File(content) = &mut node.body
            && length != old
        {
            Arc::make_mut(content).resize(usize::try_from(length).map_err(|_| TreeError::Full)?, 0);
        }
        node.written = at;
        node.changed = at;
        Ok(())
    }
}
