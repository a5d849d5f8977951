//! The simulated CMDB: an SQLite database in memory, with a typed method for everything that the
//! lab's world writes into it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;

use super::schema::{CATALOGUE, TABLES, data_type};
use crate::model::Guid;

/// The database could not be used.
#[derive(Debug, Error)]
#[error("could not {doing} in the simulated CMDB")]
pub struct CmdbError {
    doing: &'static str,
    #[source]
    source: rusqlite::Error,
}

pub(super) fn failed(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> CmdbError {
    move |source| CmdbError { doing, source }
}

/// The class of basic inventory in `ResourceUpdateSummary`.
pub const BASIC_INVENTORY: Guid = Guid::from_u128(0x9e6f_402a_6a45_4cba_9299_c232_3f73_a506);

/// The largest event queue that is simulated.
pub(super) const MAX_QUEUE: u64 = 1_000_000;

/// How long a client waits for another one's transaction.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// The place of the one transaction that may change rows; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Cmdb);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.0.freed.notify_one();
    }
}

/// A computer that serves packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRecord {
    /// Its resource GUID.
    pub guid: Guid,
    /// Its short name.
    pub name: String,
    /// Its fully qualified name.
    pub fqdn: String,
    /// The version of its agent.
    pub agent_version: String,
    /// Its site, in the lab's own table.
    pub site: String,
}

/// A row of `SWDPackageServer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageServerRow {
    /// The package server.
    pub server: Guid,
    /// The package.
    pub package: Guid,
    /// What the Notification Server thinks of the pair.
    pub status: Option<String>,
    /// The version that the server last reported, or an error text.
    pub version: Option<String>,
}

/// The simulated CMDB. Clones share one database.
#[derive(Clone)]
pub struct Cmdb(Arc<Inner>);

struct Inner {
    connection: Mutex<Connection>,
    /// Whether a client committed changes since the world last looked.
    was_changed: AtomicBool,
    /// Whether a client's transaction has changed or held rows; others wait for it.
    is_taken: Mutex<bool>,
    freed: Condvar,
    clock: OnceLock<Box<dyn Fn() -> Timestamp + Send + Sync>>,
}

impl fmt::Debug for Cmdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cmdb").finish_non_exhaustive()
    }
}

impl Cmdb {
    /// Makes an empty CMDB.
    pub fn new() -> Result<Self, CmdbError> {
        let connection = Connection::open_in_memory().map_err(failed("open a database"))?;
        connection.set_prepared_statement_cache_capacity(64);
        for table in TABLES {
            connection.execute_batch(&table.create()).map_err(failed("create the tables"))?;
        }
        connection.execute_batch(CATALOGUE).map_err(failed("create the catalogue"))?;
        for table in TABLES {
            for (position, (name, kind)) in (1_i64..).zip(table.columns) {
                connection
                    .execute(
                        "INSERT INTO LabColumns VALUES (?1, ?2, ?3, ?4, 0, 0)",
                        params![table.name, position, name, data_type(*kind)],
                    )
                    .map_err(failed("fill the catalogue"))?;
            }
        }
        Ok(Self(Arc::new(Inner {
            connection: Mutex::new(connection),
            was_changed: AtomicBool::new(false),
            is_taken: Mutex::new(false),
            freed: Condvar::new(),
            clock: OnceLock::new(),
        })))
    }

    /// Sets the clock by which the server tells the time; once. Without one it stands at the start
    /// of 2026.
    pub fn set_clock(&self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) {
        // A second clock is not taken: time would jump.
        let _ = self.0.clock.set(Box::new(clock));
    }

    /// The server's time.
    pub fn now(&self) -> Timestamp {
        const START_OF_2026: i64 = 1_767_225_600;
        self.0.clock.get().map_or_else(
            || Timestamp::from_second(START_OF_2026).expect("a moment of 2026"),
            |clock| clock(),
        )
    }

    /// Notes a full backup of the database.
    pub fn add_backup(
        &self,
        name: &str,
        at: Timestamp,
        is_copy_only: bool,
    ) -> Result<(), CmdbError> {
        self.connection()
            .execute(
                "INSERT INTO backupset VALUES ('Symantec_CMDB', ?1, 'D', ?2, ?3)",
                params![name, at.as_millisecond(), is_copy_only],
            )
            .map(drop)
            .map_err(failed("note a backup"))
    }

    /// Makes a column an identity or a computed one, as far as the catalogue tells.
    pub fn mark_column(
        &self,
        table: &str,
        column: &str,
        is_identity: bool,
        is_computed: bool,
    ) -> Result<(), CmdbError> {
        self.connection()
            .execute(
                "UPDATE LabColumns SET IsIdentity = ?3, IsComputed = ?4
                 WHERE TableName = ?1 AND Name = ?2",
                params![table, column, is_identity, is_computed],
            )
            .map(drop)
            .map_err(failed("change the catalogue"))
    }

