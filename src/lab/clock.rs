//! Real time for the world: the thin layer that lets it run, and carries its rows into the CMDB.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::cmdb::{Cmdb, CmdbError, ServerRecord};
use super::world::{Calendar, RowChange, StatusRow, World, WorldTime};
use crate::model::TimeScale;

/// How long before the start the database was last backed up.
const LAST_BACKUP: jiff::SignedDuration = jiff::SignedDuration::from_hours(6);

/// A world whose time passes with real time, faster by a factor.
///
/// Whoever looks at it sees it as it is now: every access first makes everything happen that is
/// due. [`LiveWorld::run`] does the same for what happens while nobody looks.
#[derive(Debug)]
pub struct LiveWorld {
    world: Mutex<World>,
    cmdb: Cmdb,
    calendar: Calendar,
    started: Instant,
    speed: TimeScale,
    sooner: Notify,
}

impl LiveWorld {
    /// Starts the clock and writes the world's first rows into the CMDB.
    ///
    /// # Errors
    ///
    /// The CMDB does not take the rows.
    pub fn start(mut world: World, speed: TimeScale, cmdb: Cmdb) -> Result<Arc<Self>, CmdbError> {
        publish(&cmdb, &world.take_changes())?;
        let (calendar, started) = (world.calendar(), Instant::now());
        cmdb.set_clock(move || {
            calendar.timestamp(WorldTime::START.plus(speed.to_world(started.elapsed())))
        });
        let last_night = calendar.timestamp(WorldTime::START) - LAST_BACKUP;
        cmdb.add_backup("Symantec_CMDB nightly", last_night, false)?;
        Ok(Arc::new(Self {
            calendar,
            world: Mutex::new(world),
            cmdb,
            started,
            speed,
            sooner: Notify::new(),
        }))
    }

    /// The CMDB that the world writes to.
    pub fn cmdb(&self) -> &Cmdb {
        &self.cmdb
    }

    /// How much faster than real time the world runs.
    pub fn speed(&self) -> TimeScale {
        self.speed
    }

    /// A span of the world's time as real time.
    pub fn to_real(&self, span: Duration) -> Duration {
        self.speed.to_real(span)
    }

    /// Looks at the world as it is now, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.present();
        let before = world.next_event();
        let result = look(&mut world);
        let after = world.next_event();
        drop(world);
        if after < before || before.is_none() {
            self.sooner.notify_one();
        }
        result
    }

    /// The machine time of every host of the world, as a FILETIME.
    pub fn filetime(&self) -> u64 {
        self.calendar.filetime(self.now())
    }

    /// Lets the world run until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let next = self.present().next_event();
            match next {
                None => self.sooner.notified().await,
                Some(at) => {
                    // A millisecond later, so that rounding never wakes it before the event.
                    let due = self.started + self.to_real(at.since(WorldTime::START));
                    tokio::select! {
                        () = tokio::time::sleep_until(due + Duration::from_millis(1)) => {}
                        () = self.sooner.notified() => {}
                    }
                }
            }
        }
    }

    fn now(&self) -> WorldTime {
        WorldTime::START.plus(self.speed.to_world(self.started.elapsed()))
    }

    /// The world after everything that is due has happened and its rows are written.
    fn present(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        // What a client committed is the world's from now on: it goes on from there.
        match self.cmdb.take_changed_rows() {
            Ok(None) => {}
            Ok(Some(rows)) => {
                match self.cmdb.local_packages() {
                    Ok(packages) => world.adopt_local_origins(&packages),
                    Err(error) => tracing::error!(%error, "The world missed changed origins"),
                }
                world.adopt_rows(rows.into_iter().map(|row| {
                    let status = row.status.unwrap_or_default();
                    let version = row.version.unwrap_or_default();
                    ((row.server, row.package), StatusRow { status, version })
                }))
            }
            Err(error) => tracing::error!(%error, "The world missed what a client changed"),
        }
        world.advance(self.now());
        let changes = world.take_changes();
        // The rows are written under the lock: their order is that of the world.
        if let Err(error) = publish(&self.cmdb, &changes) {
            tracing::error!(%error, "The simulated CMDB missed changes");
        }
        world
    }

    /// A panic elsewhere while it was locked leaves events undone, which tests see as work left.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes changes into the CMDB, in order.
