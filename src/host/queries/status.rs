//! What the Notification Server thinks of its pairs of package server and package.

use super::shared::{
    FORWARD_SERVER, IDENTIFICATION, ITEM, ITEM_SOURCE, PACKAGE_GUID, PACKAGE_NAME, SERVER_FQDN,
    SERVER_NAME, column,
};
use super::{NamedQuery, Needed, QueryColumn, QueryParameter, QueryParameterKind};
use crate::host::statements;
use crate::transport::Statement;

const SERVER_GUID: QueryColumn = column("ServerGuid", "The package server.");
const ORIGIN_SERVER: QueryColumn =
    column("OriginServer", "The Notification Server that the package came from.");
const STATUS: QueryColumn = column("Status", "The status that the Notification Server has.");
const CURRENT_VERSION: QueryColumn =
    column("CurrentVersion", "The package's version at the Notification Server, as text.");
const REPORTED_VERSION: QueryColumn =
    column("ReportedVersion", "The version that the server last reported, or an error text.");

const PAIR: [QueryColumn; 9] = [
    SERVER_GUID,
    SERVER_NAME,
    SERVER_FQDN,
    PACKAGE_GUID,
    PACKAGE_NAME,
    ORIGIN_SERVER,
    STATUS,
    CURRENT_VERSION,
    REPORTED_VERSION,
];

const PACKAGE_SERVER: Needed =
    Needed { table: "SWDPackageServer", columns: &["PkgSvrId", "PackageId", "Status", "Version"] };
const PACKAGE: Needed =
    Needed { table: "SWDPackage", columns: &["PackageId", "Name", "Package Version", "_Latest"] };
const ORIGIN: Needed = Needed { table: "OriginNSSourceNS", columns: &["Id", "OriginNSGuid"] };

const THE_PACKAGE: QueryParameter = QueryParameter {
    name: "package",
    kind: QueryParameterKind::Package,
    doc: "The package, by GUID, or by a name that only one package has",
};

/// Pairs that are not well.
pub const NOT_READY_PACKAGES: NamedQuery = NamedQuery {
    statement: statements::NOT_READY_PACKAGES,
    summary: "Every pair that is not Ready, or is Ready with another version than the current one.",
    doc: "\
This is the query by which plays find their `work`. Rows whose package, origin or server
is gone are kept, with NULL in the columns that would name them.",
    source: "after KB 181405, section 1, and KB 179719, verification 4",
    parameters: &[],
    columns: &PAIR,
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM_SOURCE, ORIGIN, FORWARD_SERVER, ITEM, IDENTIFICATION],
};

/// The article's own query.
///
/// The published text begins in the middle of its columns: the word `SELECT` is missing, and is
/// put back here. Nothing else is changed, so that it hides what the article's hides: rows whose
/// package, origin or server is gone (inner joins), rows without a status, and rows that say
/// `Ready` with another version.
pub(super) const NOT_READY_AS_IN_ARTICLE: NamedQuery = NamedQuery {
    statement: Statement {
        name: "not_ready_as_in_article",
        text: "\
SELECT
vi.[Name] AS 'Package Server'
,pack.[Name] AS 'Package Name'
,fs.Name as [Orgination Server]
,ps.[Status] AS 'Status'
,pack.[Package Version] as [Package Version on NS]
,ps.Version as [Version Last Reported by PS]
,ps.[PackageId] AS 'Package Guid'
 FROM SWDPackageServer ps
 JOIN ItemNSSource ns on ns.ItemGuid = ps.PackageId
 JOIN OriginNSSourceNS osns on osns.Id = ns.OriginNSSourceNSId
 JOIN ForwardServer fs on fs.Guid = osns.OriginNSGuid
 JOIN vItem vi
    ON vi.[guid] = ps.[PkgSvrId]
 JOIN SWDPackage pack
    ON pack.[PackageId] = ps.[PackageId]
   AND pack.[_Latest] = 1
 WHERE ps.[Status] != 'Ready'
 ORDER BY vi.[Name], ps.[Status]",
    },
    summary: "The article's own query for packages that are not Ready, for comparison.",
    doc: "\
The published text has lost its first word; `SELECT` is put back and nothing else is
changed. It hides rows whose package, origin or server is gone, rows without a status, and
rows that say Ready with another version. `not_ready_packages` shows all but the orphans
that are Ready; `not_ready_with_orphans` shows those too.",
    source: "KB 181405, section 1, with the missing SELECT restored",
    parameters: &[],
    columns: &[
        column("Package Server", "The package server's name."),
        column("Package Name", "The package's name."),
        column("Orgination Server", "Where the package came from; spelled as in the article."),
        column("Status", "The status."),
        column("Package Version on NS", "The package's version at the Notification Server."),
        column("Version Last Reported by PS", "The version reported, or an error text."),
        column("Package Guid", "The package."),
    ],
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM_SOURCE, ORIGIN, FORWARD_SERVER, ITEM],
};

