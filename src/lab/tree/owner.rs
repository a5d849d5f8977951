//! The machine's own side of the tree: by path, as SYSTEM, without access checks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::{HandleId, Share};
use super::node::{Body, NodeId, Nodes};
use super::path::Path;
use super::{Attributes, Kind, TreeError};
use crate::protocol::security_descriptor::SecurityDescriptor;

/// The file tree of one simulated machine. Clones share the same tree.
///
/// Paths look like `C:\ProgramData\x`. Times are Windows FILETIMEs (100 ns since 1601, UTC).
#[derive(Clone)]
pub struct Tree(Arc<Mutex<Nodes>>);

/// One object of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it was written.
    pub name: String,
    /// File, folder or junction.
    pub kind: Kind,
    /// Bytes of a file, else 0.
    pub size: u64,
    /// The attributes.
    pub attributes: Attributes,
    /// When it was created.
    pub created: u64,
    /// When its content last changed.
    pub modified: u64,
}

/// Keeps an object open without sharing it; others meet a sharing violation until it is dropped.
#[derive(Debug)]
pub struct Hold {
    tree: Tree,
    handle: HandleId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.tree.lock().release(self.handle);
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.lock();
        f.debug_struct("Tree").field("objects", &nodes.table.len()).finish_non_exhaustive()
    }
}

impl Tree {
    /// A machine with an empty volume `C:` made at `at`.
    pub fn new(at: u64) -> Self {
        let mut nodes = Nodes::new();
        nodes.add_volume('C', at);
        Self(Arc::new(Mutex::new(nodes)))
    }

    /// Adds an empty volume; one that is there already stays as it is.
    pub fn add_volume(&self, drive: char, at: u64) {
        self.lock().add_volume(drive, at);
    }

    /// The drive letters, in order.
    pub fn volumes(&self) -> Vec<char> {
        self.lock().roots.keys().copied().collect()
    }

    /// Makes a folder and the folders above it; those that exist stay as they are.
    pub fn create_dir_all(&self, path: &str, at: u64) -> Result<(), TreeError> {
        self.lock().make_folders(&Path::parse(path)?, at).map(drop)
    }

    /// Writes a whole file, making its folders; a file that is there is replaced in place, so
    /// its descriptor, attributes and creation time stay.
    pub fn write(&self, path: &str, bytes: impl Into<Vec<u8>>, at: u64) -> Result<(), TreeError> {
        self.lock().write_file(path, bytes.into(), at)
    }

