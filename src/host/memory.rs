//! A host in memory for tests: its files can be changed, folders can be junctions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Changer, PriorChange, Reader, Session, SessionConfig};
use crate::model::{Credential, Host, HostName, RunId, TimeScale, Vars, WindowsPath};
use crate::secret::Secret;
use crate::transport::security::SecurityDescriptor;
use crate::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, DirectoryEntry, FileAttributes,
    FileMetadata, ReadFiles, ReadScript, ReadShell, ReadSql, SecurityInformation, Target,
    TransportError, TransportErrorKind,
};

/// The agent's folder on the host.
pub(crate) const AGENT: &str = "C:\\Program Files\\Altiris\\Altiris Agent";

#[derive(Debug, Clone)]
enum Kind {
    File(Vec<u8>),
    Folder,
    Junction(WindowsPath),
}

#[derive(Debug, Clone)]
struct Node {
    path: WindowsPath,
    kind: Kind,
    modified: u64,
    descriptor: Vec<u8>,
}

/// The host.
pub(crate) struct MemoryHost {
    nodes: Mutex<BTreeMap<String, Node>>,
    scripts: Mutex<HashMap<String, Value>>,
    held: Mutex<HashSet<String>>,
    writes: Mutex<u64>,
}

fn key(path: &WindowsPath) -> String {
    path.to_string().to_lowercase()
}

pub(crate) fn path(text: &str) -> WindowsPath {
    text.parse().expect(text)
}

impl MemoryHost {
    /// A package server with the default folders, and nothing in them.
    pub(crate) fn package_server() -> Arc<Self> {
        let host = Arc::new(Self {
            nodes: Mutex::default(),
            scripts: Mutex::default(),
            held: Mutex::default(),
            writes: Mutex::new(0),
        });
        for folder in [
            "C:\\ProgramData",
            &format!("{AGENT}\\Package Delivery"),
            &format!("{AGENT}\\Package Server Agent\\PackageStatus"),
            &format!("{AGENT}\\Client Policies"),
        ] {
            host.folder(folder);
        }
        host.answer(
            "host-facts",
            json!({
                "computer": "PS-01", "domain": "corp.example", "time_utc": null,
                "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
                "agent": { "install_dir": AGENT, "version": "8.6", "ns": "smp01.corp.example",
                    "plugin_version": "8.6" },
                "notification_server": null,
            }),
        );
        host
    }

    /// What a script answers.
    pub(crate) fn answer(&self, script: &str, value: Value) {
        self.scripts.lock().unwrap().insert(script.to_owned(), value);
    }

    fn tick(&self) -> u64 {
        let mut writes = self.writes.lock().unwrap();
        *writes += 1;
        1000 + *writes
    }

    fn put(&self, at: &WindowsPath, kind: Kind, descriptor: Option<&[u8]>) {
        let modified = self.tick();
        let descriptor = descriptor
            .map_or_else(|| SecurityDescriptor::machine_default().encode(), <[u8]>::to_vec);
        let node = Node { path: at.clone(), kind, modified, descriptor };
        self.nodes.lock().unwrap().insert(key(at), node);
    }

    /// Makes a folder and those above it.
    pub(crate) fn folder(&self, at: &str) {
        let mut folders: Vec<WindowsPath> =
            std::iter::successors(Some(path(at)), WindowsPath::parent).collect();
        folders.reverse();
        for folder in folders {
            if !self.nodes.lock().unwrap().contains_key(&key(&folder)) {
                self.put(&folder, Kind::Folder, None);
            }
        }
    }

    /// Writes a file; its folders are made.
    pub(crate) fn write(&self, at: &str, content: &str) {
        let at = path(at);
        self.folder(&at.parent().expect("a folder").to_string());
        self.put(&at, Kind::File(content.as_bytes().to_vec()), None);
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, at: &str) {
        assert!(self.nodes.lock().unwrap().remove(&key(&path(at))).is_some(), "{at}");
    }

    /// Makes a junction to another folder.
    pub(crate) fn junction(&self, at: &str, to: &str) {
        self.put(&path(at), Kind::Junction(path(to)), None);
    }

    /// Gives a folder another descriptor.
    pub(crate) fn describe(&self, at: &str, descriptor: &SecurityDescriptor) {
        let mut nodes = self.nodes.lock().unwrap();
        nodes.get_mut(&key(&path(at))).expect(at).descriptor = descriptor.encode();
    }

    /// The descriptor that is stored.
    pub(crate) fn stored_descriptor(&self, at: &str) -> Vec<u8> {
        self.nodes.lock().unwrap()[&key(&path(at))].descriptor.clone()
    }

