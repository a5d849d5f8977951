//! All that the scheduler needs to know of a playbook and an inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{Course, Delegates, cut, hours, in_order};
use crate::event::RunMode;
use crate::model::{
    Batch, Block, HandlerSet, Host, HostName, Inventory, LimitName, LimitSpec, Limits, MatchedWork,
    Oracle, Order, Play, PlayNo, Playbook, Safeguards, Selector, TagChoice, TaskId, TimeScale,
    WaveNo, Window, WindowZone, WorkQuery, share_of,
};

/// What the planner must know of an action, without importing actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionTraits {
    /// The longest a step may take when its task says nothing, in the world's time.
    pub within: Duration,
    /// Whether a change whose end was never recorded may be probed and decided again; otherwise
    /// the operator must say.
    pub replay_is_safe: bool,
    /// Whether one host does it for all hosts of the play.
    pub is_once: bool,
    /// Whether it only lets time pass, so that the end of a run does not wait for it.
    pub is_idle: bool,
}

impl ActionTraits {
    /// Those of an action that acts on each host.
    pub fn of_host(within: Duration, replay_is_safe: bool) -> Self {
        Self { within, replay_is_safe, is_once: false, is_idle: false }
    }
}

/// What a draft is made from.
#[derive(Debug, Clone, Copy)]
pub struct DraftRequest<'a> {
    /// The playbook.
    pub playbook: &'a Playbook,
    /// The inventory.
    pub inventory: &'a Inventory,
    /// SHA-256 of the inventory's text.
    pub inventory_sha256: &'a str,
    /// The pattern of `--limit`: it holds for every play.
    pub limit: Option<&'a Selector>,
    /// The limits that hold for all plays.
    pub limits: &'a Limits,
    /// The window of the run, which holds for every play beside its own.
    pub window: Option<&'a Window>,
    /// The choice of `--tags` and `--skip-tags`.
    pub tags: &'a TagChoice,
    /// Where delegated tasks act.
    pub delegates: &'a Delegates,
    /// What the run is for.
    pub mode: RunMode,
    /// The seed of everything random; a resume takes that of the run.
    pub seed: u64,
    /// How fast the world runs.
    pub scale: TimeScale,
}

/// A task, as far as scheduling goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftTask {
    /// Its position.
    pub id: TaskId,
    /// What it is for.
    pub name: String,
    /// Its action.
    pub action: String,
    /// The longest a step may take, in the world's time.
    pub within: Duration,
    /// Whether a change whose end was never recorded may be probed and decided again.
    pub replay_is_safe: bool,
    /// How it runs.
    pub flow: DraftFlow,
}

/// How a task runs, as far as scheduling goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DraftFlow {
    /// Whether the run takes it: see `--tags`.
    pub is_taken: bool,
    /// Whether one host does it for all hosts of the play.
    pub is_once: bool,
    /// Whether it only lets time pass.
    pub is_idle: bool,
    /// Whether a failure of it does not end the host's play.
    pub ignores_errors: bool,
    /// Whether a failure of it fails the host and lets it do its other tasks all the same.
    pub goes_on_failed: bool,
    /// Whether it is done for items, one after the other.
    pub is_loop: bool,
    /// The handlers that a host owes once it changed something there.
    pub notify: HandlerSet,
    /// Whether it runs only where it is owed, after the host's other tasks. Such tasks are the last
    /// ones of their play.
    pub is_handler: bool,
}

impl Default for DraftFlow {
    /// Each host does it once.
    fn default() -> Self {
        Self {
            is_taken: true,
            is_once: false,
            is_idle: false,
            ignores_errors: false,
            goes_on_failed: false,
            is_loop: false,
            notify: HandlerSet::default(),
            is_handler: false,
        }
    }
}

/// A host that a play may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftHost {
    /// Its name.
    pub name: HostName,
    /// Its values of the variables that split limits or order hosts; absent where it has none.
    pub values: BTreeMap<String, String>,
    /// For tasks, by their place, that act on another host: that host.
    pub delegates: BTreeMap<u16, HostName>,
}

