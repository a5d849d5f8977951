//! Runs of shipped playbooks in a world in memory: the real loader, planner, scheduler, driver and
//! verbs, on the same clock as the world.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fleetmend::action::{self, Replay};
use fleetmend::engine::{Driver, DriverConfig, Endpoints, NobodyThere, Operator, Orders};
use fleetmend::event::{
    Ack, Answer, AnsweredBy, Event, EventKind, Journal, PlayHeader, Question, Reply, RunMode,
    RunStarted, RunState, TaskHeader,
};
use fleetmend::lab::clock::LiveWorld;
use fleetmend::lab::world::{CONNECTIVITY_ACCOUNT, NETBIOS_DOMAIN, PARENT};
use fleetmend::load::{LoadedInventory, load_inventory, load_playbook_with, render};
use fleetmend::model::{
    Credential, Host, HostName, Playbook, RunId, Selector, TagChoice, TimeScale, Vars,
};
use fleetmend::plan::{ActionTraits, Delegates, Draft, DraftRequest, takeback};
use fleetmend::scheduler::Scheduler;
use fleetmend::secret::Secret;
use fleetmend::transport::Target;
use futures::FutureExt;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use tokio::sync::mpsc;

use crate::direct::Direct;

/// Runs that are being tested are short: so long a one does not end.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Does in the world what a person is asked to do, and confirms it.
pub(crate) struct AtTheConsole<F>(pub(crate) Arc<LiveWorld>, pub(crate) F);

impl<F: Fn(&LiveWorld, &str) + Send + Sync + 'static> Operator for AtTheConsole<F> {
    fn ask(self: Arc<Self>, question: Question) -> BoxFuture<'static, Answer> {
        let asked = async move {
            (self.1)(&self.0, &question.name);
            let (user, by) = ("operator".to_owned(), AnsweredBy::CommandLine);
            Answer { reply: Reply::Confirmed, user, by }
        };
        asked.boxed()
    }
}

/// Keeps the journal in memory.
#[derive(Default)]
struct Memory(Mutex<Vec<Event>>);

impl Journal for Memory {
    fn append(&self, event: Event) -> Ack {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        std::future::ready(Ok(())).boxed()
    }
}

/// What is said on the command line.
pub(crate) struct Asked<'a> {
    /// The file in `playbooks/`.
    pub(crate) playbook: &'a str,
    /// `-e`.
    pub(crate) vars: serde_json::Value,
    /// `--limit`; everything when it is empty.
    pub(crate) limit: &'a [String],
    pub(crate) operator: Arc<dyn Operator>,
}

/// Runs a shipped playbook to its end.
pub(crate) async fn run(world: &Arc<LiveWorld>, asked: Asked<'_>) -> RunState {
    let loaded = inventory(world);
    let playbook = playbook(asked.playbook, &loaded);
    let limit = (!asked.limit.is_empty()).then(|| {
        let pattern = asked.limit.join(",");
        pattern.parse::<Selector>().expect("a pattern")
    });
    let extra_vars: Vars = serde_json::from_value(asked.vars).expect("variables");
    let delegates = Delegates::of(&playbook, &loaded.inventory, limit.as_ref(), &extra_vars)
        .expect("delegates");
    let (limits, scale) = (loaded.settings.limits.clone(), loaded.settings.time_scale);
    let tags = TagChoice::default();
    let request = DraftRequest {
        window: None,
        playbook: &playbook,
        inventory: &loaded.inventory,
        inventory_sha256: "",
        limit: limit.as_ref(),
        limits: &limits,
        tags: &tags,
        delegates: &delegates,
        mode: RunMode::Run,
        seed: 1,
        scale,
    };
    let scheduler = Scheduler::new(Draft::new(&request, &traits));
    let header = RunStarted {
        playbook: playbook.path.clone(),
        playbook_sha256: playbook.sha256.clone(),
        inventory: "in memory".to_owned(),
        limit: limit.as_ref().map(ToString::to_string),
        extra_vars: extra_vars.clone(),
        seed: request.seed,
        scale,
        limits,
        plays: headers(&playbook),
        ..RunStarted::bare(RunId::new(uuid::Uuid::new_v4()))
    };
    let config = DriverConfig {
        limit,
        extra_vars,
        operator: asked.operator,
        ..config(world, header.run, Orders::Playbook(Arc::new(playbook)), loaded, scale)
    };
    drive(config, scheduler, header).await
}

/// Takes a run back.
pub(crate) async fn undo(world: &Arc<LiveWorld>, past: &RunState) -> Option<RunState> {
    let back = takeback(past, None).expect("it can be taken back");
    if back.hosts.is_empty() {
        return None;
    }
    let loaded = inventory(world);
    let of = past.header.as_deref().expect("a header").clone();
    let draft =
        back.draft(past, &loaded.inventory, &of.limits, of.scale, &traits).expect("an undo");
    let plays = draft.plays.iter().map(|play| PlayHeader {
        name: play.name.clone(),
        tasks: play.tasks.iter().map(|task| TaskHeader::new(&task.name, &task.action)).collect(),
    });
    let header = RunStarted {
        run: RunId::new(uuid::Uuid::new_v4()),
        mode: RunMode::Undo { of: of.run },
        plays: plays.collect(),
        ..of.clone()
    };
    let orders = Orders::TakeBack(Arc::new(back));
    let config = config(world, header.run, orders, loaded, of.scale);
    Some(drive(config, Scheduler::new(draft), header).await)
}

