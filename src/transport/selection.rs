//! SELECTs of rows by their keys, made from parts that cannot write.
//!
//! The columns of the product's tables are nowhere published, so they are asked for and named; a
//! constant text cannot do that. Names are quoted, values are parameters.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::SqlParameter;

/// The longest identifier of SQL Server, in UTF-16 units.
const LONGEST_NAME: usize = 128;

/// A name of a table, schema or column; quoted wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SqlName(String);

/// A text that names nothing in a database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no name of SQL Server: 1 to 128 characters, none of them a control character")]
pub struct SqlNameError {
    /// The text.
    pub text: String,
}

impl SqlName {
    /// Takes a name as the catalogue tells it.
    ///
    /// # Errors
    ///
    /// It is empty, too long, or holds a control character.
    pub fn new(text: &str) -> Result<Self, SqlNameError> {
        let units = text.encode_utf16().count();
        if units == 0 || units > LONGEST_NAME || text.chars().any(char::is_control) {
            return Err(SqlNameError { text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in brackets, a closing one in it doubled: `[a]]b]` for `a]b`.
    pub fn quoted(&self) -> String {
        format!("[{}]", self.0.replace(']', "]]"))
    }
}

impl TryFrom<String> for SqlName {
    type Error = SqlNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<SqlName> for String {
    fn from(name: SqlName) -> Self {
        name.0
    }
}

/// A table with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: SqlName,
    /// The table.
    pub name: SqlName,
}

impl TableName {
    /// Both names in brackets: `[dbo].[SWDPackageServer]`.
    pub fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.name.quoted())
    }
}

/// A column holds one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnyOf {
    /// The column.
    pub column: SqlName,
    /// The values, at least one.
    pub values: Vec<SqlParameter>,
}

/// Which rows: those that meet all conditions; all rows if there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(pub Vec<AnyOf>);

impl Conditions {
    /// ` WHERE [a] IN (@P1, @P2) AND …`, or nothing; the first parameter has the number `first`.
    pub fn clause(&self, first: usize) -> String {
        let mut text = String::new();
        let mut number = first;
        for (place, condition) in self.0.iter().enumerate() {
            text.push_str(if place == 0 { " WHERE " } else { " AND " });
            text.push_str(&condition.column.quoted());
            text.push_str(" IN (");
            for value in 0..condition.values.len() {
                let comma = if value == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{comma}@P{number}");
                number += 1;
            }
            text.push(')');
        }
        text
    }

    /// The parameters, in the order of their numbers.
    pub fn parameters(&self) -> Vec<SqlParameter> {
        self.0.iter().flat_map(|condition| condition.values.iter().cloned()).collect()
    }
}

/// A SELECT of columns by name from one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The columns, at least one.
    pub columns: Vec<SqlName>,
    /// The table.
    pub from: TableName,
    /// Which rows.
    pub rows: Conditions,
}

/// Whether a SELECT keeps others from changing what it saw, until its transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It does not.
    Nothing,
    /// Rows that it saw stay, and none is added among them.
    UntilTheEnd,
}

impl Selection {
    /// The columns' names in brackets, joined by commas.
    pub fn column_list(&self) -> String {
        column_list(&self.columns)
    }

    /// The statement.
    pub fn text(&self, hold: Hold) -> String {
        let hint = match hold {
            Hold::Nothing => "",
            Hold::UntilTheEnd => " WITH (UPDLOCK, HOLDLOCK)",
        };
        let (columns, table) = (self.column_list(), self.from.quoted());
        format!("SELECT {columns} FROM {table}{hint}{}", self.rows.clause(1))
    }
}

/// Names in brackets, joined by commas.
pub fn column_list(columns: &[SqlName]) -> String {
    columns.iter().map(SqlName::quoted).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Guid;

    fn name(text: &str) -> SqlName {
        SqlName::new(text).unwrap()
    }

    #[test]
    fn names_cannot_leave_their_brackets_and_values_are_never_in_the_text() {
        let selection = Selection {
            columns: vec![name("a]; DROP TABLE x--"), name("b")],
            from: TableName { schema: name("dbo"), name: name("T") },
            rows: Conditions(vec![
                AnyOf {
                    column: name("k"),
                    values: vec![
                        SqlParameter::Guid(Guid::from_u128(1)),
                        SqlParameter::Text("' OR 1=1 --".to_owned()),
                    ],
                },
                AnyOf { column: name("n"), values: vec![SqlParameter::Integer(7)] },
            ]),
        };

        assert_eq!(
            selection.text(Hold::Nothing),
            "SELECT [a]]; DROP TABLE x--], [b] FROM [dbo].[T] WHERE [k] IN (@P1, @P2) AND [n] IN (@P3)"
        );
        assert_eq!(selection.rows.parameters().len(), 3);
    }

    #[test]
    fn a_name_is_bounded_and_has_no_control_characters() {
        assert!(SqlName::new(&"x".repeat(128)).is_ok());
        for text in ["", "a\0b", "a\nb", &"x".repeat(129)] {
            assert!(SqlName::new(text).is_err(), "{text:?}");
        }
    }
}