/// A play, as far as scheduling goes.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftPlay {
    /// What it is for.
    pub name: String,
    /// The tasks, in order.
    pub tasks: Vec<DraftTask>,
    /// The blocks among them, outer ones before those inside of them.
    pub blocks: Vec<Block>,
    /// The values of hosts on which delegated tasks act.
    pub delegate_values: BTreeMap<HostName, BTreeMap<String, String>>,
    /// The hosts it may touch, in inventory order.
    pub hosts: Vec<DraftHost>,
    /// The query that says which of them have work; without one all have.
    pub work: Option<WorkQuery>,
    /// The order in which hosts are taken.
    pub order: Order,
    /// The sizes of the waves.
    pub serial: Vec<Batch>,
    /// Hosts in flight at once; at least 1.
    pub throttle: u32,
    /// The share of a wave that may fail, over 0 to 100; none means that nothing may.
    pub max_fail_percentage: Option<f64>,
    /// When it goes slower, waits or stops, beyond that.
    pub safeguards: Safeguards,
    /// The limits that hold in this play: the run's, tightened by what the play declares.
    pub limits: Limits,
    /// How long the world may take after the last step until the CMDB says Ready, and what it means
    /// when it does not; none means that it is not asked.
    pub oracle: Option<Oracle>,
}

/// All that the scheduler needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What the run is for.
    pub mode: RunMode,
    /// The seed of everything random.
    pub seed: u64,
    /// How fast the world runs.
    pub scale: TimeScale,
    /// SHA-256 of the playbook's text.
    pub playbook_sha256: String,
    /// SHA-256 of the inventory's text.
    pub inventory_sha256: String,
    /// The plays.
    pub plays: Vec<DraftPlay>,
}

impl Draft {
    /// Puts a playbook and an inventory together; `traits` answers for every action in it.
    pub fn new(request: &DraftRequest<'_>, traits: &dyn Fn(&str) -> ActionTraits) -> Self {
        let mut plays: Vec<DraftPlay> =
            request.playbook.plays.iter().map(|play| draft_play(play, request, traits)).collect();
        keep_gates(&mut plays);
        Self {
            mode: request.mode,
            seed: request.seed,
            scale: request.scale,
            playbook_sha256: request.playbook.sha256.clone(),
            inventory_sha256: request.inventory_sha256.to_owned(),
            plays,
        }
    }

    /// The waves of a play: its hosts that have work, in the play's order, cut by `serial`.
    pub fn waves(&self, play: PlayNo, work: Option<&MatchedWork>) -> Vec<Vec<HostName>> {
        let Some(draft) = self.plays.get(usize::from(play.0)) else { return Vec::new() };
        let has_work = |host: &&DraftHost| {
            work.is_none_or(|work| {
                work.by_host.get(&host.name).is_some_and(|rows| !rows.is_empty())
            })
        };
        let hosts = draft.hosts.iter().filter(has_work).cloned().collect();
        let names =
            in_order(hosts, &draft.order, self.seed, play).into_iter().map(|host| host.name);
        cut(names.collect(), &draft.serial)
    }

    /// Whether nothing may be changed.
    pub fn is_check(&self) -> bool {
        self.mode == RunMode::Check
    }
}

/// What must be confirmed cannot be left out while something after it runs.
fn keep_gates(plays: &mut [DraftPlay]) {
    let mut is_anything_after = false;
    for task in plays.iter_mut().rev().flat_map(|play| play.tasks.iter_mut().rev()) {
        let flow = &mut task.flow;
        flow.is_taken |= flow.is_once && flow.is_idle && is_anything_after;
        is_anything_after |= flow.is_taken;
    }
}

impl DraftPlay {
    /// The way through its tasks.
    pub fn course(&self) -> Course {
        let is_taken = self.tasks.iter().map(|task| task.flow.is_taken).collect();
        let notify = self.tasks.iter().map(|task| task.flow.notify).collect();
        let handlers = self.tasks.iter().filter(|task| task.flow.is_handler).count();
        Course::new(self.blocks.clone(), is_taken).with_handlers(handlers, notify)
    }

