//! The statements that are sent to the CMDB: constants, reading only, with parameters `@P1`, ….
//!
//! Tables and columns are those of the vendor's articles and published scripts; the types of
//! columns are nowhere published. Versions are therefore compared as text: `Version` may hold an
//! error text, and converting that to a number would fail the whole statement. No installation
//! of the product has confirmed them yet.

use crate::transport::Statement;

/// Every pair of package server and package that is not well: not `Ready`, or `Ready` with another
/// version than the current one.
///
/// After the query of KB 181405, section 1, whose beginning is missing there. Three things differ.
/// It tells rows that say `Ready` but have drifted, which the article's filter hides. Its joins
/// keep rows whose package, origin or server is gone. It names GUID and FQDN of the server, so
/// that the row can be matched to a host.
///
/// Columns: `ServerGuid`, `ServerName`, `ServerFqdn`, `PackageGuid`, `PackageName`, `OriginServer`,
/// `Status`, `CurrentVersion`, `ReportedVersion`. Only the first and `PackageGuid` are never NULL.
pub const NOT_READY_PACKAGES: Statement<'static> = Statement {
    name: "not_ready_packages",
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
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = ps.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
WHERE ps.[Status] IS NULL
   OR ps.[Status] <> 'Ready'
   OR (pack.[PackageId] IS NOT NULL
       AND (ps.[Version] IS NULL
            OR CAST(ps.[Version] AS nvarchar(255)) <> CAST(pack.[Package Version] AS nvarchar(255))))
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]",
};

/// All rows of one package server (`@P1`, `uniqueidentifier`) with the version it reported and the
/// current one, so that the caller can see for each pair that it is well.
///
/// A pair without a row is not ready; a package without a current version cannot be ready.
/// After the tables of KB 181405, section 1.
///
/// Columns: `ServerGuid`, `PackageGuid`, `Status`, `CurrentVersion`, `ReportedVersion`.
pub const READINESS: Statement<'static> = Statement {
    name: "readiness",
    text: "\
SELECT
  ps.[PkgSvrId] AS [ServerGuid],
  ps.[PackageId] AS [PackageGuid],
  ps.[Status] AS [Status],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
  CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
WHERE ps.[PkgSvrId] = @P1
ORDER BY ps.[PackageId]",
};

/// The package servers that have ever reported a package, with what the inventory knows of them.
///
/// After `vItem` of KB 181405, section 1, and the inventory classes that the CWoC scripts read; the
/// class is that of the last basic inventory. A server that never reported is only in
/// `vSiteServices`, beside task servers. The site is not told: where it is kept is not published.
///
/// Columns: `ServerGuid`, `ServerName`, `ServerFqdn`, `AgentVersion`, `LastInventory` (the server's
/// local time).
pub const PACKAGE_SERVERS: Statement<'static> = Statement {
    name: "package_servers",
    text: "\
SELECT
  svr.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  agent.[Product Version] AS [AgentVersion],
  inv.[LastInventory] AS [LastInventory]
FROM (SELECT DISTINCT [PkgSvrId] FROM [SWDPackageServer]) svr
LEFT JOIN [vItem] vi ON vi.[Guid] = svr.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = svr.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Client_Agent] agent
  ON agent.[_ResourceGuid] = svr.[PkgSvrId] AND agent.[Agent Name] = 'Altiris Agent'
LEFT JOIN (SELECT [ResourceGuid], MAX([ModifiedDate]) AS [LastInventory]
           FROM [ResourceUpdateSummary]
           WHERE [InventoryClassGuid] = '9E6F402A-6A45-4CBA-9299-C2323F73A506'
           GROUP BY [ResourceGuid]) inv ON inv.[ResourceGuid] = svr.[PkgSvrId]
ORDER BY vi.[Name], svr.[PkgSvrId]",
};

/// Which Notification Server this is, and the identifier under which its own packages are kept.
///
/// After the query for the server's identifier in KB 181405, section 1. `ServerId` is 1 where there
/// is no hierarchy, but not always.
///
/// Columns: `ServerGuid`, `ServerName`, `ServerId`.
pub const THIS_SERVER: Statement<'static> = Statement {
    name: "this_server",
    text: "\
SELECT
  vtns.[Guid] AS [ServerGuid],
  fs.[Name] AS [ServerName],
  osns.[Id] AS [ServerId]
FROM [vThisNS] vtns
LEFT JOIN [OriginNSSourceNS] osns
  ON osns.[OriginNSGuid] = vtns.[Guid] AND osns.[SourceNSGuid] = vtns.[Guid]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = vtns.[Guid]",
};

/// How many entries wait in the event queue, and the oldest one's identifier: when that stays the
/// same while entries wait, the queue stands still (KB 205352).
///
/// Columns: `Entries` and `OldestId`, which is NULL when the queue is empty.
pub const EVENT_QUEUE: Statement<'static> = Statement {
    name: "event_queue",
    text: "SELECT COUNT_BIG(*) AS [Entries], MIN([id]) AS [OldestId] FROM [EventQueueEntry]",
};

/// The rows of all pairs, well or not: what the Notification Server believes of its package
/// servers. A pair may have more than one row.
///
/// After the tables of KB 181405, section 1; the join keeps rows whose server is gone.
///
/// Columns: `ServerGuid`, `ServerName`, `PackageGuid`, `Status`, `ReportedVersion`.
pub const PACKAGE_STATUS_ROWS: Statement = Statement {
    name: "package_status_rows",
    text: "\
SELECT
  ps.[PkgSvrId] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ps.[PackageId] AS [PackageGuid],
  ps.[Status] AS [Status],
  CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
ORDER BY ps.[PkgSvrId], ps.[PackageId]",
};

/// The packages in their latest version, with the server that each comes from: compared with
/// [`THIS_SERVER`] that tells foreign ones (KB 181405, section 1).
///
/// Columns: `PackageGuid`, `PackageName`, `CurrentVersion`, `OriginGuid`, `OriginServer`; the last
/// two are NULL where the CMDB names no origin.
pub const OFFERED_PACKAGES: Statement = Statement {
    name: "offered_packages",
    text: "\
SELECT
  pack.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
  osns.[OriginNSGuid] AS [OriginGuid],
  fs.[Name] AS [OriginServer]
FROM [SWDPackage] pack
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = pack.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
WHERE pack.[_Latest] = 1
ORDER BY pack.[Name], pack.[PackageId]",
};

/// The versions of agents and plug-ins that computers report (KB 181405, section 5), each with how
/// many computers have it.
///
/// Columns: `AgentName`, `ProductVersion`, `Computers`.
pub const AGENT_VERSIONS: Statement = Statement {
    name: "agent_versions_in_use",
    text: "\
SELECT
  agent.[Agent Name] AS [AgentName],
  agent.[Product Version] AS [ProductVersion],
  COUNT_BIG(*) AS [Computers]
FROM [Inv_AeX_AC_Client_Agent] agent
GROUP BY agent.[Agent Name], agent.[Product Version]
ORDER BY agent.[Agent Name], agent.[Product Version]",
};

/// Every statement.
pub const ALL: [&Statement<'static>; 8] = [
    &NOT_READY_PACKAGES,
    &READINESS,
    &PACKAGE_SERVERS,
    &THIS_SERVER,
    &EVENT_QUEUE,
    &PACKAGE_STATUS_ROWS,
    &OFFERED_PACKAGES,
    &AGENT_VERSIONS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_one_select_that_writes_nothing() {
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
}
