//! What a step may do: read, or read and change.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::PriorChange;
use super::queries::{self, SCHEMA, Schema};
use super::session::{Connection, Session};
use crate::model::{Host, ReadOnlySelect, RunId, TaskId, TimeScale, WorkRow};
use crate::transport::{
    ChangeFiles, ChangeScript, ChangeSql, Deadline, HttpAnswer, HttpForm, HttpRequest, ReadScript,
    Row, Selection, SqlParameter, Statement, TransportError,
};

/// The least real time of [`Reader::at_most`], however fast the world runs.
const SHORTEST: Duration = Duration::from_secs(5);

/// Access that reads only.
pub struct Reader<'a> {
    session: &'a Session,
    deadline: Deadline,
    prior: Arc<[PriorChange]>,
    task: Option<TaskId>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(session: &'a Session, deadline: Deadline, prior: Arc<[PriorChange]>) -> Self {
        Self { session, deadline, prior, task: None }
    }

    /// The same access, for a step of this task.
    #[must_use]
    pub fn for_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    /// The task of the step, where there is one: an undo has none.
    pub fn task(&self) -> Option<TaskId> {
        self.task
    }

    /// The host with its variables.
    pub fn host(&self) -> &Host {
        &self.session.config().host
    }

    /// The host's rows of the work list.
    pub fn work(&self) -> &[WorkRow] {
        &self.session.config().work
    }

    /// What this run already did to the host, oldest first.
    pub fn prior(&self) -> &[PriorChange] {
        &self.prior
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.session.config().run
    }

    /// Other runs that have not ended, and may still need what they left.
    pub fn unfinished(&self) -> &[RunId] {
        self.session.unfinished()
    }

    /// How fast the world runs.
    pub fn scale(&self) -> TimeScale {
        self.session.config().scale
    }

    /// When the step must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The same access with a deadline that is not later than `span` of the world's time from now:
    /// what one transport may take of a step that tries two.
    #[must_use]
    pub fn at_most(&self, span: Duration) -> Self {
        Self {
            session: self.session,
            deadline: self.deadline.at_most(self.scale().to_real(span).max(SHORTEST)),
            prior: Arc::clone(&self.prior),
            task: self.task,
        }
    }

    /// Whether the inventory says where WinRM answers, and as whom to log on.
    pub fn has_winrm(&self) -> bool {
        self.session.config().winrm.is_some()
    }

    /// Whether the inventory says where SMB answers, and as whom to log on.
    pub fn has_smb(&self) -> bool {
        self.session.config().smb.is_some()
    }

    /// Runs a script that only reads.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::ReadShell::read`].
    pub async fn script(
        &self,
        script: &ReadScript,
        input: &Value,
    ) -> Result<Value, TransportError> {
        let shell = self.session.shell(self.deadline).await?;
        let result = shell.read(script, input, self.deadline).await;
        self.note(Connection::Shell, &result).await;
        result
    }

    /// Runs a statement at the CMDB. One of the named queries is first checked against the live
    /// schema, which is asked for once per connection.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::ReadSql::query`]; `Refused` when the CMDB lacks what a named query
    /// reads.
    pub async fn query(
        &self,
        statement: &Statement<'_>,
        parameters: &[SqlParameter],
    ) -> Result<Vec<Row>, TransportError> {
        let database = self.session.sql(self.deadline).await?;
        if let Some(query) = queries::find(statement.name)
            && query.statement.text == statement.text
        {
            let schema = database
                .schema
                .get_or_try_init(|| async {
                    let rows = database.sql.query(&SCHEMA, &[], self.deadline).await;
                    rows.map(|rows| Schema::of(&rows))
                })
                .await;
            if let Err(error) = &schema {
                self.session.forget_broken(Connection::Sql, error).await;
            }
            schema?.admit(query, self.host().name.as_str())?;
        }
        let result = database.sql.query(statement, parameters, self.deadline).await;
        self.note(Connection::Sql, &result).await;
        result
    }

    /// Runs an operator's SELECT at the CMDB.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::ReadSql::query_checked`].
    pub async fn query_checked(&self, select: &ReadOnlySelect) -> Result<Vec<Row>, TransportError> {
        let database = self.session.sql(self.deadline).await?;
        let result = database.sql.query_checked(select, self.deadline).await;
        self.note(Connection::Sql, &result).await;
        result
    }

    /// Reads rows of the CMDB by their keys.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::ReadSql::select`].
    pub async fn select(&self, selection: &Selection) -> Result<Vec<Row>, TransportError> {
        let sql = self.session.sql(self.deadline).await?;
        let result = sql.sql.select(selection, self.deadline).await;
        self.note(Connection::Sql, &result).await;
        result
    }

    /// Whether there is a credential for changing the CMDB.
    pub fn has_cmdb_writer(&self) -> bool {
        self.session.has_cmdb_writer()
    }

    /// Fetches something from a web server without a logon: from the controller, whichever host the
    /// step is for.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::Connector::fetch`].
    pub async fn fetch(&self, request: &HttpRequest) -> Result<HttpAnswer, TransportError> {
        self.session.config().connector.fetch(request, self.deadline).await
    }

    /// The port of the host's web server: the variable `http_port`, else 80.
    pub fn http_port(&self) -> u16 {
        self.host().port("http_port").unwrap_or(80)
    }

    /// Lets real time pass for `span` of the world's time, but not past the deadline; `false` when
    /// the deadline has passed.
    pub async fn pause(&self, span: Duration) -> bool {
        let real = self.scale().to_real(span).max(Duration::from_millis(20));
        tokio::time::sleep(real.min(self.deadline.left())).await;
        !self.deadline.left().is_zero()
    }

    pub(super) fn session(&self) -> &'a Session {
        self.session
    }

    pub(super) async fn note<T>(&self, what: Connection, result: &Result<T, TransportError>) {
        if let Err(error) = result {
            self.session.forget_broken(what, error).await;
        }
    }
}

