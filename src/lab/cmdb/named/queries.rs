//! The queries that playbooks can name, beyond those for the work and the oracle.

use super::Named;
use crate::protocol::tds::SqlType::{self, Bit, Guid, Int, Text};

const PAIR: &[(&str, SqlType)] = &[
    ("ServerGuid", Guid),
    ("ServerName", Text(255)),
    ("ServerFqdn", Text(255)),
    ("PackageGuid", Guid),
    ("PackageName", Text(255)),
    ("OriginServer", Text(255)),
    ("Status", Text(64)),
    ("CurrentVersion", Text(255)),
    ("ReportedVersion", Text(255)),
];

const PAIR_WITHOUT_ORIGIN: &[(&str, SqlType)] = &[
    ("ServerGuid", Guid),
    ("ServerName", Text(255)),
    ("ServerFqdn", Text(255)),
    ("PackageGuid", Guid),
    ("PackageName", Text(255)),
    ("Status", Text(64)),
    ("CurrentVersion", Text(255)),
    ("ReportedVersion", Text(255)),
];

pub(super) const NAMED: &[Named] = &[
    Named {
        name: "schema",
        tsql: "\
SELECT [TABLE_NAME] AS [TableName], [COLUMN_NAME] AS [ColumnName]
FROM [INFORMATION_SCHEMA].[COLUMNS]
WHERE [TABLE_NAME] IN ('EventQueueEntry', 'ForwardServer', 'Inv_AeX_AC_Client_Agent',
  'Inv_AeX_AC_Identification', 'ItemNSSource', 'OriginNSSourceNS', 'ResourceUpdateSummary',
  'SWDPackage', 'SWDPackageCodebase', 'SWDPackageServer', 'vItem', 'vSiteServices', 'vThisNS')",
        // The lab's own tables are nobody's business.
        sqlite: Some(
            "SELECT tables.name, columns.name
             FROM sqlite_master tables JOIN pragma_table_info(tables.name) columns
             WHERE tables.type = 'table' AND tables.name NOT LIKE 'Lab%'
             ORDER BY tables.name, columns.cid",
        ),
        columns: &[("TableName", Text(128)), ("ColumnName", Text(128))],
        parameters: &[],
    },
    Named {
        name: "not_ready_as_in_article",
        tsql: "\
SELECT vi.[Name] AS 'Package Server', pack.[Name] AS 'Package Name',
       fs.Name AS [Orgination Server], ps.[Status] AS 'Status',
       pack.[Package Version] AS [Package Version on NS],
       ps.Version AS [Version Last Reported by PS], ps.[PackageId] AS 'Package Guid'
FROM SWDPackageServer ps
JOIN ItemNSSource ns ON ns.ItemGuid = ps.PackageId
JOIN OriginNSSourceNS osns ON osns.Id = ns.OriginNSSourceNSId
JOIN ForwardServer fs ON fs.Guid = osns.OriginNSGuid
JOIN vItem vi ON vi.[guid] = ps.[PkgSvrId]
JOIN SWDPackage pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
WHERE ps.[Status] != 'Ready'
ORDER BY vi.[Name], ps.[Status]",
        sqlite: None,
        columns: &[
            ("Package Server", Text(255)),
            ("Package Name", Text(255)),
            ("Orgination Server", Text(255)),
            ("Status", Text(64)),
            ("Package Version on NS", Text(64)),
            ("Version Last Reported by PS", Text(255)),
            ("Package Guid", Guid),
        ],
        parameters: &[],
    },
    Named {
        name: "not_ready_with_orphans",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], fs.[Name] AS [OriginServer],
       ps.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion],
       CASE WHEN pack.[PackageId] IS NULL AND vi.[Guid] IS NULL THEN 'no package and no server'
            WHEN pack.[PackageId] IS NULL THEN 'no package'
            WHEN vi.[Guid] IS NULL THEN 'no server' END AS [Orphan]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = ps.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
