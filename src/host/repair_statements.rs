//! The statements by which repairs of the CMDB read and change: constants, and texts made of quoted
//! names and parameters.
//!
//! Nothing of a row ever becomes part of a text. After KB 181405, sections 1 and 2 and "Additional
//! Queries"; where the article truncates a table, these delete the rows that are meant, in one
//! transaction with their copy.

use crate::transport::{
    ChangeStatement, Conditions, SqlName, SqlParameter, Statement, TableName, column_list,
};

/// The schema of the backup tables. The writer owns it, so that it needs no right to make or drop
/// anything among the product's tables.
pub const BACKUP_SCHEMA: &str = "fleetmend";

/// What every backup table's name begins with.
pub const BACKUP_PREFIX: &str = "fleetmend_backup_";

/// The columns of a table of the schema `dbo` (`@P1`, its name), in their order.
///
/// Columns: `ColumnName`, `DataType`, `IsIdentity`, `IsComputed`.
pub const TABLE_COLUMNS: Statement = Statement {
    name: "table_columns",
    text: "\
SELECT
  c.[COLUMN_NAME] AS [ColumnName],
  c.[DATA_TYPE] AS [DataType],
  COLUMNPROPERTY(OBJECT_ID(N'dbo.' + QUOTENAME(c.[TABLE_NAME])), c.[COLUMN_NAME], 'IsIdentity')
    AS [IsIdentity],
  COLUMNPROPERTY(OBJECT_ID(N'dbo.' + QUOTENAME(c.[TABLE_NAME])), c.[COLUMN_NAME], 'IsComputed')
    AS [IsComputed]
FROM [INFORMATION_SCHEMA].[COLUMNS] c
WHERE c.[TABLE_SCHEMA] = N'dbo' AND c.[TABLE_NAME] = @P1
ORDER BY c.[ORDINAL_POSITION]",
};

/// The tables in the backups' schema.
///
/// Columns: `TableName`.
pub const BACKUP_TABLES: Statement = Statement {
    name: "backup_tables",
    text: "\
SELECT t.[TABLE_NAME] AS [TableName]
FROM [INFORMATION_SCHEMA].[TABLES] t
WHERE t.[TABLE_SCHEMA] = N'fleetmend' AND t.[TABLE_TYPE] = 'BASE TABLE'
ORDER BY t.[TABLE_NAME]",
};

/// Whether a table is there (`@P1`, its quoted name with the schema).
///
/// While another transaction that made it is open, this waits: so an answer of NULL means that no
/// such transaction is left that could still commit.
///
/// Columns: `ObjectId`, NULL if it is not.
pub const BACKUP_EXISTS: Statement =
    Statement { name: "backup_exists", text: "SELECT OBJECT_ID(@P1, N'U') AS [ObjectId]" };

/// The server's time, and whether this login sees the backup tables.
///
/// Columns: `ServerTime` (local), `SeesBackupTables` (1 if it does; NULL if there is no such schema).
pub const SERVER_CLOCK: Statement = Statement {
    name: "server_clock",
    text: "\
SELECT
  GETDATE() AS [ServerTime],
  HAS_PERMS_BY_NAME(N'fleetmend', N'SCHEMA', N'SELECT') AS [SeesBackupTables]",
};

/// The newest full backup of the database; no row if there is none. Its age is told by the server:
/// both times are its own local ones.
///
/// Columns: `BackupName`, `FinishedAt`, `AgeMinutes`, `IsCopyOnly`.
pub const LAST_FULL_BACKUP: Statement = Statement {
    name: "last_full_backup",
    text: "\
SELECT TOP (1)
  b.[name] AS [BackupName],
  b.[backup_finish_date] AS [FinishedAt],
  DATEDIFF(minute, b.[backup_finish_date], GETDATE()) AS [AgeMinutes],
  b.[is_copy_only] AS [IsCopyOnly]
FROM [msdb].[dbo].[backupset] b
WHERE b.[database_name] = DB_NAME() AND b.[type] = 'D' AND b.[backup_finish_date] IS NOT NULL
ORDER BY b.[backup_finish_date] DESC",
};

/// The identifier under which this server keeps its own items: the first query of KB 181405,
/// section 1. It must give one row.
///
/// Columns: `ServerId`, `ServerGuid`.
pub const ORIGIN_OF_THIS_SERVER: Statement = Statement {
    name: "origin_of_this_server",
    text: "\
SELECT osns.[Id] AS [ServerId], osns.[OriginNSGuid] AS [ServerGuid]
FROM [OriginNSSourceNS] osns
JOIN [vThisNS] vtns ON vtns.[Guid] = osns.[OriginNSGuid] AND vtns.[Guid] = osns.[SourceNSGuid]",
};

