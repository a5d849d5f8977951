//! The hash that chains each event to the one before it.

use sha2::{Digest, Sha256};

/// SHA-256 over the hash before and the event's JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link([u8; 32]);

impl Link {
    /// What the first event follows.
    pub(super) const START: Self = Self([0; 32]);

    pub(super) fn next(self, json: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(json.as_bytes());
        Self(hash.finalize().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_depends_on_every_event_before_it() {
        let one = Link::START.next("a").next("b");

        assert_eq!(one, Link::START.next("a").next("b"));
        assert_ne!(one, Link::START.next("x").next("b"));
        assert_ne!(one, Link::START.next("ab"));
    }
}