WHERE ps.[Status] IS NULL OR ps.[Status] <> 'Ready'
   OR pack.[PackageId] IS NULL OR vi.[Guid] IS NULL OR ps.[Version] IS NULL
   OR CAST(ps.[Version] AS nvarchar(255)) <> CAST(pack.[Package Version] AS nvarchar(255))
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]",
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("ServerFqdn", Text(255)),
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("OriginServer", Text(255)),
            ("Status", Text(64)),
            ("CurrentVersion", Text(255)),
            ("ReportedVersion", Text(255)),
            ("Orphan", Text(32)),
        ],
        parameters: &[],
    },
    Named {
        name: "drift",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], fs.[Name] AS [OriginServer],
       ps.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = ps.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
WHERE ps.[Status] = 'Ready'
  AND (ps.[Version] IS NULL
       OR CAST(ps.[Version] AS nvarchar(255)) <> CAST(pack.[Package Version] AS nvarchar(255)))
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]",
        sqlite: None,
        columns: PAIR,
        parameters: &[],
    },
    Named {
        name: "duplicates",
        tsql: "\
SELECT dup.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       dup.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], dup.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       dup.[ReportedVersion] AS [ReportedVersion], dup.[Copies] AS [Copies],
       dup.[Statuses] AS [Statuses], dup.[Versions] AS [Versions]
FROM (SELECT [PkgSvrId], [PackageId], COUNT(*) AS [Copies], MIN([Status]) AS [Status],
             COUNT(DISTINCT [Status]) AS [Statuses],
             MIN(CAST([Version] AS nvarchar(255))) AS [ReportedVersion],
             COUNT(DISTINCT CAST([Version] AS nvarchar(255))) AS [Versions]
      FROM [SWDPackageServer] GROUP BY [PkgSvrId], [PackageId] HAVING COUNT(*) > 1) dup
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = dup.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = dup.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = dup.[PkgSvrId]
ORDER BY vi.[Name], dup.[PkgSvrId], dup.[PackageId]",
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("ServerFqdn", Text(255)),
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("Status", Text(64)),
            ("CurrentVersion", Text(255)),
            ("ReportedVersion", Text(255)),
            ("Copies", Int),
            ("Statuses", Int),
            ("Versions", Int),
        ],
        parameters: &[],
    },
    Named {
        name: "orphans",
        tsql: "\
SELECT 'SWDPackageServer' AS [Kept],
       CASE WHEN pack.[PackageId] IS NULL AND vi.[Guid] IS NULL THEN 'no package and no server'
            WHEN pack.[PackageId] IS NULL THEN 'no package' ELSE 'no server' END AS [Orphan],
       ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName],
       CAST(ps.[Status] AS nvarchar(1024)) AS [Detail]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
WHERE pack.[PackageId] IS NULL OR vi.[Guid] IS NULL
UNION ALL
SELECT 'SWDPackageCodebase', 'no package', CAST(NULL AS uniqueidentifier),
       CAST(NULL AS nvarchar(255)), cb.[PackageId], CAST(NULL AS nvarchar(255)),
       CAST(cb.[URL] AS nvarchar(1024))
FROM [SWDPackageCodebase] cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
WHERE pack.[PackageId] IS NULL
ORDER BY [Kept], [PackageGuid], [ServerGuid], [Detail]",
        sqlite: None,
        columns: &[
            ("Kept", Text(32)),
            ("Orphan", Text(32)),
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("Detail", Text(1024)),
        ],
        parameters: &[],
    },
    Named {
        name: "packages_by_name",
        tsql: "\
SELECT pack.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion]
FROM [SWDPackage] pack WHERE pack.[_Latest] = 1 AND pack.[Name] = @P1 ORDER BY pack.[PackageId]",
        sqlite: None,
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("CurrentVersion", Text(255)),
        ],
        parameters: &[Text(255)],
    },
    Named {
        name: "package_rows",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], ps.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
