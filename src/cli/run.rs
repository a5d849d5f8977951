//! `fleetmend run`: a playbook on an inventory.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::approvals::Approvals;
use super::args::{Cli, RunArgs};
use super::error::{Failure, nearest};
use super::files::InventoryFile;
use super::fleet::Fleet;
use super::launch::{self, Launch, Show};
use super::window::PlayWindows;
use super::{files, fleet, inventory, output, rejections, sources, window};
use crate::engine::{self, DriverConfig, Orders};
use crate::event::{EventKind, PlayHeader, RunMode, RunResult, RunStarted, RunState, TaskHeader};
use crate::model::{Host, Limits, Playbook, RunId, Selector, TagChoice, TimeScale, Vars, Window};
use crate::plan::{Delegates, Draft, DraftRequest};
use crate::report::{clean_line, file_name};
use crate::scheduler::Scheduler;
use crate::store::StateDir;
use crate::transport::Connector;

/// What a run is made from.
pub(super) struct RunRequest {
    /// The playbook.
    pub playbook: Playbook,
    /// The inventory.
    pub inventory: InventoryFile,
    /// Whether nothing may be changed.
    pub is_check: bool,
    /// Only these hosts.
    pub limit: Option<Selector>,
    /// Variables that win over all others.
    pub extra_vars: Vars,
    /// Only tasks that these tags choose.
    pub tags: TagChoice,
    /// Who answers what the playbook asks.
    pub approvals: Approvals,
    /// The seed of everything random.
    pub seed: u64,
    /// The limits that hold.
    pub limits: Limits,
    /// The window of the run, beside those of the plays.
    pub window: Option<Window>,
    /// How it is shown.
    pub show: Show,
    /// Whether it only reads, so that other runs may work on its hosts meanwhile.
    pub reads_only: bool,
}

/// Runs a playbook.
pub(super) async fn run(cli: &Cli, args: &RunArgs) -> Result<RunResult, Failure> {
    if args.start_at_task.is_some() {
        return Err(Failure::input("there is no --start-at-task: hosts stand at different tasks")
            .hint("`fleetmend resume RUN` goes on where each host was; --tags runs a part"));
    }
    let inventory_file = files::inventory(&args.inventory)?;
    let state_dir = launch::writable_state_dir(cli)?;
    // To ask a source is to connect.
    if !args.check && !inventory_file.loaded.sources.is_empty() {
        launch::expect_someone(args.yes)?;
    }
    let of_run = window::read(args.window.as_deref())?;
    if !args.check && !inventory_file.loaded.sources.is_empty() {
        refuse_outside(args, &inventory_file, of_run.as_ref())?;
    }
    let inventory_file = sources::resolve(cli, inventory_file).await?;
    let playbook = files::playbook(&args.playbook, Some(&inventory_file))?;
    let limit = match &args.limit {
        Some(pattern) => Some(inventory::selector(pattern, &inventory_file.loaded.inventory)?),
        None => None,
    };
    let extra_vars = extra_vars(&args.extra_vars)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => launch::random_seed()?,
    };
    let tags = tags(args, &playbook)?;
    let approvals = Approvals::read(&args.approve, &playbook)?;
    let lacking = approvals.lacking(&playbook);
    if args.wait {
        window::expect_any(&playbook, of_run.as_ref())?;
    }
    let request = RunRequest {
        limits: inventory_file.loaded.settings.limits.clone(),
        window: of_run,
        playbook,
        inventory: inventory_file,
        is_check: args.check,
        limit,
        extra_vars,
        tags,
        approvals,
        seed,
        show: if args.json { Show::Json } else { Show::People },
        reads_only: false,
    };
    let hosts = touched(&request).count();
    if hosts == 0 {
        return Err(nobody_is_meant(args, &request.playbook));
    }
    if !args.check && !lacking.is_empty() {
        output::talk(&format!(
            "nobody can be asked here: the run stops where it asks to confirm {}, unless --approve \
             answers it\n",
            lacking.join(", ")
        ));
    }
    let windows = windows_of(&request);
    if let Some(windows) = &windows {
        window::expect_open(windows, args.wait)?;
    }
    if !args.check {
        launch::expect_someone(args.yes)?;
    }
    let fleet = fleet_of(&request)?;
    let connector = rejections::connector(&state_dir, &fleet, &request.inventory.path)?;
    let delegates = delegates_of(&request)?;
    tell_what_is_foreseen(&request, &fleet, &connector, &delegates).await;
    if !args.check {
        let question = format!(
            "run {} on up to {hosts} hosts of {}?",
            file_name(&request.playbook.path),
            request.inventory.name
        );
        launch::confirm(&question, args.yes)?;
    }
    match &windows {
        Some(windows) if args.wait => window::wait(windows).await?,
        // The operator may have taken his time to answer.
        Some(windows) => window::expect_open(windows, false)?,
        None => {}
    }
    let state = start_on(&state_dir, request, fleet, connector).await?;
    Ok(launch::result_of(&state))
}

