//! Descriptors of new objects.

use std::sync::Arc;

/// Full control for everyone, inherited by everything: the descriptor of a fresh volume.
pub(super) fn volume_root() -> Arc<[u8]> {
    // Self-relative, DACL present at 20, no owner, one allow ACE (OI|CI) for S-1-1-0.
    let mut bytes = vec![1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];
    bytes.extend([2, 0, 28, 0, 1, 0, 0, 0, 0, 3, 20, 0, 0xFF, 1, 0x1F, 0]);
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    bytes.into()
}

/// The descriptor that a new object takes over from its folder.
pub(super) fn inherited(folder: &Arc<[u8]>, _is_directory: bool) -> Arc<[u8]> {
    Arc::clone(folder)
}
