//! Opening by a remote caller: the access check, share modes, and what is made or emptied.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handle::{Caller, HandleId, OpenHandle, Share};
use super::inherit;
use super::node::{Body, NodeId, Nodes, Place};
use super::path::Path;
use super::{Attributes, Kind, Tree, TreeError};
use crate::protocol::security_descriptor::{FileRights, SecurityDescriptor, map_generic};

/// What to do when the object is there, and when it is not; [MS-SMB2] 2.2.13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Replace it, or make it.
    Supersede,
    /// Open it, or fail.
    Open,
    /// Make it, or fail.
    Create,
    /// Open it, or make it.
    OpenIf,
    /// Empty it, or fail.
    Overwrite,
    /// Empty it, or make it.
    OverwriteIf,
}

impl Disposition {
    fn makes(self) -> bool {
        !matches!(self, Self::Open | Self::Overwrite)
    }

    fn empties(self) -> bool {
        matches!(self, Self::Supersede | Self::Overwrite | Self::OverwriteIf)
    }
}

/// What an open did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The object was replaced.
    Superseded,
    /// The object was opened.
    Opened,
    /// The object was made.
    Created,
    /// The file was emptied.
    Overwritten,
}

/// The options of an open that change what it does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// It must be a folder, or becomes one.
    pub directory: bool,
    /// It must not be a folder.
    pub not_directory: bool,
    /// It goes away when this handle closes.
    pub delete_on_close: bool,
    /// A junction at the end is opened itself instead of followed.
    pub open_reparse_point: bool,
}

/// All that an open says.
#[derive(Debug, Clone)]
pub struct OpenRequest<'a> {
    /// The full path, `C:\folder\file`.
    pub path: &'a str,
    /// Who asks.
    pub caller: &'a Caller,
    /// The rights wanted, generic ones and "maximum allowed" included.
    pub access: u32,
    /// What others may do meanwhile.
    pub share: Share,
    /// What to do when it is there or not.
    pub disposition: Disposition,
    /// The options.
    pub options: OpenOptions,
    /// Attributes of a new object.
    pub attributes: u32,
    /// Descriptor of a new object, in place of an inherited one.
    pub descriptor: Option<&'a [u8]>,
    /// The time, as a FILETIME.
    pub at: u64,
}

/// What an open gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handle.
    pub handle: HandleId,
    /// What was done.
    pub action: Action,
}

impl Tree {
    /// Opens, makes or replaces an object for a remote caller.
    ///
    /// Rights come from the descriptor alone: an administrator has what its entries give to
    /// administrators. Passing through folders needs no right, as Windows grants it to everyone.
    pub fn open(&self, request: &OpenRequest<'_>) -> Result<Opened, TreeError> {
        let mut nodes = self.lock();
        let path = Path::parse(request.path)?;
        let place = nodes.place(&path, !request.options.open_reparse_point)?;
        match place.node {
            Some(id) => nodes.open_existing(id, request),
            None if request.disposition.makes() => nodes.open_new(&place, request),
            None => Err(TreeError::NotFound),
        }
    }
}

impl Nodes {
    fn open_existing(
        &mut self,
        id: NodeId,
        request: &OpenRequest<'_>,
    ) -> Result<Opened, TreeError> {
        let node = self.node(id)?;
        let is_file = node.kind() == Kind::File;
        if node.delete_pending {
            return Err(TreeError::DeletePending);
        }
        if request.disposition == Disposition::Create {
            return Err(TreeError::Exists);
        }
        if request.options.directory && is_file {
            return Err(TreeError::NotADirectory);
        }
        let empties = request.disposition.empties();
        // A junction opened as itself may be opened as a non-folder, as Windows allows.
        if !is_file && (empties || request.options.not_directory && node.kind() != Kind::Junction) {
            return Err(TreeError::IsDirectory);
        }
        let is_read_only = node.attributes.has(Attributes::READ_ONLY);
        let mut wanted = map_generic(request.access);
        if empties {
            wanted |= FileRights::WRITE_DATA;
        }
        if request.options.delete_on_close {
            if wanted & (FileRights::DELETE | FileRights::MAXIMUM_ALLOWED) == 0 {
                return Err(TreeError::AccessDenied);
            }
            if is_read_only || self.is_root(id) {
                return Err(TreeError::CannotDelete);
            }
        }
        let mut granted = self.check_access(id, wanted, request.caller)?;
        let writes = FileRights::WRITE_DATA | FileRights::APPEND_DATA;
        if is_file && is_read_only {
            if wanted & writes != 0 {
                return Err(TreeError::AccessDenied);
            }
            granted &= !writes;
        }
        self.check_sharing(id, granted, request.share)?;
        let action = match request.disposition {
            Disposition::Supersede => Action::Superseded,
            Disposition::Overwrite | Disposition::OverwriteIf => Action::Overwritten,
            Disposition::Open | Disposition::OpenIf | Disposition::Create => Action::Opened,
        };
        if empties {
            self.set_content(id, Arc::default(), request.at)?;
            let node = self.node_mut(id)?;
            node.attributes =
                node.attributes.with_settable(request.attributes | Attributes::ARCHIVE);
        }
        Ok(self.opened(id, granted, action, request))
    }

