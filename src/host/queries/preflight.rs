//! Whether a CMDB has what a query reads.

use std::collections::HashSet;

use super::NamedQuery;
use crate::transport::{Row, Statement, TransportError, TransportErrorKind};

/// The columns that the CMDB has of all tables and views that the queries read.
///
/// `INFORMATION_SCHEMA.COLUMNS` lists those of tables and views alike, and only what the login may
/// see. Columns: `TableName`, `ColumnName`.
pub const SCHEMA: Statement<'static> = Statement {
    name: "schema",
    text: "\
SELECT [TABLE_NAME] AS [TableName], [COLUMN_NAME] AS [ColumnName]
FROM [INFORMATION_SCHEMA].[COLUMNS]
WHERE [TABLE_NAME] IN ('EventQueueEntry', 'ForwardServer', 'Inv_AeX_AC_Client_Agent',
                       'Inv_AeX_AC_Identification', 'ItemNSSource', 'OriginNSSourceNS',
                       'ResourceUpdateSummary', 'SWDPackage', 'SWDPackageCodebase',
                       'SWDPackageServer', 'vItem', 'vSiteServices', 'vThisNS')",
};

/// What a CMDB has, as far as the queries read it. Names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema(HashSet<(String, String)>);

impl Schema {
    /// Takes the rows of [`SCHEMA`]; others are left out.
    pub fn of(rows: &[Row]) -> Self {
        let pairs = rows.iter().filter_map(|row| {
            let (table, column) = (row.text("TableName")?, row.text("ColumnName")?);
            Some((table.to_lowercase(), column.to_lowercase()))
        });
        Self(pairs.collect())
    }

    /// The columns that a query needs and the CMDB does not have, as `[table].[column]`; a table of
    /// which there is nothing is named alone.
    pub fn missing(&self, query: &NamedQuery) -> Vec<String> {
        let mut missing = Vec::new();
        for need in query.needs {
            let table = need.table.to_lowercase();
            if !self.0.iter().any(|(known, _)| *known == table) {
                missing.push(format!("[{}]", need.table));
                continue;
            }
            missing.extend(
                need.columns
                    .iter()
                    .filter(|column| !self.0.contains(&(table.clone(), column.to_lowercase())))
                    .map(|column| format!("[{}].[{column}]", need.table)),
            );
        }
        missing
    }

    /// Refuses a query that this CMDB cannot answer.
    ///
    /// # Errors
    ///
    /// [`TransportErrorKind::Refused`], with the names of what is missing; nothing was sent.
    pub(in crate::host) fn admit(
        &self,
        query: &NamedQuery,
        host: &str,
    ) -> Result<(), TransportError> {
        let missing = self.missing(query);
        if missing.is_empty() {
            return Ok(());
        }
        Err(TransportError::new(
            TransportErrorKind::Refused,
            format!(
                "could not ask the CMDB of {host} for `{}`: it has no {}, or the login may not \
                 read it",
                query.name(),
                missing.join(", ")
            ),
        ))
    }
}

/// The rows of a CMDB that has everything, for tests that answer statements themselves.
#[cfg(test)]
pub(crate) fn whole_schema() -> Vec<Row> {
    use crate::transport::SqlValue;
    let text = |text: &str| SqlValue::Text(text.to_owned());
    super::REGISTRY
        .iter()
        .flat_map(|query| query.needs)
        .flat_map(|need| need.columns.iter().map(|column| (need.table, *column)))
        .map(|(table, column)| {
            Row(vec![
                ("TableName".to_owned(), text(table)),
                ("ColumnName".to_owned(), text(column)),
            ])
        })
        .collect()
}
