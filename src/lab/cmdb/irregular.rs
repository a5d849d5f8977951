//! What the simulated world writes beyond the ordinary: second rows, versions, sites, identifiers of the
//! queue.

use rusqlite::params;

use super::database::{Cmdb, CmdbError, MAX_QUEUE, failed};
use crate::model::Guid;

/// The agent's name in the inventory of agents, as published scripts have it.
const AGENT: &str = "Altiris Agent";
/// The plug-in's name there. It is not published: the lab's own choice.
const PLUGIN: &str = "Altiris Package Server Agent";

impl Cmdb {
    /// Adds a row for a pair that has one already.
    pub fn add_second_row(
        &self,
        server: Guid,
        package: Guid,
        status: &str,
        version: &str,
    ) -> Result<(), CmdbError> {
        self.connection()
            .execute(
                "INSERT INTO SWDPackageServer VALUES (?1, ?2, ?3, ?4)",
                params![server.bare(), package.bare(), status, version],
            )
            .map(drop)
            .map_err(failed("add a second row"))
    }

    /// Writes the versions of a server's agent and of its plug-in.
    pub fn set_versions(&self, server: Guid, agent: &str, plugin: &str) -> Result<(), CmdbError> {
        for (name, version) in [(AGENT, agent), (PLUGIN, plugin)] {
            self.upsert(
                "write the version of an agent",
                "UPDATE Inv_AeX_AC_Client_Agent SET [Product Version] = ?3
                 WHERE _ResourceGuid = ?1 AND [Agent Name] = ?2",
                "INSERT INTO Inv_AeX_AC_Client_Agent VALUES (?1, ?2, ?3)",
                params![server.bare(), name, version],
            )?;
        }
        Ok(())
    }

    /// Puts a server into a site, or into none.
    pub fn set_site(&self, server: Guid, site: Option<&str>) -> Result<(), CmdbError> {
        const DOING: &str = "write the site of a server";
        let server = server.bare();
        let connection = self.connection();
        connection
            .execute("DELETE FROM LabServerSite WHERE ServerGuid = ?1", [&server])
            .map_err(failed(DOING))?;
        match site {
            None => Ok(()),
            Some(site) => connection
                .execute("INSERT INTO LabServerSite VALUES (?1, ?2)", params![server, site])
                .map(drop)
                .map_err(failed(DOING)),
        }
    }

    /// Says that a package comes from this Notification Server.
    pub fn set_local_origin(&self, package: Guid) -> Result<(), CmdbError> {
        self.upsert(
            "write the origin of a package",
            "UPDATE ItemNSSource SET OriginNSSourceNSId = 1 WHERE ItemGuid = ?1",
            "INSERT INTO ItemNSSource VALUES (?1, 1)",
            params![package.bare()],
        )
    }

    /// The packages that come from this Notification Server, by the article's own join (KB 181405).
    pub fn local_packages(&self) -> Result<Vec<Guid>, CmdbError> {
        const DOING: &str = "read the origins of packages";
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(
                "SELECT ItemGuid FROM ItemNSSource
                 JOIN OriginNSSourceNS origin ON origin.Id = OriginNSSourceNSId
                 JOIN vThisNS this ON this.Guid = origin.OriginNSGuid
                 AND this.Guid = origin.SourceNSGuid",
            )
            .map_err(failed(DOING))?;
        let texts = statement
            .query_map([], |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<Result<Vec<String>, _>>)
            .map_err(failed(DOING))?;
        Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// Sets the entries of the event queue: `length` of them, at most 1,000,000, with consecutive
    /// identifiers from `oldest` on.
    pub fn set_event_queue(&self, oldest: u64, length: u64) -> Result<(), CmdbError> {
        const DOING: &str = "set the event queue";
        let length = i64::try_from(length.min(MAX_QUEUE)).unwrap_or(0);
        let oldest = i64::try_from(oldest).unwrap_or(0);
        let last = oldest + length - 1;
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        all.execute("DELETE FROM EventQueueEntry WHERE id < ?1 OR id > ?2", [oldest, last])
            .map_err(failed(DOING))?;
        let newest: i64 = all
            .query_row("SELECT COALESCE(MAX(id), ?1) FROM EventQueueEntry", [oldest - 1], |row| {
                row.get(0)
            })
            .map_err(failed(DOING))?;
        if newest < last {
            all.execute(
                "WITH RECURSIVE new(id) AS (SELECT ?1 UNION ALL SELECT id + 1 FROM new WHERE id < ?2)
                 INSERT INTO EventQueueEntry SELECT id FROM new",
                [newest + 1, last],
            )
            .map_err(failed(DOING))?;
        }
        all.commit().map_err(failed(DOING))
    }
}
