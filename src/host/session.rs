//! One host during one run: its connections are made when first used and dropped when broken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};

use super::queries::Schema;
use super::{Changer, HostFacts, PriorChange, Reader, Role};
use crate::model::{Host, RunId, TimeScale, WindowsPath, WorkRow};
use crate::transport::{
    ChangeFiles, ChangeShell, ChangeSql, Connector, Deadline, ReadSql, Target, TransportError,
    TransportErrorKind,
};

/// How often a host that is too busy for a shell is asked, and how long before the second time.
const BUSY_TRIES: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What a session is made from.
pub struct SessionConfig {
    /// The run.
    pub run: RunId,
    /// The host with its variables.
    pub host: Host,
    /// The host's rows of the work list.
    pub work: Arc<[WorkRow]>,
    /// How fast the world runs.
    pub scale: TimeScale,
    /// Where WinRM answers; none when no credential is known.
    pub winrm: Option<Target>,
    /// Where SMB answers.
    pub smb: Option<Target>,
    /// Where the CMDB of the host's Notification Server answers.
    pub cmdb: Option<Target>,
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
}

/// A connection with a CMDB, and what is known of its schema: asked for once.
pub(super) struct Database {
    pub(super) sql: Box<dyn ReadSql>,
    pub(super) schema: OnceCell<Schema>,
}

/// One host during one run. Its connections are its own; it is used by one step at a time.
pub struct Session {
    config: SessionConfig,
    cmdb_writer: Option<Target>,
    unfinished: Arc<[RunId]>,
    shell: Mutex<Option<Arc<dyn ChangeShell>>>,
    files: Mutex<Option<Arc<dyn ChangeFiles>>>,
    sql: Mutex<Option<Arc<Database>>>,
    pub(super) facts: OnceCell<Arc<HostFacts>>,
    pub(super) roots: Mutex<HashMap<Role, WindowsPath>>,
}

