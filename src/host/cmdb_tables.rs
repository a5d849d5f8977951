//! What a repair of the CMDB must know of the database, as types.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Reader;
use super::repair_statements::{
    BACKUP_PREFIX, BACKUP_SCHEMA, BACKUP_TABLES, LAST_FULL_BACKUP, SERVER_CLOCK, TABLE_COLUMNS,
};
use crate::model::{FailureClass, StepFailure};
use crate::transport::{Row, SqlName, SqlParameter, SqlValue, TableName};

/// A column as the catalogue tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSeen {
    /// Its name.
    pub name: SqlName,
    /// Its type: `nvarchar`, `uniqueidentifier`, ….
    pub data_type: String,
    /// Whether the server numbers it.
    pub is_identity: bool,
    /// Whether the server computes it.
    pub is_computed: bool,
}

/// A full backup of the database, from `msdb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullBackup {
    /// Its name; none if it has none.
    pub name: Option<String>,
    /// When it ended, in the server's local time.
    pub finished: Timestamp,
    /// How many minutes ago that was.
    pub age_minutes: u64,
    /// Whether it stands beside the usual chain of backups.
    pub is_copy_only: bool,
}

/// The server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerClock {
    /// Its local time.
    pub now: Timestamp,
    /// Whether the login that reads sees the backup tables.
    pub sees_backup_tables: bool,
}

/// The name of a backup table: `fleetmend_backup_<date>_<run>_<step>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupName(SqlName);

/// A text that is no name of a backup table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no name of a backup table: {BACKUP_PREFIX} and lower-case letters, digits and _"
)]
pub struct BackupNameError {
    /// The text.
    pub text: String,
}

impl BackupName {
    /// Takes a name.
    ///
    /// # Errors
    ///
    /// It does not begin as backup tables do, or holds something else than letters, digits and `_`.
    pub fn new(text: &str) -> Result<Self, BackupNameError> {
        let is_plain = text.strip_prefix(BACKUP_PREFIX).is_some_and(|rest| {
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            !rest.is_empty() && rest.bytes().all(is_plain)
        });
        let error = || BackupNameError { text: text.to_owned() };
        let name = SqlName::new(text).map_err(|_| error())?;
        if is_plain { Ok(Self(name)) } else { Err(error()) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The table.
    pub fn table(&self) -> TableName {
        let schema = SqlName::new(BACKUP_SCHEMA).expect("a constant name");
        TableName { schema, name: self.0.clone() }
    }
}

impl TryFrom<String> for BackupName {
    type Error = BackupNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.0.into()
    }
}

/// The columns of a table of `dbo`, in their order; none if there is no such table.
///
/// # Errors
///
/// The CMDB could not be asked, or a column has a name that cannot be written.
pub async fn table_columns(at: &Reader<'_>, table: &str) -> Result<Vec<ColumnSeen>, StepFailure> {
    let rows = at.query(&TABLE_COLUMNS, &[SqlParameter::Text(table.to_owned())]).await?;
    rows.iter()
        .map(|row| {
            let name = row.text("ColumnName").unwrap_or_default();
            let name = SqlName::new(name)
                .map_err(|error| StepFailure::from_error(FailureClass::Refused, &error))?;
            Ok(ColumnSeen {
                name,
                data_type: row.text("DataType").unwrap_or_default().to_lowercase(),
                is_identity: integer(row, "IsIdentity") == Some(1),
                is_computed: integer(row, "IsComputed") == Some(1),
            })
        })
        .collect()
}

/// The names of the backup tables that are there.
///
/// # Errors
///
/// The CMDB could not be asked.
pub async fn backup_tables(at: &Reader<'_>) -> Result<Vec<BackupName>, StepFailure> {
    let rows = at.query(&BACKUP_TABLES, &[]).await?;
    // Somebody else's tables in that schema are none of ours.
    Ok(rows.iter().filter_map(|row| BackupName::new(row.text("TableName")?).ok()).collect())
}

/// The server's clock.
///
/// # Errors
///
/// The CMDB could not be asked.
pub async fn server_clock(at: &Reader<'_>) -> Result<ServerClock, StepFailure> {
    let rows = at.query(&SERVER_CLOCK, &[]).await?;
    let now = rows.first().and_then(|row| moment(row, "ServerTime"));
    let now = now.ok_or_else(|| strange("the server does not tell its time"))?;
    let sees = rows.first().and_then(|row| integer(row, "SeesBackupTables"));
    Ok(ServerClock { now, sees_backup_tables: sees == Some(1) })
}

/// The newest full backup of the database; none if `msdb` knows of none.
///
/// # Errors
///
/// The CMDB could not be asked: the login may not read `msdb.dbo.backupset`, for one.
pub async fn last_full_backup(at: &Reader<'_>) -> Result<Option<FullBackup>, StepFailure> {
    let rows = at.query(&LAST_FULL_BACKUP, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let finished = moment(row, "FinishedAt").ok_or_else(|| strange("a backup without its time"))?;
    let age = integer(row, "AgeMinutes").ok_or_else(|| strange("a backup without its age"))?;
    Ok(Some(FullBackup {
        name: row.text("BackupName").map(str::to_owned),
        finished,
        // One that ended in the future, by a clock that was set back, is as good as new.
        age_minutes: u64::try_from(age).unwrap_or(0),
        is_copy_only: matches!(
            row.get("IsCopyOnly"),
            Some(SqlValue::Bool(true) | SqlValue::Integer(1))
        ),
    }))
}

/// An integer column.
pub fn integer(row: &Row, column: &str) -> Option<i64> {
    match row.get(column)? {
        SqlValue::Integer(number) => Some(*number),
        SqlValue::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

fn moment(row: &Row, column: &str) -> Option<Timestamp> {
    match row.get(column)? {
        SqlValue::Timestamp(moment) => Some(*moment),
        _ => None,
    }
}

fn strange(what: &str) -> StepFailure {
    StepFailure::new(FailureClass::RemoteFault, format!("the CMDB gave a strange answer: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_plain_names_name_backup_tables() {
        assert!(BackupName::new("fleetmend_backup_20261121_0a1b2c3d_1_2").is_ok());
        for text in [
            "",
            "SWDPackageServer",
            "fleetmend_backup_",
            "fleetmend_backup_x]; DROP TABLE y--",
            "fleetmend_backup_X",
            &format!("fleetmend_backup_{}", "1".repeat(120)),
        ] {
            assert!(BackupName::new(text).is_err(), "{text}");
        }
    }
}
