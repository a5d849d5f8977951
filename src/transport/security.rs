//! Security descriptors as they are read and written by [`super::ReadFiles::descriptor`] and
//! [`super::ChangeFiles::set_descriptor`]: the layers above speak of them without the codecs.

pub use crate::protocol::security_descriptor::{
    Ace, AceFlags, AceKind, Acl, Control, Dacl, FileRights, SecurityDescriptor,
    SecurityDescriptorError, Sid, map_generic,
};
