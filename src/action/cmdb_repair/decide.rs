//! What a repair makes of what it saw. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Verdict;
use super::super::cmdb_backup::recent;
use super::exchange::{Change, Checked, Exchange};
use super::origin::{local_id, may_be_taken_over};
use super::params::{Orders, Params, RepairKind, Wanted, refused};
use super::rows::{Effect, Rows, as_parameter, cells_of, guid, place_of, understood};
use super::sight::{Sight, State, name};
use crate::host::cmdb_tables::{BackupName, ServerClock};
use crate::host::repair_statements::{
    BACKUP_PREFIX, Bound, back_up, back_up_surplus, delete, delete_surplus, put_back, set,
};
use crate::model::{Guid, RunId, StepFailure};
use crate::transport::{AnyOf, Conditions, Selection, SqlParameter, SqlValue, TableName};

/// Decides.
pub(super) fn decide(params: &Params, state: &State) -> Verdict<Change> {
    let decided = params.orders().and_then(|orders| match orders {
        Orders::Purge(backup) => purge(backup, state),
        Orders::Nothing(why) => Ok(unchanged(why)),
        Orders::Repair(wanted) => match &state.repair {
            Some(sight) => repair(&wanted, sight, state),
            None => Err(refused("the tables were not read")),
        },
    });
    decided.unwrap_or_else(Verdict::Refuse)
}

fn unchanged(note: impl Into<String>) -> Verdict<Change> {
    let value: Value = json!({ "rows": 0, "backup_table": null });
    Verdict::Unchanged { note: note.into(), value }
}

fn purge(backup: BackupName, state: &State) -> Result<Verdict<Change>, StepFailure> {
    if backup.as_str().contains(&format!("_{}_", state.run)) {
        return Err(refused(format!(
            "{} was made by this run, which may still be undone or resumed",
            backup.as_str()
        )));
    }
    let needs = |run: &&RunId| backup.as_str().contains(&format!("_{run}_"));
    if let Some(run) = state.unfinished.iter().find(needs) {
        return Err(refused(format!(
            "{} was made by run {run}, which has not ended: resume or undo it first",
            backup.as_str()
        )));
    }
    if !state.backups.contains(&backup) {
        return Ok(unchanged(format!("there is no table {}", backup.as_str())));
    }
    Ok(Verdict::Change(Change::Purge { backup }))
}

fn repair(wanted: &Wanted, sight: &Sight, state: &State) -> Result<Verdict<Change>, StepFailure> {
    let (table, needed) = wanted.kind.table();
    let columns = understood(&sight.columns, table, needed)?;
    let Some((selection, rows)) = &sight.found else {
        return Ok(earlier(wanted, state).unwrap_or_else(|| unchanged("no duplicates")));
    };
    if let Some(done) = earlier(wanted, state) {
        return Ok(done);
    }
    let backup = recent(sight.backup.as_ref(), wanted.backup_age)?;
    let before = cells_of(rows, &columns)?;
    let met = match wanted.kind {
        RepairKind::DeleteCodebases if !wanted.servers.is_empty() => {
            codebases_of_servers(wanted, selection, before)?
        }
        RepairKind::DeleteCodebases | RepairKind::DeletePackageStatus => {
            let effect = Effect::Removed((0..before.len()).collect());
            (selection.clone(), Rows { columns, before, effect })
        }
        RepairKind::RemoveDuplicates => surplus(selection, before)?,
        RepairKind::SetOrigin => foreign(wanted, sight, selection, before)?,
    };
    let (look, rows) = met;
    let count = rows.touched();
    if count == 0 {
        return Ok(unchanged(format!("no rows of {table} to repair")));
    }
    if count > wanted.max {
        return Err(refused(format!(
            "{count} rows of {table} would be met, and `expect` allows {}",
            wanted.max
        )));
    }
    let step = step_text(state);
    let name = backup_name(sight.clock, state, &step)?;
    let (statements, put_back) = statements(wanted.kind, &look, &rows, &name.table())?;
    let attested = attested(wanted);
    let checked = Checked { at: sight.clock.now, backup: backup.clone(), attested };
    Ok(Verdict::Change(Change::Repair(Exchange {
        repair: wanted.kind,
        step,
        asked: (wanted.packages.clone(), wanted.servers.clone()),
        look,
        rows,
        backup: name,
        statements,
        put_back,
        checked,
    })))
}

fn attested(wanted: &Wanted) -> Vec<String> {
    let mut said = Vec::new();
    if matches!(wanted.kind, RepairKind::DeleteCodebases | RepairKind::DeletePackageStatus) {
        said.push("\"Delete package files if they are unused for\" is set to 1 Week".to_owned());
    }
    if let Some(origin) = &wanted.origin {
        said.extend(origin.left.iter().map(|guid| format!("{guid} is no parent any more")));
    }
    said
}

