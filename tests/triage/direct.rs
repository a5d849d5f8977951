//! A connector that has no sockets: it goes straight to a simulated world in memory.
//!
//! Scripts are answered by the world, files are opened in its trees as a remote administrator opens
//! them, with descriptors and share modes, and statements run at its CMDB.

mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::tree::{
    Attributes, BasicChange, Caller, Disposition, HandleId, Kind, OpenOptions, OpenRequest,
    SecurityParts, Share, Tree, TreeError,
};
use fleetmend::lab::world::{ADMINISTRATOR, MachineId, account_sid};
use fleetmend::model::WindowsPath;
use fleetmend::protocol::security_descriptor::{FileRights, Sid};
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, ChangeSql, Connector, Deadline, DirectoryEntry,
    FileAttributes, FileMetadata, ReadFiles, ReadScript, ReadShell, ReadSql, SecurityInformation,
    Target, TransportError, TransportErrorKind,
};
use serde_json::Value;

use sql::{Sql, Transaction};
pub(crate) use sql::{other_origins, servers_with_site};

/// Everybody else may read, write and delete meanwhile.
const SHARED: Share = Share(7);

/// Connects to the machines of one world, by the names of its hosts.
#[derive(Clone)]
pub(crate) struct Direct {
    world: Arc<LiveWorld>,
}

impl Direct {
    pub(crate) fn new(world: Arc<LiveWorld>) -> Self {
        Self { world }
    }

    /// The machine that a target names, if it listens.
    fn machine(&self, target: &Target) -> Result<Machine, TransportError> {
        let name = target.host.as_str();
        let id = self.world.with(|world| {
            let fleet = world.fleet();
            if fleet.notification_server.fqdn == name {
                return Some(MachineId::NotificationServer);
            }
            let number = fleet.servers.iter().position(|server| server.fqdn == name)?;
            Some(MachineId::Server(number)).filter(|machine| world.is_listening(*machine))
        });
        let operation = || format!("could not connect to {name}");
        match id {
            None => Err(TransportError::new(TransportErrorKind::Unreachable, operation())),
            Some(id) if self.world.with(|world| world.has_wrong_password(id)) => {
                Err(TransportError::new(TransportErrorKind::AuthRejected, operation()))
            }
            Some(id) => {
                let tree = self.world.with(|world| world.tree(id).clone());
                Ok(Machine { world: Arc::clone(&self.world), id, tree })
            }
        }
    }
}

#[async_trait]
impl Connector for Direct {
    async fn shell(
        &self,
        target: &Target,
        _: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(self.machine(target)?))
    }

    async fn files(
        &self,
        target: &Target,
        _: Deadline,
    ) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(self.machine(target)?))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Ok(Box::new(Sql::reader(&self.world)))
    }

    async fn change_sql(
        &self,
        _: &Target,
        _: Deadline,
    ) -> Result<Box<dyn ChangeSql>, TransportError> {
        Ok(Box::new(Transaction::begin(&self.world)?))
    }
}

/// One machine: its shell and its files.
struct Machine {
    world: Arc<LiveWorld>,
    id: MachineId,
    tree: Tree,
}

impl Machine {
    fn run(&self, name: &str, text: &str, input: &Value) -> Result<Value, TransportError> {
        self.world.with(|world| world.run_script(self.id, text, input)).map_err(|error| {
            let operation = format!("could not run {name}");
            TransportError::caused_by(TransportErrorKind::Fault, operation, error)
        })
    }

    fn caller() -> Caller {
        let user: Sid = account_sid(ADMINISTRATOR)
            .and_then(|text| text.parse().ok())
            .expect("the lab's own administrator");
        let identities = [
            user.clone(),
            Sid::everyone(),
            Sid::authenticated_users(),
            Sid::network(),
            Sid::users(),
            Sid::administrators(),
        ];
        Caller { user, identities: Arc::from(identities) }
    }

