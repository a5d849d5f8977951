//! Tests of `share`.

use super::*;
use crate::host::memory::{AGENT, MemoryHost, reader};

const STORE: &str = "D:\\Altiris\\Package Delivery";

fn folder() -> WindowsPath {
    STORE.parse().expect("a path")
}

fn account(name: &str, sid: Sid) -> Account {
    Account { name: name.to_owned(), sid }
}

fn state(share: Found) -> State {
    let grants = vec![
        (account("Everyone", Sid::everyone()), Rights::Read),
        (account("SYSTEM", Sid::system()), Rights::FullControl),
    ];
    State { share, folder: folder(), grants }
}

fn missing() -> Found {
    Found { folder: true, ..Found::default() }
}

fn shared(descriptor: &SecurityDescriptor) -> Found {
    Found {
        found: true,
        name: "PkgSvrHost".to_owned(),
        path: STORE.to_lowercase(),
        descriptor: Some(STANDARD.encode(descriptor.encode())),
        folder: true,
        ..Found::default()
    }
}

fn change(state: &State) -> Change {
    match decide("PkgSvrHost", state) {
        Ok(Verdict::Change(change)) => change,
        other => panic!("{other:?}"),
    }
}

fn inverse(change: &Change) -> Change {
    match Share::invert(change) {
        Undo::With(value) => serde_json::from_value(value).expect("a change"),
        other => panic!("{other:?}"),
    }
}

fn refusal(name: &str, state: &State) -> String {
    decide(name, state).expect_err("refused").message
}

#[test]
fn a_missing_share_is_made_with_what_the_article_asks_for() {
    let change = change(&state(missing()));

    let after = decode("x", change.after.as_deref().expect("a list")).expect("a descriptor");
    assert!(after.grants(&[Sid::everyone()], FileRights::READ_AND_EXECUTE));
    assert!(!after.grants(&[Sid::everyone()], FileRights::MODIFY));
    assert!(after.grants(&[Sid::system()], FileRights::FULL_CONTROL));
    assert_eq!(change.before, None);
    assert_eq!(
        Share::describe(&change),
        [
            "share D:\\Altiris\\Package Delivery as `PkgSvrHost`",
            "give SYSTEM full control through the share `PkgSvrHost`"
        ]
    );
    assert_eq!(
        Share::describe(&inverse(&change)),
        ["end the share `PkgSvrHost` of D:\\Altiris\\Package Delivery"]
    );
}

#[test]
fn a_share_of_a_folder_that_does_not_exist_is_never_made() {
    let state = state(Found::default());

    assert!(refusal("PkgSvrHost", &state).ends_with("there is no such folder"));
}

#[test]
fn a_share_that_leads_elsewhere_is_left_alone() {
    let mut share = shared(&readable_by_everyone());
    share.path = "D:\\Elsewhere".to_owned();

    assert!(refusal("PkgSvrHost", &state(share)).contains("it leads to D:\\Elsewhere now"));
}

#[test]
fn names_and_folders_that_no_share_should_have_are_refused() {
    for name in ["", "a\\b", "a\nb", "a*"] {
        assert!(refusal(name, &state(missing())).contains("not one that a share can have"));
    }
    for path in ["C:\\", "c:\\windows\\system32", "C:\\Users\\x", "C:\\ProgramData\\fleetmend\\q"] {
        let state = State { folder: path.parse().expect("a path"), ..state(missing()) };
        assert!(refusal("x", &state).contains("too much"), "{path}");
    }
}

#[test]
fn a_missing_entry_is_added_and_the_others_stay() {
    let before = readable_by_everyone();
    let change = change(&state(shared(&before)));

    let after = decode("x", change.after.as_deref().expect("a list")).expect("a descriptor");
    assert_eq!(change.grants, ["SYSTEM full control"]);
    assert!(before.aces().iter().all(|ace| after.aces().contains(ace)));
    let inverse = inverse(&change);
    assert_eq!(inverse.after, change.before);
    assert_eq!(
        Share::describe(&inverse),
        ["put the rights on the share `PkgSvrHost` back as they were"]
    );
}

#[test]
fn everybody_gets_no_more_than_reading() {
    let grants = vec![(account("Everyone", Sid::everyone()), Rights::FullControl)];
    let state = State { grants, ..state(missing()) };

    assert!(refusal("x", &state).contains("stands for everybody"));
}

#[test]
fn a_share_that_is_so_already_is_unchanged() {
    let change = change(&state(missing()));
    let after = decode("x", change.after.as_deref().expect("a list")).expect("a descriptor");

    let verdict = decide("PkgSvrHost", &state(shared(&after)));

    assert!(matches!(verdict, Ok(Verdict::Unchanged { .. })));
}

#[test]
fn what_drifted_is_not_touched() {
    let before = readable_by_everyone();
    let first = change(&state(shared(&before)));
    let after = decode("x", first.after.as_deref().expect("a list")).expect("a descriptor");
    let other = before
        .clone()
        .with_allow_ace(&Sid::users(), FileRights::MODIFY, AceFlags::THIS_OBJECT)
        .expect("it fits");

    assert_eq!(next(&first, &shared(&before)), Ok(Some("set")));
    assert_eq!(next(&first, &shared(&after)), Ok(None));
    for drifted in [shared(&other), missing()] {
        assert!(next(&first, &drifted).is_err());
        assert!(next(&inverse(&first), &drifted).is_err());
    }
    let made = change(&state(missing()));
    assert_eq!(next(&made, &missing()), Ok(Some("make")));
    assert_eq!(next(&inverse(&made), &shared(&after)), Ok(Some("end")));
    assert!(next(&inverse(&made), &shared(&other)).is_err(), "rights were added to it since");
    assert_eq!(next(&inverse(&made), &missing()), Ok(None));
}

#[tokio::test]
async fn a_path_is_taken_as_it_lies_on_the_disk_and_not_as_it_is_written() {
    let host = MemoryHost::package_server();
    host.folder("E:\\Images");
    host.folder("C:\\PROGRA~1");
    host.junction("E:\\Way", "C:\\");
    host.answer("share-state", json!({ "found": false, "folder": true }));
    let session = host.session(1);
    let at = reader(&session);
    let probe = async |path: &str| {
        let params = json!({ "name": "Images", "path": path });
        Share::probe(&serde_json::from_value(params).expect("parameters"), &at).await
    };

    assert!(probe("E:\\Images").await.is_ok());
    for hostile in ["C:\\PROGRA~1", "E:\\Way", "E:\\Way\\Users", "C:\\ProgramData\\Microsoft"] {
        let failure = probe(hostile).await.err().expect(hostile);
        assert_eq!(failure.class, FailureClass::Refused, "{hostile}");
    }
}

#[tokio::test]
async fn nothing_is_shared_on_a_client_computer() {
    let host = MemoryHost::package_server();
    host.folder("E:\\Images");
    host.answer("share-state", json!({ "found": false, "folder": true }));
    host.answer(
        "host-facts",
        json!({
            "computer": "PC-01", "domain": "", "time_utc": null,
            "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
            "agent": { "install_dir": AGENT, "plugin_version": null },
            "notification_server": null,
        }),
    );
    let session = host.session(1);
    let params = serde_json::from_value(json!({ "name": "x", "path": "E:\\Images" }));

    let failure = Share::probe(&params.expect("parameters"), &reader(&session)).await;

    let failure = failure.err().expect("a client computer");
    assert!(failure.message.contains("not a package server"), "{failure}");
}
