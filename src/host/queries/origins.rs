//! Which Notification Server this is, and which ones packages came from.

use super::shared::{FORWARD_SERVER, ITEM_SOURCE, column};
use super::{NamedQuery, Needed, QueryColumn, QueryParameter, QueryParameterKind};
use crate::host::statements;
use crate::transport::Statement;

const SERVER_ID: QueryColumn =
    column("ServerId", "The identifier under which its own packages are kept.");
const ORIGIN: Needed =
    Needed { table: "OriginNSSourceNS", columns: &["Id", "SourceNSGuid", "OriginNSGuid"] };
const THIS_NS: Needed = Needed { table: "vThisNS", columns: &["Guid"] };

/// Which Notification Server this is.
pub(super) const THIS_SERVER: NamedQuery = NamedQuery {
    statement: statements::THIS_SERVER,
    summary: "The Notification Server itself.",
    doc: "\
One row. More than one means that the server has several identifiers, and none may be taken
for the local one.",
    source: "after KB 181405, section 1",
    parameters: &[],
    columns: &[
        column("ServerGuid", "The Notification Server."),
        column("ServerName", "Its name."),
        SERVER_ID,
    ],
    needs: &[ORIGIN, FORWARD_SERVER, THIS_NS],
};

/// The local identifier by the article's first method.
pub(super) const LOCAL_SERVER_ID: NamedQuery = NamedQuery {
    statement: Statement {
        name: "local_server_id",
        text: "\
SELECT osns.[Id] AS [ServerId]
FROM [OriginNSSourceNS] osns
JOIN [vThisNS] vtns ON vtns.[Guid] = osns.[OriginNSGuid] AND vtns.[Guid] = osns.[SourceNSGuid]",
    },
    summary: "The identifier of this Notification Server, by the article's first method.",
    doc: "\
Usually 1, but not always. Before an origin is changed exactly one row must be there, and
`local_server_id_by_owner` must say the same: expect it with `expect: { rows: 1 }`.",
    source: "KB 181405, section 1",
    parameters: &[],
    columns: &[SERVER_ID],
    needs: &[ORIGIN, THIS_NS],
};

/// The local identifier by the article's second method.
pub(super) const LOCAL_SERVER_ID_BY_OWNER: NamedQuery = NamedQuery {
    statement: Statement {
        name: "local_server_id_by_owner",
        text: "\
SELECT DISTINCT
  ns.[OriginNSSourceNSId] AS [ServerId],
  fs1.[Name] AS [SourceServer],
  osns.[SourceNSGuid] AS [SourceGuid],
  osns.[OriginNSGuid] AS [OriginGuid]
FROM [ItemNSSource] ns
JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
JOIN [ForwardServer] fs1 ON fs1.[Guid] = osns.[SourceNSGuid]
JOIN [ForwardServer] fs2 ON fs2.[Guid] = osns.[OriginNSGuid]
WHERE osns.[SourceNSGuid] = @P1 AND osns.[OriginNSGuid] = @P1",
    },
    summary: "The identifier of this Notification Server, by the article's second method.",
    doc: "\
`owner` is the value `OwnerNSGuid` of `C:\\ProgramData\\Symantec\\SMP\\Settings\\CoreSettings.config`
on the Notification Server. A server without any item of its own has no row.",
    source: "KB 181405, section 1, note",
    parameters: &[QueryParameter {
        name: "owner",
        kind: QueryParameterKind::Guid,
        doc: "The OwnerNSGuid of the Notification Server",
    }],
    columns: &[
        SERVER_ID,
        column("SourceServer", "The server's name."),
        column("SourceGuid", "The server that it was received from: itself."),
        column("OriginGuid", "The server that it came from: itself."),
    ],
    needs: &[
        Needed { table: "ItemNSSource", columns: &["OriginNSSourceNSId"] },
        ORIGIN,
        FORWARD_SERVER,
    ],
};

/// Where each package came from.
pub(super) const ORIGINS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "origins",
        text: "\
SELECT
  pack.[PackageId] AS [PackageGuid],
  pack.[Name] AS [PackageName],
  ns.[OriginNSSourceNSId] AS [OriginId],
  fs.[Name] AS [OriginServer],
  osns.[OriginNSGuid] AS [OriginGuid],
  osns.[SourceNSGuid] AS [SourceGuid],
  CASE WHEN osns.[Id] IS NULL THEN NULL WHEN own.[Guid] IS NULL THEN 0 ELSE 1 END AS [IsLocal]
FROM [SWDPackage] pack
LEFT JOIN [ItemNSSource] ns ON ns.[ItemGuid] = pack.[PackageId]
LEFT JOIN [OriginNSSourceNS] osns ON osns.[Id] = ns.[OriginNSSourceNSId]
LEFT JOIN [ForwardServer] fs ON fs.[Guid] = osns.[OriginNSGuid]
LEFT JOIN [vThisNS] own ON own.[Guid] = osns.[OriginNSGuid] AND own.[Guid] = osns.[SourceNSGuid]
WHERE pack.[_Latest] = 1
ORDER BY pack.[Name], pack.[PackageId]",
    },
    summary: "Where each package came from, and whether that is this Notification Server.",
    doc: "\
A Notification Server builds no snapshots and no codebases of packages that came from
another one: it sends its package servers there. Where the other server is a live parent,
that is as it should be, and the repair belongs there.",
    source: "after KB 181405, section 1",
    parameters: &[],
    columns: &[
        column("PackageGuid", "The package."),
        column("PackageName", "Its name."),
        column("OriginId", "The identifier of its origin."),
        column("OriginServer", "The name of the server that it came from."),
        column("OriginGuid", "The server that it came from."),
        column("SourceGuid", "The server that it was received from."),
        column("IsLocal", "1 for this Notification Server, 0 for another one, NULL when unknown."),
    ],
    needs: &[
        Needed { table: "SWDPackage", columns: &["PackageId", "Name", "_Latest"] },
        ITEM_SOURCE,
        ORIGIN,
        FORWARD_SERVER,
        THIS_NS,
    ],
};

/// The packages in their latest version.
pub(super) const OFFERED_PACKAGES: NamedQuery = NamedQuery {
    statement: statements::OFFERED_PACKAGES,
    summary: "The packages in their latest version, with the server that each comes from.",
    doc: "\
`origins` says more of where they come from.",
    source: "after KB 181405, section 1",
    parameters: &[],
    columns: &[
        column("PackageGuid", "The package."),
        column("PackageName", "Its name."),
        column("CurrentVersion", "Its version, as text."),
        column("OriginGuid", "The server that it came from."),
        column("OriginServer", "The name of that server."),
    ],
    needs: &[
        Needed {
            table: "SWDPackage",
            columns: &["PackageId", "Name", "Package Version", "_Latest"],
        },
        ITEM_SOURCE,
        Needed { table: "OriginNSSourceNS", columns: &["Id", "OriginNSGuid"] },
        FORWARD_SERVER,
    ],
};
