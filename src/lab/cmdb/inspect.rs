//! What clients left in the simulated CMDB: for the world, which goes on from there, and for tests.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::types::ValueRef;

use super::database::{Cmdb, CmdbError, PackageServerRow, failed};
use crate::model::Guid;

/// A row as text: its cells, each told from any other value, joined by `|`.
pub(super) fn row_text(row: &rusqlite::Row<'_>, width: usize) -> rusqlite::Result<String> {
    let cells = (0..width).map(|at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            other => format!("{other:?}"),
        })
    });
    Ok(cells.collect::<rusqlite::Result<Vec<String>>>()?.join("|"))
}

impl Cmdb {
    /// The names of the tables that clients made, in order.
    pub fn made_tables(&self) -> Result<Vec<String>, CmdbError> {
        const DOING: &str = "list the tables that were made";
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT Name FROM LabMade ORDER BY Name").map_err(failed(DOING))?;
        let names = statement.query_map([], |row| row.get(0)).map_err(failed(DOING))?;
        names.collect::<Result<_, _>>().map_err(failed(DOING))
    }

    /// The rows of a table as text, in an order of their own: what a test compares.
    pub fn dump(&self, table: &str) -> Result<Vec<String>, CmdbError> {
        const DOING: &str = "read a table";
        let connection = self.connection();
        let quoted = table.replace(']', "");
        let mut statement =
            connection.prepare(&format!("SELECT * FROM [{quoted}]")).map_err(failed(DOING))?;
        let width = statement.column_count();
        let rows = statement.query_map([], |row| row_text(row, width)).map_err(failed(DOING))?;
        let mut rows: Vec<String> = rows.collect::<Result<_, _>>().map_err(failed(DOING))?;
        rows.sort_unstable();
        Ok(rows)
    }

    /// A number that stands for the rows of a table, whatever their order.
    pub fn fingerprint(&self, table: &str) -> Result<u64, CmdbError> {
        const DOING: &str = "read a table";
        let connection = self.connection();
        let quoted = table.replace(']', "");
        let mut statement = connection
            .prepare_cached(&format!("SELECT * FROM [{quoted}]"))
            .map_err(failed(DOING))?;
        let width = statement.column_count();
        let mut rows = statement.query([]).map_err(failed(DOING))?;
        let mut sum = 0_u64;
        while let Some(row) = rows.next().map_err(failed(DOING))? {
            let mut hash = DefaultHasher::new();
            for at in 0..width {
                match row.get_ref(at).map_err(failed(DOING))? {
                    ValueRef::Null => hash.write_u8(0),
                    ValueRef::Integer(number) => hash.write_i64(number),
                    ValueRef::Real(number) => hash.write_u64(number.to_bits()),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut hash),
                }
            }
            sum = sum.wrapping_add(hash.finish());
        }
        Ok(sum)
    }

    /// All rows of `SWDPackageServer` if a client committed changes since this was last asked.
    pub fn take_changed_rows(&self) -> Result<Option<Vec<PackageServerRow>>, CmdbError> {
        const DOING: &str = "read the status of packages";
        if !self.take_change() {
            return Ok(None);
        }
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT PkgSvrId, PackageId, Status, Version FROM SWDPackageServer")
            .map_err(failed(DOING))?;
        let rows = statement
            .query_map([], |row| {
                let guid = |at: usize| -> Result<Guid, rusqlite::Error> {
                    row.get::<_, String>(at)?.parse().map_err(|error| {
                        let kind = rusqlite::types::Type::Text;
                        rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
                    })
                };
                Ok(PackageServerRow {
                    server: guid(0)?,
                    package: guid(1)?,
                    status: row.get(2)?,
                    version: row.get(3)?,
                })
            })
            .map_err(failed(DOING))?;
        rows.collect::<Result<_, _>>().map(Some).map_err(failed(DOING))
    }
}