/// Pairs that are not well, and those whose package or server is gone whatever their status.
pub(super) const NOT_READY_WITH_ORPHANS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "not_ready_with_orphans",
        text: "\
SELECT
  ps.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  ps.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  fs.[Name] AS [OriginServer],
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
WHERE ps.[Status] IS NULL
   OR ps.[Status] <> 'Ready'
   OR pack.[PackageId] IS NULL
   OR vi.[Guid] IS NULL
   OR ps.[Version] IS NULL
   OR CAST(ps.[Version] AS nvarchar(255)) <> CAST(pack.[Package Version] AS nvarchar(255))
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]",
    },
    summary: "The pairs of `not_ready_packages`, and every orphan, Ready or not.",
    doc: "\
An orphan is a row whose package has no current version any more, or whose server is no
item any more. The article's inner joins drop them silently.",
    source: "after KB 181405, section 1",
    parameters: &[],
    columns: &[
        SERVER_GUID,
        SERVER_NAME,
        SERVER_FQDN,
        PACKAGE_GUID,
        PACKAGE_NAME,
        ORIGIN_SERVER,
        STATUS,
        CURRENT_VERSION,
        REPORTED_VERSION,
        column("Orphan", "What is gone: `no package`, `no server`, both, or NULL."),
    ],
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM_SOURCE, ORIGIN, FORWARD_SERVER, ITEM, IDENTIFICATION],
};

/// Pairs that say `Ready` and are not.
pub const DRIFT: NamedQuery = NamedQuery {
    statement: Statement {
        name: "drift",
        text: "\
SELECT
  ps.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  ps.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  fs.[Name] AS [OriginServer],
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
    },
    summary: "Pairs that say Ready with another version than the current one.",
    doc: "\
The console shows such a package as well, and the article's filter on the status hides it.
Versions are compared as text, since the column may hold an error text.",
    source: "after KB 181405, cause 1",
    parameters: &[],
    columns: &PAIR,
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM_SOURCE, ORIGIN, FORWARD_SERVER, ITEM, IDENTIFICATION],
};

/// Pairs with more than one row.
pub const DUPLICATES: NamedQuery = NamedQuery {
    statement: Statement {
        name: "duplicates",
        text: "\
SELECT
  dup.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  dup.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  dup.[Status] AS [Status],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
  dup.[ReportedVersion] AS [ReportedVersion],
  dup.[Copies] AS [Copies],
  dup.[Statuses] AS [Statuses],
  dup.[Versions] AS [Versions]
FROM (SELECT [PkgSvrId], [PackageId], COUNT(*) AS [Copies], MIN([Status]) AS [Status],
             COUNT(DISTINCT [Status]) AS [Statuses],
             MIN(CAST([Version] AS nvarchar(255))) AS [ReportedVersion],
             COUNT(DISTINCT CAST([Version] AS nvarchar(255))) AS [Versions]
      FROM [SWDPackageServer]
      GROUP BY [PkgSvrId], [PackageId]
      HAVING COUNT(*) > 1) dup
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = dup.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = dup.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = dup.[PkgSvrId]
ORDER BY vi.[Name], dup.[PkgSvrId], dup.[PackageId]",
    },
    summary: "Pairs that have more than one row.",
    doc: "\
Each package belongs once to each package server. Where `Statuses` or `Versions` is above 1
the rows differ, so that `SELECT DISTINCT` of the article keeps more than one of them.",
    source: "after KB 181405, section 2, step 4, and its additional queries",
    parameters: &[],
    columns: &[
        SERVER_GUID,
        SERVER_NAME,
        SERVER_FQDN,
        PACKAGE_GUID,
        PACKAGE_NAME,
        column("Status", "The first of its statuses by alphabet."),
        CURRENT_VERSION,
        column("ReportedVersion", "The first of the reported versions by alphabet."),
        column("Copies", "How many rows there are."),
        column("Statuses", "How many different statuses they have; NULL is not counted."),
        column("Versions", "How many different versions they have; NULL is not counted."),
    ],
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM, IDENTIFICATION],
};

