//! The rows that a repair meets, before and after it.

use serde::{Deserialize, Serialize};

use super::params::refused;
use crate::host::cmdb_tables::ColumnSeen;
use crate::model::{Guid, StepFailure};
use crate::transport::{Row, SqlName, SqlParameter, SqlValue};

/// The most rows that one repair reads and keeps in the journal.
pub(super) const MOST_ROWS: usize = 20_000;

/// Types whose values are read exactly and can be written back as they were.
const KEPT_EXACTLY: &[&str] = &[
    "uniqueidentifier",
    "nvarchar",
    "varchar",
    "nchar",
    "char",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "bit",
    "datetime",
    "datetime2",
    "smalldatetime",
    "date",
    "float",
    "real",
    "decimal",
    "numeric",
];

/// Rows by their columns, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows {
    /// All columns of the table.
    pub(super) columns: Vec<SqlName>,
    /// The rows before.
    pub(super) before: Vec<Vec<SqlValue>>,
    /// What becomes of them.
    pub(super) effect: Effect,
}

/// What becomes of rows; they are named by their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// These are deleted.
    Removed(Vec<usize>),
    /// These get another value in one column.
    Set {
        /// The column's place.
        column: usize,
        /// The value.
        value: SqlValue,
        /// The rows.
        rows: Vec<usize>,
    },
}

impl Rows {
    /// How many rows are deleted or changed.
    pub(super) fn touched(&self) -> usize {
        match &self.effect {
            Effect::Removed(rows) | Effect::Set { rows, .. } => rows.len(),
        }
    }

    /// The rows before, in a form and order that can be compared.
    pub(super) fn forms_before(&self) -> Vec<String> {
        forms(self.before.iter().map(Vec::as_slice))
    }

    /// The rows after.
    pub(super) fn forms_after(&self) -> Vec<String> {
        match &self.effect {
            Effect::Removed(gone) => {
                let gone: std::collections::HashSet<usize> = gone.iter().copied().collect();
                let left = self.before.iter().enumerate().filter(|(at, _)| !gone.contains(at));
                forms(left.map(|(_, row)| row.as_slice()))
            }
            Effect::Set { column, value, rows } => {
                let mut after = self.before.clone();
                for at in rows {
                    if let Some(cell) = after.get_mut(*at).and_then(|row| row.get_mut(*column)) {
                        *cell = value.clone();
                    }
                }
                forms(after.iter().map(Vec::as_slice))
            }
        }
    }
}

/// The form in which a row is compared: exactly, type by type.
fn form(cells: &[SqlValue]) -> String {
    serde_json::to_string(cells).expect("cells are plain data")
}

fn forms<'a>(rows: impl Iterator<Item = &'a [SqlValue]>) -> Vec<String> {
    let mut forms: Vec<String> = rows.map(form).collect();
    forms.sort_unstable();
    forms
}

/// The forms of rows as they were read.
pub(super) fn forms_of(rows: &[Row], columns: &[SqlName]) -> Result<Vec<String>, StepFailure> {
    let cells = cells_of(rows, columns)?;
    Ok(forms(cells.iter().map(Vec::as_slice)))
}

/// The cells of rows, in the order of the columns.
pub(super) fn cells_of(
    rows: &[Row],
    columns: &[SqlName],
) -> Result<Vec<Vec<SqlValue>>, StepFailure> {
    rows.iter()
        .map(|row| {
            let is_as_asked = row.0.len() == columns.len()
                && row.0.iter().zip(columns).all(|((name, _), column)| name == column.as_str());
            if !is_as_asked {
                return Err(refused("the CMDB answered with other columns than were asked for"));
            }
            Ok(row.0.iter().map(|(_, cell)| cell.clone()).collect())
        })
        .collect()
}

/// How many rows of two sorted lists have no twin in the other.
pub(super) fn differing(a: &[String], b: &[String]) -> usize {
    let (mut at, mut other, mut count) = (0, 0, 0);
    while at < a.len() || other < b.len() {
        match (a.get(at), b.get(other)) {
            (Some(left), Some(right)) if left == right => {
                at += 1;
                other += 1;
            }
            (Some(left), Some(right)) if left < right => {
                at += 1;
                count += 1;
            }
            (Some(_), None) => {
                at += 1;
                count += 1;
            }
            _ => {
                other += 1;
                count += 1;
            }
        }
    }
    count
}

/// The columns of a table, if the repair understands all of them: those that it needs are there,
/// and each can be read and put back exactly.
pub(super) fn understood(
    seen: &[ColumnSeen],
    table: &str,
    needed: &[&str],
) -> Result<Vec<SqlName>, StepFailure> {
    if seen.is_empty() {
        return Err(refused(format!(
            "there is no table dbo.{table}, or the login does not see it"
        )));
    }
    let missing: Vec<&str> = needed
        .iter()
        .copied()
        .filter(|name| !seen.iter().any(|column| column.name.as_str().eq_ignore_ascii_case(name)))
        .collect();
    if !missing.is_empty() {
        return Err(refused(format!("dbo.{table} has no column {}", missing.join(", "))));
    }
    let strange: Vec<String> = seen
        .iter()
        .filter_map(|column| {
            let why = if column.is_identity {
                "an identity"
            } else if column.is_computed {
                "computed"
            } else if !KEPT_EXACTLY.contains(&column.data_type.as_str()) {
                &column.data_type
            } else {
                return None;
            };
            Some(format!("{} ({why})", column.name.as_str()))
        })
        .collect();
    if !strange.is_empty() {
        return Err(refused(format!(
            "dbo.{table} has columns that could not be put back exactly: {}",
            strange.join(", ")
        )));
    }
    Ok(seen.iter().map(|column| column.name.clone()).collect())
}

/// The place of a column that is known to be there.
pub(super) fn place_of(columns: &[SqlName], name: &str) -> Result<usize, StepFailure> {
    columns
        .iter()
        .position(|column| column.as_str().eq_ignore_ascii_case(name))
        .ok_or_else(|| refused(format!("there is no column {name}")))
}

/// A GUID cell; a text that is one, with or without braces, counts.
pub(super) fn guid(cell: &SqlValue) -> Option<Guid> {
    match cell {
        SqlValue::Guid(guid) => Some(*guid),
        SqlValue::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A cell as the parameter that finds it again.
pub(super) fn as_parameter(cell: &SqlValue) -> Option<SqlParameter> {
    match cell {
        SqlValue::Guid(guid) => Some(SqlParameter::Guid(*guid)),
        SqlValue::Text(text) => Some(SqlParameter::Text(text.clone())),
        SqlValue::Integer(number) => Some(SqlParameter::Integer(*number)),
        SqlValue::Null | SqlValue::Bool(_) | SqlValue::Float(_) | SqlValue::Timestamp(_) => None,
    }
}
