//! A picture of a whole world, so that nothing of it can differ unseen: every file and folder with its
//! rights, what Windows keeps beside the disks, and every row of the CMDB.

use std::collections::BTreeMap;
use std::fmt;

use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::tree::Recorded;
use fleetmend::lab::world::MachineId;
use fleetmend::protocol::security_descriptor::SecurityDescriptor;

/// Tables of the product that playbooks change or cause to change.
const TABLES: [&str; 4] = ["SWDPackageServer", "SWDPackageCodebase", "SWDPackage", "ItemNSSource"];

/// What is there at one moment.
pub(crate) struct Picture {
    /// By machine and path in lower case.
    disk: BTreeMap<(String, String), Recorded>,
    /// By machine and name.
    settings: BTreeMap<(String, String), String>,
    /// By table, sorted.
    rows: BTreeMap<&'static str, Vec<String>>,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// The machine; none for rows.
    pub(crate) host: String,
    /// The path in lower case, the setting, or the table.
    pub(crate) name: String,
    pub(crate) how: How,
}

/// How it differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// A file or folder that was not there.
    New,
    /// A file or folder that is not there any more.
    Gone,
    /// A file of other content or attributes.
    Content,
    /// The list of rights of a file or folder: before and after.
    Rights(String, String),
    /// A service, pool, share, value or task: before and after.
    Setting(Option<String>, Option<String>),
    /// Rows of a table: those that were there, and those that are.
    Rows(Vec<String>, Vec<String>),
}

impl Picture {
    pub(crate) fn of(world: &LiveWorld) -> Self {
        let mut picture =
            Self { disk: BTreeMap::new(), settings: BTreeMap::new(), rows: BTreeMap::new() };
        world.with(|world| {
            let fleet = world.fleet();
            let ns = (MachineId::NotificationServer, fleet.notification_server.fqdn.clone());
            let servers = fleet.servers.iter().enumerate();
            let servers = servers.map(|(at, server)| (MachineId::Server(at), server.fqdn.clone()));
            let machines: Vec<_> = std::iter::once(ns).chain(servers).collect();
            for (machine, host) in machines {
                let settings = world.settings(machine).into_iter();
                let of_host = settings.map(|(name, value)| ((host.clone(), name), value));
                picture.settings.extend(of_host);
                let disk = world.tree(machine).snapshot().into_iter();
                let of_host = disk.map(|(path, it)| ((host.clone(), path.to_lowercase()), it));
                picture.disk.extend(of_host);
            }
        });
        for table in TABLES {
            picture.rows.insert(table, world.cmdb().dump(table).expect("a table"));
        }
        picture
    }

    pub(crate) fn file(&self, host: &str, path: &str) -> Option<&Recorded> {
        self.disk.get(&(host.to_owned(), path.to_lowercase()))
    }

    /// Everything that is other in a later picture.
    pub(crate) fn differences(&self, later: &Self) -> Vec<Difference> {
        let mut all = Vec::new();
        let mut add = |(host, name): &(String, String), how: How| {
            all.push(Difference { host: host.clone(), name: name.clone(), how });
        };
        for (at, before) in &self.disk {
            let Some(after) = later.disk.get(at) else {
                add(at, How::Gone);
                continue;
            };
            if before.descriptor != after.descriptor {
                add(at, How::Rights(rights(before), rights(after)));
            }
            let is_same = before.kind == after.kind && before.attributes == after.attributes;
            if !is_same || before.sha256 != after.sha256 {
                add(at, How::Content);
            }
        }
        for at in later.disk.keys().filter(|at| !self.disk.contains_key(at)) {
            add(at, How::New);
        }
        let mut names: Vec<_> = self.settings.keys().chain(later.settings.keys()).collect();
        names.sort();
        names.dedup();
        for at in names {
            let (before, after) = (self.settings.get(at), later.settings.get(at));
            if before != after {
                add(at, How::Setting(before.cloned(), after.cloned()));
            }
        }
        for (table, before) in &self.rows {
            let after = &later.rows[table];
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                these.iter().filter(|row| !those.contains(row)).cloned().collect()
            };
            if before != after {
                let at = (String::new(), (*table).to_owned());
                add(&at, How::Rows(only(before, after), only(after, before)));
            }
        }
        all
    }
}

fn rights(of: &Recorded) -> String {
    let parsed = SecurityDescriptor::parse(&of.descriptor);
    parsed.map_or_else(|error| error.to_string(), |descriptor| descriptor.to_string())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {:?}", self.host, self.name, self.how)
    }
}

#[tokio::test(start_paused = true)]
async fn a_picture_shows_a_file_its_rights_a_service_a_share_and_a_row() {
    let scenario = crate::scenario::Scenario::of("urgent-list", &[2], &[]);
    let examined = crate::world::Examined::new(scenario.world(5));
    let before = Picture::of(examined.world());
    assert_eq!(before.differences(&Picture::of(examined.world())), []);

    let server = MachineId::Server(0);
    let store = examined.world().with(|world| {
        let fleet = world.fleet();
        let (store, package) = (&fleet.servers[0].layout.package_delivery, &fleet.packages[0]);
        let (store, snapshot) = (store.clone(), fleet.servers[0].layout.snapshot(package.guid));
        let guids = (fleet.servers[0].guid, package.guid);
        let rights = SecurityDescriptor::administrators_only().encode();
        let tree = world.tree(server).clone();
        tree.set_descriptor(&store, &rights).expect("the store is there");
        tree.write(&snapshot, b"other".to_vec(), 1).expect("the snapshot is there");
        tree.write(r"C:\new.txt", Vec::new(), 1).expect("there is room");
        world.stop_service(server, fleetmend::lab::world::AGENT_SERVICE);
        world.create_share(0, "Other", r"C:\Other");
        (store, guids)
    });
    let (store, (server, package)) = store;
    let cmdb = examined.world().cmdb();
    cmdb.upsert_package_server_row(server, package, "Invalid", None).expect("a row");

    let found = before.differences(&Picture::of(examined.world()));
    let kinds: Vec<&str> = found
        .iter()
        .map(|difference| match &difference.how {
            How::New => "new",
            How::Gone => "gone",
            How::Content => "content",
            How::Rights(..) => "rights",
            How::Setting(..) => "setting",
            How::Rows(..) => "rows",
        })
        .collect();
    let of_store = format!("{}: rights", store.to_lowercase());
    assert!(
        found
            .iter()
            .any(|it| matches!(it.how, How::Rights(..))
                && format!("{}: rights", it.name) == of_store)
    );
    for (kind, count) in [("new", 1), ("content", 1), ("setting", 2), ("rows", 1), ("gone", 0)] {
        assert_eq!(kinds.iter().filter(|it| **it == kind).count(), count, "{kind}: {found:#?}");
    }
}