/// The same repair of the same step, if it was decided before the run was cut and its backup table
/// shows that it was committed. An undo has what that decision left.
fn earlier(wanted: &Wanted, state: &State) -> Option<Verdict<Change>> {
    let step = step_text(state);
    let done = state.earlier.iter().rev().find(|earlier| {
        let is_same = earlier.repair == wanted.kind
            && earlier.step == step
            && earlier.asked.0 == wanted.packages
            && earlier.asked.1 == wanted.servers;
        is_same && state.backups.contains(&earlier.backup)
    })?;
    Some(Verdict::WasDone {
        note: format!("was done before the run was cut: {} exists", done.backup.as_str()),
        value: json!({
            "rows": done.rows.touched(),
            "backup_table": done.backup.table().quoted(),
        }),
    })
}

/// `1_2` for the second task of the first play.
fn step_text(state: &State) -> String {
    state.task.map_or_else(|| "0".to_owned(), |task| task.to_string().replace('.', "_"))
}

/// `fleetmend_backup_<date>_<run>_<step>`; a step that decides again gets a number of its own.
fn backup_name(clock: ServerClock, state: &State, step: &str) -> Result<BackupName, StepFailure> {
    let date = clock.now.strftime("%Y%m%d");
    let base = format!("{BACKUP_PREFIX}{date}_{}_{step}", state.run);
    let is_taken = |text: &str| {
        let is_named = |known: &BackupName| known.as_str() == text;
        state.backups.iter().any(is_named)
            || state.earlier.iter().any(|earlier| is_named(&earlier.backup))
    };
    let text = std::iter::once(base.clone())
        .chain((2..).map(|number: u32| format!("{base}_{number}")))
        .find(|text| !is_taken(text))
        .unwrap_or(base);
    BackupName::new(&text).map_err(|error| refused(error.to_string()))
}

/// The codebases that belong to the servers, by the GUID in `Source`.
fn codebases_of_servers(
    wanted: &Wanted,
    selection: &Selection,
    before: Vec<Vec<SqlValue>>,
) -> Result<(Selection, Rows), StepFailure> {
    let columns = selection.columns.clone();
    let source = place_of(&columns, "Source")?;
    let mut values: Vec<SqlParameter> = Vec::new();
    let mut kept = Vec::new();
    for row in before {
        let cell = &row[source];
        let server = guid(cell).zip(as_parameter(cell));
        let (server, value) = server.ok_or_else(|| {
            refused(
                "SWDPackageCodebase.Source does not hold a GUID in every row of these packages, so \
                 that codebases cannot be told by server: leave `servers` out",
            )
        })?;
        if wanted.servers.contains(&server) {
            if !values.contains(&value) {
                values.push(value);
            }
            kept.push(row);
        }
    }
    let mut look = selection.clone();
    if !values.is_empty() {
        look.rows.0.push(AnyOf { column: name("Source"), values });
    }
    let effect = Effect::Removed((0..kept.len()).collect());
    Ok((look, Rows { columns, before: kept, effect }))
}

/// All but one of the rows that are the same in every column. Rows of one pair that differ are not
/// understood: which one is right is not ours to say.
fn surplus(
    selection: &Selection,
    before: Vec<Vec<SqlValue>>,
) -> Result<(Selection, Rows), StepFailure> {
    let columns = selection.columns.clone();
    let server = place_of(&columns, "PkgSvrId")?;
    let package = place_of(&columns, "PackageId")?;
    let mut first: BTreeMap<(Guid, Guid), usize> = BTreeMap::new();
    let mut gone = Vec::new();
    for (at, row) in before.iter().enumerate() {
        let pair = guid(&row[server]).zip(guid(&row[package])).ok_or_else(|| {
            refused("a row of SWDPackageServer has no GUID for server or package")
        })?;
        let Some(kept) = first.get(&pair) else {
            first.insert(pair, at);
            continue;
        };
        let twin = &before[*kept];
        let differ: Vec<&str> = columns
            .iter()
            .zip(row.iter().zip(twin))
            .filter(|(_, (a, b))| a != b)
            .map(|(column, _)| column.as_str())
            .collect();
        if !differ.is_empty() {
            return Err(refused(format!(
                "the rows of server {} and package {} differ in {}: which of them is right is not \
                 known, so that none is removed",
                pair.0,
                pair.1,
                differ.join(", ")
            )));
        }
        gone.push(at);
    }
    let rows = Rows { columns, before, effect: Effect::Removed(gone) };
    Ok((selection.clone(), rows))
}

