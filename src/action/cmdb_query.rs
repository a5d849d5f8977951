//! `cmdb_query`: the rows of a named query.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::statements::{NOT_READY_PACKAGES, PACKAGE_SERVERS, READINESS, THIS_SERVER};
use crate::host::{Changer, Reader};
use crate::model::{Cost, Draw, FailureClass, Guid, LimitName, StepFailure};
use crate::transport::{Row, SqlParameter, SqlValue, Statement};

/// How many rows the step's value keeps.
const KEPT: usize = 10_000;

/// The action.
pub(super) struct CmdbQuery;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    query: Query,
}

/// A query by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Query {
    NotReadyPackages,
    PackageServers,
    Readiness,
    ThisServer,
}

impl Query {
    fn statement(self) -> &'static Statement {
        match self {
            Self::NotReadyPackages => &NOT_READY_PACKAGES,
            Self::PackageServers => &PACKAGE_SERVERS,
            Self::Readiness => &READINESS,
            Self::ThisServer => &THIS_SERVER,
        }
    }
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for CmdbQuery {
    type Params = Params;
    type State = Vec<Row>;
    type Change = Change;

    const NAME: &'static str = "cmdb_query";
    const SUMMARY: &'static str = "Reads the rows of a named query from the CMDB.";
    const DOC: &'static str = "\
Runs one of the program's own statements at the CMDB of the host's Notification Server and
keeps the rows as the step's value: `rows`, a list of mappings by column, at most 10,000
of them, and `complete`, whether these are all.

- `not_ready_packages`: the pairs of package server and package that are not well.
- `package_servers`: the package servers that ever reported a package.
- `readiness`: all pairs of this host; it must be a package server whose GUID is known.
- `this_server`: the Notification Server itself.

Rights: reading the CMDB; the statements change nothing. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Read which packages are not well
  cmdb_query: { query: not_ready_packages }
  register: not_ready";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "query",
        kind: ParamKind::OneOf(&[
            "not_ready_packages",
            "package_servers",
            "readiness",
            "this_server",
        ]),
        required: true,
        doc: "The query.",
    }];
    const SCALAR: Option<&'static str> = Some("query");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 300;

    fn probe_cost(_: &Params) -> Cost {
        Cost::none().and(LimitName::new(LimitName::CMDB), Draw { now: 1, later: 0 })
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Row>, StepFailure> {
        let parameters = match params.query {
            Query::Readiness => vec![SqlParameter::Guid(guid_of(at)?)],
            Query::NotReadyPackages | Query::PackageServers | Query::ThisServer => Vec::new(),
        };
        Ok(at.query(params.query.statement(), &parameters).await?)
    }

    fn decide(_: &Params, state: &Vec<Row>) -> Verdict<Change> {
        let count = state.len();
        let note = match count {
            1 => "1 row".to_owned(),
            0..=KEPT => format!("{count} rows"),
            _ => format!("{count} rows, of which {KEPT} are kept"),
        };
        let rows: Vec<Value> = state.iter().take(KEPT).map(row_value).collect();
        Verdict::Unchanged { note, value: json!({ "rows": rows, "complete": count <= KEPT }) }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}

/// The GUID that the CMDB has for the host: from the inventory, else from its work.
fn guid_of(at: &Reader<'_>) -> Result<Guid, StepFailure> {
    at.host().guid().or_else(|| at.work().first().map(|row| row.server.guid)).ok_or_else(|| {
        StepFailure::new(
            FailureClass::Refused,
            format!(
                "the GUID of {} is not known: give it the variable `itms_guid`",
                at.host().name
            ),
        )
    })
}

fn row_value(row: &Row) -> Value {
    let columns: Map<String, Value> =
        row.0.iter().map(|(name, cell)| (name.clone(), cell_value(cell))).collect();
    Value::Object(columns)
}

fn cell_value(cell: &SqlValue) -> Value {
    match cell {
        SqlValue::Null => Value::Null,
        SqlValue::Guid(guid) => json!(guid),
        SqlValue::Text(text) => json!(text),
        SqlValue::Integer(number) => json!(number),
        SqlValue::Bool(flag) => json!(flag),
        SqlValue::Float(number) => json!(number),
        SqlValue::Timestamp(moment) => json!(moment.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
    use super::*;

    fn row(number: i64) -> Row {
        Row(vec![
            ("ServerGuid".to_owned(), SqlValue::Guid(Guid::from_u128(1))),
            ("Number".to_owned(), SqlValue::Integer(number)),
            ("Status".to_owned(), SqlValue::Null),
        ])
    }

    fn decide(rows: &[Row]) -> (String, Value) {
        let params = Params { query: Query::ThisServer };
        match CmdbQuery::decide(&params, &rows.to_vec()) {
            Verdict::Unchanged { note, value } => (note, value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_mappings_by_column() {
        let (note, value) = decide(&[row(7)]);

        assert_eq!(note, "1 row");
        assert_eq!(
            value,
            json!({ "rows": [{
                "ServerGuid": "{00000000-0000-0000-0000-000000000001}",
                "Number": 7,
                "Status": null,
            }], "complete": true })
        );
    }

    #[test]
    fn too_many_rows_are_cut_and_that_is_said() {
        let (note, value) = decide(&vec![row(1); KEPT + 1]);

        assert_eq!(note, "10001 rows, of which 10000 are kept");
        assert_eq!(value["complete"], false);
        assert_eq!(value["rows"].as_array().map(Vec::len), Some(KEPT));
    }

    #[tokio::test]
    async fn readiness_needs_the_guid_of_the_host() {
        let host = ScriptedHost::new(|_, name, _| panic!("{name} is not needed"));
        host.set_rows(vec![row(1)]);
        let params = Params { query: Query::Readiness };

        let unknown = host.session(&[]);
        let failure = CmdbQuery::probe(&params, &unknown.reader(soon(), nothing_before()))
            .await
            .expect_err("no GUID");
        assert_eq!(failure.class, FailureClass::Refused);

        let known = host.session(&[Guid::from_u128(9)]);
        let rows = CmdbQuery::probe(&params, &known.reader(soon(), nothing_before())).await;
        assert_eq!(rows.map(|rows| rows.len()), Ok(1));
    }
}
