//! Package servers, their agents, and the event queue.

use super::shared::{IDENTIFICATION, ITEM, SERVER_FQDN, SERVER_NAME, column};
use super::{NamedQuery, Needed, QueryColumn};
use crate::host::statements;
use crate::transport::Statement;

const SERVER_GUID: QueryColumn = column("ServerGuid", "The server.");
const AGENT: Needed = Needed {
    table: "Inv_AeX_AC_Client_Agent",
    columns: &["_ResourceGuid", "Agent Name", "Product Version"],
};

/// The package servers that ever reported a package.
pub const PACKAGE_SERVERS: NamedQuery = NamedQuery {
    statement: statements::PACKAGE_SERVERS,
    summary: "The package servers that ever reported a package.",
    doc: "\
`sources: [cmdb: package_servers]` of an inventory makes hosts of these. Where the product
keeps sites is not published, so the site is not among the columns: give a query of your
own as `cmdb: { site_query: … }`. A server that never reported is only in `vSiteServices`,
beside task servers.",
    source: "after KB 181405, section 1, and published scripts",
    parameters: &[],
    columns: &[
        SERVER_GUID,
        SERVER_NAME,
        SERVER_FQDN,
        column("AgentVersion", "The version of its Symantec Management Agent."),
        column("LastInventory", "When its basic inventory last arrived, in server time."),
    ],
    needs: &[
        Needed { table: "SWDPackageServer", columns: &["PkgSvrId"] },
        ITEM,
        IDENTIFICATION,
        AGENT,
        Needed {
            table: "ResourceUpdateSummary",
            columns: &["ResourceGuid", "InventoryClassGuid", "ModifiedDate"],
        },
    ],
};

/// The versions of all agents on package servers and the Notification Server.
pub(super) const SERVER_AGENT_VERSIONS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "server_agent_versions",
        text: "\
SELECT
  agent.[_ResourceGuid] AS [ServerGuid],
  vi.[Name] AS [ServerName],
  ident.[FQDN] AS [ServerFqdn],
  agent.[Agent Name] AS [AgentName],
  agent.[Product Version] AS [AgentVersion]
FROM [Inv_AeX_AC_Client_Agent] agent
JOIN (SELECT [PkgSvrId] AS [Guid] FROM [SWDPackageServer]
      UNION SELECT [Guid] FROM [vThisNS]) svr ON svr.[Guid] = agent.[_ResourceGuid]
LEFT JOIN [vItem] vi ON vi.[Guid] = svr.[Guid]
LEFT JOIN [Inv_AeX_AC_Identification] ident ON ident.[_ResourceGuid] = svr.[Guid]
ORDER BY vi.[Name], svr.[Guid], agent.[Agent Name]",
    },
    summary: "The versions of the agents on package servers and on the Notification Server.",
    doc: "\
They should be current, or close to it, and equal: differences can show as `Server is
busy`. The rows say what the last basic inventory said.",
    source: "after KB 181405, section 5, and published scripts",
    parameters: &[],
    columns: &[
        SERVER_GUID,
        SERVER_NAME,
        SERVER_FQDN,
        column("AgentName", "The agent or sub-agent; `Altiris Agent` is the agent itself."),
        column("AgentVersion", "Its version."),
    ],
    needs: &[
        Needed { table: "SWDPackageServer", columns: &["PkgSvrId"] },
        Needed { table: "vThisNS", columns: &["Guid"] },
        ITEM,
        IDENTIFICATION,
        AGENT,
    ],
};

/// The versions of all agents, counted.
pub(super) const AGENT_VERSIONS: NamedQuery = NamedQuery {
    statement: statements::AGENT_VERSIONS,
    summary: "The versions of agents and plug-ins, and how many computers have each.",
    doc: "\
`server_agent_versions` says the same of each package server.",
    source: "after KB 181405, section 5, and published scripts",
    parameters: &[],
    columns: &[
        column("AgentName", "The agent or sub-agent; `Altiris Agent` is the agent itself."),
        column("ProductVersion", "Its version."),
        column("Computers", "How many computers have it."),
    ],
    needs: &[Needed {
        table: "Inv_AeX_AC_Client_Agent",
        columns: &["Agent Name", "Product Version"],
    }],
};

/// On how many package servers each package is.
pub const PACKAGE_SERVER_COUNTS: NamedQuery = NamedQuery {
    statement: Statement {
        name: "package_server_counts",
        text: "\
SELECT
  [PackageId] AS [PackageGuid],
  COUNT(DISTINCT [PkgSvrId]) AS [Servers]
FROM [SWDPackageServer]
GROUP BY [PackageId]
ORDER BY [PackageId]",
    },
    summary: "On how many package servers each package is.",
    doc: "\
The traffic estimate is made of it: a package whose snapshot is built anew is downloaded
again by every one of them.",
    source: "after the tables of KB 181405, section 1",
    parameters: &[],
    columns: &[
        column("PackageGuid", "The package."),
        column("Servers", "How many package servers have a row for it."),
    ],
    needs: &[Needed { table: "SWDPackageServer", columns: &["PkgSvrId", "PackageId"] }],
};

/// The length of the event queue.
pub(super) const EVENT_QUEUE: NamedQuery = NamedQuery {
    statement: statements::EVENT_QUEUE,
    summary: "How many entries wait in the event queue, and the oldest one's identifier.",
    doc: "\
When `OldestId` stays the same while entries wait, the queue stands still. When it moves and
there are many, it is only slow: wait, since every repair adds to it.",
    source: "KB 205352; KB 181405, cause 2",
    parameters: &[],
    columns: &[
        column("Entries", "How many entries wait."),
        column("OldestId", "The identifier of the oldest; NULL when none waits."),
    ],
    needs: &[Needed { table: "EventQueueEntry", columns: &["id"] }],
};
