//! A whole lab: a live world, a front for each machine and protocol, and the files to use it with.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::addresses::{self, Endpoint, LabPorts, ListenError, Listeners, Opened};
use super::clock::LiveWorld;
use super::cmdb::{Cmdb, CmdbError};
use super::front::{Account, Accounts, Faults};
use super::inventory::{
    self, ADMIN_CREDENTIAL, CMDB_CREDENTIAL, CMDB_WRITER_CREDENTIAL, DATABASE, Directory,
};
use super::machine::LabMachine;
use super::smb::{self, NamedShare, Shares, SmbMachine};
use super::tds::{CMDB_WRITERS, TdsFront, TdsSettings};
use super::web::{WebConfig, WebFront};
use super::winrm::{Quotas, WinRmConfig, WinRmFront};
use super::world::{
    ADMINISTRATOR, Broken, CONNECTIVITY_ACCOUNT, DOMAIN, FaultPlan, FleetSpec, MachineId,
    NETBIOS_DOMAIN, Tally, World, account_sid,
};
use crate::model::{Credential, TimeScale};
use crate::protocol::auth::Names;
use crate::secret::Secret;

/// The login of the CMDB.
const CMDB_LOGIN: &str = "cmdb-reader";
/// The login that may change it.
const CMDB_WRITER_LOGIN: &str = "cmdb-writer";

/// What a lab is asked to be.
#[derive(Debug, Clone)]
pub struct LabConfig {
    /// The fleet.
    pub fleet: FleetSpec,
    /// What is wrong with it.
    pub faults: FaultPlan,
    /// How much faster than real time it runs.
    pub speed: TimeScale,
    /// The folder that the inventory and the credentials are written to; it must exist.
    pub directory: PathBuf,
    /// The name of the inventory; that of the credentials follows from it.
    pub inventory_file: String,
    /// Whether the inventory stays when the lab ends; the credentials never do.
    pub keeps_inventory: bool,
    /// The ports that the machines share.
    pub ports: LabPorts,
    /// The address of the Notification Server; the package servers follow. Only on Linux, and
    /// always below 127.
    pub first_address: Ipv4Addr,
}

impl LabConfig {
    /// A lab of the usual kind: the built-in faults, 20 times as fast as real time.
    pub fn new(servers: u32, seed: u64, started: Timestamp, directory: PathBuf) -> Self {
        Self {
            fleet: FleetSpec::new(servers, seed, started),
            faults: FaultPlan::built_in(),
            speed: TimeScale::new(20.0).expect("20 is in range"),
            directory,
            inventory_file: "inventory.yml".to_owned(),
            keeps_inventory: false,
            ports: LabPorts::default(),
            first_address: Ipv4Addr::new(127, 87, 0, 1),
        }
    }

    /// `lab-credentials.json` for `lab.yml`.
    fn credentials_file(&self) -> String {
        let stem = self.inventory_file.rsplit_once('.').map_or(&*self.inventory_file, |(s, _)| s);
        format!("{stem}-credentials.json")
    }
}