    /// Bad hosts that a wave of this size tolerates, rounded down; the next one stops the play.
    /// Without a share of its own a wave tolerates none, or, where the whole play has a budget, what
    /// that tolerates.
    pub fn tolerated(&self, wave_hosts: usize) -> u32 {
        let hosts = match self.max_fail_percentage {
            Some(share) => share_of(wave_hosts, share),
            None if self.safeguards.max_fail.fleet.is_some() => wave_hosts,
            None => 0,
        };
        u32::try_from(hosts).unwrap_or(u32::MAX)
    }

    /// The waves' sizes and the bad hosts that each tolerates, for lint and plan.
    pub fn budgets(&self, waves: &[Vec<HostName>]) -> Vec<(WaveNo, usize, u32)> {
        (0..)
            .map(WaveNo)
            .zip(waves)
            .map(|(number, hosts)| (number, hosts.len(), self.tolerated(hosts.len())))
            .collect()
    }
}

fn draft_play(
    play: &Play,
    request: &DraftRequest<'_>,
    traits: &dyn Fn(&str) -> ActionTraits,
) -> DraftPlay {
    let limits = tightened(request.limits, play);
    let mut vars: BTreeSet<&str> =
        limits.0.values().filter_map(|spec| spec.by.as_deref()).collect();
    if let Order::Interleave(var) = &play.order {
        vars.insert(var);
    }
    let windows = hours::windows(play, request.window, request.mode);
    if windows.iter().any(|window| window.tz == WindowZone::Site) {
        vars.insert(WindowZone::VARIABLE);
    }
    let hosts = play
        .hosts
        .select(request.inventory)
        .into_iter()
        .filter(|name| request.limit.is_none_or(|limit| limit.matches(name, request.inventory)))
        .filter_map(|name| request.inventory.host(&name))
        .map(|host| {
            let to = |task: &crate::model::Task| {
                Some((task.id.task, request.delegates.of_step(task.id, &host.name)?.clone()))
            };
            let delegates = play.tasks.iter().filter_map(to).collect();
            DraftHost { delegates, ..draft_host(&host, &vars) }
        })
        .collect::<Vec<DraftHost>>();
    let delegate_values = hosts
        .iter()
        .flat_map(|host| host.delegates.values())
        .filter_map(|name| request.inventory.host(name))
        .map(|host| (host.name.clone(), draft_host(&host, &vars).values))
        .collect();
    let hours = hours::hours(windows, &hosts);
    let safeguards = Safeguards { hours, ..play.safeguards.clone() };
    // A handler is not chosen by tags: it belongs to the tasks that notify it.
    let chosen = play.tasks.iter().filter(|task| request.tags.takes(&task.flow.tags));
    let mut notified = HandlerSet::default();
    chosen.for_each(|task| notified.extend(task.flow.notify));
    let first_handler = play.tasks.iter().position(|task| task.flow.is_handler);
    let is_taken = |task: &crate::model::Task| match first_handler {
        Some(first) if task.flow.is_handler => {
            notified.contains(usize::from(task.id.task).saturating_sub(first))
        }
        Some(_) | None => request.tags.takes(&task.flow.tags),
    };
    let tasks = play.tasks.iter().map(|task| {
        let traits = traits(&task.action.action);
        DraftTask {
            id: task.id,
            name: task.name.clone(),
            action: task.action.action.clone(),
            within: task.within.unwrap_or(traits.within),
            replay_is_safe: traits.replay_is_safe,
            flow: DraftFlow {
                is_taken: is_taken(task),
                is_once: traits.is_once || task.flow.run_once,
                is_idle: traits.is_idle,
                goes_on_failed: false,
                ignores_errors: task.flow.ignore_errors,
                is_loop: task.flow.each.is_some(),
                notify: task.flow.notify,
                is_handler: task.flow.is_handler,
            },
        }
    });
    DraftPlay {
        name: play.name.clone(),
        tasks: tasks.collect(),
        blocks: play.blocks.clone(),
        delegate_values,
        hosts,
        work: play.work,
        order: play.order.clone(),
        serial: play.serial.clone(),
        throttle: play.throttle.max(1),
        max_fail_percentage: play.max_fail_percentage,
        safeguards,
        limits,
        oracle: play.oracle,
    }
}