/// The rows of packages that are another server's.
fn foreign(
    wanted: &Wanted,
    sight: &Sight,
    selection: &Selection,
    before: Vec<Vec<SqlValue>>,
) -> Result<(Selection, Rows), StepFailure> {
    let (Some(origin), Some(said)) = (&sight.origin, &wanted.origin) else {
        return Err(refused("the origins were not read"));
    };
    let local = local_id(origin, said.owner)?;
    let columns = selection.columns.clone();
    let item = place_of(&columns, "ItemGuid")?;
    let id = place_of(&columns, "OriginNSSourceNSId")?;
    let mut seen: Vec<Guid> = Vec::new();
    for row in &before {
        let package =
            guid(&row[item]).ok_or_else(|| refused("a row of ItemNSSource has no GUID"))?;
        if seen.contains(&package) {
            return Err(refused(format!("{package} has more than one row in ItemNSSource")));
        }
        seen.push(package);
    }
    if let Some(missing) = wanted.packages.iter().find(|package| !seen.contains(package)) {
        return Err(refused(format!("{missing} has no row in ItemNSSource")));
    }
    let mut changed = Vec::new();
    for row in before {
        match &row[id] {
            SqlValue::Integer(number) if *number == local => {}
            SqlValue::Integer(number) => {
                may_be_taken_over(*number, origin, said)?;
                changed.push(row);
            }
            _ => return Err(refused("ItemNSSource.OriginNSSourceNSId holds no number")),
        }
    }
    let items = changed.iter().filter_map(|row| as_parameter(&row[item])).collect();
    let mut look = selection.clone();
    look.rows = Conditions(vec![AnyOf { column: name("ItemGuid"), values: items }]);
    let effect = Effect::Set {
        column: id,
        value: SqlValue::Integer(local),
        rows: (0..changed.len()).collect(),
    };
    Ok((look, Rows { columns, before: changed, effect }))
}

/// What is run, and what takes it back.
fn statements(
    kind: RepairKind,
    look: &Selection,
    rows: &Rows,
    backup: &TableName,
) -> Result<(Vec<Bound>, Vec<Bound>), StepFailure> {
    let (from, meant, count) = (&look.from, &look.rows, rows.touched());
    let columns = &rows.columns;
    Ok(match kind {
        RepairKind::DeleteCodebases | RepairKind::DeletePackageStatus => (
            vec![back_up(columns, from, meant, backup, count), delete(from, meant, count)],
            vec![put_back(columns, from, backup, count)],
        ),
        RepairKind::RemoveDuplicates => {
            let keys = [name("PkgSvrId"), name("PackageId")];
            (
                vec![
                    back_up_surplus(columns, &keys, from, meant, backup, count),
                    delete_surplus(&keys, from, meant, count),
                ],
                vec![put_back(columns, from, backup, count)],
            )
        }
        RepairKind::SetOrigin => origin_statements(look, rows, backup)?,
    })
}

fn origin_statements(
    look: &Selection,
    rows: &Rows,
    backup: &TableName,
) -> Result<(Vec<Bound>, Vec<Bound>), StepFailure> {
    let item = place_of(&rows.columns, "ItemGuid")?;
    let id = place_of(&rows.columns, "OriginNSSourceNSId")?;
    let Effect::Set { value: SqlValue::Integer(local), .. } = &rows.effect else {
        return Err(refused("an origin is a number"));
    };
    let column = name("OriginNSSourceNSId");
    let mut by_old: BTreeMap<i64, Vec<SqlParameter>> = BTreeMap::new();
    for row in &rows.before {
        if let (SqlValue::Integer(old), Some(package)) = (&row[id], as_parameter(&row[item])) {
            by_old.entry(*old).or_default().push(package);
        }
    }
    let count = rows.touched();
    let local = SqlParameter::Integer(*local);
    let mut statements = vec![back_up(&rows.columns, &look.from, &look.rows, backup, count)];
    let mut put_back = Vec::new();
    for (old, packages) in by_old {
        let count = packages.len();
        let those = |holding: SqlParameter| {
            Conditions(vec![
                AnyOf { column: name("ItemGuid"), values: packages.clone() },
                AnyOf { column: column.clone(), values: vec![holding] },
            ])
        };
        let old = SqlParameter::Integer(old);
        let (now, then) = (those(old.clone()), those(local.clone()));
        statements.push(set(&look.from, &column, local.clone(), &now, count));
        put_back.push(set(&look.from, &column, old, &then, count));
    }
    Ok((statements, put_back))
}