    /// Opens a file or folder, a link itself, does something with the handle and closes it.
    fn with_handle<T>(
        &self,
        path: &WindowsPath,
        ask: Ask<'_>,
        act: impl FnOnce(HandleId) -> Result<T, TreeError>,
    ) -> Result<T, TreeError> {
        let (caller, path) = (Self::caller(), path.to_string());
        let opened = self.tree.open(&OpenRequest {
            path: &path,
            caller: &caller,
            access: ask.access,
            share: SHARED,
            disposition: ask.disposition,
            options: OpenOptions {
                open_reparse_point: true,
                directory: ask.makes_directory,
                ..OpenOptions::default()
            },
            attributes: 0,
            descriptor: ask.descriptor,
            at: self.world.filetime(),
        })?;
        let done = act(opened.handle);
        self.tree.close(opened.handle);
        done
    }

    /// What the real client checks on the handle before it moves or deletes.
    fn check(
        &self,
        handle: HandleId,
        path: &WindowsPath,
        expected: &FileMetadata,
    ) -> Result<bool, TreeError> {
        let found = self.tree.info(handle)?;
        Ok(found.kind == Kind::File
            && found.size == expected.size
            && found.written == expected.modified
            && found.path.eq_ignore_ascii_case(&path.to_string()))
    }
}

/// What a file is opened for.
struct Ask<'a> {
    access: u32,
    disposition: Disposition,
    makes_directory: bool,
    descriptor: Option<&'a [u8]>,
}

impl Ask<'_> {
    fn open(access: u32) -> Self {
        Self { access, disposition: Disposition::Open, makes_directory: false, descriptor: None }
    }
}

fn failed(doing: &str, path: &WindowsPath, error: TreeError) -> TransportError {
    let kind = match error {
        TreeError::NotFound | TreeError::PathNotFound => TransportErrorKind::NotFound,
        TreeError::AccessDenied | TreeError::CannotDelete => TransportErrorKind::AccessDenied,
        TreeError::SharingViolation | TreeError::DeletePending => {
            TransportErrorKind::SharingViolation
        }
        TreeError::Exists => TransportErrorKind::AlreadyExists,
        TreeError::Loop => TransportErrorKind::Refused,
        _ => TransportErrorKind::Fault,
    };
    TransportError::caused_by(kind, format!("could not {doing} {path}"), error)
}

fn refused(doing: &str, path: &WindowsPath) -> TransportError {
    TransportError::new(TransportErrorKind::Refused, format!("could not {doing} {path}"))
}