/// Refuses a run outside of its window before the sources of its inventory are asked; what the
/// hosts of the sources say about their clocks is looked at when they are known.
fn refuse_outside(
    args: &RunArgs,
    inventory: &InventoryFile,
    of_run: Option<&Window>,
) -> Result<(), Failure> {
    let playbook = files::playbook_quietly(&args.playbook, inventory);
    let play = playbook.as_ref().and_then(|playbook| playbook.plays.first());
    let windows =
        play.and_then(|play| PlayWindows::of(play, of_run, &inventory.loaded.inventory, None));
    windows.map_or(Ok(()), |windows| window::expect_open(&windows, args.wait))
}

/// The windows of the first play. A check changes nothing and has none.
fn windows_of(request: &RunRequest) -> Option<PlayWindows> {
    let play = request.playbook.plays.first().filter(|_| !request.is_check)?;
    let inventory = &request.inventory.loaded.inventory;
    PlayWindows::of(play, request.window.as_ref(), inventory, request.limit.as_ref())
}

/// Says what the run will set off at the Notification Servers, or would when it is only checked,
/// before anything starts and anybody is asked whether it may: a new snapshot is downloaded by every
/// package server and client (KB 181405, section 3).
async fn tell_what_is_foreseen(
    request: &RunRequest,
    fleet: &Fleet,
    connector: &Arc<dyn Connector>,
    delegates: &Delegates,
) {
    if !engine::is_worth_foreseeing(&request.playbook, &request.tags) {
        return;
    }
    let config = DriverConfig {
        run: RunId::new(uuid::Uuid::nil()),
        orders: Orders::Playbook(Arc::new(request.playbook.clone())),
        is_check: true,
        scale: request.inventory.loaded.settings.time_scale,
        inventory: request.inventory.loaded.inventory.clone(),
        hosts: fleet.hosts.clone(),
        endpoints: fleet.endpoints.clone(),
        limit: request.limit.clone(),
        extra_vars: request.extra_vars.clone(),
        operator: Arc::new(Approvals::none()),
        unfinished: Arc::from([]),
        connector: Arc::clone(connector),
    };
    for one in engine::foresee(config, delegates, &request.tags).await {
        let host = one.host.map_or_else(|| "the work".to_owned(), |host| host.to_string());
        let said = match &one.lines {
            Ok(lines) => lines.first().cloned().unwrap_or_default(),
            Err(failure) => format!("what it sets off is not known: {failure}"),
        };
        let said = format!("{host}: {}: {said}", one.task);
        output::talk(&format!("{}\n", clean_line(&said, 600)));
    }
}

/// The hosts that a request may touch.
fn touched(request: &RunRequest) -> impl Iterator<Item = Host> {
    let inventory = &request.inventory.loaded.inventory;
    inventory.hosts().filter(|host| is_touched(request, host))
}

