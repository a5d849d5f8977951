//! A host for tests of actions: its scripts are answered by a closure, its files are in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::host::queries::whole_schema;
use crate::host::{PriorChange, Session, SessionConfig};
use crate::model::{
    Credential, Guid, Host, HostName, RunId, ServerIdentity, TimeScale, WindowsPath, WorkRow,
};
use crate::secret::Secret;
use crate::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, DirectoryEntry, FileAttributes,
    FileMetadata, ReadFiles, ReadScript, ReadShell, ReadSql, Row, SecurityInformation,
    SqlParameter, Statement, Target, TransportError, TransportErrorKind,
};

type Answer = Result<Value, TransportErrorKind>;
type Answers = Box<dyn Fn(&ScriptedHost, &str, &Value) -> Answer + Send + Sync>;

/// Files by lower-case path: content and last write time.
type Files = BTreeMap<String, (Vec<u8>, u64)>;

/// The host; what the scripts see and do is the closure's.
pub(crate) struct ScriptedHost {
    answers: Answers,
    /// The files.
    files: Mutex<Files>,
    /// The names of the scripts that ran, in order.
    ran: Mutex<Vec<String>>,
    /// The rows that every statement but that for the schema returns.
    rows: Mutex<Vec<Row>>,
}

impl ScriptedHost {
    /// A host whose scripts the closure answers, by name and input.
    pub(crate) fn new(
        answers: impl Fn(&Self, &str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answers: Box::new(answers),
            files: Mutex::default(),
            ran: Mutex::default(),
            rows: Mutex::default(),
        })
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, content: &str, modified: u64) {
        let content = content.as_bytes().to_vec();
        self.files.lock().unwrap().insert(path.to_lowercase(), (content, modified));
    }

    /// Appends to a file.
    pub(crate) fn append(&self, path: &str, content: &str, modified: u64) {
        let mut files = self.files.lock().unwrap();
        let entry = files.entry(path.to_lowercase()).or_default();
        entry.0.extend_from_slice(content.as_bytes());
        entry.1 = modified;
    }

    /// Puts a word of the test's own between the names of the scripts.
    pub(crate) fn note(&self, word: &str) {
        self.ran.lock().unwrap().push(word.to_owned());
    }

    /// The names of the scripts that ran, in order.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.ran.lock().unwrap().clone()
    }

    /// Sets the rows that every statement returns.
    pub(crate) fn set_rows(&self, rows: Vec<Row>) {
        *self.rows.lock().unwrap() = rows;
    }

    /// A session with it, in a world that runs 1,000 times faster.
    pub(crate) fn session(self: &Arc<Self>, packages: &[Guid]) -> Session {
        let name = HostName::new("ps-01");
        let target = Target {
            host: name.clone(),
            address: "127.0.0.1".to_owned(),
            port: 1,
            credential: Credential {
                user: "user".to_owned(),
                password: Secret::new("password".to_owned()),
            },
            option: None,
        };
        let work: Vec<WorkRow> = packages.iter().map(|package| row(*package)).collect();
        Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::nil()),
            host: Host { name, groups: Arc::from([]), vars: Arc::default() },
            work: work.into(),
            scale: TimeScale::new(1000.0).expect("a scale"),
            winrm: Some(target.clone()),
            smb: Some(target.clone()),
            cmdb: Some(target),
            connector: Arc::new(ScriptedConnector(Arc::clone(self))),
        })
    }

    fn answer(&self, name: &str, input: &Value) -> Result<Value, TransportError> {
        self.ran.lock().unwrap().push(name.to_owned());
        (self.answers)(self, name, input)
            .map_err(|kind| TransportError::new(kind, format!("could not run {name}")))
    }
}

/// A deadline that a test reaches only when it waits for it.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(300))
}

/// Nothing was done to the host before.
pub(crate) fn nothing_before() -> Arc<[PriorChange]> {
    Arc::from([])
}

fn row(package: Guid) -> WorkRow {
    WorkRow {
        server: ServerIdentity { guid: Guid::from_u128(1), name: None, fqdn: None },
        package,
        package_name: None,
        status: "Invalid".to_owned(),
        current_version: None,
        reported_version: None,
    }
}

struct ScriptedConnector(Arc<ScriptedHost>);
struct ScriptedShell(Arc<ScriptedHost>);
struct ScriptedFiles(Arc<ScriptedHost>);
struct ScriptedSql(Arc<ScriptedHost>);

