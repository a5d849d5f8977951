//! Sessions with the CMDB of a world in memory.

use std::sync::Arc;

use async_trait::async_trait;
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::cmdb::{LAB_SERVER_SITE, Results, SqlError, SqlSession};
use fleetmend::model::Guid;
use fleetmend::protocol::tds;
use fleetmend::transport::{
    ChangeSql, ChangeStatement, Deadline, Hold, ReadSql, Row, Selection, SqlParameter, SqlValue,
    Statement, TransportError, TransportErrorKind,
};

/// A session with the world's CMDB.
pub(super) struct Sql {
    world: Arc<LiveWorld>,
    session: SqlSession,
}

impl Sql {
    /// A session of the login that reads.
    pub(super) fn reader(world: &Arc<LiveWorld>) -> Self {
        let session = SqlSession::new("Symantec_CMDB", "cmdb-reader", "SQL01", 51, false);
        Self { world: Arc::clone(world), session }
    }
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

/// The servers, but for this one, that packages are said to come from.
pub(crate) fn other_origins(world: &LiveWorld) -> Vec<String> {
    let own = world.with(|world| world.fleet().notification_server.guid);
    let session = SqlSession::new("Symantec_CMDB", "cmdb-reader", "SQL01", 52, false);
    let text = "SELECT [OriginNSGuid] FROM [OriginNSSourceNS]";
    let rows = rows(world, &session, text, Vec::new()).expect("a table of the product");
    let origins = rows.iter().filter_map(|row| row.guid("OriginNSGuid"));
    origins.filter(|guid| *guid != own).map(|guid| guid.to_string()).collect()
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

impl Sql {
    fn run(
        &self,
        name: &str,
        text: &str,
        parameters: &[SqlParameter],
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
        rows(&self.world, &self.session, text, parameters).map_err(|error| {
            let operation = format!("could not run {name}");
            TransportError::caused_by(TransportErrorKind::Fault, operation, format!("{error:?}"))
        })
    }
}

#[async_trait]
impl ReadSql for Sql {
    async fn query(
        &self,
        statement: &Statement<'_>,
        parameters: &[SqlParameter],
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        self.run(statement.name, statement.text, parameters)
    }

    async fn select(&self, selection: &Selection, _: Deadline) -> Result<Vec<Row>, TransportError> {
        self.run("select", &selection.text(Hold::Nothing), &selection.rows.parameters())
    }

    async fn close(&self) {}
}

/// An open transaction of the CMDB's writer.
pub(super) struct Transaction(Sql);

impl Transaction {
    pub(super) fn begin(world: &Arc<LiveWorld>) -> Result<Self, TransportError> {
        let session = SqlSession::new("Symantec_CMDB", "cmdb-writer", "SQL01", 53, true);
        let transaction = Self(Sql { world: Arc::clone(world), session });
        // What the real client sends first.
        let first = "SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; \
                     SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION;";
        transaction.0.run("begin", first, &[])?;
        Ok(transaction)
    }
}

#[async_trait]
impl ChangeSql for Transaction {
    async fn query(
        &mut self,
        statement: &Statement,
        parameters: &[SqlParameter],
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        self.0.run(statement.name, statement.text, parameters)
    }

    async fn hold(
        &mut self,
        selection: &Selection,
        _: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let text = selection.text(Hold::UntilTheEnd);
        self.0.run("select", &text, &selection.rows.parameters())
    }

    async fn execute(
        &mut self,
        statement: &ChangeStatement,
        parameters: &[SqlParameter],
        _: Deadline,
    ) -> Result<(), TransportError> {
        self.0.run(&statement.name, &statement.text, parameters).map(drop)
    }

    async fn commit(self: Box<Self>, _: Deadline) -> Result<(), TransportError> {
        self.0.run("commit", "COMMIT TRANSACTION;", &[]).map(drop)
    }

    async fn roll_back(self: Box<Self>) {
        let _over = self.0.run("roll back", "ROLLBACK TRANSACTION;", &[]);
    }
}