pub(super) fn draft_host(host: &Host, vars: &BTreeSet<&str>) -> DraftHost {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let values = vars
        .iter()
        .filter_map(|var| Some(((*var).to_owned(), host.vars.get(*var).and_then(text)?)))
        .collect();
    DraftHost { name: host.name.clone(), values, delegates: BTreeMap::new() }
}

/// The run's limits under those of a play: the tighter value of each field holds, so that a play
/// can never loosen what the owner of a server allows.
fn tightened(limits: &Limits, play: &Play) -> Limits {
    let mut tight = limits.clone();
    for (name, own) in &play.limits {
        let spec = tight.0.get(name).map_or_else(|| own.clone(), |spec| tighter(spec, own));
        tight.0.insert(LimitName::clone(name), spec);
    }
    tight
}

fn tighter(base: &LimitSpec, own: &LimitSpec) -> LimitSpec {
    // INVARIANT: a limit that is shared by all hosts is never split, which would multiply it.
    let speed = |rate: &crate::model::Rate| f64::from(rate.units) / rate.per.as_secs_f64();
    let rate = match (base.rate, own.rate) {
        (Some(a), Some(b)) => Some(if speed(&b) < speed(&a) { b } else { a }),
        (one, other) => one.or(other),
    };
    let in_flight = match (base.in_flight, own.in_flight) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    };
    // Without a rate the burst of the base limits nothing, so it says nothing either.
    let burst = if base.rate.is_some() { base.burst.min(own.burst) } else { own.burst };
    let adapt = match (base.adapt, own.adapt) {
        (Some(a), Some(b)) => Some(a.stricter(b)),
        (one, other) => one.or(other),
    };
    // What the owner of a server says holds for all runs stays so.
    LimitSpec {
        rate,
        burst: burst.max(1),
        in_flight,
        by: base.by.clone(),
        adapt,
        scope: base.scope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_play_tightens_a_limit_and_never_loosens_it() {
        let base = Limits::default().0[&LimitName::new(LimitName::NS_IIS)].clone();
        let wide = LimitSpec {
            rate: Some("1000/s".parse().expect("a rate")),
            burst: 100,
            in_flight: Some(2),
            by: Some("site".to_owned()),
            adapt: None,
            scope: crate::model::LimitScope::Run,
        };

        let held = tighter(&base, &wide);

        assert_eq!(held, LimitSpec { in_flight: Some(2), ..base });
    }

    #[test]
    fn a_budget_is_a_share_of_the_wave_rounded_down() {
        let play = |share| DraftPlay { max_fail_percentage: share, ..DraftPlay::bare("A play") };

        assert_eq!(play(Some(30.0)).tolerated(3), 0);
        assert_eq!(play(Some(30.0)).tolerated(10), 3);
        assert_eq!(play(Some(29.0)).tolerated(10), 2);
        assert_eq!(play(Some(100.0)).tolerated(7), 7);
        assert_eq!(play(None).tolerated(1000), 0);
    }

    #[test]
    fn what_must_be_confirmed_is_not_left_out_while_something_after_it_runs() {
        let play = |taken: [bool; 3]| {
            let task = |(number, is_taken): (u16, bool)| DraftTask {
                flow: DraftFlow {
                    is_taken,
                    is_once: number == 1,
                    is_idle: number == 1,
                    ..DraftFlow::default()
                },
                ..DraftTask::bare(TaskId { play: PlayNo(0), task: number }, "agent")
            };
            let tasks = (0..).zip(taken).map(task).collect();
            DraftPlay { tasks, ..DraftPlay::bare("A play") }
        };
        let kept = |plays: &[[bool; 3]]| {
            let mut plays: Vec<DraftPlay> = plays.iter().map(|taken| play(*taken)).collect();
            keep_gates(&mut plays);
            plays[0].tasks[1].flow.is_taken
        };

        assert!(kept(&[[false, false, true]]));
        assert!(!kept(&[[true, false, false]]));
        assert!(kept(&[[true, false, false], [true, false, false]]), "a later play counts as well");
    }
}