    /// Adds bytes to the end of a file, making it if needed.
    pub fn append(&self, path: &str, bytes: &[u8], at: u64) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        match nodes.find(path, true) {
            Ok(id) => {
                let Body::File(old) = &nodes.node(id)?.body else {
                    return Err(TreeError::IsDirectory);
                };
                let mut content = Vec::with_capacity(old.len() + bytes.len());
                content.extend_from_slice(old);
                content.extend_from_slice(bytes);
                nodes.check_free_to_write(id)?;
                nodes.set_content(id, Arc::new(content), at)
            }
            Err(TreeError::NotFound | TreeError::PathNotFound) => {
                nodes.write_file(path, bytes.to_vec(), at)
            }
            Err(error) => Err(error),
        }
    }

    /// The content of a file, or `None` if there is no such file.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let nodes = self.lock();
        let id = nodes.find(path, true).ok()?;
        match &nodes.node(id).ok()?.body {
            Body::File(bytes) => Some(bytes.as_ref().clone()),
            Body::Directory(_) | Body::Junction(_) => None,
        }
    }

    /// Says whether there is an object of this name.
    pub fn exists(&self, path: &str) -> bool {
        self.lock().find(path, false).is_ok()
    }

    /// Removes an object and everything below it; a junction, not what it leads to.
    ///
    /// `false` if it is not there, is a volume root, or is open somewhere.
    pub fn remove(&self, path: &str) -> bool {
        let mut nodes = self.lock();
        let Ok(id) = nodes.find(path, false) else { return false };
        if nodes.is_root(id) || nodes.below(id).into_iter().any(|id| nodes.is_open(id)) {
            return false;
        }
        nodes.remove_all(id);
        true
    }

    /// Renames or moves an object on its volume; a file at the target is replaced. The object
    /// keeps its descriptor, as on NTFS.
    pub fn rename(&self, from: &str, to: &str, at: u64) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.find(from, false)?;
        let target = nodes.place(&Path::parse(to)?, false)?;
        if nodes.is_open(id) {
            return Err(TreeError::SharingViolation);
        }
        if let Some(old) = target.node.filter(|old| *old != id) {
            if nodes.node(old)?.kind() != Kind::File {
                return Err(TreeError::Exists);
            }
            if nodes.is_open(old) {
                return Err(TreeError::SharingViolation);
            }
            nodes.remove_all(old);
        }
        nodes.relocate(id, target.parent, &target.name, at)
    }

    /// What a folder holds, by name; empty if there is no such folder.
    pub fn list(&self, path: &str) -> Vec<Entry> {
        let nodes = self.lock();
        let Ok(id) = nodes.find(path, true) else { return Vec::new() };
        let children = nodes.node(id).ok().and_then(|node| node.children());
        children.into_iter().flat_map(BTreeMap::values).filter_map(|id| nodes.entry(*id)).collect()
    }

    /// One object, or `None` if it is not there. A junction is described itself.
    pub fn entry(&self, path: &str) -> Option<Entry> {
        let nodes = self.lock();
        nodes.entry(nodes.find(path, false).ok()?)
    }

    /// When an object's content last changed.
    pub fn modified(&self, path: &str) -> Option<u64> {
        self.entry(path).map(|entry| entry.modified)
    }

    /// Sets or clears the read-only attribute.
    pub fn set_read_only(&self, path: &str, read_only: bool) -> Result<(), TreeError> {
        let now = self.entry(path).ok_or(TreeError::NotFound)?.attributes.0;
        let wanted =
            if read_only { now | Attributes::READ_ONLY } else { now & !Attributes::READ_ONLY };
        self.set_attributes(path, wanted)
    }

    /// Sets the attributes a program may choose (read-only, hidden, system, archive, ...); the
    /// others stay.
    pub fn set_attributes(&self, path: &str, wanted: u32) -> Result<(), TreeError> {
        let mut nodes = self.lock();
        let id = nodes.find(path, false)?;
        let node = nodes.node_mut(id)?;
        node.attributes = node.attributes.with_settable(wanted);
        Ok(())
    }

    /// The self-relative security descriptor of an object.
    pub fn descriptor(&self, path: &str) -> Option<Vec<u8>> {
        let nodes = self.lock();
        let id = nodes.find(path, false).ok()?;
        nodes.node(id).ok().map(|node| node.descriptor.to_vec())
    }

    /// Replaces the security descriptor of one object; what is below it stays as it is, as with
    /// a plain `SET_INFO`.
    pub fn set_descriptor(&self, path: &str, descriptor: &[u8]) -> Result<(), TreeError> {
        SecurityDescriptor::parse(descriptor).map_err(|_| TreeError::MalformedDescriptor)?;
        let mut nodes = self.lock();
        let id = nodes.find(path, false)?;
        nodes.node_mut(id)?.descriptor = descriptor.into();
        Ok(())
    }

    /// Makes a junction that leads to the folder `target`, which need not exist.
    pub fn add_junction(&self, path: &str, target: &str, at: u64) -> Result<(), TreeError> {
        Path::parse(target)?;
        let path = Path::parse(path)?;
        let mut nodes = self.lock();
        let mut folder = path.clone();
        let name = folder.names.pop().ok_or(TreeError::Exists)?;
        let parent = nodes.make_folders(&folder, at)?;
        if nodes.child(parent, &name).is_some() {
            return Err(TreeError::Exists);
        }
        nodes.insert(parent, &name, Body::Junction(target.to_owned()), at, None).map(drop)
    }

    /// Opens an object without sharing it, until the guard is dropped.
    pub fn hold_open(&self, path: &str) -> Result<Hold, TreeError> {
        let mut nodes = self.lock();
        let id = nodes.find(path, true)?;
        let handle = nodes.open_as_system(id, Share::NONE)?;
        drop(nodes);
        Ok(Hold { tree: self.clone(), handle })
    }

    /// Bytes that can still be written; all volumes draw on one capacity.
    pub fn free_space(&self) -> u64 {
        let nodes = self.lock();
        nodes.capacity - nodes.used
    }

    /// Bytes that the volumes hold in all, used and free.
    pub fn capacity(&self) -> u64 {
        self.lock().capacity
    }

    /// Sets how many bytes the volumes hold in all; never below what is used.
    pub fn set_capacity(&self, bytes: u64) {
        let mut nodes = self.lock();
        nodes.capacity = bytes.max(nodes.used);
    }

    /// The table. A panic elsewhere while it was locked leaves it whole enough to go on.
    pub(super) fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    /// Makes the folders of a path and returns the last.
    fn make_folders(&mut self, path: &Path, at: u64) -> Result<NodeId, TreeError> {
        let root = Path { drive: path.drive, names: Vec::new() };
        let mut here = self.place(&root, true)?.node.ok_or(TreeError::PathNotFound)?;
        let mut so_far = root;
        for name in &path.names {
            so_far.names.push(name.clone());
            here = match self.place(&so_far, true)?.node {
                Some(id) if self.node(id)?.children().is_some() => id,
                Some(_) => return Err(TreeError::NotADirectory),
                None => self.insert(here, name, Body::Directory(BTreeMap::new()), at, None)?,
            };
        }
        Ok(here)
    }

    fn write_file(&mut self, path: &str, bytes: Vec<u8>, at: u64) -> Result<(), TreeError> {
        let path = Path::parse(path)?;
        let mut folder = path.clone();
        let name = folder.names.pop().ok_or(TreeError::IsDirectory)?;
        let parent = self.make_folders(&folder, at)?;
        match self.child(parent, &name) {
            None => self.insert(parent, &name, Body::File(Arc::new(bytes)), at, None).map(drop),
            Some(id) if self.node(id)?.kind() == Kind::File => {
                self.check_free_to_write(id)?;
                self.set_content(id, Arc::new(bytes), at)
            }
            Some(_) => Err(TreeError::IsDirectory),
        }
    }

    pub(super) fn entry(&self, id: NodeId) -> Option<Entry> {
        let node = self.table.get(&id)?;
        Some(Entry {
            name: node.name.clone(),
            kind: node.kind(),
            size: node.size(),
            attributes: node.attributes,
            created: node.created,
            modified: node.written,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_meet_without_regard_to_case_and_keep_the_case_they_were_written_in() {
        let tree = Tree::new(1);

        tree.write(r"C:\ProgramData\Symantec\Snapshot.XML", "<a/>", 7).unwrap();

        assert_eq!(tree.read(r"c:\programdata\SYMANTEC\snapshot.xml"), Some(b"<a/>".to_vec()));
        assert_eq!(tree.list(r"C:\PROGRAMDATA\symantec")[0].name, "Snapshot.XML");
        assert_eq!(tree.modified(r"C:\ProgramData\Symantec\snapshot.xml"), Some(7));
    }

    #[test]
    fn a_held_file_cannot_be_written_renamed_or_removed_until_it_is_let_go() {
        let tree = Tree::new(1);
        tree.write(r"C:\a\f.txt", "1", 1).unwrap();

        let hold = tree.hold_open(r"C:\a\f.txt").unwrap();

        assert_eq!(tree.write(r"C:\a\f.txt", "2", 2), Err(TreeError::SharingViolation));
        assert_eq!(tree.rename(r"C:\a\f.txt", r"C:\a\g.txt", 2), Err(TreeError::SharingViolation));
        assert!(!tree.remove(r"C:\a"));
        drop(hold);
        assert_eq!(tree.write(r"C:\a\f.txt", "2", 2), Ok(()));
        assert!(tree.remove(r"C:\a"));
        assert!(!tree.exists(r"C:\a\f.txt"));
    }

    #[test]
    fn a_junction_is_followed_on_the_way_and_removed_alone() {
        let tree = Tree::new(1);
        tree.write(r"C:\real\deep\f.txt", "1", 1).unwrap();
        tree.add_junction(r"C:\link", r"C:\real", 1).unwrap();

        assert_eq!(tree.read(r"C:\link\deep\f.txt"), Some(b"1".to_vec()));
        assert!(tree.remove(r"C:\link"));
        assert!(tree.exists(r"C:\real\deep\f.txt"));
    }

    #[test]
    fn a_circle_of_junctions_ends_in_an_error() {
        let tree = Tree::new(1);
        tree.add_junction(r"C:\a", r"C:\b", 1).unwrap();
        tree.add_junction(r"C:\b", r"C:\a", 1).unwrap();

        assert_eq!(tree.write(r"C:\a\x", "1", 1), Err(TreeError::Loop));
    }

    #[test]
    fn free_space_follows_writes_and_removals() {
        let tree = Tree::new(1);
        tree.set_capacity(10);

        assert_eq!(tree.write(r"C:\big", vec![0; 11], 1), Err(TreeError::Full));
        tree.write(r"C:\fits", vec![0; 8], 1).unwrap();
        assert_eq!(tree.free_space(), 2);
        assert!(tree.remove(r"C:\fits"));
        assert_eq!(tree.free_space(), 10);
    }

    #[test]
    fn a_snapshot_differs_by_content_descriptor_and_attributes_and_not_by_time() {
        let tree = Tree::new(1);
        tree.write(r"C:\a\f.txt", "1", 1).unwrap();
        let before = tree.snapshot();

        tree.write(r"C:\a\f.txt", "1", 99).unwrap();
        assert_eq!(tree.snapshot(), before);

        tree.set_read_only(r"C:\a\f.txt", true).unwrap();
        assert_ne!(tree.snapshot(), before);
    }
}
