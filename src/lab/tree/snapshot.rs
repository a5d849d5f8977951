//! A picture of the tree for comparisons before and after.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::node::{Body, Kind};
use super::{Attributes, Tree};

/// What a snapshot keeps of one object. Times are left out: reading must not change equality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// File, folder or junction.
    pub kind: Kind,
    /// SHA-256 of the content; of the target for a junction, of nothing for a folder.
    pub sha256: [u8; 32],
    /// The attributes.
    pub attributes: Attributes,
    /// The self-relative security descriptor.
    pub descriptor: Arc<[u8]>,
}

impl Tree {
    /// Every object of every volume by full path, for byte-for-byte comparisons.
    pub fn snapshot(&self) -> BTreeMap<String, Recorded> {
        let nodes = self.lock();
        let mut picture = BTreeMap::new();
        for root in nodes.roots.values() {
            for id in nodes.below(*root) {
                let Ok(node) = nodes.node(id) else { continue };
                let sha256 = match &node.body {
                    Body::File(bytes) => Sha256::digest(bytes.as_slice()),
                    Body::Junction(target) => Sha256::digest(target.as_bytes()),
                    Body::Directory(_) => Sha256::digest([]),
                };
                let recorded = Recorded {
                    kind: node.kind(),
                    sha256: sha256.into(),
                    attributes: node.attributes,
                    descriptor: Arc::clone(&node.descriptor),
                };
                picture.insert(nodes.full_path(id), recorded);
            }
        }
        picture
    }
}