async fn drive(config: DriverConfig, scheduler: Scheduler, header: RunStarted) -> RunState {
    // What a playbook collects is kept below the working directory.
    std::env::set_current_dir(env!("CARGO_TARGET_TMPDIR")).expect("the folder of tests");
    let journal = Arc::new(Memory::default());
    let driver = Driver::new(config, scheduler, RunState::default(), journal, Vec::new());
    let (_stop, stops) = mpsc::channel(1);
    let opening = EventKind::RunStarted(Box::new(header));
    let driven = tokio::time::timeout(LONGEST, driver.drive(opening, stops)).await;
    driven.expect("the run ends").expect("it is recorded")
}

fn config(
    world: &Arc<LiveWorld>,
    run: RunId,
    orders: Orders,
    loaded: LoadedInventory,
    scale: TimeScale,
) -> DriverConfig {
    let hosts: IndexMap<HostName, Host> =
        loaded.inventory.hosts().map(|host| (host.name.clone(), host)).collect();
    let endpoints: HashMap<HostName, Endpoints> =
        hosts.values().map(|host| (host.name.clone(), endpoints(host))).collect();
    DriverConfig {
        run,
        orders,
        is_check: false,
        scale,
        inventory: loaded.inventory,
        hosts,
        endpoints,
        limit: None,
        extra_vars: Vars::default(),
        operator: Arc::new(NobodyThere),
        unfinished: Arc::from([]),
        connector: Arc::new(Direct::new(Arc::clone(world))),
    }
}

fn endpoints(host: &Host) -> Endpoints {
    let target = |user: &str, port| Target {
        host: host.name.clone(),
        address: host.name.to_string(),
        port,
        credential: Credential {
            user: user.to_owned(),
            password: Secret::new("not asked for".to_owned()),
        },
        option: None,
    };
    let has_cmdb = host.vars.contains_key("cmdb");
    Endpoints {
        winrm: Some(target(r"LAB\fleet-admin", 5985)),
        smb: Some(target(r"LAB\fleet-admin", 445)),
        cmdb: has_cmdb.then(|| target("cmdb-reader", 1433)),
        cmdb_writer: has_cmdb.then(|| target("cmdb-writer", 1433)),
    }
}

fn headers(playbook: &Playbook) -> Vec<PlayHeader> {
    let header = |play: &fleetmend::model::Play| PlayHeader {
        name: play.name.clone(),
        tasks: play
            .tasks
            .iter()
            .map(|task| TaskHeader::new(&task.name, &task.action.action))
            .collect(),
    };
    playbook.plays.iter().map(header).collect()
}

fn traits(name: &str) -> ActionTraits {
    let action = action::find(name).expect("a registered action");
    ActionTraits {
        within: action.within(),
        replay_is_safe: action.replay() == Replay::Safe,
        is_once: action.is_once(),
        is_idle: action.is_idle(),
    }
}

fn playbook(file: &str, inventory: &LoadedInventory) -> Playbook {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let text = read(&folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let loaded = load_playbook_with(file, &text, action::registry(), Some(inventory), &read);
    loaded.unwrap_or_else(|found| panic!("{}", render(&found, false))).playbook
}

/// The inventory that a lab of this world would write.
fn inventory(world: &LiveWorld) -> LoadedInventory {
    let fleet = world.with(|world| world.fleet().clone());
    let ns = &fleet.notification_server;
    let mut yaml = format!(
        "all:\n  vars:\n    credential: lab-admin\n    \
         acc_account: '{NETBIOS_DOMAIN}\\{CONNECTIVITY_ACCOUNT}'\n    time_scale: {}\n  \
         children:\n    notification_servers:\n      hosts:\n        {}:\n          \
         itms_guid: '{}'\n          parent_servers: [{PARENT}]\n          \
         cmdb: {{ server: 127.0.0.1, port: 1433, database: Symantec_CMDB, credential: lab-cmdb, \
         writer_credential: lab-cmdb-writer }}\n    package_servers:\n      hosts:\n",
        world.speed().factor(),
        ns.fqdn,
        ns.guid,
    );
    for server in &fleet.servers {
        yaml += &format!(
            "        {}: {{ fqdn: {}, itms_guid: '{}', site: {} }}\n",
            server.fqdn, server.fqdn, server.guid, server.site
        );
    }
    load_inventory("in memory", &yaml).unwrap_or_else(|found| panic!("{}", render(&found, false)))
}
