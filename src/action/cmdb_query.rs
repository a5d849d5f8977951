//! `cmdb_query`: the rows of a named query.

use std::sync::LazyLock;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Action, Applied, KeysBy, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::expression::is_template;
use crate::host::queries::{
    self, BindError, NAMES, NamedQuery, QueryParameter, REGISTRY, arguments,
};
use crate::host::{Changer, Reader, row_value};
use crate::model::{Cost, Draw, FailureClass, Guid, LimitName, StepFailure};
use crate::transport::Row;

/// How many rows the step's value keeps.
const KEPT: usize = 10_000;

/// The action.
pub(super) struct CmdbQuery;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(deserialize_with = "query_of")]
    query: &'static NamedQuery,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    expect: Expect,
}

/// How many rows there should be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    rows: Option<usize>,
    min: Option<usize>,
    max: Option<usize>,
}

impl Expect {
    /// What is expected, where `count` rows are not.
    fn unmet(&self, count: usize) -> Option<String> {
        let unmet = [
            self.rows.filter(|rows| count != *rows).map(|rows| format!("exactly {rows}")),
            self.min.filter(|min| count < *min).map(|min| format!("at least {min}")),
            self.max.filter(|max| count > *max).map(|max| format!("at most {max}")),
        ];
        let unmet: Vec<String> = unmet.into_iter().flatten().collect();
        (!unmet.is_empty()).then(|| unmet.join(" and "))
    }
}

fn query_of<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static NamedQuery, D::Error> {
    let name = String::deserialize(deserializer)?;
    queries::find(&name)
        .ok_or_else(|| serde::de::Error::custom(format!("there is no query `{name}`")))
}

/// The parameters of each query, for the checks when a playbook is read.
fn keys_of(query: &str) -> Option<&'static [ParamDoc]> {
    static KEYS: LazyLock<Vec<(&'static str, Vec<ParamDoc>)>> = LazyLock::new(|| {
        let key = |parameter: &QueryParameter| ParamDoc {
            name: parameter.name,
            kind: ParamKind::Text,
            required: parameter.is_required(),
            doc: parameter.doc,
        };
        let keys = |query: &&'static NamedQuery| {
            (query.name(), query.parameters.iter().map(key).collect())
        };
        REGISTRY.iter().map(keys).collect()
    });
    KEYS.iter().find(|(name, _)| *name == query).map(|(_, keys)| keys.as_slice())
}

/// What can be known of a named query without asking the CMDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryShape {
    /// Its name.
    pub name: &'static str,
    /// The columns of its rows.
    pub columns: Vec<&'static str>,
    /// What it takes.
    pub parameters: &'static [ParamDoc],
    /// Whether it always gives exactly one row.
    pub is_one_row: bool,
}

/// The shapes of all named queries.
pub fn query_shapes() -> impl Iterator<Item = QueryShape> {
    REGISTRY.iter().map(|query| QueryShape {
        name: query.name(),
        columns: query.columns.iter().map(|column| column.name).collect(),
        parameters: keys_of(query.name()).unwrap_or_default(),
        is_one_row: query.is_one_row(),
    })
}

/// Why what is given for a named query cannot be used, as far as that can be told before templates
/// are filled in.
pub fn refused_parameters(query: &str, given: &Map<String, Value>) -> Option<String> {
    let query = queries::find(query)?;
    let guessed = |value: &Value| match value.as_str() {
        // What a template comes to may be a GUID, which every parameter takes.
        Some(text) if is_template(text) => json!(Guid::from_u128(0)),
        _ => value.clone(),
    };
    let given = given.iter().map(|(name, value)| (name.clone(), guessed(value))).collect();
    match arguments(query, &given) {
        Err(error @ BindError::Wrong { .. }) => Some(error.to_string()),
        // The others are told where they stand.
        Err(BindError::Unknown { .. } | BindError::Missing { .. }) | Ok(_) => None,
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
of them, and `complete`, whether these are all. The queries are listed below and described
in docs/queries.md.

With `expect` the step fails when there are other numbers of rows: a check that stops a
playbook before it changes something.

Before a query is first used on a connection, the live schema is asked for the columns
that it needs; a query that lacks some is refused with their names.

Rights: reading the CMDB; the statements change nothing. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Read where clients are sent for a package
  cmdb_query:
    query: codebases
    parameters: { package: '{053effa6-130e-45b5-b959-100f9a499f8b}' }
    expect: { min: 1 }
  register: locations";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "query",
            kind: ParamKind::OneOf(&NAMES),
            required: true,
            doc: "The query.",
        },
        ParamDoc {
            name: "parameters",
            kind: ParamKind::MapBy(KeysBy { of: "query", keys: keys_of }),
            required: false,
            doc: "What the query takes.",
        },
        ParamDoc {
            name: "expect",
            kind: ParamKind::Map(&[
                ParamDoc {
                    name: "rows",
                    kind: ParamKind::Number,
                    required: false,
                    doc: "Exactly this many.",
                },
                ParamDoc {
                    name: "min",
                    kind: ParamKind::Number,
                    required: false,
                    doc: "At least this many.",
                },
                ParamDoc {
                    name: "max",
                    kind: ParamKind::Number,
                    required: false,
                    doc: "At most this many.",
                },
            ]),
            required: false,
            doc: "How many rows there must be.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("query");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 300;

    fn topics() -> String {
        format!("queries\n{}", queries::listing())
    }

    fn refuses(params: &Value) -> Option<String> {
        refused_parameters(params["query"].as_str()?, params["parameters"].as_object()?)
    }

    fn probe_cost(_: &Params) -> Cost {
        Cost::none().and(LimitName::new(LimitName::CMDB), Draw { now: 1, later: 0 })
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<Vec<Row>, StepFailure> {
        let parameters = at.query_values(params.query, &params.parameters).await?;
        Ok(at.query(&params.query.statement, &parameters).await?)
    }

    fn decide(params: &Params, state: &Vec<Row>) -> Verdict<Change> {
        let count = state.len();
        let note = match count {
            1 => "1 row".to_owned(),
            0..=KEPT => format!("{count} rows"),
            _ => format!("{count} rows, of which {KEPT} are kept"),
        };
        if let Some(expected) = params.expect.unmet(count) {
            return Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!("`{}` gave {note}, and {expected} was expected", params.query.name()),
            ));
        }
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

#[cfg(test)]
#[path = "cmdb_query/tests.rs"]
mod tests;
