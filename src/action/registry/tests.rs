//! Laws that every action obeys, checked without a host.

use serde_json::{Map, Value, json};

use super::*;
use crate::action::{ParamKind, claim};

/// The parameters of an action's example, with its templates filled in.
fn example_params(action: &dyn ActionKind) -> Value {
    let tasks: Vec<Map<String, Value>> =
        serde_saphyr::from_str(action.example()).expect("the example is YAML");
    let [task] = tasks.as_slice() else { panic!("{}: one task", action.name()) };
    assert!(task.get("name").is_some_and(Value::is_string), "{}: a name", action.name());
    let mut params = task.get(action.name()).expect("the example uses the action").clone();
    if let Value::Object(params) = &mut params {
        for (name, value) in params {
            let doc = action.params().iter().find(|doc| action.is_open() || doc.name == *name);
            let doc = doc.expect(name);
            if doc.kind == ParamKind::Expressions {
                let texts = value.as_array().expect("a list").iter();
                let texts = texts.map(|text| claim(text.as_str().expect("an expression")));
                *value = texts.collect();
            }
            if value.as_str().is_some_and(|text| text.contains("{{")) {
                *value = match doc.kind {
                    ParamKind::Guids => json!(["{0562094A-ECBE-4617-9253-5E7FFB5E00C4}"]),
                    _ => json!("CORP\\altiris-acc"),
                };
            }
        }
    }
    params
}

#[test]
fn names_are_unique_and_sorted() {
    let names: Vec<&str> = registry().iter().map(|action| action.name()).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    assert!(names.iter().all(|name| find(name).is_some_and(|found| found.name() == *name)));
    assert!(find("nothing").is_none());
}

#[test]
fn every_action_is_documented() {
    for action in registry() {
        let name = action.name();
        assert!(action.summary().ends_with('.') && !action.summary().contains('\n'), "{name}");
        assert!(action.doc().len() > 100, "{name}");
        for word in ["Rights", "Undo"] {
            assert!(action.doc().contains(word), "{name} does not say: {word}");
        }
        assert!(action.doc().lines().all(|line| line.chars().count() <= 100), "{name}");
        assert!(!action.params().is_empty(), "{name}");
        assert!(action.params().iter().all(|param| param.doc.ends_with('.')), "{name}");
        assert!(!action.within().is_zero(), "{name}");
    }
}

#[test]
fn every_example_is_a_task_that_the_action_accepts() {
    for action in registry() {
        if let Err(error) = action.prepare(example_params(*action)) {
            panic!("{error}");
        }
    }
}

#[test]
fn the_documented_parameters_are_those_that_are_read() {
    for action in registry().iter().filter(|action| !action.is_open()) {
        let name = action.name();
        let mut params = match example_params(*action) {
            Value::Object(params) => params,
            scalar => {
                [(action.scalar().expect("a scalar").to_owned(), scalar)].into_iter().collect()
            }
        };
        params.insert("no such parameter".to_owned(), Value::Null);
        let Err(error) = action.prepare(Value::Object(params)) else {
            panic!("{name} takes an unknown parameter");
        };

        // serde lists what it knows: "unknown field `x`, expected `a`" or "one of `a`, `b`".
        let known: Vec<&str> = error.reason.split('`').skip(3).step_by(2).collect();
        let mut documented: Vec<&str> = action.params().iter().map(|param| param.name).collect();
        let mut read = known.clone();
        documented.sort_unstable();
        read.sort_unstable();
        assert_eq!(documented, read, "{name}: {}", error.reason);
    }
}

#[test]
fn a_required_parameter_is_missed_and_an_optional_one_is_not() {
    for action in registry().iter().filter(|action| !action.is_open()) {
        let Value::Object(params) = example_params(*action) else { continue };
        for doc in action.params() {
            let mut without = params.clone();
            without.shift_remove(doc.name);
            let is_taken = action.prepare(Value::Object(without)).is_ok();
            assert_eq!(is_taken, !doc.required, "{}: {}", action.name(), doc.name);
        }
    }
}

#[test]
fn a_scalar_stands_for_a_documented_parameter() {
    for action in registry() {
        if let Some(scalar) = action.scalar() {
            assert!(action.params().iter().any(|param| param.name == scalar), "{}", action.name());
        }
    }
}

#[test]
fn a_change_of_another_program_is_not_applied() {
    for action in registry() {
        assert!(action.record(&json!({ "what": 1 })).is_err(), "{}", action.name());
    }
}