impl Session {
    /// Makes a session; nothing is connected yet.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            cmdb_writer: None,
            unfinished: Arc::from([]),
            shell: Mutex::new(None),
            files: Mutex::new(None),
            sql: Mutex::new(None),
            facts: OnceCell::new(),
            roots: Mutex::new(HashMap::new()),
        }
    }

    /// The same session, whose CMDB may also be changed: the target's credential is the writer's.
    #[must_use]
    pub fn with_cmdb_writer(self, cmdb_writer: Option<Target>) -> Self {
        Self { cmdb_writer, ..self }
    }

    /// The same session, which knows of other runs that have not ended.
    #[must_use]
    pub fn with_unfinished(self, unfinished: Arc<[RunId]>) -> Self {
        Self { unfinished, ..self }
    }

    /// Other runs that have not ended.
    pub(super) fn unfinished(&self) -> &[RunId] {
        &self.unfinished
    }

    /// Whether there is a credential for changing the CMDB.
    pub(super) fn has_cmdb_writer(&self) -> bool {
        self.cmdb_writer.is_some()
    }

    /// What the session is made from.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Access that reads only. `prior` is what this run already did to the host, oldest first.
    pub fn reader(&self, deadline: Deadline, prior: Arc<[PriorChange]>) -> Reader<'_> {
        Reader::new(self, deadline, prior)
    }

    /// Access that may change the host.
    pub fn changer(&self, deadline: Deadline, prior: Arc<[PriorChange]>) -> Changer<'_> {
        Changer::new(Reader::new(self, deadline, prior))
    }

    /// The WinRM shell, connected on first use.
    pub(super) async fn shell(
        &self,
        deadline: Deadline,
    ) -> Result<Arc<dyn ChangeShell>, TransportError> {
        let mut slot = self.shell.lock().await;
        if let Some(shell) = &*slot {
            return Ok(Arc::clone(shell));
        }
        let target = self.winrm_target()?;
        let shell: Arc<dyn ChangeShell> = self.open_shell(target, deadline).await?.into();
        *slot = Some(Arc::clone(&shell));
        Ok(shell)
    }

    /// Opens a shell; a host that is too busy for one (503, a quota) started nothing and is asked
    /// again, later each time.
    async fn open_shell(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        let mut pause = BUSY_PAUSE;
        for _ in 1..BUSY_TRIES {
            match self.config.connector.shell(target, deadline).await {
                Err(error)
                    if error.kind == TransportErrorKind::Throttled && deadline.left() > pause =>
                {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                opened => return opened,
            }
        }
        self.config.connector.shell(target, deadline).await
    }

    /// The file system, connected on first use.
    pub(super) async fn files(
        &self,
        deadline: Deadline,
    ) -> Result<Arc<dyn ChangeFiles>, TransportError> {
        let mut slot = self.files.lock().await;
        if let Some(files) = &*slot {
            return Ok(Arc::clone(files));
        }
        let target = self.target(self.config.smb.as_ref(), "SMB")?;
        let files: Arc<dyn ChangeFiles> =
            self.config.connector.files(target, deadline).await?.into();
        *slot = Some(Arc::clone(&files));
        Ok(files)
    }

    /// The CMDB, connected on first use.
    pub(super) async fn sql(&self, deadline: Deadline) -> Result<Arc<Database>, TransportError> {
        let mut slot = self.sql.lock().await;
        if let Some(sql) = &*slot {
            return Ok(Arc::clone(sql));
        }
        let target = self.target(self.config.cmdb.as_ref(), "the CMDB")?;
        let sql = self.config.connector.sql(target, deadline).await?;
        let database = Arc::new(Database { sql, schema: OnceCell::new() });
        *slot = Some(Arc::clone(&database));
        Ok(database)
    }

    /// A transaction at the CMDB, on a connection of its own. Without a writer's credential it is
    /// refused before anything is connected.
    pub(super) async fn change_sql(
        &self,
        deadline: Deadline,
    ) -> Result<Box<dyn ChangeSql>, TransportError> {
        let target = self.cmdb_writer.as_ref().ok_or_else(|| {
            let host = &self.config.host.name;
            TransportError::new(
                TransportErrorKind::Refused,
                format!(
                    "could not change the CMDB of {host}: there is no credential for it, \
                     `cmdb: {{ writer_credential: … }}` in the inventory and its secret in the \
                     environment"
                ),
            )
        })?;
        self.config.connector.change_sql(target, deadline).await
    }

    /// Forgets the connection that an error made useless, so that the next use makes a new one.
    pub(super) async fn forget_broken(&self, what: Connection, error: &TransportError) {
        let is_broken = matches!(
            error.kind,
            TransportErrorKind::Unreachable
                | TransportErrorKind::InDoubt
                | TransportErrorKind::TimedOut
                | TransportErrorKind::AuthRejected
        );
        if !is_broken {
            return;
        }
        match what {
            Connection::Shell => drop(self.shell.lock().await.take()),
            Connection::Files => drop(self.files.lock().await.take()),
            Connection::Sql => drop(self.sql.lock().await.take()),
        }
    }

    /// Closes what is open: shells are deleted on the host.
    pub async fn close(&self) {
        if let Some(shell) = self.shell.lock().await.take() {
            shell.close().await;
        }
        if let Some(files) = self.files.lock().await.take() {
            files.close().await;
        }
        if let Some(database) = self.sql.lock().await.take() {
            database.sql.close().await;
        }
    }

    /// Where WinRM answers, and as whom.
    pub(super) fn winrm_target(&self) -> Result<&Target, TransportError> {
        self.target(self.config.winrm.as_ref(), "WinRM")
    }

    fn target<'a>(
        &self,
        target: Option<&'a Target>,
        what: &str,
    ) -> Result<&'a Target, TransportError> {
        target.ok_or_else(|| {
            let host = &self.config.host.name;
            TransportError::new(
                TransportErrorKind::Refused,
                format!("could not connect to {what} for {host}: the inventory does not say where it is or with which credential"),
            )
        })
    }
}

/// One of a session's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Shell,
    Files,
    Sql,
}
