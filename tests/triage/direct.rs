//! A connector that has no sockets: it goes straight to a simulated world in memory.
//!
//! Scripts are answered by the world, files are opened in its trees as a remote administrator opens
//! them, with descriptors and share modes, and statements run at its CMDB.

use std::sync::Arc;

use async_trait::async_trait;
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::cmdb::{LAB_SERVER_SITE, Results, SqlError, SqlSession};
use fleetmend::lab::tree::{
    Attributes, BasicChange, Caller, Disposition, HandleId, Kind, OpenOptions, OpenRequest,
    SecurityParts, Share, Tree, TreeError,
};
use fleetmend::lab::world::{ADMINISTRATOR, MachineId, account_sid};
use fleetmend::model::{Guid, WindowsPath};
use fleetmend::protocol::security_descriptor::{FileRights, Sid};
use fleetmend::protocol::tds;
use fleetmend::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, DirectoryEntry, FileAttributes,
    FileMetadata, ReadFiles, ReadScript, ReadShell, ReadSql, Row, SecurityInformation,
    SqlParameter, SqlValue, Statement, Target, TransportError, TransportErrorKind,
};
use serde_json::Value;

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
        let session = SqlSession::new("Symantec_CMDB", "cmdb-reader", "SQL01", 51, false);
        Ok(Box::new(Sql { world: Arc::clone(&self.world), session }))
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
        let stored = self.descriptor(path, SecurityInformation::OWNER_GROUP_DACL, deadline).await?;
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

/// A session with the world's CMDB.
struct Sql {
    world: Arc<LiveWorld>,
    session: SqlSession,
}

/// Runs a statement at the CMDB as it is now.
fn rows(
    world: &LiveWorld,
    session: &SqlSession,
    text: &str,
    parameters: Vec<(String, tds::Value)>,
) -> Result<Vec<Row>, SqlError> {
    // The rows are those of now.
    world.with(|_| ());
    let asked = tds::Statement { text: text.to_owned(), parameters };
    let mut seen = Seen::default();
    world.cmdb().run(session, &asked, &mut seen)?;
    Ok(seen.0)
}

/// The servers that are in a site, by the query that an operator of the lab would give.
pub(crate) fn servers_with_site(world: &LiveWorld) -> Vec<Guid> {
    let session = SqlSession::new("Symantec_CMDB", "cmdb-reader", "SQL01", 52, false);
    let text = format!("SELECT [ServerGuid] FROM [{LAB_SERVER_SITE}]");
    let rows = rows(world, &session, &text, Vec::new()).expect("the lab's own table");
    rows.iter().filter_map(|row| row.guid("ServerGuid")).collect()
}

/// Keeps the rows of the last result set.
#[derive(Default)]
struct Seen(Vec<Row>);

impl Results for Seen {
    fn columns(&mut self, _: &[tds::Column]) {
        self.0.clear();
    }

    fn row(&mut self, columns: &[tds::Column], values: &[tds::Value]) -> Result<(), SqlError> {
        let cell = |value: &tds::Value| match value {
            tds::Value::Null => SqlValue::Null,
            tds::Value::Guid(guid) => SqlValue::Guid(Guid::from_u128(guid.as_u128())),
            tds::Value::Text(text) => SqlValue::Text(text.clone()),
            tds::Value::Int(number) => SqlValue::Integer(*number),
            tds::Value::Bit(bit) => SqlValue::Bool(*bit),
            tds::Value::Float(number) => SqlValue::Float(*number),
            tds::Value::DateTime(millis) => jiff::Timestamp::from_millisecond(*millis)
                .map_or(SqlValue::Null, SqlValue::Timestamp),
        };
        let names = columns.iter().map(|column| column.name.clone());
        self.0.push(Row(names.zip(values.iter().map(cell)).collect()));
        Ok(())
    }

    fn done(&mut self, _: Option<u64>) {}
    fn database_changed(&mut self, _: &str, _: &str) {}
    fn transaction_began(&mut self, _: u64) {}
    fn transaction_ended(&mut self, _: bool, _: u64) {}
}

#[async_trait]
impl ReadSql for Sql {
    async fn query(
        &self,
        statement: &Statement<'_>,
        parameters: &[SqlParameter],
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let value = |parameter: &SqlParameter| match parameter {
            SqlParameter::Guid(guid) => tds::Value::Guid(uuid::Uuid::from_u128(guid.as_u128())),
            SqlParameter::Text(text) => tds::Value::Text(text.clone()),
            SqlParameter::Integer(number) => tds::Value::Int(*number),
        };
        let parameters = (1..)
            .zip(parameters)
            .map(|(number, parameter)| (format!("@P{number}"), value(parameter)))
            .collect();
        rows(&self.world, &self.session, statement.text, parameters).map_err(|error| {
            let operation = format!("could not run {}", statement.name);
            TransportError::caused_by(TransportErrorKind::Fault, operation, format!("{error:?}"))
        })
    }

    async fn close(&self) {}
}