/// A lab could not be started.
#[derive(Debug, Error)]
pub enum StartLabError {
    /// A machine could not listen.
    #[error("could not open the lab's network")]
    Listen(#[from] ListenError),
    /// The SQL Server could not listen.
    #[error("could not start the lab's SQL Server on {address}")]
    Sql {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The CMDB could not be filled.
    #[error("could not fill the lab's CMDB")]
    Cmdb(#[from] CmdbError),
    /// The system gave no random numbers for the passwords.
    #[error("could not choose the lab's passwords")]
    Random(#[source] getrandom::Error),
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Making the fleet failed.
    #[error("could not make the fleet")]
    Fleet(#[source] tokio::task::JoinError),
}

/// A running lab. It ends when it is stopped or dropped; its credentials stay until [`Lab::stop`].
pub struct Lab {
    world: Arc<LiveWorld>,
    inventory: PathBuf,
    keeps_inventory: bool,
    credentials_file: PathBuf,
    credentials_name: String,
    credentials: Vec<(&'static str, Credential)>,
    endpoints: Vec<(MachineId, Endpoint)>,
    sql: TdsFront,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// The passwords of a lab: new ones each time.
struct Passwords {
    administrator: Secret<String>,
    elsewhere: Secret<String>,
    connectivity: Secret<String>,
    cmdb: Secret<String>,
    cmdb_writer: Secret<String>,
}

impl Lab {
    /// Makes the fleet, opens its network, starts its time and writes its files.
    ///
    /// # Errors
    ///
    /// [`StartLabError`]; nothing is left running then.
    pub async fn start(config: LabConfig) -> Result<Self, StartLabError> {
        let credentials_name = config.credentials_file();
        let LabConfig { fleet, faults, speed, directory, first_address, .. } = config;
        let founding = tokio::task::spawn_blocking(move || {
            let world = World::new(fleet, &faults);
            LiveWorld::start(world, speed, Cmdb::new()?)
        });
        let world = founding.await.map_err(StartLabError::Fleet)??;
        let passwords = Passwords::choose().map_err(StartLabError::Random)?;
        let machines = world.with(|world| {
            let servers = (0..world.fleet().servers.len()).map(MachineId::Server);
            let all = std::iter::once(MachineId::NotificationServer).chain(servers);
            all.map(|machine| (machine, world.is_listening(machine))).collect::<Vec<_>>()
        });
        let opened = addresses::open(first_address, &machines, config.ports).await?;
        let endpoints: Vec<(MachineId, Endpoint)> =
            opened.iter().map(|open| (open.machine, open.endpoint)).collect();
        let sql = start_sql(&world, &passwords, endpoints[0].1.address, config.ports.sql).await?;

        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&world).run());
        for open in opened {
            start_machine(&mut tasks, &world, &passwords, open, &stopped);
        }
        let mut lab = Self {
            world,
            inventory: directory.join(&config.inventory_file),
            keeps_inventory: config.keeps_inventory,
            credentials_file: directory.join(&credentials_name),
            credentials_name,
            credentials: Vec::new(),
            endpoints,
            sql,
            stopping,
            tasks,
        };
        lab.credentials = passwords.credentials();
        lab.write_files()?;
        Ok(lab)
    }

    fn write_files(&self) -> Result<(), StartLabError> {
        let write = |path: &Path, result: io::Result<()>| {
            result.map_err(|source| StartLabError::Write { path: path.to_owned(), source })
        };
        let servers: Vec<Endpoint> = self.endpoints[1..].iter().map(|(_, at)| *at).collect();
        let yaml = self.world.with(|world| {
            let directory = Directory {
                fleet: world.fleet(),
                speed: self.world.speed(),
                credentials_file: &self.credentials_name,
                notification_server: self.endpoints[0].1,
                cmdb_port: self.sql.address().port(),
                servers: &servers,
            };
            directory.to_yaml()
        });
        let credentials = inventory::write_credentials(&self.credentials_file, &self.credentials);
        write(&self.credentials_file, credentials)?;
        write(&self.inventory, std::fs::write(&self.inventory, yaml))
    }

    /// The inventory that describes it.
    pub fn inventory(&self) -> &Path {
        &self.inventory
    }

    /// The file with its credentials, which only the owner may read.
    pub fn credentials_file(&self) -> &Path {
        &self.credentials_file
    }

    /// Its credentials by name, as in the file.
    pub fn credentials(&self) -> &[(&'static str, Credential)] {
        &self.credentials
    }

    /// Where its machines listen, the Notification Server first.
    pub fn endpoints(&self) -> &[(MachineId, Endpoint)] {
        &self.endpoints
    }

    /// Where its SQL Server listens.
    pub fn sql_address(&self) -> SocketAddr {
        self.sql.address()
    }

    /// Its world.
    pub fn world(&self) -> &Arc<LiveWorld> {
        &self.world
    }

    /// What its Notification Server counted so far.
    pub fn report(&self) -> Tally {
        self.world.with(|world| world.report())
    }

    /// The servers that no repair makes well.
    pub fn expected_broken(&self) -> Vec<Broken> {
        self.world.with(|world| world.expected_broken().to_vec())
    }

    /// Ends every connection, stops time, and removes the lab's files, whose fleet is gone; the
    /// inventory stays if the lab keeps it.
    pub async fn stop(mut self) {
        // Nobody listens any more only if all fronts have ended already.
        let _ = self.stopping.send(true);
        self.sql.stop().await;
        self.tasks.shutdown().await;
        let inventory = (!self.keeps_inventory).then_some(&self.inventory);
        for path in inventory.into_iter().chain([&self.credentials_file]) {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(%error, path = %path.display(), "A file of the lab stays");
            }
        }
    }
}

async fn start_sql(
    world: &Arc<LiveWorld>,
    passwords: &Passwords,
    address: Ipv4Addr,
    port: u16,
) -> Result<TdsFront, StartLabError> {
    let login = |user: &str, password: &Secret<String>, sid: &str, groups| Account {
        domain: String::new(),
        user: user.to_owned(),
        password: password.clone(),
        sid: sid.to_owned(),
        groups,
    };
    let accounts = vec![
        login(CMDB_LOGIN, &passwords.cmdb, "S-1-9-3-1", Vec::new()),
        login(
            CMDB_WRITER_LOGIN,
            &passwords.cmdb_writer,
            "S-1-9-3-2",
            vec![CMDB_WRITERS.to_owned()],
        ),
    ];
    let settings = TdsSettings {
        server: "SQL01".to_owned(),
        database: DATABASE.to_owned(),
        cmdb: world.cmdb().clone(),
        accounts: Accounts::new(accounts),
        faults: Arc::new(world.with(|world| world.sql_faults())),
    };
    let address = SocketAddr::from((address, port));
    TdsFront::bind(address, settings).await.map_err(|source| StartLabError::Sql { address, source })
}

/// Starts the fronts of one machine; none if it is switched off.
fn start_machine(
    tasks: &mut JoinSet<()>,
    world: &Arc<LiveWorld>,
    passwords: &Passwords,
    open: Opened,
    stopped: &watch::Receiver<bool>,
) {
    let Some(Listeners { winrm, smb, http }) = open.listeners else { return };
    let machine = open.machine;
    let (computer, tree, faults, accounts, shares) = world.with(|world| {
        let faults: Arc<dyn Faults> = Arc::new(world.transport_faults(machine));
        let accounts = passwords.accounts(world.has_wrong_password(machine));
        let tree = world.tree(machine).clone();
        (world.computer(machine), tree, faults, accounts, shares(world, machine))
    });
    let names = Names {
        dns_computer: format!("{}.{DOMAIN}", computer.to_ascii_lowercase()),
        computer,
        domain: NETBIOS_DOMAIN.to_owned(),
        dns_domain: DOMAIN.to_owned(),
    };
    let front = WinRmFront::new(WinRmConfig {
        names: names.clone(),
        accounts: accounts.clone(),
        machine: Arc::new(LabMachine::new(Arc::clone(world), machine)),
        faults: Arc::clone(&faults),
        quotas: Quotas::default(),
        allow_basic: false,
    });
    let mut stop = stopped.clone();
    tasks.spawn(front.serve(winrm, async move {
        // A sender that is gone means the same as "stop".
        let _ = stop.wait_for(|stop| *stop).await;
    }));
    let web = WebFront::new(WebConfig {
        names: names.clone(),
        accounts: accounts.clone(),
        world: Arc::clone(world),
        machine,
        faults: Arc::clone(&faults),
    });
    let mut stop = stopped.clone();
    tasks.spawn(web.serve(http, async move {
        // A sender that is gone means the same as "stop".
        let _ = stop.wait_for(|stop| *stop).await;
    }));
    let clock = Arc::clone(world);
    let share = SmbMachine {
        names,
        accounts,
        tree,
        shares,
        faults,
        require_encryption: false,
        clock: Arc::new(move || clock.filetime()),
    };
    tasks.spawn(smb::serve(smb, share, stopped.clone()));
}

/// The share that package servers make for clients.
fn shares(world: &World, machine: MachineId) -> Shares {
    let shares = Shares::default();
    if let MachineId::Server(number) = machine {
        shares.add(NamedShare {
            name: "PkgSvrHost".to_owned(),
            path: world.fleet().servers[number].layout.package_delivery.clone(),
            comment: "Package server".to_owned(),
        });
    }
    shares
}

impl Passwords {
    fn choose() -> Result<Self, getrandom::Error> {
        Ok(Self {
            administrator: password()?,
            elsewhere: password()?,
            connectivity: password()?,
            cmdb: password()?,
            cmdb_writer: password()?,
        })
    }

    /// The domain's accounts, as a machine knows them.
    fn accounts(&self, has_wrong_password: bool) -> Accounts {
        let account = |user: &str, password: &Secret<String>, group: &str| Account {
            domain: NETBIOS_DOMAIN.to_owned(),
            user: user.to_owned(),
            password: password.clone(),
            sid: account_sid(user).expect("the lab's own accounts are known"),
            groups: vec![group.to_owned()],
        };
        let own = if has_wrong_password { &self.elsewhere } else { &self.administrator };
        Accounts::new(vec![
            account(ADMINISTRATOR, own, "S-1-5-32-544"),
            account(CONNECTIVITY_ACCOUNT, &self.connectivity, "S-1-5-32-545"),
        ])
    }

    fn credentials(&self) -> Vec<(&'static str, Credential)> {
        let user = format!(r"{NETBIOS_DOMAIN}\{ADMINISTRATOR}");
        vec![
            (ADMIN_CREDENTIAL, Credential { user, password: self.administrator.clone() }),
            (
                CMDB_CREDENTIAL,
                Credential { user: CMDB_LOGIN.to_owned(), password: self.cmdb.clone() },
            ),
            (
                CMDB_WRITER_CREDENTIAL,
                Credential {
                    user: CMDB_WRITER_LOGIN.to_owned(),
                    password: self.cmdb_writer.clone(),
                },
            ),
        ]
    }
}

/// 128 random bits as text, with what a Windows password policy asks for.
fn password() -> Result<Secret<String>, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Secret::new(format!("Lab-{hex}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    fn config(directory: &Path, faults: &str) -> LabConfig {
        LabConfig {
            faults: FaultPlan::parse(faults).unwrap(),
            first_address: Ipv4Addr::new(127, 87, 40, 1),
            ..LabConfig::new(3, 1, "2026-05-16T20:00:00Z".parse().unwrap(), directory.to_owned())
        }
    }

    #[tokio::test]
    async fn a_lab_listens_for_every_machine_that_is_on_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let faults = "faults: [{kind: offline, hosts: 1, for_good: true}]";
        let lab = Lab::start(config(directory.path(), faults)).await.unwrap();
        let off = lab.expected_broken()[0].server.clone();

        let yaml = std::fs::read_to_string(lab.inventory()).unwrap();
        assert!(yaml.contains(&off) && yaml.contains("time_scale: 20\n"), "{yaml}");
        let endpoints = lab.endpoints().to_vec();
        let mut reachable = 0;
        for (_, at) in &endpoints {
            let winrm = TcpStream::connect((at.address, at.winrm)).await.is_ok();
            let smb = TcpStream::connect((at.address, at.smb)).await.is_ok();
            assert_eq!(winrm, smb);
            reachable += usize::from(winrm);
        }
        assert_eq!((endpoints.len(), reachable), (4, 3));
        assert!(TcpStream::connect(lab.sql_address()).await.is_ok());

        let (sql, files) = (lab.sql_address(), [lab.inventory(), lab.credentials_file()]);
        let files = files.map(Path::to_owned);
        lab.stop().await;
        assert!(TcpStream::connect(sql).await.is_err());
        let at = endpoints[0].1;
        assert!(TcpStream::connect((at.address, at.winrm)).await.is_err());
        assert!(files.iter().all(|file| !file.exists()));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_credentials_are_for_their_owner_alone_and_new_each_time() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let lab = Lab::start(config(directory.path(), "faults: []")).await.unwrap();
            let mode = std::fs::metadata(lab.credentials_file()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            seen.push(std::fs::read_to_string(lab.credentials_file()).unwrap());
            lab.stop().await;
        }
        assert_ne!(seen[0], seen[1]);
        assert!(seen[0].contains(ADMIN_CREDENTIAL) && seen[0].contains(CMDB_CREDENTIAL));
    }
}
