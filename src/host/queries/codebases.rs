//! Where clients are told to download packages from.

use super::shared::{
    FORWARD_SERVER, IDENTIFICATION, ITEM, PACKAGE_GUID, PACKAGE_NAME, SERVER_FQDN, SERVER_NAME,
    column,
};
use super::{NamedQuery, Needed, QueryColumn, QueryParameter, QueryParameterKind};
use crate::transport::Statement;

const URL: QueryColumn =
    column("Url", "The location: `http://…`, or `file://…` for a share (UNC).");

const CODEBASE_URL: Needed = Needed { table: "SWDPackageCodebase", columns: &["PackageId", "URL"] };
const PACKAGE_NAMES: Needed =
    Needed { table: "SWDPackage", columns: &["PackageId", "Name", "_Latest"] };

/// The codebases with the host that each names, as a derived table.
///
/// The host is what stands between `//` and the next `/` or `:`, with backslashes taken for
/// slashes: `http://ps01.corp.example:80/…`, `file://PS01/…`, `\\PS01\…`.
macro_rules! hosts_of_codebases {
    () => {
        "(SELECT [PackageId], [URL],
             SUBSTRING([Rest], 1, CHARINDEX('/', CONCAT(REPLACE([Rest], ':', '/'), '/')) - 1)
               AS [Host]
      FROM (SELECT [PackageId], [URL],
                   SUBSTRING([Flat], CHARINDEX('//', [Flat]) + 2, 1024) AS [Rest]
            FROM (SELECT [PackageId], [URL],
                         REPLACE(REPLACE(CAST([URL] AS nvarchar(1024)), '\\', '/'), '////', '//')
                           AS [Flat]
                  FROM [SWDPackageCodebase]) flat) rest)"
    };
}

/// All codebases of one package.
pub(super) const CODEBASES: NamedQuery = NamedQuery {
    statement: Statement {
        name: "codebases",
        text: "\
SELECT
  cb.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  cb.[URL] AS [Url],
  cb.[Source] AS [Source],
  cb.[Snapshot] AS [Snapshot]
FROM [SWDPackageCodebase] cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
WHERE cb.[PackageId] = @P1
ORDER BY cb.[URL]",
    },
    summary: "All codebases of one package.",
    doc: "\
By default each location, the Notification Server and every assigned package server, has an
HTTP and a FILE (UNC) codebase. Where one of the two is missing everywhere, the settings of
the package service may say so: that is no fault. Moving a package does not update its
codebases; updating its distribution points does.",
    source: "KB 180568, step 4",
    parameters: &[QueryParameter {
        name: "package",
        kind: QueryParameterKind::Package,
        doc: "The package, by GUID, or by a name that only one package has",
    }],
    columns: &[
        PACKAGE_GUID,
        PACKAGE_NAME,
        URL,
        column("Source", "As the product keeps it."),
        column("Snapshot", "As the product keeps it."),
    ],
    needs: &[
        Needed {
            table: "SWDPackageCodebase",
            columns: &["PackageId", "URL", "Source", "Snapshot"],
        },
        PACKAGE_NAMES,
    ],
};

/// Pairs that are `Ready` without a codebase on the server.
pub const READY_WITHOUT_CODEBASE: NamedQuery = NamedQuery {
    statement: Statement {
        name: "ready_without_codebase",
        text: concat!(
            "\
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
JOIN [SWDPackage] pack ON pack.[PackageId] = ps.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN [vItem] vi ON vi.[Guid] = ps.[PkgSvrId]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = ps.[PkgSvrId]
LEFT JOIN ",
            hosts_of_codebases!(),
            " byname
  ON byname.[PackageId] = ps.[PackageId] AND byname.[Host] = vi.[Name]
LEFT JOIN ",
            hosts_of_codebases!(),
            " byfqdn
  ON byfqdn.[PackageId] = ps.[PackageId] AND byfqdn.[Host] = ident.[FQDN]
WHERE ps.[Status] = 'Ready' AND byname.[PackageId] IS NULL AND byfqdn.[PackageId] IS NULL
ORDER BY vi.[Name], ps.[PkgSvrId], ps.[PackageId]"
        ),
    },
    summary: "Pairs that are Ready, but no codebase of the package names the server.",
    doc: "\
Clients are then not sent to that server. The server's short and its fully qualified name
are compared with the hosts in the URLs.",
    source: "after KB 180568, notes 1 and 3",
    parameters: &[],
    columns: &[
        column("ServerGuid", "The package server."),
        SERVER_NAME,
        SERVER_FQDN,
        PACKAGE_GUID,
        PACKAGE_NAME,
        column("Status", "`Ready`."),
        column("CurrentVersion", "The package's version at the Notification Server, as text."),
        column("ReportedVersion", "The version that the server last reported."),
    ],
    needs: &[
        Needed {
            table: "SWDPackageServer",
            columns: &["PkgSvrId", "PackageId", "Status", "Version"],
        },
        Needed {
            table: "SWDPackage",
            columns: &["PackageId", "Name", "Package Version", "_Latest"],
        },
        CODEBASE_URL,
        ITEM,
        IDENTIFICATION,
    ],
};

/// Codebases on hosts that the Notification Server does not know.
pub(super) const CODEBASES_OF_UNKNOWN_HOSTS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "codebases_of_unknown_hosts",
        text: concat!(
            "\
SELECT
  cb.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  cb.[URL] AS [Url],
  cb.[Host] AS [Host]
FROM ",
            hosts_of_codebases!(),
            " cb
LEFT JOIN [SWDPackage] pack ON pack.[PackageId] = cb.[PackageId] AND pack.[_Latest] = 1
LEFT JOIN (SELECT vi.[Name] AS [Host]
           FROM [vItem] vi
           JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
                 UNION SELECT [Guid] FROM [vSiteServices]
                 UNION SELECT [Guid] FROM [vThisNS]) svr ON svr.[Guid] = vi.[Guid]
           UNION
           SELECT ident.[FQDN]
           FROM [Inv_AeX_AC_Identification] ident
           JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
                 UNION SELECT [Guid] FROM [vSiteServices]
                 UNION SELECT [Guid] FROM [vThisNS]) svr
             ON svr.[Guid] = ident.[_ResourceGuid]) known ON known.[Host] = cb.[Host]
WHERE known.[Host] IS NULL
  AND NOT EXISTS (SELECT 1
                  FROM [ForwardServer] fs
                  JOIN [vThisNS] own ON own.[Guid] = fs.[Guid]
                  WHERE cb.[Host] = fs.[Name] OR cb.[Host] LIKE CONCAT(fs.[Name], '.%'))
ORDER BY cb.[Host], cb.[PackageId], cb.[URL]"
        ),
    },
    summary: "Codebases on hosts that are neither a site server nor this Notification Server.",
    doc: "\
Such a codebase sends clients to a package server that was retired or renamed, or to a
location of the package itself. A host is known by its short or fully qualified name when it
is a site server, has reported a package, or is this Notification Server.",
    source: "after KB 181405, section 2 (stale codebases), and KB 180568",
    parameters: &[],
    columns: &[PACKAGE_GUID, PACKAGE_NAME, URL, column("Host", "The host in the location.")],
    needs: &[
        Needed { table: "SWDPackageServer", columns: &["PkgSvrId"] },
        PACKAGE_NAMES,
        CODEBASE_URL,
        ITEM,
        IDENTIFICATION,
        Needed { table: "vSiteServices", columns: &["Guid"] },
        Needed { table: "vThisNS", columns: &["Guid"] },
        FORWARD_SERVER,
    ],
};
