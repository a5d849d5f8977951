use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::*;
use crate::model::Guid;

/// The names in brackets of a statement, lower case.
fn bracketed(text: &str) -> HashSet<String> {
    text.split('[')
        .skip(1)
        .filter_map(|rest| rest.split(']').next())
        .map(str::to_lowercase)
        .collect()
}

/// The words of a statement, lower case; a name in brackets is one, whatever is in it.
fn words(text: &str) -> HashSet<String> {
    let mut found = bracketed(text);
    found.extend(
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase),
    );
    found
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no mapping"),
    }
}

#[test]
fn every_statement_is_one_select_that_writes_nothing() {
    for statement in statements() {
        let text = statement.text;
        let words = words(text);
        assert!(text.to_lowercase().starts_with("select"), "{}", statement.name);
        assert!(!text.contains(';') && !text.contains("--") && !text.contains("/*"));
        for word in [
            "into", "insert", "update", "delete", "exec", "execute", "merge", "truncate", "drop",
            "alter", "create",
        ] {
            assert!(!words.contains(word), "{}: {word}", statement.name);
        }
    }
}

#[test]
fn queries_are_in_alphabetical_order_and_none_has_a_name_twice() {
    assert!(NAMES.windows(2).all(|pair| pair[0] < pair[1]), "{NAMES:?}");
    assert!(NAMES.iter().all(|name| find(name).is_some_and(|query| query.name() == *name)));
    assert!(find("nothing").is_none());
}

#[test]
fn a_query_declares_all_that_it_reads_and_nothing_else() {
    for query in REGISTRY {
        let (name, text) = (query.name(), query.statement.text);
        let words = words(text);
        let mut declared: HashSet<String> = HashSet::new();
        for need in query.needs {
            assert!(words.contains(&need.table.to_lowercase()), "{name}: {}", need.table);
            declared.insert(need.table.to_lowercase());
            for column in need.columns {
                assert!(words.contains(&column.to_lowercase()), "{name}: {column}");
                declared.insert(column.to_lowercase());
            }
        }
        declared.extend(query.columns.iter().map(|column| column.name.to_lowercase()));
        // What a derived table calls its columns.
        declared.extend(
            text.split(" AS [")
                .skip(1)
                .map(|rest| rest.split(']').next().unwrap_or_default().to_lowercase()),
        );
        let undeclared: Vec<String> =
            bracketed(text).into_iter().filter(|found| !declared.contains(found)).collect();
        assert!(undeclared.is_empty(), "{name} reads {undeclared:?}");
    }
}

#[test]
fn the_schema_is_asked_for_every_table_that_a_query_needs() {
    for need in REGISTRY.iter().flat_map(|query| query.needs) {
        let quoted = format!("'{}'", need.table);
        assert!(SCHEMA.text.contains(&quoted), "{quoted}");
    }
}

#[test]
fn every_parameter_has_its_place_in_the_statement() {
    for query in REGISTRY {
        for number in 1..=3 {
            let is_used = query.statement.text.contains(&format!("@P{number}"));
            assert_eq!(is_used, number <= query.parameters.len(), "{} @P{number}", query.name());
        }
    }
}

#[test]
fn a_query_whose_columns_are_missing_is_refused_with_their_names_and_others_are_not() {
    let mut rows = whole_schema();
    assert!(REGISTRY.iter().all(|query| Schema::of(&rows).missing(query).is_empty()));
    rows.retain(|row| {
        row.text("TableName") != Some("vSiteServices")
            && !(row.text("TableName") == Some("SWDPackage")
                && row.text("ColumnName") == Some("_Latest"))
    });

    let schema = Schema::of(&rows);

    let unknown = find("codebases_of_unknown_hosts").expect("a query");
    assert_eq!(schema.missing(unknown), ["[SWDPackage].[_Latest]", "[vSiteServices]"]);
    let refused = schema.admit(unknown, "smp01").expect_err("columns are missing");
    assert!(refused.to_string().contains("[SWDPackage].[_Latest], [vSiteServices]"), "{refused}");
    assert!(schema.missing(find("event_queue").expect("a query")).is_empty());
    assert!(schema.missing(find("package_servers").expect("a query")).is_empty());
}

#[test]
fn names_of_the_schema_are_compared_without_regard_to_case() {
    let rows: Vec<_> = whole_schema()
        .into_iter()
        .map(|row| {
            let lower = |value: &crate::transport::SqlValue| match value {
                crate::transport::SqlValue::Text(text) => {
                    crate::transport::SqlValue::Text(text.to_lowercase())
                }
                other => other.clone(),
            };
            crate::transport::Row(row.0.iter().map(|(name, v)| (name.clone(), lower(v))).collect())
        })
        .collect();

    assert!(REGISTRY.iter().all(|query| Schema::of(&rows).missing(query).is_empty()));
}

#[test]
fn arguments_are_typed_and_a_wrong_one_is_said() {
    let codebases = find("codebases").expect("a query");
    let guid = Guid::from_u128(7);
    let bind = |query: &'static NamedQuery, given| arguments(query, &map(given));

    assert_eq!(bind(codebases, json!({ "package": guid.bare() })), Ok(vec![Argument::Guid(guid)]));
    assert_eq!(
        bind(codebases, json!({ "package": "7-Zip" })),
        Ok(vec![Argument::PackageName("7-Zip".to_owned())])
    );
    assert_eq!(bind(&READINESS, json!({})), Ok(vec![Argument::OwnGuid]));
    let said = |result: Result<Vec<Argument>, BindError>| result.expect_err("wrong").to_string();
    assert_eq!(
        said(bind(codebases, json!({ "pakage": "x" }))),
        "`codebases` has no parameter `pakage`: it has package"
    );
    assert_eq!(said(bind(codebases, json!({}))), "`codebases` needs the parameter `package`");
    let owner = find("local_server_id_by_owner").expect("a query");
    assert_eq!(
        said(bind(owner, json!({ "owner": "'; DROP TABLE x --" }))),
        "the parameter `owner` of `local_server_id_by_owner` is a GUID, not \"'; DROP TABLE x --\""
    );
    assert!(bind(codebases, json!({ "package": 7 })).is_err());
    assert!(bind(codebases, json!({ "package": "x".repeat(256) })).is_err());
}

#[test]
fn the_page_of_the_queries_is_what_the_registry_says() {
    let written = include_str!("../../../docs/queries.md");

    assert!(
        written == page(),
        "docs/queries.md is not what the registry says: `cargo test --lib \
         writes_the_page_of_the_queries -- --ignored` writes it anew"
    );
}

#[test]
#[ignore = "writes docs/queries.md"]
fn writes_the_page_of_the_queries() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/queries.md");
    std::fs::write(path, page()).expect("the page is written");
}
