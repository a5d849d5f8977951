//! Rows against other rows, in one transaction: the change as data, and making it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::Applied;
use super::params::{RepairKind, refused};
use super::rows::{Rows, differing, forms_of};
use crate::host::Changer;
use crate::host::cmdb_tables::{BackupName, FullBackup};
use crate::host::repair_statements::{BACKUP_EXISTS, Bound, drop_backup};
use crate::model::{FailureClass, Guid, StepFailure};
use crate::transport::{
    ChangeSql, Row, Selection, SqlParameter, SqlValue, TransportError, TransportErrorKind,
};

/// What will be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Change {
    /// Rows are repaired, and copied before.
    Repair(Exchange),
    /// Rows are put back from their copy.
    Restore(Exchange),
    /// A copy is dropped.
    Purge {
        /// The table.
        backup: BackupName,
    },
}

/// A repair with all that takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Exchange {
    /// What is repaired.
    pub(super) repair: RepairKind,
    /// The step, as in the backup table's name.
    pub(super) step: String,
    /// The packages and servers that the task named.
    pub(super) asked: (Vec<Guid>, Vec<Guid>),
    /// The rows that are looked at and held, before and after.
    pub(super) look: Selection,
    /// Those rows, and what becomes of them.
    pub(super) rows: Rows,
    /// The table that the repair makes, whose existence proves that it was committed.
    pub(super) backup: BackupName,
    /// What the repair runs.
    pub(super) statements: Vec<Bound>,
    /// What putting back runs.
    pub(super) put_back: Vec<Bound>,
    /// The preconditions as they were when this was decided.
    pub(super) checked: Checked,
}

/// Preconditions, for the plan and the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The server's local time.
    pub(super) at: Timestamp,
    /// The newest full backup.
    pub(super) backup: FullBackup,
    /// What the operator attested, one phrase each.
    pub(super) attested: Vec<String>,
}

impl Exchange {
    fn value(&self) -> serde_json::Value {
        json!({
            "rows": self.rows.touched(),
            "backup_table": self.backup.table().quoted(),
        })
    }

    fn applied(&self, note: String, was_so_already: bool) -> Applied {
        Applied { note, value: self.value(), was_so_already }
    }
}

fn drifted(text: String) -> StepFailure {
    StepFailure::new(FailureClass::Drifted, text)
}

fn conflict(text: String) -> StepFailure {
    StepFailure::new(FailureClass::RemoteFault, text)
}