/// Access that may change the host; it reads as well.
pub struct Changer<'a>(Reader<'a>);

impl<'a> Changer<'a> {
    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self(reader)
    }

    /// Runs a script that changes something.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::ChangeShell::change`].
    pub async fn change_script(
        &self,
        script: &ChangeScript,
        input: &Value,
    ) -> Result<Value, TransportError> {
        let shell = self.session().shell(self.deadline()).await?;
        let result = shell.change(script, input, self.deadline()).await;
        self.note(Connection::Shell, &result).await;
        result
    }

    /// Begins a transaction at the CMDB, on a connection of its own.
    ///
    /// # Errors
    ///
    /// Refused, before anything is connected, without a writer's credential.
    pub async fn change_cmdb(&self) -> Result<Box<dyn ChangeSql>, TransportError> {
        self.session().change_sql(self.deadline()).await
    }

    /// Sends a form to a page of the host's web server, with the credential of its WinRM.
    ///
    /// # Errors
    ///
    /// As [`crate::transport::Connector::post_form`].
    pub async fn post_form(&self, form: &HttpForm) -> Result<HttpAnswer, TransportError> {
        let mut target = self.session().winrm_target()?.clone();
        target.port = self.http_port();
        self.session().config().connector.post_form(&target, form, self.deadline()).await
    }

    /// The file system; only the fence and the quarantine of this layer use it.
    pub(super) async fn change_files(&self) -> Result<Arc<dyn ChangeFiles>, TransportError> {
        self.session().files(self.deadline()).await
    }

    /// Forgets the file system's connection when an effect's error made it useless.
    pub(super) async fn note_files<T>(&self, result: &Result<T, TransportError>) {
        self.note(Connection::Files, result).await;
    }
}

impl<'a> Deref for Changer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