/// Rows of which something is gone.
pub(super) const ORPHANS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "orphans",
        text: "\
SELECT
  'SWDPackageServer' AS [Kept],
  CASE WHEN pack.[PackageId] IS NULL AND vi.[Guid] IS NULL THEN 'no package and no server'
       WHEN pack.[PackageId] IS NULL THEN 'no package'
       ELSE 'no server' END AS [Orphan],
  ps.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ps.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  CAST(ps.[Status] AS nvarchar(1024)) AS [Detail]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
WHERE pack.[PackageId] IS NULL OR vi.[Guid] IS NULL
UNION ALL
SELECT
  'SWDPackageCodebase',
  'no package',
  CAST(NULL AS uniqueidentifier),
  CAST(NULL AS nvarchar(255)),
  cb.[PackageId],
  CAST(NULL AS nvarchar(255)),
  CAST(cb.[URL] AS nvarchar(1024))
FROM [SWDPackageCodebase] cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
WHERE pack.[PackageId] IS NULL
ORDER BY [Kept], [PackageGuid], [ServerGuid], [Detail]",
    },
    summary: "Rows of packages or package servers that are gone.",
    doc: "\
Rows of `SWDPackageServer` whose package has no current version or whose server is no item
any more, and codebases of packages without a current version. A package that was only
just deleted may have some until the Notification Server's own maintenance has run.",
    source: "after the tables of KB 181405, section 2, and KB 180568",
    parameters: &[],
    columns: &[
        column("Kept", "The table that has the row."),
        column("Orphan", "What is gone: `no package`, `no server`, or both."),
        SERVER_GUID,
        SERVER_NAME,
        PACKAGE_GUID,
        PACKAGE_NAME,
        column("Detail", "The row's status, or its URL."),
    ],
    needs: &[
        Needed { table: "SWDPackageServer", columns: &["PkgSvrId", "PackageId", "Status"] },
        Needed { table: "SWDPackage", columns: &["PackageId", "Name", "_Latest"] },
        Needed { table: "SWDPackageCodebase", columns: &["PackageId", "URL"] },
        ITEM,
    ],
};

/// All rows of one package server.
pub const READINESS: NamedQuery = NamedQuery {
    statement: statements::READINESS,
    summary: "All pairs of one package server, well or not.",
    doc: "\
This is the query by which the oracle sees for each pair of the work that it is well. A
pair without a row is not.",
    source: "after the tables of KB 181405, section 1",
    parameters: &[QueryParameter {
        name: "server",
        kind: QueryParameterKind::Server,
        doc: "The package server; the host itself when not given",
    }],
    columns: &[SERVER_GUID, PACKAGE_GUID, STATUS, CURRENT_VERSION, REPORTED_VERSION],
    needs: &[
        PACKAGE_SERVER,
        Needed { table: "SWDPackage", columns: &["PackageId", "Package Version", "_Latest"] },
    ],
};