/// Makes the repair: everything in one transaction, or nothing.
pub(super) async fn repair(change: &Exchange, at: &Changer<'_>) -> Result<Applied, StepFailure> {
    let count = change.rows.touched();
    let table = change.look.from.quoted();
    let mut transaction = at.change_cmdb().await?;
    if exists(transaction.as_mut(), &change.backup, at).await? {
        transaction.roll_back().await;
        let note = format!("was done already: {} exists", change.backup.as_str());
        return Ok(change.applied(note, true));
    }
    let seen = transaction.hold(&change.look, at.deadline()).await?;
    let off = differing(&forms_of(&seen, &change.rows.columns)?, &change.rows.forms_before());
    if off > 0 {
        transaction.roll_back().await;
        return Err(drifted(format!(
            "{off} rows of {table} are not as they were when this was decided; nothing was changed"
        )));
    }
    for (statement, parameters) in &change.statements {
        transaction.execute(statement, parameters, at.deadline()).await?;
    }
    let seen = transaction.hold(&change.look, at.deadline()).await?;
    let off = differing(&forms_of(&seen, &change.rows.columns)?, &change.rows.forms_after());
    if off > 0 {
        transaction.roll_back().await;
        return Err(conflict(format!(
            "{off} rows of {table} would not be as intended, a trigger perhaps; nothing was changed"
        )));
    }
    let note = format!("{count} rows of {table}, copied to {}", change.backup.table().quoted());
    match transaction.commit(at.deadline()).await {
        Ok(()) => Ok(change.applied(note, false)),
        Err(lost) if lost.kind == TransportErrorKind::InDoubt => {
            match was_committed(change, at).await {
                Some(true) => {
                    let note = format!("{note}; the answer to COMMIT was lost, the copy proves it");
                    Ok(change.applied(note, false))
                }
                Some(false) => Err(StepFailure::caused_by(
                    FailureClass::Unreachable,
                    "the connection was lost at COMMIT; nothing was changed: there is no copy",
                    &lost,
                )),
                None => Err(lost.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a repair whose answer was lost took place; none if that cannot be found out now. The
/// question waits for a transaction that is still open, so that "no" stays "no".
async fn was_committed(change: &Exchange, at: &Changer<'_>) -> Option<bool> {
    let mut transaction = at.change_cmdb().await.ok()?;
    let exists = exists(transaction.as_mut(), &change.backup, at).await.ok()?;
    transaction.roll_back().await;
    Some(exists)
}

/// Puts the rows back, if they are as the repair left them.
pub(super) async fn restore(change: &Exchange, at: &Changer<'_>) -> Result<Applied, StepFailure> {
    let table = change.look.from.quoted();
    let (before, after) = (change.rows.forms_before(), change.rows.forms_after());
    let mut transaction = at.change_cmdb().await?;
    let has_backup = exists(transaction.as_mut(), &change.backup, at).await?;
    let seen = held(transaction.as_mut(), change, at).await?;
    if seen == before {
        transaction.roll_back().await;
        return Ok(change.applied(format!("{table} is as it was before"), true));
    }
    if seen != after {
        transaction.roll_back().await;
        let off = differing(&seen, &after);
        return Err(drifted(format!(
            "{off} rows of {table} were changed since; nothing was put back, the copy stays in {}",
            change.backup.table().quoted()
        )));
    }
    if !has_backup {
        transaction.roll_back().await;
        let backup = change.backup.table().quoted();
        return Err(refused(format!("{backup} is gone; its rows cannot be put back")));
    }
    for (statement, parameters) in &change.put_back {
        transaction.execute(statement, parameters, at.deadline()).await?;
    }
    let off = differing(&held(transaction.as_mut(), change, at).await?, &before);
    if off > 0 {
        transaction.roll_back().await;
        return Err(conflict(format!(
            "{off} rows of {table} would not be as before; nothing was put back"
        )));
    }
    let note = format!("{} rows of {table} put back", change.rows.touched());
    match transaction.commit(at.deadline()).await {
        Ok(()) => Ok(change.applied(note, false)),
        Err(lost) if lost.kind == TransportErrorKind::InDoubt => {
            match is_restored(change, at).await {
                Some(true) => Ok(change.applied(note, false)),
                Some(false) => Err(StepFailure::caused_by(
                    FailureClass::Unreachable,
                    "the connection was lost at COMMIT; nothing was put back",
                    &lost,
                )),
                None => Err(lost.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether rows whose putting back was not answered are back. Reading them for an update waits for
/// a transaction that is still open.
async fn is_restored(change: &Exchange, at: &Changer<'_>) -> Option<bool> {
    let mut transaction = at.change_cmdb().await.ok()?;
    let seen = held(transaction.as_mut(), change, at).await.ok()?;
    transaction.roll_back().await;
    if seen == change.rows.forms_before() {
        return Some(true);
    }
    (seen == change.rows.forms_after()).then_some(false)
}

/// Drops a backup table.
pub(super) async fn purge(backup: &BackupName, at: &Changer<'_>) -> Result<Applied, StepFailure> {
    let table = backup.table().quoted();
    let value = json!({ "backup_table": table });
    let mut transaction = at.change_cmdb().await?;
    if !exists(transaction.as_mut(), backup, at).await? {
        transaction.roll_back().await;
        return Ok(Applied { note: format!("{table} is gone"), value, was_so_already: true });
    }
    let (statement, parameters) = drop_backup(&backup.table());
    transaction.execute(&statement, &parameters, at.deadline()).await?;
    transaction.commit(at.deadline()).await?;
    Ok(Applied { note: format!("dropped {table}"), value, was_so_already: false })
}

async fn held(
    transaction: &mut dyn ChangeSql,
    change: &Exchange,
    at: &Changer<'_>,
) -> Result<Vec<String>, StepFailure> {
    let seen: Vec<Row> = transaction.hold(&change.look, at.deadline()).await?;
    forms_of(&seen, &change.rows.columns)
}

async fn exists(
    transaction: &mut dyn ChangeSql,
    backup: &BackupName,
    at: &Changer<'_>,
) -> Result<bool, TransportError> {
    let name = SqlParameter::Text(backup.table().quoted());
    let rows = transaction.query(&BACKUP_EXISTS, &[name], at.deadline()).await?;
    Ok(rows.first().and_then(|row| row.get("ObjectId")).is_some_and(|id| *id != SqlValue::Null))
}