///
/// # Errors
///
/// The CMDB does not take one; those before it are written.
pub fn publish(cmdb: &Cmdb, changes: &[RowChange]) -> Result<(), CmdbError> {
    let mut queue = None;
    for change in changes {
        match change {
            RowChange::NotificationServer { guid, name } => cmdb.set_this_server(*guid, name)?,
            RowChange::Server { guid, name, fqdn, agent_version, site, inventory } => {
                cmdb.add_server(&ServerRecord {
                    guid: *guid,
                    name: name.clone(),
                    fqdn: fqdn.clone(),
                    agent_version: agent_version.clone(),
                    site: site.clone(),
                })?;
                cmdb.set_last_inventory(*guid, *inventory)?;
            }
            RowChange::Package { guid, name, version } => {
                cmdb.upsert_package(*guid, name, &version.to_string())?;
            }
            RowChange::PackageServer { server, package, row } => {
                let version = Some(row.version.as_str());
                cmdb.upsert_package_server_row(*server, *package, &row.status, version)?;
            }
            RowChange::Codebases { server, package, urls, snapshot } => {
                for url in urls {
                    let source = server.to_string();
                    cmdb.upsert_codebase(*package, url, &source, &snapshot.to_string())?;
                }
            }
            // Only the last state of a batch can still be seen.
            RowChange::Queue { oldest, length } => queue = Some((*oldest, *length)),
            RowChange::SecondRow { server, package, row } => {
                cmdb.add_second_row(*server, *package, &row.status, &row.version)?;
            }
            RowChange::Versions { server, agent, plugin } => {
                cmdb.set_versions(*server, agent, plugin)?;
            }
            RowChange::Site { server, site } => cmdb.set_site(*server, Some(site))?,
            RowChange::NoSite { server } => cmdb.set_site(*server, None)?,
            RowChange::Origin { package, origin, name, .. } => {
                cmdb.set_origin(*package, *origin, name)?;
            }
            RowChange::LocalOrigin { package } => cmdb.set_local_origin(*package)?,
        }
    }
    queue.map_or(Ok(()), |(oldest, length)| cmdb.set_event_queue(oldest, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::{FaultPlan, FleetSpec, MachineId};
    use serde_json::json;

    #[tokio::test]
    async fn what_was_asked_of_an_agent_shows_in_the_cmdb_after_its_time_has_passed() {
        let spec = FleetSpec::new(3, 5, "2026-05-16T20:00:00Z".parse().unwrap());
        let faults = FaultPlan::parse("faults: [{kind: invalid, hosts: 1}]").unwrap();
        let world = World::new(spec, &faults);
        let (server, _) = world.not_ready()[0];
        let number = world.fleet().servers.iter().position(|s| s.guid == server).unwrap();
        let cmdb = Cmdb::new().unwrap();
        let live = LiveWorld::start(world, TimeScale::new(2000.0).unwrap(), cmdb.clone()).unwrap();
        let invalid = || {
            let rows = cmdb.package_server_rows(server).unwrap();
            rows.iter().filter(|row| row.status.as_deref() == Some("Invalid")).count()
        };
        assert!(invalid() > 0);

        let pump = tokio::spawn(Arc::clone(&live).run());
        let text = "# fleetmend agent-resend-package-status 1";
        live.with(|world| world.run_script(MachineId::Server(number), text, &json!({}))).unwrap();
        let done = async {
            while invalid() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), done).await;
        pump.abort();

        assert!(ended.is_ok(), "{} rows left", invalid());
    }

    #[test]
    fn what_a_client_committed_is_the_worlds_from_then_on() {
        use crate::lab::cmdb::{Results, SqlError, SqlSession};
        use crate::protocol::tds::{Column, Statement, Value};
        struct Nothing;
        impl Results for Nothing {
            fn columns(&mut self, _: &[Column]) {}
            fn row(&mut self, _: &[Column], _: &[Value]) -> Result<(), SqlError> {
                Ok(())
            }
            fn done(&mut self, _: Option<u64>) {}
            fn database_changed(&mut self, _: &str, _: &str) {}
            fn transaction_began(&mut self, _: u64) {}
            fn transaction_ended(&mut self, _: bool, _: u64) {}
        }
        let spec = FleetSpec::new(2, 5, "2026-05-16T20:00:00Z".parse().unwrap());
        let world = World::new(spec, &FaultPlan::parse("faults: []").unwrap());
        let cmdb = Cmdb::new().unwrap();
        let (server, package) = (world.fleet().servers[0].guid, world.fleet().packages[0].guid);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let live = LiveWorld::start(world, TimeScale::REAL, cmdb.clone()).unwrap();
        assert!(live.with(|world| world.row(server, package).is_some()));

        let session = SqlSession::new("Symantec_CMDB", "cmdb-writer", "SQL01", 52, true);
        let text =
            "SET XACT_ABORT ON; BEGIN TRAN; DELETE FROM SWDPackageServer WHERE PackageId IN \
                    (@P1); COMMIT"
                .to_owned();
        let value = Value::Guid(uuid::Uuid::from_u128(package.as_u128()));
        let parameters = vec![("@P1".to_owned(), value)];
        cmdb.run(&session, &Statement { text, parameters }, &mut Nothing).unwrap();

        assert!(live.with(|world| world.row(server, package).is_none()));
    }
}