WHERE ps.[PackageId] = @P1
ORDER BY vi.[Name], ps.[PkgSvrId]",
        sqlite: None,
        columns: PAIR_WITHOUT_ORIGIN,
        parameters: &[Guid],
    },
    Named {
        name: "package_row_history",
        tsql: "\
SELECT pack.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [Version], pack.[_Latest] AS [IsLatest],
       COUNT(ps.[PkgSvrId]) AS [Servers],
       SUM(CASE WHEN ps.[Status] = 'Ready' THEN 1 ELSE 0 END) AS [ReadyServers]
FROM [SWDPackage] pack
LEFT JOIN [SWDPackageServer] ps ON ps.[PackageId] = pack.[PackageId]
  AND CAST(ps.[Version] AS nvarchar(255)) = CAST(pack.[Package Version] AS nvarchar(255))
WHERE pack.[PackageId] = @P1
GROUP BY pack.[PackageId], pack.[Name], CAST(pack.[Package Version] AS nvarchar(255)),
         pack.[_Latest]
ORDER BY [Version] DESC",
        sqlite: None,
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("Version", Text(255)),
            ("IsLatest", Bit),
            ("Servers", Int),
            ("ReadyServers", Int),
        ],
        parameters: &[Guid],
    },
    Named {
        name: "codebases",
        tsql: "\
SELECT cb.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], cb.[URL] AS [Url],
       cb.[Source] AS [Source], cb.[Snapshot] AS [Snapshot]
FROM [SWDPackageCodebase] cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
WHERE cb.[PackageId] = @P1
ORDER BY cb.[URL]",
        sqlite: None,
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("Url", Text(1024)),
            ("Source", Text(255)),
            ("Snapshot", Text(1024)),
        ],
        parameters: &[Guid],
    },
    Named {
        name: "ready_without_codebase",
        tsql: r"
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], ps.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
LEFT JOIN (SELECT [PackageId], [URL],
             SUBSTRING([Rest], 1, CHARINDEX('/', CONCAT(REPLACE([Rest], ':', '/'), '/')) - 1) AS [Host]
           FROM (SELECT [PackageId], [URL], SUBSTRING([Flat], CHARINDEX('//', [Flat]) + 2, 1024) AS [Rest]
                 FROM (SELECT [PackageId], [URL],
                         REPLACE(REPLACE(CAST([URL] AS nvarchar(1024)), '\', '/'), '////', '//') AS [Flat]
                       FROM [SWDPackageCodebase]) flat) rest) byname
  ON byname.[PackageId] = ps.[PackageId] AND byname.[Host] = vi.[Name]
LEFT JOIN (SELECT [PackageId], [URL],
             SUBSTRING([Rest], 1, CHARINDEX('/', CONCAT(REPLACE([Rest], ':', '/'), '/')) - 1) AS [Host]
           FROM (SELECT [PackageId], [URL], SUBSTRING([Flat], CHARINDEX('//', [Flat]) + 2, 1024) AS [Rest]
                 FROM (SELECT [PackageId], [URL],
                         REPLACE(REPLACE(CAST([URL] AS nvarchar(1024)), '\', '/'), '////', '//') AS [Flat]
                       FROM [SWDPackageCodebase]) flat) rest) byfqdn
  ON byfqdn.[PackageId] = ps.[PackageId] AND byfqdn.[Host] = ident.[FQDN]
WHERE ps.[Status] = 'Ready' AND byname.[PackageId] IS NULL AND byfqdn.[PackageId] IS NULL
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]",
        sqlite: Some(
            r"WITH flat AS (SELECT PackageId, replace(replace(URL, '\', '/'), '////', '//') AS u
                           FROM SWDPackageCodebase),
                  rest AS (SELECT PackageId, substr(u, instr(u, '//') + 2) AS r FROM flat),
                  hosts AS (SELECT PackageId,
                              substr(r, 1, instr(replace(r, ':', '/') || '/', '/') - 1) AS h
                            FROM rest)
             SELECT ps.PkgSvrId, vi.Name, ident.FQDN, ps.PackageId, pack.Name, ps.Status,
                    pack.[Package Version], ps.Version
             FROM SWDPackageServer ps
             JOIN SWDPackage pack ON pack.PackageId = ps.PackageId AND pack._Latest = 1
             LEFT JOIN vItem vi ON vi.Guid = ps.PkgSvrId
             LEFT JOIN Inv_AeX_AC_Identification ident ON ident._ResourceGuid = ps.PkgSvrId
             WHERE ps.Status = 'Ready'
               AND (vi.Name IS NULL OR (ps.PackageId, lower(vi.Name)) NOT IN
                     (SELECT PackageId, lower(h) FROM hosts))
               AND (ident.FQDN IS NULL OR (ps.PackageId, lower(ident.FQDN)) NOT IN
                     (SELECT PackageId, lower(h) FROM hosts))
             ORDER BY vi.Name, ps.PkgSvrId, ps.PackageId",
        ),
        columns: PAIR_WITHOUT_ORIGIN,
        parameters: &[],
    },
    Named {
        name: "codebases_of_unknown_hosts",
        tsql: r"
SELECT cb.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], cb.[URL] AS [Url],
       cb.[Host] AS [Host]
FROM (SELECT [PackageId], [URL],
        SUBSTRING([Rest], 1, CHARINDEX('/', CONCAT(REPLACE([Rest], ':', '/'), '/')) - 1) AS [Host]
      FROM (SELECT [PackageId], [URL], SUBSTRING([Flat], CHARINDEX('//', [Flat]) + 2, 1024) AS [Rest]
            FROM (SELECT [PackageId], [URL],
                    REPLACE(REPLACE(CAST([URL] AS nvarchar(1024)), '\', '/'), '////', '//') AS [Flat]
                  FROM [SWDPackageCodebase]) flat) rest) cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN (SELECT vi.[Name] AS [Host] FROM [vItem] vi
           JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
                 UNION SELECT [Guid] FROM [vSiteServices]
                 UNION SELECT [Guid] FROM [vThisNS]) svr ON svr.[Guid] = vi.[Guid]
           UNION
           SELECT ident.[FQDN] FROM [Inv_AeX_AC_Identification] ident
           JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
                 UNION SELECT [Guid] FROM [vSiteServices]
                 UNION SELECT [Guid] FROM [vThisNS]) svr
             ON svr.[Guid] = ident.[_ResourceGuid]) known ON known.[Host] = cb.[Host]
WHERE known.[Host] IS NULL
  AND NOT EXISTS (SELECT 1 FROM [ForwardServer] fs JOIN [vThisNS] own ON own.[Guid] = fs.[Guid]
                  WHERE cb.[Host] = fs.[Name] OR cb.[Host] LIKE CONCAT(fs.[Name], '.%'))
ORDER BY cb.[Host], cb.[PackageId], cb.[URL]",
        sqlite: Some(
            r"WITH flat AS (SELECT PackageId, URL,
                             replace(replace(URL, '\', '/'), '////', '//') AS u
                           FROM SWDPackageCodebase),
                  rest AS (SELECT PackageId, URL, substr(u, instr(u, '//') + 2) AS r FROM flat),
                  hosts AS (SELECT PackageId, URL,
                              substr(r, 1, instr(replace(r, ':', '/') || '/', '/') - 1) AS h
                            FROM rest),
                  svr AS (SELECT PkgSvrId AS g FROM SWDPackageServer
                          UNION SELECT Guid FROM vSiteServices UNION SELECT Guid FROM vThisNS),
                  known AS (SELECT lower(Name) AS h FROM vItem JOIN svr ON g = Guid
                            UNION SELECT lower(FQDN) FROM Inv_AeX_AC_Identification
                            JOIN svr ON g = _ResourceGuid)
             SELECT cb.PackageId, pack.Name, cb.URL, cb.h
             FROM hosts cb
             LEFT JOIN SWDPackage pack ON pack.PackageId = cb.PackageId AND pack._Latest = 1
             WHERE lower(cb.h) NOT IN (SELECT h FROM known WHERE h IS NOT NULL)
               AND NOT EXISTS (SELECT 1 FROM ForwardServer fs JOIN vThisNS own ON own.Guid = fs.Guid
                               WHERE fs.Name = cb.h OR cb.h LIKE fs.Name || '.%')
             ORDER BY cb.h COLLATE NOCASE, cb.PackageId, cb.URL",
        ),
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("Url", Text(1024)),
            ("Host", Text(255)),
        ],
        parameters: &[],
    },
    Named {
        name: "local_server_id",
        tsql: "\
SELECT osns.[Id] AS [ServerId] FROM [OriginNSSourceNS] osns
JOIN [vThisNS] vtns ON vtns.[Guid] = osns.[OriginNSGuid] AND vtns.[Guid] = osns.[SourceNSGuid]",
        sqlite: None,
        columns: &[("ServerId", Int)],
        parameters: &[],
    },
    Named {
        name: "local_server_id_by_owner",
        tsql: "\
SELECT DISTINCT ns.[OriginNSSourceNSId] AS [ServerId], fs1.[Name] AS [SourceServer],
       osns.[SourceNSGuid] AS [SourceGuid], osns.[OriginNSGuid] AS [OriginGuid]
FROM [ItemNSSource] ns
JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
JOIN [ForwardServer] fs1 ON fs1.[Guid] = osns.[SourceNSGuid]
JOIN [ForwardServer] fs2 ON fs2.[Guid] = osns.[OriginNSGuid]
WHERE osns.[SourceNSGuid] = @P1 AND osns.[OriginNSGuid] = @P1",
        sqlite: None,
        columns: &[
            ("ServerId", Int),
            ("SourceServer", Text(255)),
            ("SourceGuid", Guid),
            ("OriginGuid", Guid),
        ],
        parameters: &[Guid],
    },
    Named {
        name: "origins",
        tsql: "\
SELECT pack.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName],
       ns.[OriginNSSourceNSId] AS [OriginId], fs.[Name] AS [OriginServer],
       osns.[OriginNSGuid] AS [OriginGuid], osns.[SourceNSGuid] AS [SourceGuid],
       CASE WHEN osns.[Id] IS NULL THEN NULL WHEN own.[Guid] IS NULL THEN 0 ELSE 1 END AS [IsLocal]
FROM [SWDPackage] pack
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = pack.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
LEFT JOIN [vThisNS] own ON own.[Guid] = osns.[OriginNSGuid] AND own.[Guid] = osns.[SourceNSGuid]
WHERE pack.[_Latest] = 1
ORDER BY pack.[Name], pack.[PackageId]",
        sqlite: None,
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("OriginId", Int),
            ("OriginServer", Text(255)),
            ("OriginGuid", Guid),
            ("SourceGuid", Guid),
            ("IsLocal", Int),
        ],
        parameters: &[],
    },
    Named {
        name: "server_agent_versions",
        tsql: "\
SELECT agent.[_ResourceGuid] AS [ServerGuid], vi.[Name] AS [ServerName],
       ident.[FQDN] AS [ServerFqdn], agent.[Agent Name] AS [AgentName],
       agent.[Product Version] AS [AgentVersion]
FROM [Inv_AeX_AC_Client_Agent] agent
JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
      UNION SELECT [Guid] FROM [vThisNS]) svr ON svr.[Guid] = agent.[_ResourceGuid]
LEFT JOIN [vItem] vi ON vi.[Guid] = svr.[Guid]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = svr.[Guid]
ORDER BY vi.[Name], svr.[Guid], agent.[Agent Name]",
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("ServerFqdn", Text(255)),
            ("AgentName", Text(255)),
            ("AgentVersion", Text(64)),
        ],
        parameters: &[],
    },
    Named {
        name: "package_server_counts",
        tsql: "\
SELECT [PackageId] AS [PackageGuid], COUNT(DISTINCT [PkgSvrId]) AS [Servers]
FROM [SWDPackageServer] GROUP BY [PackageId] ORDER BY [PackageId]",
        sqlite: None,
        columns: &[("PackageGuid", Guid), ("Servers", Int)],
        parameters: &[],
    },
];
