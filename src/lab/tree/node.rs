//! One object of the tree, and the table that holds them all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::TreeError;
use super::handle::OpenHandle;
use super::inherit;
use super::path::{Path, fold};
use crate::protocol::security_descriptor::Sid;

/// File attributes, the bits of [MS-FSCC] 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub u32);

impl Attributes {
    /// `FILE_ATTRIBUTE_READONLY`.
    pub const READ_ONLY: u32 = 0x1;
    /// `FILE_ATTRIBUTE_HIDDEN`.
    pub const HIDDEN: u32 = 0x2;
    /// `FILE_ATTRIBUTE_SYSTEM`.
    pub const SYSTEM: u32 = 0x4;
    /// `FILE_ATTRIBUTE_DIRECTORY`.
    pub const DIRECTORY: u32 = 0x10;
    /// `FILE_ATTRIBUTE_ARCHIVE`.
    pub const ARCHIVE: u32 = 0x20;
    /// `FILE_ATTRIBUTE_NORMAL`: on the wire, "none of the others".
    pub const NORMAL: u32 = 0x80;
    /// `FILE_ATTRIBUTE_REPARSE_POINT`.
    pub const REPARSE_POINT: u32 = 0x400;
    /// What a caller may set.
    const SETTABLE: u32 = 0x1 | 0x2 | 0x4 | 0x20 | 0x100 | 0x1000 | 0x2000;

    /// Says whether every bit of `bits` is set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// These attributes with the caller's choice of the settable bits.
    pub(super) fn with_settable(self, wanted: u32) -> Self {
        Self((self.0 & !Self::SETTABLE) | (wanted & Self::SETTABLE))
    }

    /// The form that goes over the wire: `NORMAL` stands for an empty set.
    pub fn wire(self) -> u32 {
        if self.0 == 0 { Self::NORMAL } else { self.0 }
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Directory,
    /// A folder that leads elsewhere: a mount-point reparse point.
    Junction,
}

/// Identifies an object for as long as it exists; it survives renames.
pub(super) type NodeId = u64;

#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Arc<Vec<u8>>),
    Directory(BTreeMap<String, NodeId>),
    Junction(String),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    pub(super) name: String,
    pub(super) body: Body,
    pub(super) attributes: Attributes,
    pub(super) created: u64,
    pub(super) accessed: u64,
    pub(super) written: u64,
    pub(super) changed: u64,
    pub(super) descriptor: Arc<[u8]>,
    pub(super) delete_pending: bool,
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Junction(_) => Kind::Junction,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File(bytes) => bytes.len() as u64,
            Body::Directory(_) | Body::Junction(_) => 0,
        }
    }

    pub(super) fn target(&self) -> Option<&str> {
        match &self.body {
            Body::Junction(target) => Some(target),
            Body::File(_) | Body::Directory(_) => None,
        }
    }

    pub(super) fn children(&self) -> Option<&BTreeMap<String, NodeId>> {
        match &self.body {
            Body::Directory(children) => Some(children),
            Body::File(_) | Body::Junction(_) => None,
        }
    }
}

/// Where a path ends: the folder, the last name, and the object if it is there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) parent: NodeId,
    pub(super) name: String,
    pub(super) node: Option<NodeId>,
}

/// How many junctions a path may cross; Windows allows 63.
const MAX_JUNCTIONS: usize = 63;

/// How much one volume holds unless it is set otherwise.
pub(super) const DEFAULT_CAPACITY: u64 = 64 << 30;

