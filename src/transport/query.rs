//! Named statements at a SQL Server, reading only.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Deadline, Selection, TransportError, TransportErrorKind};
use crate::model::{Guid, ReadOnlySelect};

/// A T-SQL statement with parameters `@P1`, `@P2`, …: a constant of the program, or an operator's
/// SELECT that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'t> {
    /// Its name in messages.
    pub name: &'static str,
    /// Its text.
    pub text: &'t str,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlParameter {
    /// `uniqueidentifier`.
    Guid(Guid),
    /// `nvarchar`.
    Text(String),
    /// `bigint`.
    Integer(i64),
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlValue {
    /// `NULL`.
    Null,
    /// `uniqueidentifier`.
    Guid(Guid),
    /// Any character type.
    Text(String),
    /// Any integer type.
    Integer(i64),
    /// `bit`.
    Bool(bool),
    /// `float` and `real`.
    Float(f64),
    /// `datetime` and `datetime2`, taken as UTC.
    Timestamp(jiff::Timestamp),
}

/// A row: columns by name, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row(pub Vec<(String, SqlValue)>);

impl Row {
    /// A column by name, without regard to case.
    pub fn get(&self, column: &str) -> Option<&SqlValue> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(column)).map(|(_, value)| value)
    }

    /// A text column; `None` when it is missing, NULL or no text.
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.get(column)? {
            SqlValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A GUID column; a text that is a GUID counts.
    pub fn guid(&self, column: &str) -> Option<Guid> {
        match self.get(column)? {
            SqlValue::Guid(guid) => Some(*guid),
            SqlValue::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// Reads from a SQL Server.
#[async_trait]
pub trait ReadSql: Send + Sync {
    /// Runs a statement and returns all its rows, at most 1,000,000.
    ///
    /// # Errors
    ///
    /// After a timeout or a lost connection the session is of no more use.
    async fn query(
        &self,
        statement: &Statement<'_>,
        parameters: &[SqlParameter],
        deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError>;

    /// Runs an operator's SELECT that was checked, and returns all its rows, at most 1,000,000.
    ///
    /// # Errors
    ///
    /// As [`ReadSql::query`]; refused by what knows only constant statements.
    async fn query_checked(
        &self,
        _select: &ReadOnlySelect,
        _deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let operation = "could not run the operator's query";
        Err(TransportError::new(TransportErrorKind::Refused, operation))
    }

    /// Reads rows by their keys, at most 1,000,000.
    ///
    /// # Errors
    ///
    /// As [`ReadSql::query`]; refused by what knows only constant statements.
    async fn select(
        &self,
        selection: &Selection,
        _deadline: Deadline,
    ) -> Result<Vec<Row>, TransportError> {
        let operation = format!("could not read {}", selection.from.quoted());
        Err(TransportError::new(TransportErrorKind::Refused, operation))
    }

    /// Ends the session; harmless when already ended.
    async fn close(&self);
}
