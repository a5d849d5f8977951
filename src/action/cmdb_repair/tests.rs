//! What is decided, without a database; tests/sql_repair.rs has the rest.

use serde_json::json;

use super::super::{Action, Verdict};
use super::exchange::Change;
use super::params::Params;
use super::sight::{OriginServer, OriginSight, Sight, State};
use super::{CmdbRepair, decide};
use crate::event::Undo;
use crate::host::cmdb_tables::{BackupName, ColumnSeen, FullBackup, ServerClock};
use crate::model::{Guid, Parents, PlayNo, RunId, TaskId};
use crate::transport::{
    AnyOf, Conditions, Row, Selection, SqlName, SqlParameter, SqlValue, TableName,
};

const SERVER: Guid = Guid::from_u128(0xA1);
const PACKAGE: Guid = Guid::from_u128(0xB1);
const OTHER: Guid = Guid::from_u128(0x5001);
const RUN: u128 = 0x0a1b_2c3d << 96;

fn name(text: &str) -> SqlName {
    SqlName::new(text).unwrap()
}

fn column(text: &str, data_type: &str) -> ColumnSeen {
    ColumnSeen {
        name: name(text),
        data_type: data_type.to_owned(),
        is_identity: false,
        is_computed: false,
    }
}

/// Rows of a table by its columns, all found by the package.
fn state(table: &str, columns: &[(&str, &str)], rows: Vec<Vec<SqlValue>>) -> State {
    let names: Vec<SqlName> = columns.iter().map(|(text, _)| name(text)).collect();
    let key = if table == "ItemNSSource" { "ItemGuid" } else { "PackageId" };
    let by_package = AnyOf { column: name(key), values: vec![SqlParameter::Guid(PACKAGE)] };
    let look = Selection {
        columns: names.clone(),
        from: TableName { schema: name("dbo"), name: name(table) },
        rows: Conditions(vec![by_package]),
    };
    let titled = |cells: Vec<SqlValue>| {
        Row(names.iter().map(|name| name.as_str().to_owned()).zip(cells).collect())
    };
    let rows = rows.into_iter().map(titled).collect();
    State {
        run: RunId::new(uuid::Uuid::from_u128(RUN)),
        unfinished: Vec::new(),
        task: Some(TaskId { play: PlayNo(0), task: 2 }),
        earlier: Vec::new(),
        backups: Vec::new(),
        repair: Some(Sight {
            clock: ServerClock {
                now: "2026-11-21T03:04:05Z".parse().unwrap(),
                sees_backup_tables: true,
            },
            backup: Some(FullBackup {
                name: None,
                finished: "2026-11-21T01:00:00Z".parse().unwrap(),
                age_minutes: 124,
                is_copy_only: true,
            }),
            columns: columns.iter().map(|(text, kind)| column(text, kind)).collect(),
            found: Some((look, rows)),
            origin: None,
        }),
    }
}

const STATUS: &[(&str, &str)] = &[
    ("PkgSvrId", "uniqueidentifier"),
    ("PackageId", "uniqueidentifier"),
    ("Status", "nvarchar"),
    ("Extra]column", "int"),
];

fn status_row(status: &str, extra: i64) -> Vec<SqlValue> {
    vec![
        SqlValue::Guid(SERVER),
        SqlValue::Guid(PACKAGE),
        SqlValue::Text(status.to_owned()),
        SqlValue::Integer(extra),
    ]
}

