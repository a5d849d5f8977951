use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::*;
use crate::transport::SqlValue;

fn row(number: i64) -> Row {
    Row(vec![
        ("ServerGuid".to_owned(), SqlValue::Guid(Guid::from_u128(1))),
        ("Number".to_owned(), SqlValue::Integer(number)),
        ("Status".to_owned(), SqlValue::Null),
    ])
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).expect("parameters")
}

fn decide(rows: &[Row]) -> (String, Value) {
    match CmdbQuery::decide(&params(json!({ "query": "this_server" })), &rows.to_vec()) {
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

#[test]
fn a_number_of_rows_that_is_not_expected_fails_the_step() {
    let gives = |expect: Value, rows: usize| {
        let params = params(json!({ "query": "local_server_id", "expect": expect }));
        match CmdbQuery::decide(&params, &vec![row(1); rows]) {
            Verdict::Unchanged { .. } | Verdict::WasDone { .. } => None,
            Verdict::Refuse(failure) => Some(failure.message),
            Verdict::Change(change) => match change {},
        }
    };

    assert_eq!(gives(json!({ "rows": 1 }), 1), None);
    assert_eq!(
        gives(json!({ "rows": 1 }), 2).as_deref(),
        Some("`local_server_id` gave 2 rows, and exactly 1 was expected")
    );
    assert!(gives(json!({ "rows": 0 }), 1).is_some());
    assert_eq!(gives(json!({ "min": 1, "max": 3 }), 3), None);
    assert!(gives(json!({ "min": 1 }), 0).is_some());
    assert!(gives(json!({ "max": 3 }), 4).is_some());
}

#[tokio::test]
async fn readiness_needs_the_guid_of_the_host() {
    let host = ScriptedHost::new(|_, name, _| panic!("{name} is not needed"));
    host.set_rows(vec![row(1)]);
    let params = params(json!({ "query": "readiness" }));

    let unknown = host.session(&[]);
    let failure = CmdbQuery::probe(&params, &unknown.reader(soon(), nothing_before()))
        .await
        .expect_err("no GUID");
    assert_eq!(failure.class, FailureClass::Refused);

    let known = host.session(&[Guid::from_u128(9)]);
    let rows = CmdbQuery::probe(&params, &known.reader(soon(), nothing_before())).await;
    assert_eq!(rows.map(|rows| rows.len()), Ok(1));
}

#[tokio::test]
async fn a_package_may_be_given_by_a_name_that_only_one_has() {
    let host = ScriptedHost::new(|_, name, _| panic!("{name} is not needed"));
    let session = host.session(&[]);
    let params = params(json!({ "query": "codebases", "parameters": { "package": "7-Zip" } }));
    let package =
        |bits: u128| Row(vec![("PackageGuid".to_owned(), SqlValue::Guid(Guid::from_u128(bits)))]);
    let probe = async || {
        CmdbQuery::probe(&params, &session.reader(soon(), nothing_before()))
            .await
            .map_err(|failure| failure.message)
    };

    host.set_rows(vec![package(7)]);
    assert_eq!(probe().await.map(|rows| rows.len()), Ok(1));
    host.set_rows(vec![package(7), package(8)]);
    let said = probe().await.expect_err("two packages");
    assert!(said.contains("2 packages are called `7-Zip`"), "{said}");
    assert!(said.contains(&Guid::from_u128(8).to_string()), "{said}");
    host.set_rows(Vec::new());
    assert_eq!(probe().await.expect_err("none"), "no package of the CMDB is called `7-Zip`");
}