    /// Adds a row of `SWDPackageServer`, even if the pair has one: duplicates are what clients see.
    pub fn add_package_server_row(&self, row: &PackageServerRow) -> Result<(), CmdbError> {
        self.connection()
            .prepare_cached("INSERT INTO SWDPackageServer VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut statement| {
                statement.execute(params![
                    row.server.bare(),
                    row.package.bare(),
                    row.status,
                    row.version
                ])
            })
            .map(drop)
            .map_err(failed("add the status of a package"))
    }

    /// Waits until no other client's transaction has changed or held rows, and then holds that place;
    /// none if it takes too long. It stands for all the locks of a real server.
    pub(super) fn take_turn(&self) -> Option<Turn> {
        let taken = self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.freed.wait_timeout_while(taken, LOCK_WAIT, |is_taken| *is_taken);
        let (mut taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return None;
        }
        *taken = true;
        Some(Turn(self.clone()))
    }

    /// Whether a client committed changes since this was last asked.
    pub(super) fn take_change(&self) -> bool {
        self.0.was_changed.swap(false, Ordering::Relaxed)
    }

    /// Notes that a client committed changes.
    pub(super) fn note_change(&self) {
        self.0.was_changed.store(true, Ordering::Relaxed);
    }

    /// The one connection. A writer that panicked has left no statement half done, so the
    /// database is good even then.
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which Notification Server this is. Its own source has the identifier 1, as in an
    /// installation without a hierarchy.
    pub fn set_this_server(&self, guid: Guid, name: &str) -> Result<(), CmdbError> {
        const DOING: &str = "name the Notification Server";
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        let bare = guid.bare();
        for (sql, name) in [
            ("DELETE FROM vThisNS", None),
            ("DELETE FROM OriginNSSourceNS WHERE Id = 1", None),
            ("DELETE FROM ForwardServer WHERE Guid = ?1", Some(None)),
            ("INSERT INTO vThisNS (Guid) VALUES (?1)", Some(None)),
            ("INSERT INTO OriginNSSourceNS VALUES (1, ?1, ?1)", Some(None)),
            ("INSERT INTO ForwardServer VALUES (?1, ?2)", Some(Some(name))),
        ] {
            match name {
                None => all.execute(sql, []),
                Some(None) => all.execute(sql, [&bare]),
                Some(Some(name)) => all.execute(sql, params![bare, name]),
            }
            .map_err(failed(DOING))?;
        }
        all.commit().map_err(failed(DOING))
    }

    /// Adds a package server, or changes what is known of it.
    pub fn add_server(&self, server: &ServerRecord) -> Result<(), CmdbError> {
        const DOING: &str = "add a package server";
        let guid = server.guid.bare();
        let suffix = server.fqdn.split_once('.').map_or("", |(_, suffix)| suffix);
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        for (delete, insert, first, second) in [
            (
                "DELETE FROM vItem WHERE Guid = ?1",
                "INSERT INTO vItem VALUES (?1, ?2)",
                server.name.as_str(),
                None,
            ),
            (
                "DELETE FROM Inv_AeX_AC_Identification WHERE _ResourceGuid = ?1",
                "INSERT INTO Inv_AeX_AC_Identification VALUES (?1, ?2, ?3)",
                &server.fqdn,
                Some("Windows Server 2019"),
            ),
            (
                "DELETE FROM Inv_AeX_AC_Client_Agent WHERE _ResourceGuid = ?1",
                "INSERT INTO Inv_AeX_AC_Client_Agent VALUES (?1, ?2, ?3)",
                "Altiris Agent",
                Some(server.agent_version.as_str()),
            ),
            (
                "DELETE FROM vSiteServices WHERE Guid = ?1",
                "INSERT INTO vSiteServices VALUES (?1, ?2, ?3)",
                &server.name,
                Some(suffix),
            ),
            (
                "DELETE FROM LabServerSite WHERE ServerGuid = ?1",
                "INSERT INTO LabServerSite VALUES (?1, ?2)",
                &server.site,
                None,
            ),
        ] {
            all.prepare_cached(delete)
                .and_then(|mut s| s.execute([&guid]))
                .map_err(failed(DOING))?;
            all.prepare_cached(insert)
                .and_then(|mut statement| match second {
                    Some(second) => statement.execute(params![guid, first, second]),
                    None => statement.execute(params![guid, first]),
                })
                .map_err(failed(DOING))?;
        }
        all.commit().map_err(failed(DOING))
    }

    /// Says when a server's basic inventory last arrived.
    pub fn set_last_inventory(&self, server: Guid, at: Timestamp) -> Result<(), CmdbError> {
        const DOING: &str = "note an inventory";
        let (server, class) = (server.bare(), BASIC_INVENTORY.bare());
        self.upsert(
            DOING,
            "UPDATE ResourceUpdateSummary SET ModifiedDate = ?3
             WHERE ResourceGuid = ?1 AND InventoryClassGuid = ?2",
            "INSERT INTO ResourceUpdateSummary VALUES (?1, ?2, ?3)",
            params![server, class, at.as_millisecond()],
        )
    }

    /// Adds a package with its current version. A new version supersedes the older one, which
    /// stays in the table with `_Latest = 0`. A new package originates from this server.
    pub fn upsert_package(&self, guid: Guid, name: &str, version: &str) -> Result<(), CmdbError> {
        const DOING: &str = "write a package";
        let guid = guid.bare();
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        let changed = all
            .execute(
                "UPDATE SWDPackage SET Name = ?2
                 WHERE PackageId = ?1 AND _Latest = 1 AND [Package Version] = ?3",
                params![guid, name, version],
            )
            .map_err(failed(DOING))?;
        if changed == 0 {
            all.execute("UPDATE SWDPackage SET _Latest = 0 WHERE PackageId = ?1", [&guid])
                .map_err(failed(DOING))?;
            all.execute(
                "INSERT INTO SWDPackage VALUES (?1, ?2, ?3, 1)",
                params![guid, name, version],
            )
            .map_err(failed(DOING))?;
            all.execute(
                "INSERT INTO ItemNSSource SELECT ?1, 1
                 WHERE NOT EXISTS (SELECT 1 FROM ItemNSSource WHERE ItemGuid = ?1)",
                [&guid],
            )
            .map_err(failed(DOING))?;
        }
        all.commit().map_err(failed(DOING))
    }

    /// Says that a package was replicated from another Notification Server.
    pub fn set_origin(&self, package: Guid, origin: Guid, name: &str) -> Result<(), CmdbError> {
        const DOING: &str = "write the origin of a package";
        let (package, origin) = (package.bare(), origin.bare());
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        let known: Option<i64> = all
            .query_row(
                "SELECT Id FROM OriginNSSourceNS WHERE OriginNSGuid = ?1",
                [&origin],
                |row| row.get(0),
            )
            .optional()
            .map_err(failed(DOING))?;
        let id = match known {
            Some(id) => id,
            None => {
                let id: i64 = all
                    .query_row(
                        "INSERT INTO OriginNSSourceNS
                         SELECT COALESCE(MAX(Id), 1) + 1, ?1, ?1 FROM OriginNSSourceNS
                         RETURNING Id",
                        [&origin],
                        |row| row.get(0),
                    )
                    .map_err(failed(DOING))?;
                all.execute(
                    "INSERT INTO ForwardServer SELECT ?1, ?2
                     WHERE NOT EXISTS (SELECT 1 FROM ForwardServer WHERE Guid = ?1)",
                    params![origin, name],
                )
                .map_err(failed(DOING))?;
                id
            }
        };
        all.execute("DELETE FROM ItemNSSource WHERE ItemGuid = ?1", [&package])
            .map_err(failed(DOING))?;
        all.execute("INSERT INTO ItemNSSource VALUES (?1, ?2)", params![package, id])
            .map_err(failed(DOING))?;
        all.commit().map_err(failed(DOING))
    }

    /// Writes what the Notification Server thinks of a package on a package server. Of the version,
    /// which may be an error text, 255 characters are kept: the width of the column here.
    pub fn upsert_package_server_row(
        &self,
        server: Guid,
        package: Guid,
        status: &str,
        version: Option<&str>,
    ) -> Result<(), CmdbError> {
        let version = version.map(|text| {
            let units: Vec<u16> = text.encode_utf16().take(255).collect();
            String::from_utf16_lossy(&units)
        });
        self.upsert(
            "write the status of a package",
            "UPDATE SWDPackageServer SET Status = ?3, Version = ?4
             WHERE PkgSvrId = ?1 AND PackageId = ?2",
            "INSERT INTO SWDPackageServer VALUES (?1, ?2, ?3, ?4)",
            params![server.bare(), package.bare(), status, version],
        )
    }

    /// Adds a row beside those that a pair has already: a duplicate.
    pub fn insert_package_server_row(
        &self,
        server: Guid,
        package: Guid,
        status: &str,
        version: Option<&str>,
    ) -> Result<(), CmdbError> {
        self.connection()
            .execute(
                "INSERT INTO SWDPackageServer VALUES (?1, ?2, ?3, ?4)",
                params![server.bare(), package.bare(), status, version],
            )
            .map(drop)
            .map_err(failed("add a second row of a package"))
    }

    /// Gives a column another name, as another version of the product may have it.
    pub fn rename_column(&self, table: &str, column: &str, to: &str) -> Result<(), CmdbError> {
        self.connection()
            .execute_batch(&format!("ALTER TABLE [{table}] RENAME COLUMN [{column}] TO [{to}]"))
            .map_err(failed("rename a column"))
    }

    /// Removes the row of a package on a package server; whether there was one.
    pub fn delete_package_server_row(
        &self,
        server: Guid,
        package: Guid,
    ) -> Result<bool, CmdbError> {
        self.connection()
            .execute(
                "DELETE FROM SWDPackageServer WHERE PkgSvrId = ?1 AND PackageId = ?2",
                [server.bare(), package.bare()],
            )
            .map(|rows| rows > 0)
            .map_err(failed("remove the status of a package"))
    }

    /// Writes a download location of a package.
    pub fn upsert_codebase(
        &self,
        package: Guid,
        url: &str,
        source: &str,
        snapshot: &str,
    ) -> Result<(), CmdbError> {
        self.upsert(
            "write a codebase",
            "UPDATE SWDPackageCodebase SET Source = ?3, Snapshot = ?4
             WHERE PackageId = ?1 AND URL = ?2",
            "INSERT INTO SWDPackageCodebase VALUES (?1, ?2, ?3, ?4)",
            params![package.bare(), url, source, snapshot],
        )
    }

    /// Sets the length of the event queue, at most 1,000,000. What leaves is the oldest, what
    /// comes gets higher identifiers.
    pub fn set_event_queue_len(&self, length: u64) -> Result<(), CmdbError> {
        const DOING: &str = "set the length of the event queue";
        let length = i64::try_from(length.min(MAX_QUEUE)).expect("at most a million");
        let mut connection = self.connection();
        let all = connection.transaction().map_err(failed(DOING))?;
        let (count, newest): (i64, i64) = all
            .query_row("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM EventQueueEntry", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(failed(DOING))?;
        if length < count {
            all.execute(
                "DELETE FROM EventQueueEntry WHERE id <=
                 (SELECT id FROM EventQueueEntry ORDER BY id LIMIT 1 OFFSET ?1)",
                [count - length - 1],
            )
        } else if length > count {
            all.execute(
                "WITH RECURSIVE new(id) AS (SELECT ?1 UNION ALL SELECT id + 1 FROM new WHERE id < ?2)
                 INSERT INTO EventQueueEntry SELECT id FROM new",
                [newest + 1, newest + length - count],
            )
        } else {
            Ok(0)
        }
        .map_err(failed(DOING))?;
        all.commit().map_err(failed(DOING))
    }

    /// How many entries wait in the event queue.
    pub fn event_queue_len(&self) -> Result<u64, CmdbError> {
        self.connection()
            .query_row("SELECT COUNT(*) FROM EventQueueEntry", [], |row| row.get(0))
            .map(|count: i64| u64::try_from(count).unwrap_or(0))
            .map_err(failed("read the event queue"))
    }

    /// The current version of a package.
    pub fn package_version(&self, package: Guid) -> Result<Option<String>, CmdbError> {
        self.connection()
            .query_row(
                "SELECT [Package Version] FROM SWDPackage WHERE PackageId = ?1 AND _Latest = 1",
                [package.bare()],
                |row| row.get(0),
            )
            .optional()
            .map_err(failed("read a package"))
    }

    /// The rows of a package server, by package.
    pub fn package_server_rows(&self, server: Guid) -> Result<Vec<PackageServerRow>, CmdbError> {
        const DOING: &str = "read the status of packages";
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(
                "SELECT PackageId, Status, Version FROM SWDPackageServer
                 WHERE PkgSvrId = ?1 ORDER BY PackageId",
            )
            .map_err(failed(DOING))?;
        statement
            .query_map([server.bare()], |row| {
                let package: String = row.get(0)?;
                let package = package.parse().map_err(|error| {
                    let kind = rusqlite::types::Type::Text;
                    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
                })?;
                Ok(PackageServerRow { server, package, status: row.get(1)?, version: row.get(2)? })
            })
            .and_then(Iterator::collect)
            .map_err(failed(DOING))
    }

    pub(super) fn upsert(
        &self,
        doing: &'static str,
        update: &str,
        insert: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<(), CmdbError> {
        let connection = self.connection();
        let changed = connection
            .prepare_cached(update)
            .and_then(|mut statement| statement.execute(values))
            .map_err(failed(doing))?;
        if changed == 0 {
            connection
                .prepare_cached(insert)
                .and_then(|mut statement| statement.execute(values))
                .map_err(failed(doing))?;
        }
        Ok(())
    }
}
