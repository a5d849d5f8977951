//! Asks gates: reads what they are about, and lets their expressions say what it means.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cmdb;
use crate::expression::{Scope, check_expression, render};
use crate::host::{Session, queries, row_value};
use crate::model::{
    FailureClass, GateQuery, GateVerdict, HostName, StepFailure, Vars, WorkQuery, WorkRow,
};
use crate::scheduler::GateReading;

/// The longest that the questions of one gate may take together.
const ASKED: Duration = Duration::from_secs(3 * 60);
/// The most rows that an expression is shown.
const MOST: usize = 10_000;
/// The names by which an expression knows what a query gave.
const ROWS: [&str; 3] = ["rows", "row", "all"];
/// What is shown of a value, in characters.
const SHOWN: usize = 60;

/// The variables that the expressions of a play see.
#[derive(Debug, Clone)]
pub(super) struct GateVars {
    pub(super) play: Arc<Vars>,
    pub(super) extra: Arc<Vars>,
}

/// Asks the CMDBs whether the work of a wave is Ready.
pub(super) async fn ask_wave(
    sessions: &[(HostName, Arc<Session>)],
    query: Option<WorkQuery>,
    pairs: Vec<(HostName, Vec<WorkRow>)>,
) -> GateReading {
    let sessions = sessions.to_vec();
    match in_time(cmdb::ask_oracle(&sessions, query, pairs)).await {
        Ok(report) => GateReading::Ready(report),
        Err(failure) => GateReading::Unreadable(failure),
    }
}

/// Asks the CMDB of every Notification Server; the worst answer holds.
pub(super) async fn ask_query(
    sessions: &[(HostName, Arc<Session>)],
    gate: &GateQuery,
    vars: &GateVars,
) -> GateReading {
    let asked = in_time(async {
        let mut answers = Vec::new();
        for (name, session) in sessions {
            answers.push((name, one_server(session, gate, vars).await?));
        }
        Ok(answers)
    });
    let answers = match asked.await {
        Ok(answers) => answers,
        Err(failure) => return GateReading::Unreadable(failure),
    };
    let Some(worst) = answers.iter().map(|(_, (verdict, _))| *verdict).max() else {
        return GateReading::Unreadable(StepFailure::new(
            FailureClass::Refused,
            "could not ask the CMDB: no host of the inventory has a `cmdb`",
        ));
    };
    let seen =
        answers.iter().filter(|(_, (verdict, _))| *verdict == worst).map(|(name, (_, seen))| {
            if sessions.len() > 1 { format!("{}: {seen}", name.short()) } else { seen.clone() }
        });
    GateReading::Said { verdict: worst, seen: seen.collect::<Vec<_>>().join("; ") }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StepFailure>>) -> Result<T, StepFailure> {
    tokio::time::timeout(ASKED, asked).await.unwrap_or_else(|_| {
        Err(StepFailure::new(
            FailureClass::TimedOut,
            "could not ask the CMDB: the answers took longer than three minutes",
        ))
    })
}

async fn one_server(
    session: &Session,
    gate: &GateQuery,
    vars: &GateVars,
) -> Result<(GateVerdict, String), StepFailure> {
    let query = queries::find(&gate.query).ok_or_else(|| {
        StepFailure::new(FailureClass::Bug, format!("there is no query `{}`", gate.query))
    })?;
    // What the rows are called is not the operator's to change.
    let mut extra = (*vars.extra).clone();
    extra.retain(|name, _| !ROWS.contains(&name.as_str()));
    let host = session.config().host.clone();
    let mut scope = Scope::new(host, Arc::clone(&vars.play), Arc::new(extra));
    let given = parameters(gate, &scope)?;
    let given = &given;
    let rows = cmdb::retrying(|deadline| async move {
        let reader = session.reader(deadline, Arc::from([]));
        let values = reader.query_values(query, given).await?;
        Ok::<_, StepFailure>(reader.query(&query.statement, &values).await?)
    })
    .await?;
    if rows.len() > MOST {
        return Err(StepFailure::new(
            FailureClass::Refused,
            format!("`{}` gave {} rows, more than an expression is shown", gate.query, rows.len()),
        ));
    }
    let rows: Vec<Value> = rows.iter().map(row_value).collect();
    judge(gate, &rows, &mut scope)
}

/// What a gate gives its query, its templates filled in. One that comes to nothing is refused: no
/// server is the gate's own.
fn parameters(gate: &GateQuery, scope: &Scope) -> Result<Map<String, Value>, StepFailure> {
    let refused = |text: String| StepFailure::new(FailureClass::Refused, text);
    let given = render(&Value::Object(gate.parameters.clone()), scope)
        .map_err(|error| StepFailure::from_error(FailureClass::Refused, &error))?;
    let Value::Object(given) = given else { return Ok(Map::new()) };
    match given.iter().find(|(_, value)| value.is_null()) {
        Some((name, _)) => Err(refused(format!("the parameter `{name}` of the gate is nothing"))),
        None => Ok(given),
    }
}