fn params(more: serde_json::Value) -> Params {
    let mut all = json!({
        "packages": [PACKAGE], "expect": { "max": 10 }, "attest_unused_package_setting": true,
    });
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn change(params: &Params, state: &State) -> Change {
    match decide::decide(params, state) {
        Verdict::Change(change) => change,
        other => panic!("a change is due: {other:?}"),
    }
}

fn refusal(params: &Params, state: &State) -> String {
    match decide::decide(params, state) {
        Verdict::Refuse(failure) => failure.message,
        other => panic!("a refusal is due: {other:?}"),
    }
}

#[test]
fn a_change_holds_statement_parameters_rows_and_the_name_of_its_copy() {
    let state = state("SWDPackageServer", STATUS, vec![status_row("'; DROP TABLE x --", 1)]);

    let change = change(&params(json!({ "repair": "delete_package_status" })), &state);

    let lines = CmdbRepair::describe(&change);
    assert_eq!(
        lines[0],
        "delete 1 rows of [dbo].[SWDPackageServer], copied to \
         [fleetmend].[fleetmend_backup_20261121_0a1b2c3d_1_3] in the same transaction"
    );
    assert!(lines[1].contains("ended 2h04m ago"), "{lines:?}");
    assert!(lines[3].contains("[Extra]]column] INTO [fleetmend].[fleetmend_backup_"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(&format!("@P1 = {PACKAGE}, @P2 = 1"))));
    assert!(!lines.iter().any(|line| line.contains("DROP TABLE")), "cells are no part of it");
    let Change::Repair(exchange) = &change else { panic!("a repair") };
    assert_eq!(exchange.rows.forms_before().len(), 1);
    assert!(exchange.rows.forms_after().is_empty());
    let Undo::With(inverse) = CmdbRepair::invert(&change) else { panic!("it can be undone") };
    let inverse: Change = serde_json::from_value(inverse).unwrap();
    assert!(matches!(&inverse, Change::Restore(same) if same == exchange));
    assert!(matches!(CmdbRepair::invert(&inverse), Undo::Impossible(_)));
}

#[test]
fn duplicates_are_rows_that_are_the_same_in_every_column() {
    let wanted = params(json!({ "repair": "remove_duplicates" }));
    let same = vec![status_row("Ready", 1), status_row("Ready", 1), status_row("Ready", 1)];
    let Change::Repair(exchange) = change(&wanted, &state("SWDPackageServer", STATUS, same)) else {
        panic!("a repair");
    };
    assert_eq!((exchange.rows.touched(), exchange.rows.forms_after().len()), (2, 1));

    let differing = vec![status_row("Ready", 1), status_row("Ready", 2)];
    let refusal = refusal(&wanted, &state("SWDPackageServer", STATUS, differing));
    assert!(refusal.contains("differ in Extra]column"), "{refusal}");
}

#[test]
fn columns_that_are_missing_or_could_not_be_put_back_are_named() {
    let wanted = params(json!({ "repair": "delete_package_status" }));
    let mut seen = state("SWDPackageServer", STATUS, vec![status_row("Ready", 1)]);
    let sight = seen.repair.as_mut().unwrap();
    sight.columns.push(column("Stamp", "timestamp"));
    sight.columns[3].is_identity = true;
    let text = refusal(&wanted, &seen);
    assert!(text.contains("Extra]column (an identity), Stamp (timestamp)"), "{text}");

    seen.repair.as_mut().unwrap().columns.remove(0);
    assert!(refusal(&wanted, &seen).contains("no column PkgSvrId"));
    seen.repair.as_mut().unwrap().columns.clear();
    assert!(refusal(&wanted, &seen).contains("no table dbo.SWDPackageServer"));
}

#[test]
fn a_backup_that_is_too_old_or_missing_stops_everything() {
    let mut seen = state("SWDPackageServer", STATUS, vec![status_row("Ready", 1)]);
    let wanted = |within: &str| {
        params(json!({ "repair": "delete_package_status", "backup_within": within }))
    };
    change(&wanted("3 h"), &seen);
    assert!(refusal(&wanted("2 h"), &seen).contains("2h00m are allowed"));
    seen.repair.as_mut().unwrap().backup = None;
    assert!(refusal(&wanted("3 h"), &seen).contains("no full backup"));
}

#[test]
fn a_repair_whose_copy_is_there_is_not_made_again_but_another_one_of_the_step_is() {
    let wanted = params(json!({ "repair": "delete_package_status" }));
    let mut seen = state("SWDPackageServer", STATUS, vec![status_row("Ready", 1)]);
    let Change::Repair(first) = change(&wanted, &seen) else { panic!("a repair") };
    seen.earlier.push(first.clone());

    let Change::Repair(again) = change(&wanted, &seen) else { panic!("it was never committed") };
    assert_eq!(again.backup.as_str(), format!("{}_2", first.backup.as_str()));

    seen.backups.push(first.backup);
    let verdict = decide::decide(&wanted, &seen);
    assert!(
        matches!(&verdict, Verdict::WasDone { note, .. } if note.contains("was done before")),
        "{verdict:?}"
    );
    let other = params(json!({ "repair": "delete_package_status", "servers": [SERVER] }));
    assert!(matches!(decide::decide(&other, &seen), Verdict::Change(_)));
}

#[test]
fn codebases_are_told_by_server_only_where_every_source_is_a_guid() {
    const COLUMNS: &[(&str, &str)] =
        &[("PackageId", "uniqueidentifier"), ("URL", "nvarchar"), ("Source", "nvarchar")];
    let row = |source: &str| {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        vec![SqlValue::Guid(PACKAGE), text("http://ps/"), text(source)]
    };
    let wanted = params(json!({ "repair": "delete_codebases", "servers": [SERVER] }));
    let bare = SERVER.bare();
    let sources = [SERVER.to_string(), bare.clone(), OTHER.to_string()];
    let seen = state("SWDPackageCodebase", COLUMNS, sources.iter().map(|s| row(s)).collect());

    let Change::Repair(exchange) = change(&wanted, &seen) else { panic!("a repair") };

    assert_eq!(exchange.rows.touched(), 2, "with and without braces");
    let by_source = &exchange.look.rows.0[1].values;
    assert_eq!(*by_source, [SqlParameter::Text(SERVER.to_string()), SqlParameter::Text(bare)]);
    let seen = state("SWDPackageCodebase", COLUMNS, vec![row("ps-lon-01")]);
    assert!(refusal(&wanted, &seen).contains("does not hold a GUID"));
}

#[test]
fn an_origin_is_changed_only_if_both_ways_agree_and_the_other_server_has_left() {
    const COLUMNS: &[(&str, &str)] =
        &[("ItemGuid", "uniqueidentifier"), ("OriginNSSourceNSId", "int")];
    let row = |id: SqlValue| vec![SqlValue::Guid(PACKAGE), id];
    let seen = |id: SqlValue, this_server: &[i64], owner: &[i64]| {
        let mut seen = state("ItemNSSource", COLUMNS, vec![row(id)]);
        seen.repair.as_mut().unwrap().origin = Some(OriginSight {
            this_server: this_server.to_vec(),
            owner: owner.to_vec(),
            servers: vec![OriginServer {
                id: 7,
                guid: Some(OTHER),
                name: Some("old-parent".to_owned()),
            }],
            parents: Parents::default(),
        });
        seen
    };
    let wanted = |left: &[Guid], live: &[Guid]| {
        params(json!({
            "repair": "set_origin", "owner_guid": SERVER, "left_hierarchy": left, "live_parents": live,
        }))
    };
    let number = SqlValue::Integer;
    let mut under_a_parent = seen(number(7), &[3], &[3]);
    let origin = under_a_parent.repair.as_mut().and_then(|sight| sight.origin.as_mut());
    // The CMDB has the short name, the inventory the full one.
    origin.unwrap().parents = Parents::named(&["Old-Parent.corp.example"]);
    assert!(refusal(&wanted(&[OTHER], &[]), &under_a_parent).contains("a parent"));

    let Change::Repair(exchange) = change(&wanted(&[OTHER], &[]), &seen(number(7), &[3], &[3]))
    else {
        panic!("a repair");
    };
    assert_eq!(
        exchange.statements[1].1[0],
        SqlParameter::Integer(3),
        "not 1, as the article has it"
    );
    assert_eq!(exchange.put_back[0].1[0], SqlParameter::Integer(7));
    let verdict = decide::decide(&wanted(&[], &[]), &seen(number(3), &[3], &[3]));
    assert!(matches!(verdict, Verdict::Unchanged { .. }), "it is this server's own: {verdict:?}");
    for (params, state, why) in [
        (wanted(&[OTHER], &[]), seen(number(7), &[3], &[4]), "must be the same"),
        (wanted(&[OTHER], &[]), seen(number(7), &[3, 4], &[3]), "exactly one"),
        (wanted(&[OTHER], &[]), seen(number(7), &[], &[]), "exactly one"),
        (wanted(&[], &[]), seen(number(7), &[3], &[3]), "left_hierarchy"),
        (wanted(&[OTHER], &[OTHER]), seen(number(7), &[3], &[3]), "a parent"),
        (wanted(&[OTHER], &[]), seen(number(8), &[3], &[3]), "does not know"),
        (wanted(&[OTHER], &[]), seen(SqlValue::Null, &[3], &[3]), "no number"),
        (wanted(&[OTHER], &[]), seen(SqlValue::Text("7".into()), &[3], &[3]), "no number"),
    ] {
        let text = refusal(&params, &state);
        assert!(text.contains(why), "{why}: {text}");
    }
}

#[test]
fn a_copy_of_a_run_that_has_not_ended_is_not_dropped() {
    let mut seen = state("SWDPackageServer", STATUS, Vec::new());
    seen.repair = None;
    let text = "fleetmend_backup_20261120_00c0ffee_1_2";
    seen.backups.push(BackupName::new(text).unwrap());
    let purge: Params = serde_json::from_value(json!({ "purge_backup": text })).unwrap();
    assert!(matches!(change(&purge, &seen), Change::Purge { .. }));

    seen.unfinished.push(RunId::new(uuid::Uuid::from_u128(0x00c0_ffee << 96)));
    assert!(refusal(&purge, &seen).contains("has not ended"));
}

#[test]
fn a_key_that_is_given_and_empty_means_nothing_and_never_all() {
    let state = state("SWDPackageServer", STATUS, vec![status_row("Ready", 1)]);

    for empty in [json!({ "servers": [] }), json!({ "packages": [] })] {
        for repair in ["delete_package_status", "remove_duplicates", "delete_codebases"] {
            let mut more = empty.clone();
            more["repair"] = json!(repair);
            let verdict = decide::decide(&params(more), &state);
            let Verdict::Unchanged { note, .. } = verdict else { panic!("{empty}: {verdict:?}") };
            assert!(note.ends_with("is empty: nothing to repair"), "{note}");
        }
    }
    let whole = json!({ "repair": "delete_package_status", "servers": [], "all": true,
        "packages": [], "typed": "DELETE ALL ROWS OF SWDPackageServer" });
    assert!(refusal(&params(whole), &state).contains("cannot be narrowed"));
}

#[test]
fn a_list_that_was_rendered_to_nothing_at_all_is_no_list() {
    let null = json!({ "repair": "delete_package_status", "servers": null });

    assert!(serde_json::from_value::<Params>(null).is_err());
}
