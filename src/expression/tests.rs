use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::{Guid, Host, HostName, ServerIdentity, Vars, WorkRow};

fn vars(value: Value) -> Arc<Vars> {
    let Value::Object(entries) = value else { panic!("variables are a mapping") };
    Arc::new(entries.into_iter().collect())
}

fn scope(host: Value, play: Value) -> Scope {
    let host = Host {
        name: HostName::new("ps-lon-01.corp.example"),
        groups: Arc::from(["all".to_owned(), "london".to_owned()]),
        vars: vars(host),
    };
    let row = |package| WorkRow {
        server: ServerIdentity { guid: Guid::from_u128(1), name: None, fqdn: None },
        package: Guid::from_u128(package),
        package_name: Some("Tools".to_owned()),
        status: "Invalid".to_owned(),
        current_version: Some("2".to_owned()),
        reported_version: None,
    };
    Scope::new(host, vars(play), Arc::default()).with_work(vec![row(7), row(8), row(7)].into())
}

fn problem(error: ExpressionError) -> String {
    error.problem.to_string()
}

#[test]
fn a_condition_is_a_bare_expression() {
    let scope = scope(json!({ "site": "LON", "ports": [5985] }), json!({}));

    for (text, expected) in [
        ("site == 'LON' and 5985 in ports", true),
        ("acc_account is defined", false),
        ("acc_account is not defined", true),
        ("acc_account | default('') | length > 0", false),
        ("work.count > 2", true),
        ("'london' in group_names", true),
        ("inventory_hostname_short == 'ps-lon-01'", true),
    ] {
        assert_eq!(truth(text, &scope), Ok(expected), "{text}");
    }
}

#[test]
fn one_expression_keeps_its_type_and_a_longer_text_becomes_text() {
    let scope = scope(json!({ "site": "LON", "port": 5985 }), json!({}));
    let params = json!({
        "packages": "{{ work.package_ids }}",
        "port": "{{ port }}",
        "text": "{{ site }}:{{ port }}",
        "files": ["{package}.xml"],
        "last": "{{ port + 1 }}",
        "first": "{{- work.packages[0] -}}",
    });

    let one = Guid::from_u128(7).to_string();
    let two = Guid::from_u128(8).to_string();
    assert_eq!(
        render(&params, &scope),
        Ok(json!({
            "packages": [one, two],
            "port": 5985,
            "text": "LON:5985",
            "files": ["{package}.xml"],
            "last": 5986,
            "first": { "id": one, "name": "Tools" },
        }))
    );
}

#[test]
fn an_undefined_variable_is_an_error_that_names_it() {
    let scope = scope(json!({ "cmdb": {} }), json!({}));

    for (text, name) in [
        ("{{ acc_account }}", "acc_account"),
        ("account {{ acc_account }}", "acc_account"),
        ("{{ cmdb.server }}", "cmdb.server"),
        ("{{ cmdb.server.name }}", "cmdb.server"),
    ] {
        let error = render(&json!(text), &scope).expect_err(text);
        assert_eq!(error.problem, Problem::Undefined(name.to_owned()), "{text}");
    }
    assert_eq!(
        truth("acc_account", &scope).map_err(problem).unwrap_err(),
        "`acc_account` is not defined"
    );
    assert_eq!(
        truth("acc_account == 1", &scope).map_err(problem).unwrap_err(),
        "`acc_account` is not defined"
    );
}

#[test]
fn a_variable_of_the_play_may_be_a_template_and_says_why_it_cannot_be_filled_in() {
    let scope = scope(
        json!({ "site": "LON" }),
        json!({ "share": "\\\\{{ inventory_hostname_short }}\\{{ site }}", "bad": "{{ nowhere }}", "a": "{{ b }}", "b": "{{ a }}" }),
    );

    assert_eq!(render(&json!("{{ share }}"), &scope), Ok(json!("\\\\ps-lon-01\\LON")));
    assert_eq!(
        render(&json!("x {{ bad }}"), &scope).map_err(problem).unwrap_err(),
        "`nowhere` is not defined"
    );
    assert_eq!(truth("bad is defined", &scope), Ok(false));
    assert_eq!(
        render(&json!("{{ a }}"), &scope).map_err(|e| e.problem).unwrap_err(),
        Problem::TooMuch
    );
}

#[test]
fn what_a_host_reports_is_data_and_never_a_template() {
    let mut scope = scope(json!({}), json!({}));
    scope.register("seen", json!({ "text": "{{ work }}" }));

    assert_eq!(render(&json!("{{ seen.text }}"), &scope), Ok(json!("{{ work }}")));
}

#[test]
fn a_mistake_is_placed_in_the_text() {
    let error = check_expression("site == 'LON' andd x").expect_err("a mistake");
    assert_eq!(error.position(), Some((1, 15)));
    let error = check_template("one {{ a }}\ntwo {{ b ").expect_err("a mistake");
    assert_eq!(error.position().map(|(line, _)| line), Some(2));
    assert!(check_template("{{package}").is_err());
}

#[test]
fn the_names_an_expression_uses_are_known_before_it_runs() {
    let names = check_expression("work.count > 2 and site is defined").expect("an expression");
    assert_eq!(names.0, ["site", "work.count"]);
    assert_eq!(names.roots().collect::<Vec<_>>(), ["site", "work"]);
    assert_eq!(
        check_template("{{ a }} {% for x in range(3) %}{{ x }}{% endfor %}").unwrap().0,
        ["a"]
    );
}

#[test]
fn an_expression_has_a_bounded_amount_of_work_and_output() {
    let scope = scope(json!({ "text": "x".repeat(60_000) }), json!({}));

    for text in [
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "{% for a in range(100) %}{{ text }}{% endfor %}",
        "{{ range(99999) | list + range(99999) | list + range(99999) | list }}",
    ] {
        let error = render(&json!(text), &scope).expect_err(text);
        assert_eq!(error.problem, Problem::TooMuch, "{text}");
    }
    assert!(check_template(&format!("{{{{ {} }}}}", "x".repeat(100_000))).is_err());
}