#[async_trait]
impl Connector for ScriptedConnector {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(ScriptedShell(Arc::clone(&self.0))))
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(ScriptedFiles(Arc::clone(&self.0))))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Ok(Box::new(ScriptedSql(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl ReadShell for ScriptedShell {
    async fn read(
        &self,
        script: &ReadScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.0.answer(script.name, input)
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for ScriptedShell {
    async fn change(
        &self,
        script: &ChangeScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        self.0.answer(script.name, input)
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

#[async_trait]
impl ReadSql for ScriptedSql {
    async fn query(
        &self,
        statement: &Statement<'_>,
        _: &[SqlParameter],
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        if statement.name == "schema" {
            return Ok(whole_schema());
        }
        Ok(self.0.rows.lock().unwrap().clone())
    }

    async fn close(&self) {}
}

fn no_such(path: &WindowsPath) -> TransportError {
    TransportError::new(TransportErrorKind::NotFound, format!("could not read {path}"))
}

fn read_only() -> TransportError {
    TransportError::new(TransportErrorKind::Refused, "could not change a scripted file")
}

impl ScriptedFiles {
    fn get(&self, path: &WindowsPath) -> Option<(Vec<u8>, u64)> {
        self.0.files.lock().unwrap().get(&path.to_string().to_lowercase()).cloned()
    }

    fn is_folder(&self, path: &WindowsPath) -> bool {
        let prefix = format!("{}\\", path.to_string().to_lowercase());
        self.0.files.lock().unwrap().keys().any(|file| file.starts_with(&prefix))
    }
}

#[async_trait]
impl ReadFiles for ScriptedFiles {
    async fn metadata(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError> {
        let metadata = |size, attributes, modified| FileMetadata {
            size,
            attributes: FileAttributes(attributes),
            created: modified,
            modified,
            normalized: Some(path.clone()),
        };
        Ok(match self.get(path) {
            Some((content, modified)) => Some(metadata(content.len() as u64, 0, modified)),
            None if self.is_folder(path) => Some(metadata(0, FileAttributes::DIRECTORY, 1)),
            None => None,
        })
    }

    async fn list(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        let prefix = format!("{}\\", path.to_string().to_lowercase());
        let mut names: BTreeMap<String, DirectoryEntry> = BTreeMap::new();
        for (file, (content, modified)) in &*self.0.files.lock().unwrap() {
            let Some(rest) = file.strip_prefix(&prefix) else { continue };
            let (name, is_folder) = match rest.split_once('\\') {
                Some((folder, _)) => (folder, true),
                None => (rest, false),
            };
            names.insert(
                name.to_owned(),
                DirectoryEntry {
                    name: name.to_owned(),
                    size: if is_folder { 0 } else { content.len() as u64 },
                    attributes: FileAttributes(if is_folder {
                        FileAttributes::DIRECTORY
                    } else {
                        0
                    }),
                    modified: *modified,
                },
            );
        }
        if names.is_empty() { Err(no_such(path)) } else { Ok(names.into_values().collect()) }
    }

    async fn read(
        &self,
        path: &WindowsPath,
        _: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        self.get(path).map(|(content, _)| content).ok_or_else(|| no_such(path))
    }

    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let (content, _) = self.get(path).ok_or_else(|| no_such(path))?;
        let start = usize::try_from(offset).unwrap().min(content.len());
        let length = usize::try_from(limit).unwrap().min(content.len() - start);
        Ok(content[start..start + length].to_vec())
    }

    async fn descriptor(
        &self,
        _: &WindowsPath,
        _: SecurityInformation,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        Err(read_only())
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeFiles for ScriptedFiles {
    async fn create_directory(
        &self,
        _: &WindowsPath,
        _: Option<&[u8]>,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    async fn rename(
        &self,
        _: &WindowsPath,
        _: &WindowsPath,
        _: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    async fn create_file(
        &self,
        _: &WindowsPath,
        _: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    async fn delete(
        &self,
        _: &WindowsPath,
        _: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    async fn set_attributes(
        &self,
        _: &WindowsPath,
        _: FileAttributes,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    async fn set_descriptor(
        &self,
        _: &WindowsPath,
        _: SecurityInformation,
        _: &[u8],
        _: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        Err(read_only())
    }

    fn as_read(&self) -> &dyn ReadFiles {
        self
    }
}
