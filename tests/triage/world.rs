//! A world under examination: its time, and the real collector on each of its hosts.

use std::sync::Arc;
use std::time::Duration;

use fleetmend::action::{self, Decision};
use fleetmend::host::{Session, SessionConfig};
use fleetmend::itms::evidence::{FleetEvidence, NotificationServerEvidence, Seen, ServerEvidence};
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::cmdb::Cmdb;
use fleetmend::lab::world::{CONNECTIVITY_ACCOUNT, NETBIOS_DOMAIN, PARENT, World};
use fleetmend::model::{Credential, Host, HostName, RunId, StepFailure, TimeScale};
use fleetmend::secret::Secret;
use fleetmend::transport::{Deadline, Target};
use serde_json::{Value, json};

use crate::direct::{Direct, servers_with_site};

/// A simulated fleet whose time passes only while somebody waits: its test runs with a clock that
/// stands still.
pub(crate) struct Examined {
    world: Arc<LiveWorld>,
    /// Lets happen what is due while nobody asks the world itself.
    runs: Option<tokio::task::AbortHandle>,
}

impl Drop for Examined {
    fn drop(&mut self) {
        if let Some(task) = &self.runs {
            task.abort();
        }
    }
}

fn start(world: World, speed: TimeScale) -> Arc<LiveWorld> {
    let cmdb = Cmdb::new().expect("a database in memory");
    LiveWorld::start(world, speed, cmdb).expect("the CMDB takes the rows")
}

impl Examined {
    /// A world that moves on when it is looked at.
    pub(crate) fn new(world: World) -> Self {
        Self { world: start(world, TimeScale::REAL), runs: None }
    }

    /// A world that moves on by itself, so fast.
    pub(crate) fn running(world: World, speed: TimeScale) -> Self {
        let world = start(world, speed);
        let runs = tokio::spawn(Arc::clone(&world).run()).abort_handle();
        Self { world, runs: Some(runs) }
    }

    pub(crate) fn world(&self) -> &Arc<LiveWorld> {
        &self.world
    }

    pub(crate) async fn wait(&self, minutes: u64) {
        tokio::time::sleep(self.world.to_real(Duration::from_secs(minutes * 60))).await;
    }

    /// One examination of the whole fleet, as `fleetmend diagnose` makes it.
    pub(crate) async fn examine(&self) -> FleetEvidence {
        let (ns, servers) = self.world.with(|world| {
            let fleet = world.fleet();
            let ns = (fleet.notification_server.fqdn.clone(), fleet.notification_server.guid);
            let servers: Vec<_> =
                fleet.servers.iter().map(|server| (server.fqdn.clone(), server.guid)).collect();
            (ns, servers)
        });
        let mut evidence = FleetEvidence {
            taken: self.world.with(|world| world.calendar().timestamp(world.now())),
            notification_servers: Vec::new(),
            servers: Vec::new(),
        };
        let vars = json!({ "itms_guid": ns.1.to_string(), "parent_servers": [PARENT] });
        let seen = self.examine_host(&ns.0, vars, "notification_server").await;
        evidence.notification_servers.push(match seen {
            Ok(value) => {
                let mut seen: NotificationServerEvidence =
                    serde_json::from_value(value).expect("the evidence of the server");
                // Where sites are kept is not published, so the collector leaves them out; the
                // operator's own query is asked beside it.
                if seen.servers_with_site == Seen::NotAsked {
                    seen.servers_with_site = Seen::Known(servers_with_site(&self.world));
                }
                seen
            }
            Err(_) => NotificationServerEvidence {
                host: HostName::new(ns.0.as_str()),
                ..NotificationServerEvidence::default()
            },
        });
        for (name, guid) in servers {
            let vars = json!({
                "itms_guid": guid.to_string(),
                "fqdn": name,
                "acc_account": format!(r"{NETBIOS_DOMAIN}\{CONNECTIVITY_ACCOUNT}"),
            });
            let seen = self.examine_host(&name, vars, "package_server").await;
            evidence.servers.push(match seen {
                Ok(value) => serde_json::from_value(value).expect("the evidence of a server"),
                Err(failure) => {
                    ServerEvidence::of_failure(HostName::new(name.as_str()), Some(guid), &failure)
                }
            });
        }
        evidence
    }

    /// Runs the registered action on one host.
    async fn examine_host(
        &self,
        name: &str,
        vars: Value,
        what: &str,
    ) -> Result<Value, StepFailure> {
        let host = HostName::new(name);
        let credential = Credential {
            user: r"LAB\fleet-admin".to_owned(),
            password: Secret::new("not asked for".to_owned()),
        };
        let target = |port| {
            let (host, credential) = (host.clone(), credential.clone());
            let address = name.to_owned();
            Some(Target { host, address, port, credential, option: None })
        };
        let vars = serde_json::from_value(vars).expect("variables");
        let session = Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::from_u128(1)),
            host: Host { name: host.clone(), groups: Arc::from([]), vars: Arc::new(vars) },
            work: Arc::from([]),
            scale: self.world.speed(),
            winrm: target(5985),
            smb: target(445),
            cmdb: (what == "notification_server").then(|| target(1433)).flatten(),
            connector: Arc::new(Direct::new(Arc::clone(&self.world))),
        });
        let examine = action::find("examine").expect("the action is registered");
        let prepared = examine.prepare(json!({ "what": what })).expect("its parameters");
        let deadline = Deadline::after(Duration::from_secs(1200));
        match prepared.decide(&session.reader(deadline, Arc::from([]))).await? {
            Decision::Unchanged { value, .. } => Ok(value),
            other => panic!("an examination changes nothing: {other:?}"),
        }
    }
}
