//! The statements that repairs of the CMDB read by, known word for word.

use super::named::Named;
use crate::protocol::tds::SqlType::{Bit, DateTime, Guid, Int, Text};

pub(super) const NAMED: &[Named] = &[
    Named {
        name: "table_columns",
        tsql: "\
SELECT c.[COLUMN_NAME] AS [ColumnName], c.[DATA_TYPE] AS [DataType],
       COLUMNPROPERTY(OBJECT_ID(N'dbo.' + QUOTENAME(c.[TABLE_NAME])), c.[COLUMN_NAME], 'IsIdentity')
         AS [IsIdentity],
       COLUMNPROPERTY(OBJECT_ID(N'dbo.' + QUOTENAME(c.[TABLE_NAME])), c.[COLUMN_NAME], 'IsComputed')
         AS [IsComputed]
FROM [INFORMATION_SCHEMA].[COLUMNS] c
WHERE c.[TABLE_SCHEMA] = N'dbo' AND c.[TABLE_NAME] = @P1
ORDER BY c.[ORDINAL_POSITION]",
        sqlite: Some(
            "SELECT Name, DataType, IsIdentity, IsComputed FROM LabColumns
             WHERE TableName = ?1 ORDER BY Position",
        ),
        columns: &[
            ("ColumnName", Text(128)),
            ("DataType", Text(128)),
            ("IsIdentity", Int),
            ("IsComputed", Int),
        ],
        parameters: &[Text(128)],
    },
    Named {
        name: "backup_tables",
        tsql: "\
SELECT t.[TABLE_NAME] AS [TableName]
FROM [INFORMATION_SCHEMA].[TABLES] t
WHERE t.[TABLE_SCHEMA] = N'fleetmend' AND t.[TABLE_TYPE] = 'BASE TABLE'
ORDER BY t.[TABLE_NAME]",
        sqlite: Some("SELECT Name FROM LabMade ORDER BY Name"),
        columns: &[("TableName", Text(128))],
        parameters: &[],
    },
    Named {
        name: "backup_exists",
        tsql: "SELECT OBJECT_ID(@P1, N'U') AS [ObjectId]",
        sqlite: Some(
            "SELECT (SELECT rowid FROM LabMade WHERE '[fleetmend].[' || Name || ']' = ?1)",
        ),
        columns: &[("ObjectId", Int)],
        parameters: &[Text(300)],
    },
    Named {
        name: "server_clock",
        tsql: "\
SELECT GETDATE() AS [ServerTime],
       HAS_PERMS_BY_NAME(N'fleetmend', N'SCHEMA', N'SELECT') AS [SeesBackupTables]",
        sqlite: Some("SELECT Now, 1 FROM LabClock"),
        columns: &[("ServerTime", DateTime), ("SeesBackupTables", Int)],
        parameters: &[],
    },
    Named {
        name: "last_full_backup",
        tsql: "\
SELECT TOP (1) b.[name] AS [BackupName], b.[backup_finish_date] AS [FinishedAt],
       DATEDIFF(minute, b.[backup_finish_date], GETDATE()) AS [AgeMinutes],
       b.[is_copy_only] AS [IsCopyOnly]
FROM [msdb].[dbo].[backupset] b
WHERE b.[database_name] = DB_NAME() AND b.[type] = 'D' AND b.[backup_finish_date] IS NOT NULL
ORDER BY b.[backup_finish_date] DESC",
        sqlite: Some(
            "SELECT name, backup_finish_date, (Now - backup_finish_date) / 60000, is_copy_only
             FROM backupset, LabClock WHERE type = 'D' ORDER BY backup_finish_date DESC LIMIT 1",
        ),
        columns: &[
            ("BackupName", Text(128)),
            ("FinishedAt", DateTime),
            ("AgeMinutes", Int),
            ("IsCopyOnly", Bit),
        ],
        parameters: &[],
    },
    Named {
        name: "origin_of_this_server",
        tsql: "\
SELECT osns.[Id] AS [ServerId], osns.[OriginNSGuid] AS [ServerGuid]
FROM [OriginNSSourceNS] osns
JOIN [vThisNS] vtns ON vtns.[Guid] = osns.[OriginNSGuid] AND vtns.[Guid] = osns.[SourceNSGuid]",
        sqlite: None,
        columns: &[("ServerId", Int), ("ServerGuid", Guid)],
        parameters: &[],
    },
    Named {
        name: "origin_of_owner",
        tsql: "\
SELECT DISTINCT ns.[OriginNSSourceNSId] AS [ServerId], fs1.[Name] AS [SourceServer]
FROM [ItemNSSource] ns
JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
JOIN [ForwardServer] fs1 ON fs1.[Guid] = osns.[SourceNSGuid]
JOIN [ForwardServer] fs2 ON fs2.[Guid] = osns.[OriginNSGuid]
WHERE osns.[SourceNSGuid] = @P1 AND osns.[OriginNSGuid] = @P1",
        sqlite: None,
        columns: &[("ServerId", Int), ("SourceServer", Text(255))],
        parameters: &[Guid],
    },
    Named {
        name: "origin_servers",
        tsql: "\
SELECT osns.[Id] AS [OriginId], osns.[OriginNSGuid] AS [OriginGuid], fs.[Name] AS [OriginServer]
FROM [OriginNSSourceNS] osns
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
ORDER BY osns.[Id]",
        sqlite: None,
        columns: &[("OriginId", Int), ("OriginGuid", Guid), ("OriginServer", Text(255))],
        parameters: &[],
    },
    Named {
        name: "duplicate_pairs",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], ps.[PackageId] AS [PackageGuid], COUNT(*) AS [Rows]
FROM [SWDPackageServer] ps
GROUP BY ps.[PkgSvrId], ps.[PackageId]
HAVING COUNT(*) > 1
ORDER BY ps.[PkgSvrId], ps.[PackageId]",
        sqlite: None,
        columns: &[("ServerGuid", Guid), ("PackageGuid", Guid), ("Rows", Int)],
        parameters: &[],
    },
];