/// What the expressions of a gate say of rows. A cell that is NULL is not there: an expression that
/// needs it comes to no answer.
fn judge(
    gate: &GateQuery,
    rows: &[Value],
    scope: &mut Scope,
) -> Result<(GateVerdict, String), StepFailure> {
    scope.register("rows", json!(rows.len()));
    if let [Value::Object(row)] = rows {
        let known = row.iter().filter(|(_, cell)| !cell.is_null());
        let known: Map<String, Value> = known.map(|(k, v)| (k.clone(), v.clone())).collect();
        scope.register("row", Value::Object(known));
    }
    scope.register("all", json!(rows));
    let seen = seen(gate, rows);
    if holds(&gate.pass, scope)? {
        return Ok((GateVerdict::Pass, seen));
    }
    let verdict = match &gate.fail {
        None => GateVerdict::Fail,
        Some(fail) if holds(fail, scope)? => GateVerdict::Fail,
        Some(_) => GateVerdict::Inconclusive,
    };
    Ok((verdict, seen))
}

/// Whether an expression holds; what is neither true nor false is no answer.
fn holds(expression: &str, scope: &Scope) -> Result<bool, StepFailure> {
    let text = Value::String(format!("{{{{ ({expression}) }}}}"));
    match render(&text, scope) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(StepFailure::new(
            FailureClass::Refused,
            format!("`{expression}` is neither true nor false, but {}", short(&other)),
        )),
        Err(error) => Err(StepFailure::from_error(FailureClass::Refused, &error)),
    }
}

/// The values that the expressions look at: `Entries 4120`, `12 rows`.
fn seen(gate: &GateQuery, rows: &[Value]) -> String {
    let texts = [Some(gate.pass.as_str()), gate.fail.as_deref()];
    let names = texts.into_iter().flatten().filter_map(|text| check_expression(text).ok());
    let mut columns: Vec<String> = names
        .flat_map(|names| names.0)
        .filter_map(|path| Some(path.strip_prefix("row.")?.split('.').next()?.to_owned()))
        .collect();
    columns.sort();
    columns.dedup();
    let cells: Vec<String> = match rows {
        [row] => columns
            .iter()
            .map(|column| format!("{column} {}", row.get(column).map_or("?".into(), short)))
            .collect(),
        _ => Vec::new(),
    };
    if cells.is_empty() {
        return format!("{} row{}", rows.len(), if rows.len() == 1 { "" } else { "s" });
    }
    cells.join(", ")
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::model::Host;

    fn asked(
        pass: &str,
        fail: Option<&str>,
        rows: &Value,
    ) -> Result<(GateVerdict, String), String> {
        let gate = GateQuery {
            query: "event_queue".to_owned(),
            parameters: Map::new(),
            pass: pass.to_owned(),
            fail: fail.map(str::to_owned),
        };
        let host = Host {
            name: HostName::new("smp01"),
            groups: Arc::from([]),
            vars: Arc::new(IndexMap::from([("most".to_owned(), json!(2000))])),
        };
        let mut scope = Scope::new(host, Arc::default(), Arc::default());
        let rows = rows.as_array().expect("rows").clone();
        judge(&gate, &rows, &mut scope).map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_expression_says_pass_or_fail_and_what_it_looked_at() {
        let rows = json!([{ "Entries": 4120, "OldestId": 7 }]);

        let verdict = |pass, fail| asked(pass, fail, &rows).expect("an answer");
        assert_eq!(
            verdict("row.Entries < most", None),
            (GateVerdict::Fail, "Entries 4120".to_owned())
        );
        assert_eq!(verdict("row.Entries < 5000", None).0, GateVerdict::Pass);
        assert_eq!(
            verdict("row.Entries < 1000", Some("row.Entries > 9000")).0,
            GateVerdict::Inconclusive
        );
        assert_eq!(verdict("rows == 0", None), (GateVerdict::Fail, "1 row".to_owned()));
        let stale = "all | selectattr('OldestId', 'lt', 8) | list | length == 1";
        assert_eq!(verdict(stale, None).0, GateVerdict::Pass);
    }

    #[test]
    fn what_a_query_is_given_is_filled_in_for_each_server_and_never_nothing() {
        let vars = IndexMap::from([
            ("package".to_owned(), json!("7-Zip")),
            ("none".to_owned(), json!(null)),
        ]);
        let host =
            Host { name: HostName::new("smp01"), groups: Arc::from([]), vars: Arc::new(vars) };
        let scope = Scope::new(host, Arc::default(), Arc::default());
        let given = |text: &str| {
            let gate = GateQuery {
                query: "codebases".to_owned(),
                parameters: Map::from_iter([("package".to_owned(), json!(text))]),
                pass: "rows > 0".to_owned(),
                fail: None,
            };
            parameters(&gate, &scope).map_err(|failure| failure.to_string())
        };

        assert_eq!(given("{{ package }}").expect("a value")["package"], "7-Zip");
        assert!(
            given("{{ none }}").expect_err("nothing").contains("`package` of the gate is nothing")
        );
        assert!(given("{{ nobody_knows }}").expect_err("no such name").contains("nobody_knows"));
    }

    #[test]
    fn what_is_missing_or_neither_true_nor_false_is_no_answer() {
        let null = json!([{ "Entries": 3, "OldestId": null }]);
        let none = json!([]);

        assert!(asked("row.OldestId > 5", None, &null).expect_err("NULL").contains("OldestId"));
        assert!(asked("row.Entries < 5", None, &none).expect_err("no row").contains("row"));
        let number = asked("row.Entries", None, &null).expect_err("a number");
        assert!(number.contains("neither true nor false"), "{number}");
        assert!(asked("nobody_knows", None, &null).is_err());
        assert_eq!(asked("rows == 0", None, &none).expect("an answer").0, GateVerdict::Pass);
    }
}