#[async_trait]
impl ReadShell for Machine {
    async fn read(
        &self,
        script: &ReadScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.run(script.name, script.text, input)
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for Machine {
    async fn change(
        &self,
        script: &ChangeScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.run(script.name, script.text, input)
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

#[async_trait]
impl ReadFiles for Machine {
    async fn metadata(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let ask = Ask::open(FileRights::READ_ATTRIBUTES);
        match self.with_handle(path, ask, |handle| self.tree.info(handle)) {
            Ok(info) => Ok(Some(FileMetadata {
                size: info.size,
                attributes: FileAttributes(info.attributes.0),
                created: info.created,
                modified: info.written,
                normalized: info.path.parse().ok(),
            })),
            Err(TreeError::NotFound | TreeError::PathNotFound) => Ok(None),
            Err(error) => Err(failed("look at", path, error)),
        }
    }

    async fn list(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        let ask = Ask::open(FileRights::READ_DATA);
        let children = self
            .with_handle(path, ask, |handle| self.tree.children(handle))
            .map_err(|error| failed("list", path, error))?;
        Ok(children
            .into_iter()
            .map(|(_, entry)| DirectoryEntry {
                name: entry.name,
                size: entry.size,
                attributes: FileAttributes(entry.attributes.0),
                modified: entry.modified,
            })
            .collect())
    }

    async fn read(
        &self,
        path: &WindowsPath,
        limit: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let ask = Ask::open(FileRights::READ_DATA);
        let bytes = self
            .with_handle(path, ask, |handle| self.tree.read_at(handle, 0, most))
            .map_err(|error| failed("read", path, error))?;
        if bytes.len() as u64 > limit { Err(refused("read", path)) } else { Ok(bytes) }
    }

    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let ask = Ask::open(FileRights::READ_DATA);
        self.with_handle(path, ask, |handle| self.tree.read_at(handle, offset, most))
            .map_err(|error| failed("read", path, error))
    }

    async fn descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let ask = Ask::open(FileRights::READ_CONTROL);
        let parts = SecurityParts(parts.0);
        self.with_handle(path, ask, |handle| self.tree.security(handle, parts))
            .map_err(|error| failed("read the descriptor of", path, error))
    }

    async fn is_held(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Option<bool>, TransportError> {
        match self.with_handle(path, Ask::open(FileRights::DELETE), |_| Ok(())) {
            Ok(()) => Ok(Some(false)),
            Err(TreeError::SharingViolation) => Ok(Some(true)),
            Err(error) => Err(failed("open", path, error)),
        }
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeFiles for Machine {
    async fn create_directory(
        &self,
        path: &WindowsPath,
        descriptor: Option<&[u8]>,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let ask = Ask {
            access: FileRights::READ_ATTRIBUTES,
            disposition: Disposition::Create,
            makes_directory: true,
            descriptor,
        };
        self.with_handle(path, ask, |_| Ok(())).map_err(|error| failed("make", path, error))
    }

    async fn rename(
        &self,
        from: &WindowsPath,
        to: &WindowsPath,
        expected: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let at = self.world.filetime();
        let ask = Ask::open(FileRights::DELETE | FileRights::READ_ATTRIBUTES);
        let moved = self.with_handle(from, ask, |handle| {
            if !self.check(handle, from, expected)? {
                return Ok(false);
            }
            self.tree.rename_open(handle, &to.to_string(), false, at).map(|()| true)
        });
        match moved {
            Ok(true) => Ok(()),
            Ok(false) => Err(refused("move", from)),
            Err(error) => Err(failed("move", from, error)),
        }
    }

    async fn create_file(
        &self,
        path: &WindowsPath,
        content: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        let at = self.world.filetime();
        let ask = Ask { disposition: Disposition::Create, ..Ask::open(FileRights::WRITE_DATA) };
        self.with_handle(path, ask, |handle| self.tree.write_at(handle, 0, content, at))
            .map_err(|error| failed("write", path, error))
    }

    async fn delete(
        &self,
        path: &WindowsPath,
        expected: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let ask = Ask::open(FileRights::DELETE | FileRights::READ_ATTRIBUTES);
        let deleted = self.with_handle(path, ask, |handle| {
            if !self.check(handle, path, expected)? {
                return Ok(false);
            }
            self.tree.set_delete(handle, true).map(|()| true)
        });
        match deleted {
            Ok(true) => Ok(()),
            Ok(false) => Err(refused("delete", path)),
            Err(error) => Err(failed("delete", path, error)),
        }
    }

    async fn set_attributes(
        &self,
        path: &WindowsPath,
        attributes: FileAttributes,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let wanted = Attributes(attributes.0).0;
        let change = BasicChange { attributes: Some(wanted), ..BasicChange::default() };
        let ask = Ask::open(FileRights::WRITE_ATTRIBUTES);
        self.with_handle(path, ask, |handle| self.tree.set_basic(handle, &change))
            .map_err(|error| failed("set the attributes of", path, error))
    }

    async fn set_descriptor(
        &self,
        path: &WindowsPath,
        parts: SecurityInformation,
        expected: &[u8],
        descriptor: &[u8],
        deadline: Deadline,
    ) -> Result<(), TransportError> {
        // The high bits say how a write treats inheritance.
        let asked = SecurityInformation(parts.0 & 0xFFFF);
        let stored = self.descriptor(path, asked, deadline).await?;
        if stored != expected {
            return Err(refused("change the descriptor of", path));
        }
        let at = self.world.filetime();
        let ask = Ask::open(FileRights::WRITE_DAC | FileRights::READ_CONTROL);
        let parts = SecurityParts(parts.0);
        self.with_handle(path, ask, |handle| self.tree.set_security(handle, parts, descriptor, at))
            .map_err(|error| failed("change the descriptor of", path, error))
    }

    fn as_read(&self) -> &dyn ReadFiles {
        self
    }
}
