//! The named queries by python-tds and FreeTDS: they read what the controller reads.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;

use fleetmend::host::queries::{NamedQuery, QueryParameterKind, REGISTRY};
use fleetmend::lab::tds::TdsFront;
use fleetmend::model::{Credential, Guid, HostName};
use fleetmend::secret::Secret;
use fleetmend::transport::sql::{Protection, SqlClient};
use fleetmend::transport::{Deadline, ReadSql, SqlParameter, SqlValue, Target};
use serde_json::json;

use crate::room::{Room, run};
use crate::tds::{PASSWORD, USER, WITHIN, front_of, is_refused, tsql};
use crate::troubled::{PACKAGE, SERVER, troubled};

/// By name: the columns, then the rows, each cell as a text.
type Answers = BTreeMap<String, Vec<Vec<Option<String>>>>;

/// Something that each parameter of a query takes, and for which there are rows.
fn parameters(query: &NamedQuery) -> Vec<SqlParameter> {
    let one = |kind| match kind {
        QueryParameterKind::Guid => SqlParameter::Guid(Guid::from_u128(1)),
        QueryParameterKind::Package => SqlParameter::Guid(PACKAGE),
        QueryParameterKind::Server => SqlParameter::Guid(SERVER),
        QueryParameterKind::Text => SqlParameter::Text("7-Zip".into()),
    };
    query.parameters.iter().map(|parameter| one(parameter.kind)).collect()
}

fn cell(value: &SqlValue) -> Option<String> {
    match value {
        SqlValue::Null => None,
        SqlValue::Guid(guid) => Some(guid.bare().to_string().to_uppercase()),
        SqlValue::Text(text) => Some(text.clone()),
        SqlValue::Integer(number) => Some(number.to_string()),
        SqlValue::Bool(flag) => Some(flag.to_string()),
        SqlValue::Float(number) => Some(number.to_string()),
        SqlValue::Timestamp(at) => Some(at.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string()),
    }
}

/// What the controller's own client reads.
async fn own(front: &TdsFront) -> Answers {
    let target = Target {
        host: HostName::new("smp01"),
        address: front.address().ip().to_string(),
        port: front.address().port(),
        credential: Credential { user: USER.into(), password: Secret::new(PASSWORD.into()) },
        option: Some("Symantec_CMDB".into()),
    };
    let soon = Deadline::after(WITHIN);
    let client = SqlClient::connect(&target, Protection::LoopbackOnly, soon).await.unwrap();
    let mut answers = Answers::new();
    for query in REGISTRY {
        let rows = client.query(&query.statement, &parameters(query), soon).await.unwrap();
        let mut answer: Vec<Vec<_>> =
            vec![query.columns.iter().map(|column| Some(column.name.to_owned())).collect()];
        answer.extend(rows.iter().map(|row| row.0.iter().map(|(_, value)| cell(value)).collect()));
        answers.insert(query.name().to_owned(), answer);
    }
    client.close().await;
    answers
}

#[tokio::test]
async fn python_tds_reads_every_named_query_as_the_controller_does() {
    let Some(room) = Room::enter() else { return };
    let front = front_of(troubled()).await;
    let queries: Vec<_> = REGISTRY
        .iter()
        .map(|query| {
            let statement = json!({ "name": query.name(), "text": query.statement.text });
            json!([statement, parameters(query)])
        })
        .collect();
    let mut client = room.python("tds_queries.py");
    client
        .args([&front.address().ip().to_string(), &front.address().port().to_string(), USER])
        .env("PEER_PASSWORD", PASSWORD);

    let said = run(&mut client, &json!(queries).to_string(), WITHIN).await;

    assert!(said.is_success, "{}", said.text);
    let theirs: Answers = serde_json::from_str(&said.text).unwrap();
    let ours = own(&front).await;
    for (name, answer) in &ours {
        assert!(answer.len() > 1, "{name} has no row that could be read otherwise");
        assert_eq!(&theirs[name], answer, "{name}");
    }
    assert_eq!(theirs.len(), ours.len());
    front.stop().await;
}

/// tsql has no parameters, and the lab knows the statement with them: the others are asked.
#[tokio::test]
async fn freetds_reads_every_named_query_without_parameters_as_the_controller_does() {
    if Room::enter().is_none() {
        return;
    }
    let front = front_of(troubled()).await;
    let ours = own(&front).await;
    let asked: Vec<_> = REGISTRY.iter().filter(|query| query.parameters.is_empty()).collect();
    assert!(asked.len() * 2 > REGISTRY.len());

    for query in asked {
        let batch = format!("{}\nGO\n", query.statement.text);
        let said = tsql(&front, "7.4", PASSWORD, &batch).await;
        assert!(said.is_success && !is_refused(&said), "{}", said.text);
        // What the lab says of itself comes after the rows.
        let rows = said.text.split("\nMsg ").next().unwrap_or_default();
        let lines = rows.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let theirs: Vec<Vec<&str>> = lines.map(|line| line.split('|').collect()).collect();
        let answer = &ours[query.name()];
        assert_eq!(theirs.len(), answer.len(), "{}: {}", query.name(), said.text);
        for (theirs, ours) in theirs.iter().zip(answer) {
            assert_eq!(theirs.len(), ours.len(), "{}: {}", query.name(), said.text);
            for (theirs, ours) in theirs.iter().zip(ours) {
                assert!(is_same(theirs, ours.as_deref()), "{}: {theirs} {ours:?}", query.name());
            }
        }
    }
    front.stop().await;
}

/// Whether tsql prints a cell so: it has words of its own for NULL and bits, and writes times as the
/// locale has them.
fn is_same(printed: &str, ours: Option<&str>) -> bool {
    match ours {
        None => printed == "NULL",
        Some("true") => printed == "1",
        Some("false") => printed == "0",
        Some(text) => printed == text || is_same_time(printed, text),
    }
}

/// `Nov 20 2026 08:30AM`, without seconds, for `2026-11-20T08:30:00.123`.
fn is_same_time(printed: &str, ours: &str) -> bool {
    let Some((date, time)) = ours.split_once('T') else { return false };
    let Some((clock, _)) = time.split_once('.') else { return false };
    let [year, _, day] = date.split('-').collect::<Vec<_>>()[..] else { return false };
    let words: Vec<&str> = printed.split_whitespace().collect();
    words.contains(&year) && words.contains(&day) && printed.contains(&clock[2..5])
}