fn is_touched(request: &RunRequest, host: &Host) -> bool {
    let inventory = &request.inventory.loaded.inventory;
    let within = |pattern: &Selector| pattern.matches(&host.name, inventory);
    request.limit.as_ref().is_none_or(within)
        && request.playbook.plays.iter().any(|play| within(&play.hosts))
}

/// Starts a run and drives it to its end.
///
/// # Errors
///
/// A credential cannot be found or was rejected before, another run holds a host, or the journal failed.
pub(super) async fn start(state_dir: &StateDir, request: RunRequest) -> Result<RunState, Failure> {
    let fleet = fleet_of(&request)?;
    let connector = rejections::connector(state_dir, &fleet, &request.inventory.path)?;
    start_on(state_dir, request, fleet, connector).await
}

/// The hosts that tasks of a request are delegated to.
fn delegates_of(request: &RunRequest) -> Result<Delegates, Failure> {
    Delegates::of(
        &request.playbook,
        &request.inventory.loaded.inventory,
        request.limit.as_ref(),
        &request.extra_vars,
    )
    .map_err(|error| Failure::input("could not start the run").because(&error))
}

/// The hosts of a request, and where those that it needs answer.
fn fleet_of(request: &RunRequest) -> Result<Fleet, Failure> {
    let delegates = delegates_of(request)?;
    let delegated = delegates.hosts();
    fleet::fleet(&request.inventory, |host| {
        // A CMDB is asked for work and oracle even where its server is not touched.
        is_touched(request, host)
            || delegated.contains(&host.name)
            || host.vars.contains_key("cmdb")
    })
}

async fn start_on(
    state_dir: &StateDir,
    request: RunRequest,
    fleet: Fleet,
    connector: Arc<dyn Connector>,
) -> Result<RunState, Failure> {
    let delegates = delegates_of(&request)?;
    let delegated = delegates.hosts();
    let scale = request.inventory.loaded.settings.time_scale;
    let mode = if request.is_check { RunMode::Check } else { RunMode::Run };
    let draft = Draft::new(
        &DraftRequest {
            playbook: &request.playbook,
            inventory: &request.inventory.loaded.inventory,
            inventory_sha256: &request.inventory.sha256,
            limit: request.limit.as_ref(),
            limits: &request.limits,
            window: request.window.as_ref(),
            tags: &request.tags,
            delegates: &delegates,
            mode,
            seed: request.seed,
            scale,
        },
        &launch::action_traits,
    );
    let run = RunId::new(uuid::Uuid::new_v4());
    let header = header(&request, run, mode, scale);
    let mut hosts: Vec<_> = touched(&request).map(|host| host.name).collect();
    let more = delegated.iter().filter(|name| !hosts.contains(name)).copied().cloned();
    hosts.extend(more.collect::<Vec<_>>());
    if request.reads_only {
        hosts.clear();
    }
    let live = state_dir
        .start(&header, launch::wall_clock(), &hosts)
        .map_err(|error| Failure::input("could not start the run").because(&error))?;
    let config = DriverConfig {
        run,
        orders: Orders::Playbook(Arc::new(request.playbook)),
        is_check: request.is_check,
        scale,
        inventory: request.inventory.loaded.inventory,
        hosts: fleet.hosts,
        endpoints: fleet.endpoints,
        limit: request.limit,
        extra_vars: request.extra_vars,
        operator: Arc::new(request.approvals),
        unfinished: launch::unfinished(state_dir, run)?,
        connector,
    };
    launch::drive(Launch {
        config,
        scheduler: Scheduler::new(draft),
        state: RunState::default(),
        live,
        opening: EventKind::RunStarted(Box::new(header)),
        show: request.show,
    })
    .await
}

