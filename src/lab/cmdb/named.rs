//! The statements with joins that are known word for word.
//!
//! This list is the lab's own: the controller's list is not used, so that a test can compare both.

mod queries;

use std::sync::OnceLock;

use super::lexer::{normal_form, tokens};
use super::named_repair;
use crate::protocol::tds::SqlType::{self, BigInt, DateTime, Guid, Int, Text};

/// A statement known word for word.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: &'static str,
    /// The T-SQL, compared in its normal form.
    pub(super) tsql: &'static str,
    /// What SQLite runs; `None` if the same text will do.
    pub(super) sqlite: Option<&'static str>,
    pub(super) columns: &'static [(&'static str, SqlType)],
    /// The types of `@P1`, `@P2`, …
    pub(super) parameters: &'static [SqlType],
}

impl Named {
    pub(super) fn sqlite(&self) -> &'static str {
        self.sqlite.unwrap_or(self.tsql)
    }
}

const NAMED: &[Named] = &[
    Named {
        name: "not_ready_packages",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       ps.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName], fs.[Name] AS [OriginServer],
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
        ],
        parameters: &[],
    },
    Named {
        name: "readiness",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], ps.[PackageId] AS [PackageGuid], ps.[Status] AS [Status],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
WHERE ps.[PkgSvrId] = @P1
ORDER BY ps.[PackageId]",
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("PackageGuid", Guid),
            ("Status", Text(64)),
            ("CurrentVersion", Text(255)),
            ("ReportedVersion", Text(255)),
        ],
        parameters: &[Guid],
    },
    Named {
        name: "package_servers",
        tsql: "\
SELECT svr.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ident.[FQDN] AS [ServerFqdn],
       agent.[Product Version] AS [AgentVersion], inv.[LastInventory] AS [LastInventory]
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
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("ServerFqdn", Text(255)),
            ("AgentVersion", Text(64)),
            ("LastInventory", DateTime),
        ],
        parameters: &[],
    },
    Named {
        name: "this_server",
        tsql: "\
SELECT vtns.[Guid] AS [ServerGuid], fs.[Name] AS [ServerName], osns.[Id] AS [ServerId]
FROM [vThisNS] vtns
LEFT JOIN [OriginNSSourceNS] osns
  ON osns.[OriginNSGuid] = vtns.[Guid] AND osns.[SourceNSGuid] = vtns.[Guid]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = vtns.[Guid]",
        sqlite: None,
        columns: &[("ServerGuid", Guid), ("ServerName", Text(255)), ("ServerId", Int)],
        parameters: &[],
    },
    Named {
        name: "event_queue",
        tsql: "SELECT COUNT_BIG(*) AS [Entries], MIN([id]) AS [OldestId] FROM [EventQueueEntry]",
        sqlite: Some("SELECT COUNT(*), MIN(id) FROM EventQueueEntry"),
        columns: &[("Entries", BigInt), ("OldestId", BigInt)],
        parameters: &[],
    },
    Named {
        name: "package_status_rows",
        tsql: "\
SELECT ps.[PkgSvrId] AS [ServerGuid], vi.[Name] AS [ServerName], ps.[PackageId] AS [PackageGuid],
       ps.[Status] AS [Status], CAST(ps.[Version] AS nvarchar(255)) AS [ReportedVersion]
FROM [SWDPackageServer] ps
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
ORDER BY ps.[PkgSvrId], ps.[PackageId]",
        sqlite: None,
        columns: &[
            ("ServerGuid", Guid),
            ("ServerName", Text(255)),
            ("PackageGuid", Guid),
            ("Status", Text(64)),
            ("ReportedVersion", Text(255)),
        ],
        parameters: &[],
    },
    Named {
        name: "offered_packages",
        tsql: "\
SELECT pack.[PackageId] AS [PackageGuid], pack.[Name] AS [PackageName],
       CAST(pack.[Package Version] AS nvarchar(255)) AS [CurrentVersion],
       osns.[OriginNSGuid] AS [OriginGuid], fs.[Name] AS [OriginServer]
FROM [SWDPackage] pack
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = pack.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
WHERE pack.[_Latest] = 1
ORDER BY pack.[Name], pack.[PackageId]",
        sqlite: None,
        columns: &[
            ("PackageGuid", Guid),
            ("PackageName", Text(255)),
            ("CurrentVersion", Text(255)),
            ("OriginGuid", Guid),
            ("OriginServer", Text(255)),
        ],
        parameters: &[],
    },
    Named {
        name: "agent_versions_in_use",
        tsql: "\
SELECT agent.[Agent Name] AS [AgentName], agent.[Product Version] AS [ProductVersion],
       COUNT_BIG(*) AS [Computers]
FROM [Inv_AeX_AC_Client_Agent] agent
GROUP BY agent.[Agent Name], agent.[Product Version]
ORDER BY agent.[Agent Name], agent.[Product Version]",
        sqlite: Some(
            "SELECT [Agent Name], [Product Version], COUNT(*) FROM Inv_AeX_AC_Client_Agent
             GROUP BY [Agent Name], [Product Version] ORDER BY [Agent Name], [Product Version]",
        ),
        columns: &[("AgentName", Text(255)), ("ProductVersion", Text(64)), ("Computers", BigInt)],
        parameters: &[],
    },
];

/// Every statement that is known word for word.
fn all() -> impl Iterator<Item = &'static Named> {
    NAMED.iter().chain(queries::NAMED).chain(named_repair::NAMED)
}

/// Finds a statement by its normal form.
pub(super) fn find(form: &str) -> Option<&'static Named> {
    static FORMS: OnceLock<Vec<String>> = OnceLock::new();
    let forms = FORMS.get_or_init(|| {
        let form = |named: &Named| {
            normal_form(&tokens(named.tsql).expect("the list holds statements that can be read"))
        };
        all().map(form).collect()
    });
    forms.iter().position(|known| known == form).and_then(|at| all().nth(at))
}

/// The name of the known statement that a T-SQL text is, whatever its layout; `None` if it is not
/// known. Plain SELECTs from one table are understood without being in this list.
pub fn recognise(tsql: &str) -> Option<&'static str> {
    find(&normal_form(&tokens(tsql).ok()?)).map(|named| named.name)
}

/// The names of all known statements.
pub fn known_statements() -> impl Iterator<Item = &'static str> {
    all().map(|named| named.name)
}

/// The T-SQL of a known statement.
#[cfg(test)]
pub(super) fn text(name: &str) -> &'static str {
    all().find(|named| named.name == name).expect("a known name").tsql
}