/// The same by the article's second way: of the server whose GUID (`@P1`) is `OwnerNSGuid` in
/// `CoreSettings.config`.
///
/// Columns: `ServerId`, `SourceServer`.
pub const ORIGIN_OF_OWNER: Statement = Statement {
    name: "origin_of_owner",
    text: "\
SELECT DISTINCT ns.[OriginNSSourceNSId] AS [ServerId], fs1.[Name] AS [SourceServer]
FROM [ItemNSSource] ns
JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
JOIN [ForwardServer] fs1 ON fs1.[Guid] = osns.[SourceNSGuid]
JOIN [ForwardServer] fs2 ON fs2.[Guid] = osns.[OriginNSGuid]
WHERE osns.[SourceNSGuid] = @P1 AND osns.[OriginNSGuid] = @P1",
};

/// The servers that items may come from.
///
/// Columns: `OriginId`, `OriginGuid`, `OriginServer` (NULL if its name is not known).
pub const ORIGIN_SERVERS: Statement = Statement {
    name: "origin_servers",
    text: "\
SELECT osns.[Id] AS [OriginId], osns.[OriginNSGuid] AS [OriginGuid], fs.[Name] AS [OriginServer]
FROM [OriginNSSourceNS] osns
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
ORDER BY osns.[Id]",
};

/// The pairs that have more than one row in `SWDPackageServer`.
///
/// Columns: `ServerGuid`, `PackageGuid`, `Rows`.
pub const DUPLICATE_PAIRS: Statement = Statement {
    name: "duplicate_pairs",
    text: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], ps.[PackageId] AS [PackageGuid], COUNT(*) AS [Rows]
FROM [SWDPackageServer] ps
GROUP BY ps.[PkgSvrId], ps.[PackageId]
HAVING COUNT(*) > 1
ORDER BY ps.[PkgSvrId], ps.[PackageId]",
};

/// Every constant statement; all of them only read.
pub const ALL: [&Statement; 9] = [
    &TABLE_COLUMNS,
    &BACKUP_TABLES,
    &BACKUP_EXISTS,
    &SERVER_CLOCK,
    &LAST_FULL_BACKUP,
    &ORIGIN_OF_THIS_SERVER,
    &ORIGIN_OF_OWNER,
    &ORIGIN_SERVERS,
    &DUPLICATE_PAIRS,
];

/// A statement with the values of its parameters.
pub type Bound = (ChangeStatement, Vec<SqlParameter>);

/// Throws, and so takes the transaction back, unless the statement before met that many rows.
/// `place` is the number of the parameter.
fn expecting(what: &str, place: usize) -> String {
    format!(
        "\nIF @@ROWCOUNT <> @P{place} THROW 50001, N'fleetmend: another number of rows was {what} than was read', 1;"
    )
}