fn header(request: &RunRequest, run: RunId, mode: RunMode, scale: TimeScale) -> RunStarted {
    let plays = request.playbook.plays.iter().map(|play| PlayHeader {
        name: play.name.clone(),
        tasks: play
            .tasks
            .iter()
            .map(|task| TaskHeader {
                notify: task.flow.notify,
                is_handler: task.flow.is_handler,
                ..TaskHeader::new(&task.name, &task.action.action)
            })
            .collect(),
    });
    RunStarted {
        run,
        mode,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        playbook: request.playbook.path.clone(),
        playbook_sha256: request.playbook.sha256.clone(),
        inventory: request.inventory.path.display().to_string(),
        inventory_sha256: request.inventory.sha256.clone(),
        sourced: request.inventory.sourced.clone(),
        limit: request.limit.as_ref().map(ToString::to_string),
        extra_vars: request.extra_vars.clone(),
        tags: request.tags.clone(),
        seed: request.seed,
        scale,
        limits: request.limits.clone(),
        window: request.window.as_ref().map(ToString::to_string),
        plays: plays.collect(),
    }
}

/// Says which hosts the plays are about, where none of them is within `--limit`.
fn nobody_is_meant(args: &RunArgs, playbook: &Playbook) -> Failure {
    let mut plays: Vec<String> =
        playbook.plays.iter().map(|play| format!("`{}`", play.hosts)).collect();
    plays.dedup();
    let plays = plays.join(", ");
    let failure = match &args.limit {
        Some(limit) => Failure::input(format!(
            "--limit {limit} leaves no host of any play: nothing would be done"
        )),
        None => Failure::input("no host of the inventory is meant: nothing would be done"),
    };
    failure.hint(format!(
        "the plays are about {plays}; `fleetmend inventory -i {} PATTERN` shows what a pattern picks",
        args.inventory.display()
    ))
}

/// Reads `--tags` and `--skip-tags`, which must be tags of the playbook.
fn tags(args: &RunArgs, playbook: &Playbook) -> Result<TagChoice, Failure> {
    let mut known: BTreeSet<&str> =
        playbook.tasks().flat_map(|task| &task.flow.tags).map(String::as_str).collect();
    known.extend([TagChoice::ALWAYS, TagChoice::NEVER]);
    let given = args.tags.iter().chain(&args.skip_tags);
    if let Some(lost) = given.into_iter().find(|tag| !known.contains(tag.as_str())) {
        let failure = Failure::input(format!("no task of the playbook has the tag `{lost}`"));
        let meant = nearest(lost, known.iter().copied());
        known.retain(|tag| ![TagChoice::ALWAYS, TagChoice::NEVER].contains(tag));
        let known: Vec<&str> = known.into_iter().collect();
        let all = format!("its tags are {}", known.join(", "));
        return Err(match meant {
            Some(meant) => failure.hint(format!("did you mean `{meant}`? {all}")),
            None if known.is_empty() => failure.hint("it has no tags: leave out --tags"),
            None => failure.hint(all),
        });
    }
    let choice = TagChoice {
        only: args.tags.iter().cloned().collect(),
        skip: args.skip_tags.iter().cloned().collect(),
    };
    if !playbook.tasks().any(|task| choice.takes(&task.flow.tags)) {
        return Err(Failure::input("no task is left: nothing would be done")
            .hint("check --tags and --skip-tags"));
    }
    Ok(choice)
}

/// Reads `-e name=value`; the value is JSON where it is that, else a text.
fn extra_vars(given: &[String]) -> Result<Vars, Failure> {
    given
        .iter()
        .map(|text| {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, _)| {
                    !name.is_empty()
                        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
                        && !name.starts_with(|c: char| c.is_ascii_digit())
                })
                .ok_or_else(|| {
                    Failure::input(format!("`-e {text}` is not NAME=VALUE"))
                        .hint("as in -e acc_account='CORP\\svc-acc'")
                })?;
            let lower = name.to_lowercase();
            if ["password", "passwd", "secret", "token"].iter().any(|word| lower.contains(word)) {
                return Err(Failure::input(format!("`-e {name}=…` looks like a secret"))
                    .hint("variables are kept in the journal; name a credential instead"));
            }
            let value =
                serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((name.to_owned(), value))
        })
        .collect()
}