    /// Lets another program keep a file open.
    pub(crate) fn hold(&self, at: &str) {
        self.held.lock().unwrap().insert(key(&path(at)));
    }

    /// A file's content, if it is there.
    pub(crate) fn content(&self, at: &str) -> Option<String> {
        match &self.nodes.lock().unwrap().get(&key(&path(at)))?.kind {
            Kind::File(content) => Some(String::from_utf8_lossy(content).into_owned()),
            Kind::Folder | Kind::Junction(_) => None,
        }
    }

    /// All files below a folder, by path.
    pub(crate) fn files_below(&self, folder: &str) -> Vec<String> {
        let folder = path(folder);
        let nodes = self.nodes.lock().unwrap();
        let files = nodes.values().filter(|node| matches!(node.kind, Kind::File(_)));
        files.filter(|node| node.path.is_below(&folder)).map(|it| it.path.to_string()).collect()
    }

    /// A session of a run with it.
    pub(crate) fn session(self: &Arc<Self>, run: u128) -> Session {
        self.session_of(run, Vars::new())
    }

    /// A session in which the host has these variables.
    pub(crate) fn session_of(self: &Arc<Self>, run: u128, vars: Vars) -> Session {
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
        Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::from_u128(run)),
            host: Host { name, groups: Arc::from([]), vars: Arc::new(vars) },
            work: Arc::from([]),
            scale: TimeScale::REAL,
            winrm: Some(target.clone()),
            smb: Some(target),
            cmdb: None,
            connector: Arc::new(MemoryConnector(Arc::clone(self))),
        })
    }

    /// Follows the junctions in all parts but the last.
    fn resolve(&self, at: &WindowsPath) -> WindowsPath {
        let nodes = self.nodes.lock().unwrap();
        let Some(mut resolved) = WindowsPath::root(at.drive()) else { return at.clone() };
        let parts: Vec<&str> = at.components().collect();
        for (index, part) in parts.iter().enumerate() {
            resolved = resolved.join(part).expect("it is part of a path");
            if index + 1 < parts.len()
                && let Some(Node { kind: Kind::Junction(to), .. }) = nodes.get(&key(&resolved))
            {
                resolved = to.clone();
            }
        }
        resolved
    }

    fn node(&self, at: &WindowsPath) -> Option<Node> {
        let resolved = self.resolve(at);
        self.nodes.lock().unwrap().get(&key(&resolved)).cloned()
    }

    fn get(&self, at: &WindowsPath) -> Result<Node, TransportError> {
        self.node(at).ok_or_else(|| failed(TransportErrorKind::NotFound, at))
    }

    fn metadata_of(&self, at: &WindowsPath) -> Option<FileMetadata> {
        let node = self.node(at)?;
        let (size, attributes) = match &node.kind {
            Kind::File(content) => (content.len() as u64, 0x20),
            Kind::Folder => (0, FileAttributes::DIRECTORY),
            Kind::Junction(_) => (0, FileAttributes::DIRECTORY | FileAttributes::REPARSE_POINT),
        };
        Some(FileMetadata {
            size,
            attributes: FileAttributes(attributes),
            created: node.modified,
            modified: node.modified,
            normalized: Some(node.path),
        })
    }

    /// What the real client checks on the handle.
    fn check(&self, at: &WindowsPath, expected: &FileMetadata) -> Result<Node, TransportError> {
        if self.held.lock().unwrap().contains(&key(at)) {
            return Err(failed(TransportErrorKind::SharingViolation, at));
        }
        let node = self.get(at)?;
        let found = self.metadata_of(at).expect("it is there");
        let is_expected = found.size == expected.size
            && found.modified == expected.modified
            && found.normalized.as_ref() == Some(at)
            && !found.attributes.is_directory();
        if is_expected { Ok(node) } else { Err(failed(TransportErrorKind::Refused, at)) }
    }
}

/// A deadline that no test reaches.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// Access to a session that reads.
pub(crate) fn reader(session: &Session) -> Reader<'_> {
    session.reader(soon(), Arc::from(Vec::<PriorChange>::new()))
}

/// Access to a session that changes.
pub(crate) fn changer(session: &Session) -> Changer<'_> {
    session.changer(soon(), Arc::from(Vec::<PriorChange>::new()))
}

fn failed(kind: TransportErrorKind, at: &WindowsPath) -> TransportError {
    TransportError::new(kind, format!("could not do it to {at}"))
}

struct MemoryConnector(Arc<MemoryHost>);
struct MemoryShell(Arc<MemoryHost>);
struct MemoryFiles(Arc<MemoryHost>);

#[async_trait]
impl Connector for MemoryConnector {
    async fn shell(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(MemoryShell(Arc::clone(&self.0))))
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Ok(Box::new(MemoryFiles(Arc::clone(&self.0))))
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(TransportError::new(TransportErrorKind::Refused, "could not ask a CMDB"))
    }
}