fn bound(name: &str, text: String, parameters: Vec<SqlParameter>, count: usize) -> Bound {
    let mut parameters = parameters;
    parameters.push(SqlParameter::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
    (ChangeStatement { name: name.to_owned(), text }, parameters)
}

/// Copies the rows that meet the conditions into a new table: `count` rows, or nothing.
pub fn back_up(
    columns: &[SqlName],
    from: &TableName,
    rows: &Conditions,
    into: &TableName,
    count: usize,
) -> Bound {
    let parameters = rows.parameters();
    let text = format!(
        "SELECT {} INTO {} FROM {}{};{}",
        column_list(columns),
        into.quoted(),
        from.quoted(),
        rows.clause(1),
        expecting("backed up", parameters.len() + 1),
    );
    bound("back up the rows", text, parameters, count)
}

/// Deletes the rows that meet the conditions: `count` rows, or nothing.
pub fn delete(from: &TableName, rows: &Conditions, count: usize) -> Bound {
    let parameters = rows.parameters();
    let text = format!(
        "DELETE FROM {}{};{}",
        from.quoted(),
        rows.clause(1),
        expecting("deleted", parameters.len() + 1),
    );
    bound("delete the rows", text, parameters, count)
}

/// `ROW_NUMBER` of each row among those with the same keys.
fn numbered(keys: &[SqlName], from: &TableName, rows: &Conditions) -> String {
    format!(
        "ROW_NUMBER() OVER (PARTITION BY {} ORDER BY (SELECT NULL)) AS [fleetmend_number] FROM {}{}",
        column_list(keys),
        from.quoted(),
        rows.clause(1),
    )
}

/// Copies all but one of the rows with the same keys into a new table: `count` rows, or nothing.
/// Rows with the same keys must be the same in all columns; otherwise which one stays is chance.
pub fn back_up_surplus(
    columns: &[SqlName],
    keys: &[SqlName],
    from: &TableName,
    rows: &Conditions,
    into: &TableName,
    count: usize,
) -> Bound {
    let parameters = rows.parameters();
    let names = column_list(columns);
    let text = format!(
        "SELECT {names} INTO {} FROM (SELECT {names}, {}) AS [numbered] WHERE [fleetmend_number] > 1;{}",
        into.quoted(),
        numbered(keys, from, rows),
        expecting("backed up", parameters.len() + 1),
    );
    bound("back up the surplus rows", text, parameters, count)
}

/// Deletes all but one of the rows with the same keys: `count` rows, or nothing.
pub fn delete_surplus(
    keys: &[SqlName],
    from: &TableName,
    rows: &Conditions,
    count: usize,
) -> Bound {
    let parameters = rows.parameters();
    let text = format!(
        "WITH [numbered] AS (SELECT {}) DELETE FROM [numbered] WHERE [fleetmend_number] > 1;{}",
        numbered(keys, from, rows),
        expecting("deleted", parameters.len() + 1),
    );
    bound("delete the surplus rows", text, parameters, count)
}

/// Sets one column of the rows that meet the conditions: `count` rows, or nothing.
pub fn set(
    table: &TableName,
    column: &SqlName,
    value: SqlParameter,
    rows: &Conditions,
    count: usize,
) -> Bound {
    let mut parameters = vec![value];
    parameters.extend(rows.parameters());
    let text = format!(
        "UPDATE {} SET {} = @P1{};{}",
        table.quoted(),
        column.quoted(),
        rows.clause(2),
        expecting("changed", parameters.len() + 1),
    );
    bound("change the rows", text, parameters, count)
}

/// Puts the rows of a backup table back: `count` rows, or nothing.
pub fn put_back(columns: &[SqlName], into: &TableName, backup: &TableName, count: usize) -> Bound {
    let names = column_list(columns);
    let text = format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM {};{}",
        into.quoted(),
        backup.quoted(),
        expecting("put back", 1),
    );
    bound("put the rows back", text, Vec::new(), count)
}

/// Drops a backup table.
pub fn drop_backup(backup: &TableName) -> Bound {
    let text = format!("DROP TABLE {};", backup.quoted());
    (ChangeStatement { name: "drop the backup table".to_owned(), text }, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Guid;
    use crate::transport::AnyOf;

    fn name(text: &str) -> SqlName {
        SqlName::new(text).unwrap()
    }

    #[test]
    fn constant_statements_only_read() {
        for statement in ALL {
            let words: Vec<String> = statement
                .text
                .split(|c: char| !c.is_alphanumeric())
                .map(str::to_ascii_lowercase)
                .collect();
            assert_eq!(words[0], "select");
            assert!(!statement.text.contains(';'));
            for word in ["into", "insert", "update", "delete", "exec", "merge", "truncate", "drop"]
            {
                assert!(!words.iter().any(|found| found == word), "{}: {word}", statement.name);
            }
        }
    }

    #[test]
    fn every_change_asserts_its_count_by_the_last_parameter_and_none_truncates() {
        let table = TableName { schema: name("dbo"), name: name("T") };
        let backup = TableName { schema: name("fleetmend"), name: name("b") };
        let columns = [name("k"), name("a]b")];
        let keys = [name("k")];
        let rows = Conditions(vec![AnyOf {
            column: name("k"),
            values: vec![SqlParameter::Guid(Guid::from_u128(1)); 2],
        }]);

        let all = [
            back_up(&columns, &table, &rows, &backup, 7),
            delete(&table, &rows, 7),
            back_up_surplus(&columns, &keys, &table, &rows, &backup, 7),
            delete_surplus(&keys, &table, &rows, 7),
            set(&table, &name("k"), SqlParameter::Integer(1), &rows, 7),
            put_back(&columns, &table, &backup, 7),
        ];

        for (statement, parameters) in &all {
            let last = format!("@@ROWCOUNT <> @P{} THROW", parameters.len());
            assert!(statement.text.contains(&last), "{}", statement.text);
            assert_eq!(parameters.last(), Some(&SqlParameter::Integer(7)));
            assert!(!statement.text.to_lowercase().contains("truncate"));
        }
        assert_eq!(
            all[1].0.text,
            "DELETE FROM [dbo].[T] WHERE [k] IN (@P1, @P2);\nIF @@ROWCOUNT <> @P3 THROW 50001, \
             N'fleetmend: another number of rows was deleted than was read', 1;"
        );
    }
}