/// Packages of one name.
pub const PACKAGES_BY_NAME: NamedQuery = NamedQuery {
    statement: Statement {
        name: "packages_by_name",
        text: "\
SELECT
  pack.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion]
FROM [SWDPackage] pack
WHERE pack.[_Latest] = 1 AND pack.[Name] = @P1
ORDER BY pack.[PackageId]",
    },
    summary: "The packages of one name, for their GUIDs.",
    doc: "\
Where another query takes a package, its name may be given as well. It is looked up by
this query, and refused when several packages have it.",
    source: "after KB 180568, steps 1 and 2, which read the GUID in the console",
    parameters: &[QueryParameter {
        name: "name",
        kind: QueryParameterKind::Text,
        doc: "The whole name",
    }],
    columns: &[PACKAGE_GUID, PACKAGE_NAME, CURRENT_VERSION],
    needs: &[PACKAGE],
};

/// All rows of one package.
pub(super) const PACKAGE_ROWS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "package_rows",
        text: "\
SELECT
  ps.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  ps.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  ps.[Status] AS [Status],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
  CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
WHERE ps.[PackageId] = @P1
ORDER BY vi.[Name], ps.[PkgSvrId]",
    },
    summary: "All pairs of one package, well or not.",
    doc: "\
When a package is bad on every server, look at the Notification Server and the package; when
a server is bad for every package, look at the server.",
    source: "after the tables of KB 181405, section 1",
    parameters: &[THE_PACKAGE],
    columns: &[
        SERVER_GUID,
        SERVER_NAME,
        SERVER_FQDN,
        PACKAGE_GUID,
        PACKAGE_NAME,
        STATUS,
        CURRENT_VERSION,
        REPORTED_VERSION,
    ],
    needs: &[PACKAGE_SERVER, PACKAGE, ITEM, IDENTIFICATION],
};

/// The versions that the CMDB still has of a package.
pub(super) const PACKAGE_ROW_HISTORY: NamedQuery = NamedQuery {
    statement: Statement {
        name: "package_row_history",
        text: "\
SELECT
  pack.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [Version],
  pack.[_Latest] AS [IsLatest],
  COUNT(ps.[PkgSvrId]) AS [Servers],
  SUM(CASE WHEN ps.[Status] = 'Ready' THEN 1 ELSE 0 END) AS [ReadyServers]
FROM [SWDPackage] pack
LEFT JOIN [SWDPackageServer] ps
  ON ps.[PackageId] = pack.[PackageId]
  AND CAST(ps.[Version] AS nvarchar(255)) = CAST(pack.[Package Version] AS nvarchar(255))
WHERE pack.[PackageId] = @P1
GROUP BY pack.[PackageId], pack.[Name], CAST(pack.[Package Version] AS nvarchar(255)),
         pack.[_Latest]
ORDER BY [Version] DESC",
    },
    summary: "The versions that the CMDB has of one package, and how many servers report each.",
    doc: "\
A version is the moment of its snapshot as seconds since 1970, so the list shows how often
the package was built anew. The CMDB keeps no earlier states of a pair: those are in the
values that `package_rows` left in the journals of earlier runs (`fleetmend show RUN
--json`).",
    source: "after SWDPackage and its column _Latest in KB 181405, section 1",
    parameters: &[THE_PACKAGE],
    columns: &[
        PACKAGE_GUID,
        PACKAGE_NAME,
        column("Version", "The version."),
        column("IsLatest", "Whether it is the current one."),
        column("Servers", "How many rows report it."),
        column("ReadyServers", "How many of these are Ready."),
    ],
    needs: &[PACKAGE_SERVER, PACKAGE],
};

/// The rows of all pairs.
pub(super) const PACKAGE_STATUS_ROWS: NamedQuery = NamedQuery {
    statement: statements::PACKAGE_STATUS_ROWS,
    summary: "All pairs of all package servers, well or not.",
    doc: "\
This is what a diagnosis compares with the servers' own lists and disks.",
    source: "after the tables of KB 181405, section 1",
    parameters: &[],
    columns: &[SERVER_GUID, SERVER_NAME, PACKAGE_GUID, STATUS, REPORTED_VERSION],
    needs: &[PACKAGE_SERVER, ITEM],
};