    fn open_new(&mut self, place: &Place, request: &OpenRequest<'_>) -> Result<Opened, TreeError> {
        let directory = request.options.directory;
        let needed = if directory { FileRights::APPEND_DATA } else { FileRights::WRITE_DATA };
        if self.granted(place.parent, request.caller)? & needed == 0 {
            return Err(TreeError::AccessDenied);
        }
        let folder = self.node(place.parent)?;
        if folder.children().is_none() {
            return Err(TreeError::PathNotFound);
        }
        let descriptor = match request.descriptor {
            Some(bytes) => {
                let given =
                    SecurityDescriptor::parse(bytes).map_err(|_| TreeError::MalformedDescriptor)?;
                let owner = request.caller.owner_of_new();
                let group = given.group().unwrap_or(&owner).clone();
                given.with_owner(Some(owner)).with_group(Some(group)).encode().into()
            }
            None => {
                let owner = request.caller.owner_of_new();
                inherit::inherited(&folder.descriptor, directory, &owner)
            }
        };
        let body =
            if directory { Body::Directory(BTreeMap::new()) } else { Body::File(Arc::default()) };
        let id = self.insert(place.parent, &place.name, body, request.at, Some(descriptor))?;
        let settable =
            if directory { request.attributes } else { request.attributes | Attributes::ARCHIVE };
        let node = self.node_mut(id)?;
        node.attributes = node.attributes.with_settable(settable);
        // Who makes an object gets the handle it asked for, whatever the new descriptor says.
        let mut granted = map_generic(request.access);
        if granted & FileRights::MAXIMUM_ALLOWED != 0 {
            granted |= self.granted(id, request.caller)?;
        }
        granted &= FileRights::FULL_CONTROL;
        Ok(self.opened(id, granted, Action::Created, request))
    }

    fn opened(
        &mut self,
        id: NodeId,
        granted: u32,
        action: Action,
        request: &OpenRequest<'_>,
    ) -> Opened {
        let handle = self.add_handle(OpenHandle {
            node: id,
            granted,
            share: request.share,
            delete_on_close: request.options.delete_on_close,
            caller: Some(request.caller.clone()),
        });
        Opened { handle, action }
    }

    /// What the object's own descriptor grants.
    pub(super) fn granted(&self, id: NodeId, caller: &Caller) -> Result<u32, TreeError> {
        let descriptor = SecurityDescriptor::parse(&self.node(id)?.descriptor)
            .map_err(|_| TreeError::MalformedDescriptor)?;
        Ok(descriptor.granted_to(&caller.identities))
    }

    /// What the object's descriptor and its folder's grant: who may delete children of a folder
    /// may delete each, who may list it may read the attributes of each.
    pub(super) fn granted_in_place(&self, id: NodeId, caller: &Caller) -> Result<u32, TreeError> {
        let mut granted = self.granted(id, caller)?;
        if !self.is_root(id) {
            let above = self.granted(self.node(id)?.parent, caller)?;
            if above & FileRights::DELETE_CHILD != 0 {
                granted |= FileRights::DELETE;
            }
            if above & FileRights::READ_DATA != 0 {
                granted |= FileRights::READ_ATTRIBUTES;
            }
        }
        Ok(granted)
    }

    /// The rights of a handle that wants `wanted`, or a refusal if one of them is missing.
    fn check_access(&self, id: NodeId, wanted: u32, caller: &Caller) -> Result<u32, TreeError> {
        let granted = self.granted_in_place(id, caller)?;
        let must = wanted & !FileRights::MAXIMUM_ALLOWED;
        if must & !granted != 0 {
            return Err(TreeError::AccessDenied);
        }
        let has = if must == wanted { must } else { granted };
        if has == 0 { Err(TreeError::AccessDenied) } else { Ok(has) }
    }
}