/// The objects of all volumes of one machine.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) table: HashMap<NodeId, Node>,
    pub(super) roots: BTreeMap<char, NodeId>,
    pub(super) handles: HashMap<u64, OpenHandle>,
    pub(super) capacity: u64,
    pub(super) used: u64,
    next_node: NodeId,
    pub(super) next_handle: u64,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            table: HashMap::new(),
            roots: BTreeMap::new(),
            handles: HashMap::new(),
            capacity: DEFAULT_CAPACITY,
            used: 0,
            next_node: 5, // NTFS numbers its root folder 5
            next_handle: 1,
        }
    }

    pub(super) fn add_volume(&mut self, drive: char, at: u64) {
        let drive = drive.to_ascii_uppercase();
        if self.roots.contains_key(&drive) {
            return;
        }
        let id = self.fresh_id();
        let node = Node {
            parent: id,
            name: String::new(),
            body: Body::Directory(BTreeMap::new()),
            attributes: Attributes(Attributes::DIRECTORY | Attributes::HIDDEN | Attributes::SYSTEM),
            created: at,
            accessed: at,
            written: at,
            changed: at,
            descriptor: inherit::volume_root(),
            delete_pending: false,
        };
        self.table.insert(id, node);
        self.roots.insert(drive, id);
    }

    fn fresh_id(&mut self) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        id
    }

    pub(super) fn node(&self, id: NodeId) -> Result<&Node, TreeError> {
        self.table.get(&id).ok_or(TreeError::NotFound)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, TreeError> {
        self.table.get_mut(&id).ok_or(TreeError::NotFound)
    }

    pub(super) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.table.get(&parent)?.children()?.get(&fold(name)).copied()
    }

    /// Finds where a path ends. Junctions on the way are followed; one at the end only if
    /// `follow_last`.
    pub(super) fn place(&self, path: &Path, follow_last: bool) -> Result<Place, TreeError> {
        let mut path = path.clone();
        for _ in 0..MAX_JUNCTIONS {
            match self.walk(&path, follow_last)? {
                Walked::Place(place) => return Ok(place),
                Walked::Elsewhere(next) => path = next,
            }
        }
        Err(TreeError::Loop)
    }

    fn walk(&self, path: &Path, follow_last: bool) -> Result<Walked, TreeError> {
        let root = *self.roots.get(&path.drive).ok_or(TreeError::PathNotFound)?;
        let Some((last, folders)) = path.names.split_last() else {
            return Ok(Walked::Place(Place {
                parent: root,
                name: String::new(),
                node: Some(root),
            }));
        };
        let mut here = root;
        for (depth, name) in folders.iter().enumerate() {
            here = self.child(here, name).ok_or(TreeError::PathNotFound)?;
            match &self.node(here)?.body {
                Body::Directory(_) => {}
                Body::File(_) => return Err(TreeError::PathNotFound),
                Body::Junction(target) => {
                    let mut next = Path::parse(target)?;
                    next.names.extend_from_slice(&path.names[depth + 1..]);
                    return Ok(Walked::Elsewhere(next));
                }
            }
        }
        let node = self.child(here, last);
        if follow_last
            && let Some(id) = node
            && let Body::Junction(target) = &self.node(id)?.body
        {
            return Ok(Walked::Elsewhere(Path::parse(target)?));
        }
        Ok(Walked::Place(Place { parent: here, name: last.clone(), node }))
    }

    pub(super) fn find(&self, path: &str, follow_last: bool) -> Result<NodeId, TreeError> {
        self.place(&Path::parse(path)?, follow_last)?.node.ok_or(TreeError::NotFound)
    }

    /// The full path of an object, as its names were written.
    pub(super) fn full_path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut here = id;
        while let Some(node) = self.table.get(&here) {
            if node.parent == here {
                break;
            }
            names.push(node.name.as_str());
            here = node.parent;
        }
        let drive = self.roots.iter().find(|(_, root)| **root == here).map_or('?', |(d, _)| *d);
        names.reverse();
        format!("{drive}:\\{}", names.join("\\"))
    }

    /// The volume root above an object.
    pub(super) fn root_of(&self, id: NodeId) -> NodeId {
        let mut here = id;
        while let Some(node) = self.table.get(&here) {
            if node.parent == here {
                break;
            }
            here = node.parent;
        }
        here
    }

    pub(super) fn is_root(&self, id: NodeId) -> bool {
        self.roots.values().any(|root| *root == id)
    }

    /// Puts a new object into a folder; its descriptor is inherited unless one is given.
    pub(super) fn insert(
        &mut self,
        parent: NodeId,
        name: &str,
        body: Body,
        at: u64,
        descriptor: Option<Arc<[u8]>>,
    ) -> Result<NodeId, TreeError> {
        let is_directory = !matches!(body, Body::File(_));
        let folder = self.node(parent)?;
        if folder.delete_pending {
            return Err(TreeError::DeletePending);
        }
        let descriptor = descriptor.unwrap_or_else(|| {
            inherit::inherited(&folder.descriptor, is_directory, &Sid::system())
        });
        let attributes = match body {
            Body::File(_) => Attributes::ARCHIVE,
            Body::Directory(_) => Attributes::DIRECTORY,
            Body::Junction(_) => Attributes::DIRECTORY | Attributes::REPARSE_POINT,
        };
        let id = self.fresh_id();
        let node = Node {
            parent,
            name: name.to_owned(),
            body,
            attributes: Attributes(attributes),
            created: at,
            accessed: at,
            written: at,
            changed: at,
            descriptor,
            delete_pending: false,
        };
        self.grow(node.size())?;
        self.attach(parent, name, id, at)?;
        self.table.insert(id, node);
        Ok(id)
    }

    /// Books bytes on the volumes.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), TreeError> {
        let used = self.used.checked_add(bytes).filter(|used| *used <= self.capacity);
        self.used = used.ok_or(TreeError::Full)?;
        Ok(())
    }

    pub(super) fn attach(
        &mut self,
        parent: NodeId,
        name: &str,
        id: NodeId,
        at: u64,
    ) -> Result<(), TreeError> {
        let folder = self.node_mut(parent)?;
        let Body::Directory(children) = &mut folder.body else {
            return Err(TreeError::NotADirectory);
        };
        children.insert(fold(name), id);
        folder.written = folder.written.max(at);
        folder.changed = folder.changed.max(at);
        Ok(())
    }

    pub(super) fn detach(&mut self, id: NodeId) {
        let Some(node) = self.table.get(&id) else { return };
        let (parent, key) = (node.parent, fold(&node.name));
        if let Some(Node { body: Body::Directory(children), .. }) = self.table.get_mut(&parent) {
            children.remove(&key);
        }
    }

    /// Replaces a file's content.
    pub(super) fn set_content(
        &mut self,
        id: NodeId,
        bytes: Arc<Vec<u8>>,
        at: u64,
    ) -> Result<(), TreeError> {
        let old = self.node(id)?.size();
        let new = bytes.len() as u64;
        if new > old {
            self.grow(new - old)?;
        } else {
            self.used -= old - new;
        }
        let node = self.node_mut(id)?;
        node.body = Body::File(bytes);
        node.written = at;
        node.changed = at;
        node.attributes.0 |= Attributes::ARCHIVE;
        Ok(())
    }

    /// Removes an object and everything below it.
    pub(super) fn remove_all(&mut self, id: NodeId) {
        self.detach(id);
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            if let Some(node) = self.table.remove(&id) {
                self.used -= node.size();
                doomed.extend(node.children().into_iter().flat_map(BTreeMap::values));
            }
        }
    }

    /// An object and everything below it.
    pub(super) fn below(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            if let Some(node) = self.table.get(&id) {
                found.push(id);
                next.extend(node.children().into_iter().flat_map(BTreeMap::values));
            }
        }
        found
    }

    /// Moves an object under a new folder and name. The target must be free.
    pub(super) fn relocate(
        &mut self,
        id: NodeId,
        parent: NodeId,
        name: &str,
        at: u64,
    ) -> Result<(), TreeError> {
        if self.root_of(id) != self.root_of(parent) {
            return Err(TreeError::OtherVolume);
        }
        if self.is_root(id) || self.below(id).contains(&parent) {
            return Err(TreeError::AccessDenied);
        }
        self.detach(id);
        self.attach(parent, name, id, at)?;
        let node = self.node_mut(id)?;
        node.parent = parent;
        name.clone_into(&mut node.name);
        node.changed = at;
        Ok(())
    }
}

enum Walked {
    Place(Place),
    Elsewhere(Path),
}
