//! Tests of `registry`.

use super::*;

const KEY: &str = "HKLM\\SOFTWARE\\Altiris\\eXpress\\Notification Server";

fn params(value: Value) -> Params {
    serde_json::from_value(value).expect("parameters")
}

fn dword(data: &str) -> Found {
    Found { key: true, value: true, kind: Some("DWord".to_owned()), data: Some(json!(data)) }
}

fn absent() -> Found {
    Found { key: true, ..Found::default() }
}

fn refused(value: Value, now: &Found, class: FailureClass) -> String {
    match Registry::decide(&params(value), now) {
        Verdict::Refuse(failure) => {
            assert_eq!(failure.class, class);
            failure.message
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(value: Value, now: &Found) -> String {
    refused(value, now, FailureClass::Refused)
}

fn drift(value: Value, now: &Found) -> String {
    refused(value, now, FailureClass::Drifted)
}

fn change(value: Value, now: &Found) -> Change {
    match Registry::decide(&params(value), now) {
        Verdict::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reading_is_the_default() {
    let verdict = Registry::decide(&params(json!({ "key": KEY, "value": "x" })), &dword("512000"));

    let Verdict::Unchanged { note, value } = verdict else { panic!("{verdict:?}") };
    assert_eq!(note, "512000");
    assert_eq!(value, json!({ "exists": true, "kind": "DWord", "data": "512000" }));
}

#[test]
fn a_value_is_set_where_it_holds_what_is_expected_and_its_inverse_puts_it_back() {
    let wanted = json!({ "key": KEY, "value": "x", "data": "0x10", "expect": "7" });
    let change = change(wanted.clone(), &dword("7"));

    assert_eq!(
        Registry::describe(&change),
        [
            "set the value `x` of HKLM\\SOFTWARE\\Altiris\\eXpress\\Notification Server to `16` (now `7`)"
        ]
    );
    let Undo::With(inverse) = Registry::invert(&change) else { panic!("no inverse") };
    let inverse: Change = serde_json::from_value(inverse).expect("a change");
    assert_eq!((inverse.before, inverse.after), (change.after, change.before));

    assert!(drift(wanted, &dword("8")).contains("holds `8`, which was not expected"));
}

#[test]
fn a_value_that_is_added_is_removed_by_its_inverse() {
    let wanted = json!({
        "key": KEY, "value": "x", "data": "5", "kind": "dword", "expect_absent": true,
    });
    let change = change(wanted.clone(), &absent());

    assert_eq!(change.before, None);
    assert!(drift(wanted, &dword("6")).contains("not expected"));
}

#[test]
fn nothing_is_set_over_what_nobody_expects() {
    let wanted = json!({ "key": KEY, "value": "x", "data": "5" });

    assert!(refusal(wanted.clone(), &dword("6")).contains("say by `expect`"));
    assert!(matches!(
        Registry::decide(&params(wanted.clone()), &dword("5")),
        Verdict::Unchanged { .. }
    ));
    assert!(refusal(wanted, &Found::default()).contains("no such key"));
}

#[test]
fn who_an_agent_is_and_what_starts_with_windows_is_never_set_by_any_of_its_names() {
    for key in [
        "HKLM\\SYSTEM\\CurrentControlSet\\Services\\AeXNSClient",
        "hkey_local_machine\\system\\ControlSet001\\services",
        "HKLM\\SOFTWARE\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Run",
        "HKLM\\SOFTWARE\\Altiris\\Altiris Agent\\Servers",
        "HKLM\\SECURITY\\Policy",
    ] {
        let wanted = json!({ "key": key, "value": "x", "data": "y", "expect": "z" });
        assert!(refusal(wanted, &dword("1")).contains("never changed"), "{key}");
    }
    let identity = json!({
        "key": "HKLM\\SOFTWARE\\Altiris\\Altiris Agent", "value": "machineGUID", "data": "y",
        "expect": "z",
    });
    assert!(refusal(identity, &dword("1")).contains("identity"));
    assert!(!Key::try_from("HKLM\\SOFTWARE\\AltirisX".to_owned()).expect("a key").is_below(FIXED));
}

#[test]
fn keys_of_other_hives_and_broken_ones_are_refused_before_anything_is_read() {
    for key in
        ["HKCU\\Software", "SOFTWARE\\Altiris", "HKLM", "HKLM\\", "HKLM\\a\\\\b", "HKLM\\a\nb"]
    {
        let read = serde_json::from_value::<Params>(json!({ "key": key, "value": "x" }));
        assert!(read.is_err(), "{key:?}");
    }
}

#[test]
fn what_is_never_read_or_set_is_told_before_any_connection() {
    let refuses = |value: Value| Registry::refuses(&value).is_some();
    let services = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\x";

    assert!(refuses(json!({ "key": "HKLM\\SECURITY\\x", "value": "y" })));
    assert!(refuses(json!({ "key": "HKCU\\x", "value": "y" })));
    assert!(refuses(json!({ "key": services, "value": "y", "data": "z" })));
    assert!(!refuses(json!({ "key": services, "value": "y" })));
    assert!(!refuses(json!({ "key": "{{ key }}", "value": "y", "data": "z" })));
}

#[test]
fn a_number_must_fit() {
    assert_eq!(Kind::Dword.canonical(" 4294967295 "), Ok("4294967295".to_owned()));
    assert!(Kind::Dword.canonical("4294967296").is_err());
    assert!(Kind::Dword.canonical("-1").is_err());
    assert_eq!(Kind::Qword.canonical("0xFFFFFFFFFFFFFFFF"), Ok(u64::MAX.to_string()));
    assert_eq!(Kind::String.canonical(" 5 "), Ok(" 5 ".to_owned()));
}

#[test]
fn a_kind_that_is_only_read_is_not_overwritten() {
    let now = Found { kind: Some("MultiString".to_owned()), ..dword("1") };
    let wanted = json!({ "key": KEY, "value": "x", "data": "5", "expect": "1" });

    assert!(refusal(wanted, &now).contains("MultiString, which this action only reads"));
}
