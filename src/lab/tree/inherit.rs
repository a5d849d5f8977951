//! Descriptors of new objects.

use std::sync::Arc;

use crate::protocol::security_descriptor::{SecurityDescriptor, Sid};

/// The descriptor of a fresh volume: SYSTEM and administrators everything, users read.
pub(super) fn volume_root() -> Arc<[u8]> {
    SecurityDescriptor::machine_default().encode().into()
}

/// The descriptor that an object made by `owner` takes over from its folder.
pub(super) fn inherited(folder: &[u8], is_directory: bool, owner: &Sid) -> Arc<[u8]> {
    // Descriptors are checked when they are set, so a bad one cannot come here; if it did, the
    // object would be closed to remote callers rather than open.
    let folder = SecurityDescriptor::parse(folder)
        .unwrap_or_else(|_| SecurityDescriptor::administrators_only());
    folder.for_child(is_directory, owner, owner).encode().into()
}