#[async_trait]
impl ReadShell for MemoryShell {
    async fn read(
        &self,
        script: &ReadScript,
        _: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        let answer = self.0.scripts.lock().unwrap().get(script.name).cloned();
        let what = || format!("could not run {}", script.name);
        answer.ok_or_else(|| TransportError::new(TransportErrorKind::Fault, what()))
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for MemoryShell {
    async fn change(
        &self,
        _: &ChangeScript,
        _: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        Err(TransportError::new(TransportErrorKind::Fault, "could not run a change"))
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

#[async_trait]
impl ReadFiles for MemoryFiles {
    async fn metadata(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Option<FileMetadata>, TransportError> {
        Ok(self.0.metadata_of(path))
    }

    async fn list(
        &self,
        path: &WindowsPath,
        _: Deadline,
    ) -> Result<Vec<DirectoryEntry>, TransportError> {
        self.0.get(path)?;
        let folder = self.0.resolve(path);
        let nodes = self.0.nodes.lock().unwrap().clone();
        Ok(nodes
            .values()
            .filter(|node| node.path.parent().as_ref() == Some(&folder))
            .filter_map(|node| {
                let metadata = self.0.metadata_of(&node.path)?;
                Some(DirectoryEntry {
                    name: node.path.file_name()?.to_owned(),
                    size: metadata.size,
                    attributes: metadata.attributes,
                    modified: metadata.modified,
                })
            })
            .collect())
    }

    async fn read(
        &self,
        path: &WindowsPath,
        limit: u64,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        match self.0.get(path)?.kind {
            Kind::File(content) if content.len() as u64 <= limit => Ok(content),
            Kind::File(_) | Kind::Folder | Kind::Junction(_) => {
                Err(failed(TransportErrorKind::Refused, path))
            }
        }
    }

    async fn read_from(
        &self,
        path: &WindowsPath,
        offset: u64,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        let content = self.read(path, u64::MAX, deadline).await?;
        let bytes = content.into_iter().skip(usize::try_from(offset).unwrap());
        Ok(bytes.take(usize::try_from(limit).unwrap()).collect())
    }

    async fn descriptor(
        &self,
        path: &WindowsPath,
        _: SecurityInformation,
        _: Deadline,
    ) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.get(path)?.descriptor)
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeFiles for MemoryFiles {
    async fn create_directory(
        &self,
        path: &WindowsPath,
        descriptor: Option<&[u8]>,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let resolved = self.0.resolve(path);
        if self.0.node(path).is_some() {
            return Err(failed(TransportErrorKind::AlreadyExists, path));
        }
        self.0.get(&resolved.parent().expect("a folder"))?;
        self.0.put(&resolved, Kind::Folder, descriptor);
        Ok(())
    }

    async fn rename(
        &self,
        from: &WindowsPath,
        to: &WindowsPath,
        expected: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        let mut node = self.0.check(from, expected)?;
        if self.0.node(to).is_some() {
            return Err(failed(TransportErrorKind::AlreadyExists, to));
        }
        let to = self.0.resolve(to);
        self.0.get(&to.parent().expect("a folder"))?;
        node.path = to.clone();
        let mut nodes = self.0.nodes.lock().unwrap();
        nodes.remove(&key(from));
        nodes.insert(key(&to), node);
        Ok(())
    }

    async fn create_file(
        &self,
        path: &WindowsPath,
        content: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        self.0.put(path, Kind::File(content.to_vec()), None);
        Ok(())
    }

    async fn delete(
        &self,
        path: &WindowsPath,
        expected: &FileMetadata,
        _: Deadline,
    ) -> Result<(), TransportError> {
        self.0.check(path, expected)?;
        self.0.nodes.lock().unwrap().remove(&key(path));
        Ok(())
    }

    async fn set_attributes(
        &self,
        _: &WindowsPath,
        _: FileAttributes,
        _: Deadline,
    ) -> Result<(), TransportError> {
        Ok(())
    }

    async fn set_descriptor(
        &self,
        path: &WindowsPath,
        _: SecurityInformation,
        expected: &[u8],
        descriptor: &[u8],
        _: Deadline,
    ) -> Result<(), TransportError> {
        if self.0.get(path)?.descriptor != expected {
            return Err(failed(TransportErrorKind::Refused, path));
        }
        let mut nodes = self.0.nodes.lock().unwrap();
        nodes.get_mut(&key(path)).expect("it is there").descriptor = descriptor.to_vec();
        Ok(())
    }

    fn as_read(&self) -> &dyn ReadFiles {
        self
    }
}
