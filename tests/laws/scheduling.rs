//! Laws of the scheduler.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleetmend::event::{EventKind, Reply, RunResult, RunState};
use fleetmend::model::{Cost, GateVerdict, HostName, LimitName, Outcome, PlayNo, StepId, Unmet};
use fleetmend::scheduler::{Command, GateReading, Input};
use proptest::prelude::*;

use crate::budgets::{
    budgets_tolerate_exactly_what_they_say, hosts_end_for_the_reason_of_a_step,
    nothing_starts_while_a_wave_soaks,
};
use crate::case::{Case, any_case};
use crate::windows::{
    a_closed_window_ends_what_it_says, hosts_are_taken_only_in_their_window,
    the_result_says_that_the_window_closed,
};
use crate::world::{Entry, World};

laws! {
    /// `drive` itself proves that every run ends and that every event is legal.
    #[test]
    fn every_law_of_a_run_holds(case in any_case()) {
        let world = World::new(&case).drive();

        laws_of_one(&case, &world);
    }

    #[test]
    fn the_same_inputs_give_the_same_commands(case in any_case()) {
        let (one, other) = (World::new(&case).drive(), World::new(&case).drive());

        prop_assert_eq!(one.log, other.log);
    }
}

/// All laws of one run; those of several together are elsewhere.
pub(crate) fn laws_of_one(case: &Case, world: &World<'_>) {
    caps_are_never_exceeded(case, world);
    draws_never_exceed_burst_and_rate(case, world);
    limits_are_served_in_order(case, world);
    waves_come_one_after_the_other(world);
    steps_of_a_host_come_one_after_the_other_and_end_once(world);
    nothing_starts_once_the_run_is_stopped(world);
    budgets_tolerate_exactly_what_they_say(case, &RunState::default(), world);
    hosts_end_for_the_reason_of_a_step(world);
    nothing_starts_while_a_wave_soaks(case, world);
    a_run_that_nothing_stopped_ends_every_host(case, world);
    nothing_is_applied_in_check_mode(case, world);
    blocks_are_walked_as_they_are_written(case, world);
    nothing_starts_once_something_was_not_confirmed(world);
    two_steps_never_act_on_one_host(case, world);
    what_one_host_does_for_all_is_done_once(case, world);
    the_journal_holds_nothing_twice(case, world);
    nothing_of_a_wave_starts_before_its_gates(case, world);
    a_paused_play_starts_nothing(world);
    a_gate_that_is_ill_stops_the_play_when_it_is_too_often(case, world);
    hosts_are_taken_only_in_their_window(case, world);
    a_closed_window_ends_what_it_says(case, world);
    the_result_says_that_the_window_closed(world);
}

/// A limit, split by the value of its variable.
type Key = (LimitName, Option<String>);

fn site(case: &Case, step: &StepId) -> Option<String> {
    let hosts = &case.draft.plays[usize::from(step.task.play.0)].hosts;
    hosts.iter().find(|host| host.name == step.host)?.values.get("site").cloned()
}

/// The site where a step acts.
fn site_of(case: &Case, step: &StepId) -> Option<String> {
    site(case, &StepId { host: case.target(step), ..step.clone() })
}

/// What a step draws for its own time.
fn keys(case: &Case, step: &StepId, cost: &Cost) -> Vec<(Key, fleetmend::model::Draw)> {
    let drawn = cost.draws().filter(|(_, draw)| draw.total() > 0);
    drawn
        .map(|(name, draw)| {
            let by = (name.as_str() == "wan").then(|| site_of(case, step)).flatten();
            ((name.clone(), by), draw)
        })
        .collect()
}

fn cost(case: &Case, step: &StepId) -> Cost {
    case.fate(step).decision.expect("only what was decided is applied")
}

fn caps_are_never_exceeded(case: &Case, world: &World<'_>) {
    let mut hosts: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut applying: BTreeMap<StepId, Vec<Key>> = BTreeMap::new();
    for (at, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) => {
                hosts.insert(step.host.clone(), step.clone());
                let play = &case.draft.plays[usize::from(step.task.play.0)];
                assert!(hosts.len() <= play.throttle as usize, "throttle at {at}");
                let cap = play.limits.0[&LimitName::new("site")].in_flight.expect("a cap");
                let mut sites: BTreeMap<String, u32> = BTreeMap::new();
                for step in hosts.values() {
                    if let Some(site) = site(case, step) {
                        *sites.entry(site).or_default() += 1;
                    }
                }
                assert!(sites.values().all(|held| *held <= cap), "hosts of a site at {at}");
            }
            Entry::Out(Command::Apply { step }) => {
                let drawn = keys(case, step, &cost(case, step));
                applying.insert(step.clone(), drawn.into_iter().map(|(key, _)| key).collect());
                let limits = &case.draft.plays[usize::from(step.task.play.0)].limits;
                let mut held: HashMap<&Key, u32> = HashMap::new();
                applying.values().flatten().for_each(|key| *held.entry(key).or_default() += 1);
                for (key, held) in held {
                    let cap = limits.0[&key.0].in_flight.unwrap_or(u32::MAX);
                    assert!(held <= cap, "{held} in flight of {key:?} at {at}");
                }
            }
            Entry::In(Input::Finished { step, .. }) => {
                applying.remove(step);
                // A host that is left when its window closes is gone without a word, so where there
                // are windows a host counts while a step of it is under way.
                let play = &case.draft.plays[usize::from(step.task.play.0)];
                if !play.safeguards.hours.windows.is_empty() {
                    hosts.remove(&step.host);
                }
            }
            Entry::In(Input::WentOn { step, .. }) => {
                applying.remove(step);
            }
            Entry::Out(Command::Emit(EventKind::HostFinished { host, .. })) => {
                hosts.remove(host);
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// For any two draws i <= j of one limit: everything drawn from i up to but without j, plus what j
/// needs now (at least something, at most the burst), is at most `burst + rate * (t_j - t_i)`.
fn draws_never_exceed_burst_and_rate(case: &Case, world: &World<'_>) {
    let mut draws: BTreeMap<Key, Vec<(u64, fleetmend::model::Draw)>> = BTreeMap::new();
    for (at, entry) in &world.log {
        if let Entry::Out(Command::Apply { step }) = entry {
            for (key, draw) in keys(case, step, &cost(case, step)) {
                draws.entry(key).or_default().push((*at, draw));
            }
        }
    }
    for (key, draws) in draws {
        let spec = &case.draft.plays[0].limits.0[&key.0];
        let Some(rate) = spec.rate else { continue };
        let per_second = rate.per_second(case.draft.scale);
        for (i, (from, _)) in draws.iter().enumerate() {
            let mut drawn = 0.0;
            for (to, draw) in &draws[i..] {
                #[expect(clippy::cast_precision_loss, reason = "a span of hours")]
                let span = (to - from) as f64 / 1000.0;
                let allowed = f64::from(spec.burst) + per_second * span;
                let needed = f64::from(draw.now.min(spec.burst));
                assert!(
                    drawn + needed <= allowed + 1e-6,
                    "{key:?}: {drawn} + {needed} > {allowed}"
                );
                drawn += f64::from(draw.total());
            }
        }
    }
}

/// Of two steps that draw from the same limit, the one that decided first goes first.
fn limits_are_served_in_order(case: &Case, world: &World<'_>) {
    let mut waiting: BTreeMap<Key, Vec<StepId>> = BTreeMap::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::In(Input::Decided { step, cost }) => {
                for (key, _) in keys(case, step, cost) {
                    waiting.entry(key).or_default().push(step.clone());
                }
            }
            Entry::Out(Command::Apply { step }) => {
                for (key, _) in keys(case, step, &cost(case, step)) {
                    let queue = waiting.get_mut(&key).expect("it waited");
                    assert_eq!(queue.first(), Some(step), "overtaken at {key:?}");
                    queue.remove(0);
                }
            }
            Entry::Out(Command::Cancel { step }) => {
                waiting.values_mut().for_each(|queue| queue.retain(|other| other != step));
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn waves_come_one_after_the_other(world: &World<'_>) {
    let mut waves: BTreeMap<HostName, usize> = BTreeMap::new();
    let mut open: Vec<BTreeSet<HostName>> = Vec::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(EventKind::PlayStarted { waves: all, .. })) => {
                waves.clear();
                open = all.iter().map(|hosts| hosts.iter().cloned().collect()).collect();
                for (number, hosts) in all.iter().enumerate() {
                    waves.extend(hosts.iter().map(|host| (host.clone(), number)));
                }
            }
            Entry::Out(Command::Start { step, .. }) => {
                let wave = waves[&step.host];
                assert!(open[..wave].iter().all(BTreeSet::is_empty), "{step} before its wave");
            }
            Entry::Out(Command::Emit(EventKind::HostFinished { host, .. })) => {
                assert!(open[waves[host]].remove(host), "{host} ended twice");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn steps_of_a_host_come_one_after_the_other_and_end_once(world: &World<'_>) {
    let mut at: BTreeMap<HostName, StepId> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) => {
                assert!(started.insert(step.clone()), "{step} started twice");
                let before = at.insert(step.host.clone(), step.clone());
                assert_eq!(before, None, "two steps at once");
            }
            Entry::Out(Command::Apply { step }) => assert_eq!(at.get(&step.host), Some(step)),
            Entry::In(Input::Finished { step, .. }) => {
                assert_eq!(at.remove(&step.host).as_ref(), Some(step), "{step} ended twice");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(at.is_empty(), "steps were left behind: {at:?}");
}

fn nothing_starts_once_the_run_is_stopped(world: &World<'_>) {
    let mut is_stopped = false;
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(
                EventKind::BudgetTripped { .. }
                | EventKind::BreakerOpened { .. }
                | EventKind::OnceFailed { .. }
                | EventKind::WindowClosed(_)
                | EventKind::GateFailed { .. }
                | EventKind::Stopping { .. },
            )) => is_stopped = true,
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(!is_stopped, "{command:?} after the stop");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn a_run_that_nothing_stopped_ends_every_host(case: &Case, world: &World<'_>) {
    let result = world.result.expect("it ended");
    let outcomes = world.outcomes();
    let is_bad = |outcome: Option<Outcome>| outcome.is_some_and(|outcome| !outcome.is_well());
    if world.is_cut_short() {
        let stopped = matches!(
            result,
            RunResult::Stopped
                | RunResult::BudgetTripped
                | RunResult::WindowClosed
                | RunResult::Unconfirmed
        );
        assert!(stopped, "{result:?}");
        return;
    }
    assert!(outcomes.iter().all(|(.., outcome)| outcome.is_some()), "a host was forgotten");
    let has_bad = outcomes.iter().any(|(.., outcome)| is_bad(*outcome));
    let has_no_work = world.state.plays.values().any(|play| play.work_failure.is_some());
    // Only an oracle that is not followed by a judge of its own judges.
    let judges = |number: PlayNo| {
        let oracle = case.draft.plays[usize::from(number.0)].oracle;
        oracle.is_some_and(|oracle| oracle.unmet == Unmet::Fail)
    };
    let is_unmet = |play: &fleetmend::event::PlayState| {
        let is_met = play.oracle.as_ref().is_some_and(|report| report.not_ready.is_empty());
        play.oracle_done && (play.oracle_failure.is_some() || !is_met)
    };
    match result {
        RunResult::Done => {
            assert!(!has_bad && !has_no_work);
            let mut plays = world.state.plays.iter();
            assert!(!plays.any(|(number, play)| judges(*number) && is_unmet(play)));
        }
        RunResult::SomeFailed | RunResult::UnreachableOnly => assert!(has_bad || has_no_work),
        RunResult::OracleNotSatisfied => {
            let mut plays = world.state.plays.iter();
            assert!(plays.any(|(number, play)| judges(*number) && play.oracle_done));
        }
        RunResult::Bug
        | RunResult::Stopped
        | RunResult::BudgetTripped
        | RunResult::WindowClosed
        | RunResult::Unconfirmed => {
            panic!("{result:?} without a cause")
        }
    }
    if !has_no_work {
        let ended = world.state.plays.values().filter(|play| play.finished).count();
        assert_eq!(ended, case.draft.plays.len(), "a play was forgotten");
        let waves = world.state.plays.values().flat_map(|play| &play.waves);
        assert!(waves.into_iter().all(|wave| wave.started && wave.finished));
    }
}

fn nothing_is_applied_in_check_mode(case: &Case, world: &World<'_>) {
    let is_change = |entry: &Entry| {
        matches!(entry, Entry::Out(Command::Apply { .. } | Command::CheckOracle { .. }))
    };
    let has_changes = world.log.iter().any(|(_, entry)| is_change(entry));
    assert!(!(case.draft.is_check() && has_changes));
    if case.draft.is_check() {
        assert!(world.state.booked.is_empty() && world.state.in_doubt().next().is_none());
    }
}

/// How a list of tasks ended for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walked {
    Well,
    Failed,
    Lost,
    /// The host has not come further.
    Open,
}

/// Walks the tasks of a play as a person reads them, block by block, by what became of each step.
/// It shares nothing with the way that the scheduler goes.
struct Reader<'c> {
    play: &'c fleetmend::plan::DraftPlay,
    host: &'c fleetmend::event::HostState,
    done: Vec<u16>,
    has_failed: bool,
}

impl Reader<'_> {
    /// The tasks from `from` to before `to`, among the blocks given.
    fn list(&mut self, from: u16, to: u16, blocks: &[fleetmend::model::Block]) -> Walked {
        let mut at = from;
        while at < to {
            let block = blocks.iter().position(|block| block.start == at);
            let walked = match block {
                Some(place) => {
                    at = blocks[place].end;
                    self.block(blocks[place], &blocks[place + 1..])
                }
                None => {
                    at += 1;
                    self.task(at - 1)
                }
            };
            if walked != Walked::Well {
                return walked;
            }
        }
        Walked::Well
    }

    fn takes(&self, from: u16, to: u16) -> bool {
        (from..to).any(|task| self.play.tasks[usize::from(task)].flow.is_taken)
    }

    fn block(
        &mut self,
        block: fleetmend::model::Block,
        inner: &[fleetmend::model::Block],
    ) -> Walked {
        let within = |from: u16, to: u16| {
            let inside = |b: &&fleetmend::model::Block| b.start >= from && b.end <= to;
            inner.iter().filter(inside).copied().collect::<Vec<_>>()
        };
        let mut walked = self.list(block.start, block.rescue, &within(block.start, block.rescue));
        if walked == Walked::Failed && self.takes(block.rescue, block.always) {
            walked = self.list(block.rescue, block.always, &within(block.rescue, block.always));
        }
        if matches!(walked, Walked::Well | Walked::Failed) && self.takes(block.always, block.end) {
            let always = self.list(block.always, block.end, &within(block.always, block.end));
            if always != Walked::Well {
                return always;
            }
        }
        walked
    }

    fn task(&mut self, task: u16) -> Walked {
        let flow = self.play.tasks[usize::from(task)].flow;
        let Some(step) = self.host.steps.get(&task) else {
            // Left out, or done by another host.
            return if !flow.is_taken || (flow.is_once && self.goes_further(task)) {
                Walked::Well
            } else {
                Walked::Open
            };
        };
        self.done.push(task);
        let class = step.failure.as_ref().map(|failure| failure.class);
        match step.outcome {
            None => Walked::Open,
            Some(outcome) if outcome.is_well() => Walked::Well,
            Some(Outcome::Failed) if class.is_none_or(|class| class.is_rescuable()) => {
                self.has_failed = true;
                if flow.ignores_errors { Walked::Well } else { Walked::Failed }
            }
            Some(_) => Walked::Lost,
        }
    }

    /// The tasks but for handlers, then those handlers of which a task that is done changed something.
    fn play(&mut self) -> Walked {
        let tasks = self.play.tasks.iter().filter(|task| !task.flow.is_handler).count();
        let tasks = u16::try_from(tasks).expect("few");
        let mut walked = self.list(0, tasks, &self.play.blocks);
        let changed = |task: &&fleetmend::plan::DraftTask| {
            self.host.steps.get(&task.id.task).is_some_and(|step| {
                let ends = step.parts.iter().map(|part| part.outcome).chain(step.outcome);
                ends.into_iter().any(|outcome| outcome == Outcome::Changed)
            })
        };
        let changed: Vec<_> =
            self.play.tasks.iter().filter(changed).map(|task| task.flow.notify).collect();
        for (number, handler) in (tasks..).zip(&self.play.tasks[usize::from(tasks)..]).enumerate() {
            if !matches!(walked, Walked::Well | Walked::Failed) {
                break;
            }
            let is_owed = changed.iter().any(|notified| notified.contains(number));
            if is_owed && handler.1.flow.is_taken {
                let ended = self.task(handler.0);
                walked = if ended == Walked::Well { walked } else { ended };
            }
        }
        walked
    }

    /// Whether the host is through, or has a step after this one.
    fn goes_further(&self, task: u16) -> bool {
        self.host.outcome.is_some() || self.host.steps.keys().any(|other| *other > task)
    }
}

pub(crate) fn blocks_are_walked_as_they_are_written(case: &Case, world: &World<'_>) {
    for (number, state) in &world.state.plays {
        let play = &case.draft.plays[usize::from(number.0)];
        for (name, host) in &state.hosts {
            let mut reader = Reader { play, host, done: Vec::new(), has_failed: false };
            let walked = reader.play();
            let steps: Vec<u16> = host.steps.keys().copied().collect();
            assert_eq!(reader.done, steps, "{name}: {:?}", play.blocks);
            let Some(outcome) = host.outcome else { continue };
            match walked {
                Walked::Well => {
                    assert!(outcome.is_well(), "{name} ended as {outcome}");
                    assert_eq!(outcome == Outcome::Rescued, reader.has_failed, "{name}");
                }
                Walked::Failed => assert_eq!(outcome, Outcome::Failed, "{name}"),
                Walked::Lost => assert!(!outcome.is_well(), "{name}"),
                Walked::Open => panic!("{name} ended as {outcome} in the middle"),
            }
        }
    }
}

fn nothing_starts_once_something_was_not_confirmed(world: &World<'_>) {
    let mut is_unconfirmed = false;
    for (_, entry) in &world.log {
        match entry {
            Entry::In(Input::Finished { class, .. }) => {
                is_unconfirmed |= *class == Some(fleetmend::model::FailureClass::Unconfirmed);
            }
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(!is_unconfirmed, "{command:?} although nothing was confirmed");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(!is_unconfirmed || world.result != Some(RunResult::Done));
}

fn two_steps_never_act_on_one_host(case: &Case, world: &World<'_>) {
    let mut busy: BTreeMap<HostName, StepId> = BTreeMap::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, on, .. }) => {
                let target = case.target(step);
                assert_eq!(on.as_ref().unwrap_or(&step.host), &target);
                let other = busy.insert(target.clone(), step.clone());
                assert_eq!(other, None, "{step} acts on {target} as well");
            }
            Entry::In(Input::Finished { step, .. }) => {
                busy.remove(&case.target(step));
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

fn what_one_host_does_for_all_is_done_once(case: &Case, world: &World<'_>) {
    let mut done: BTreeSet<fleetmend::model::TaskId> = BTreeSet::new();
    let mut under_way: BTreeSet<fleetmend::model::TaskId> = BTreeSet::new();
    for (_, entry) in &world.log {
        match entry {
            Entry::Out(Command::Start { step, .. }) if case.flow(step).is_once => {
                assert!(!done.contains(&step.task), "{step} was done already");
                assert!(under_way.insert(step.task), "{step} is under way elsewhere");
            }
            Entry::In(Input::Finished { step, outcome, .. }) if case.flow(step).is_once => {
                under_way.remove(&step.task);
                if outcome.is_well() && *outcome != Outcome::Skipped {
                    done.insert(step.task);
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// As the journal tells it, whatever number of processes wrote it: a task that one host does for
/// all ended well on one host at most, and the items of a loop come one after the other.
pub(crate) fn the_journal_holds_nothing_twice(case: &Case, world: &World<'_>) {
    let mut done: BTreeSet<fleetmend::model::TaskId> = BTreeSet::new();
    for (id, step) in world.state.steps() {
        let is_done = step.outcome.is_some_and(|end| end.is_well() && end != Outcome::Skipped);
        if case.flow(&id).is_once && is_done {
            assert!(done.insert(id.task), "{id} was done for all by another host");
        }
        let items: Vec<Option<u32>> = step.parts.iter().map(|part| part.item).collect();
        let expected: Vec<Option<u32>> = (0..).map(Some).take(items.len()).collect();
        assert_eq!(items, expected, "{id}");
    }
}

/// A gate of a play, in one of its waves.
type GateOf = (PlayNo, u16, u16);

/// What gates said, as it was heard: an answer belongs to the wave for which it was asked.
#[derive(Default)]
struct Heard {
    asked_for: BTreeMap<(PlayNo, u16), u16>,
    latest: BTreeMap<GateOf, GateVerdict>,
    confirmed: BTreeSet<GateOf>,
    /// The wave under way, or the next one, of the play under way.
    wave: u16,
}

impl Heard {
    fn hear(&mut self, entry: &Entry) {
        match entry {
            Entry::Out(Command::Emit(EventKind::PlayStarted { .. })) => self.wave = 0,
            Entry::Out(Command::Emit(EventKind::WaveFinished { wave, .. })) => {
                self.wave = wave.0 + 1;
            }
            Entry::Out(Command::CheckGate { play, wave, gate }) => {
                let before = self.asked_for.insert((*play, *gate), wave.0);
                assert_eq!(before, None, "gate {gate} was asked twice at once");
            }
            Entry::In(Input::GateSaid { play, gate, reading }) => {
                let wave = self.asked_for.remove(&(*play, *gate)).expect("it was asked");
                let verdict = match reading {
                    GateReading::Said { verdict, .. } => *verdict,
                    _ => GateVerdict::Unreadable,
                };
                self.latest.insert((*play, *gate, wave), verdict);
            }
            Entry::In(Input::GateAnswered { play, gate, reply: Reply::Confirmed }) => {
                self.confirmed.insert((*play, *gate, self.wave));
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }

    /// Whether the wave may go on as far as this gate has a say.
    fn lets_go_on(&self, key: GateOf, is_check: bool) -> bool {
        let latest = self.latest.get(&key);
        let is_confirmed = self.confirmed.contains(&key) && latest != Some(&GateVerdict::Fail);
        latest == Some(&GateVerdict::Pass) || is_confirmed || (is_check && latest.is_some())
    }
}

fn nothing_of_a_wave_starts_before_its_gates(case: &Case, world: &World<'_>) {
    let mut heard = Heard::default();
    let mut taken: BTreeSet<(PlayNo, HostName)> = BTreeSet::new();
    let is_check = case.draft.is_check();
    for (at, entry) in &world.log {
        heard.hear(entry);
        match entry {
            Entry::Out(Command::Emit(EventKind::WaveStarted { play, wave })) => {
                for gate in (0..).take(case.gates(*play).len()) {
                    let key = (*play, gate, wave.0);
                    assert!(heard.lets_go_on(key, is_check), "{wave} opened at {at} by {gate}");
                }
            }
            // No further host is taken while a gate that watches is not well. A host that was taken
            // and waits for another one may have its first step later.
            Entry::Out(Command::Start { step, .. })
                if taken.insert((step.task.play, step.host.clone()))
                    && !is_check
                    && !waits_for_others(case, step.task.play) =>
            {
                let play = step.task.play;
                for (gate, declared) in (0..).zip(case.gates(play)) {
                    let key = (play, gate, heard.wave);
                    let is_well = !declared.watch || heard.lets_go_on(key, false);
                    assert!(is_well, "{step} was taken at {at} in spite of {}", declared.name);
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// Whether hosts of the play may wait for each other.
fn waits_for_others(case: &Case, play: PlayNo) -> bool {
    let play = &case.draft.plays[usize::from(play.0)];
    play.tasks.iter().any(|task| task.flow.is_once)
        || play.hosts.iter().any(|host| !host.delegates.is_empty())
}

fn a_paused_play_starts_nothing(world: &World<'_>) {
    let mut asked: BTreeMap<(PlayNo, String), Option<Reply>> = BTreeMap::new();
    let mut numbers: BTreeMap<(PlayNo, u16), String> = BTreeMap::new();
    for (at, entry) in &world.log {
        match entry {
            Entry::Out(Command::Emit(EventKind::GateAsked { play, gate, .. })) => {
                asked.insert((*play, gate.clone()), None);
                let number = gate.trim_start_matches("gate-").parse().expect("a number");
                numbers.insert((*play, number), gate.clone());
            }
            Entry::In(Input::GateAnswered { play, gate, reply }) => {
                let key = (*play, numbers[&(*play, *gate)].clone());
                // Another play is under way by now.
                let is_late = !asked.contains_key(&key);
                if is_late || *reply == Reply::Confirmed {
                    asked.remove(&key);
                } else {
                    asked.insert(key, Some(*reply));
                }
            }
            // Where nobody is there, it goes on when the gate passes.
            Entry::Out(Command::Emit(EventKind::GateChecked {
                play,
                gate,
                verdict: GateVerdict::Pass,
                ..
            })) => {
                let key = (*play, gate.clone());
                if asked.get(&key) == Some(&Some(Reply::NobodyThere)) {
                    asked.remove(&key);
                }
            }
            // The next wave asks anew.
            Entry::Out(Command::Emit(EventKind::WaveFinished { .. })) => {
                asked.retain(|_, reply| *reply != Some(Reply::NobodyThere));
            }
            Entry::Out(Command::Emit(EventKind::PlayStarted { .. })) => asked.clear(),
            Entry::Out(command @ (Command::Start { .. } | Command::Apply { .. })) => {
                assert!(asked.is_empty(), "{command:?} at {at} while {asked:?} pause the play");
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
}

/// It tolerates exactly as many answers in a row as it says, and stops with the next one.
fn a_gate_that_is_ill_stops_the_play_when_it_is_too_often(case: &Case, world: &World<'_>) {
    let mut heard = Heard::default();
    let mut fails: BTreeMap<GateOf, u32> = BTreeMap::new();
    let mut due: Option<(PlayNo, u16)> = None;
    let mut is_over = false;
    let mut opened = None;
    for (_, entry) in &world.log {
        let wave = match entry {
            Entry::In(Input::GateSaid { play, gate, .. }) => {
                heard.asked_for.get(&(*play, *gate)).copied()
            }
            _ => None,
        };
        heard.hear(entry);
        match entry {
            Entry::Out(Command::Emit(EventKind::GateFailed { play, gate, .. })) => {
                let (number, place) = due.take().expect("it was ill too often");
                assert_eq!((number, &format!("gate-{place}")), (*play, gate));
                is_over = true;
            }
            Entry::Out(Command::Emit(
                EventKind::BudgetTripped { .. }
                | EventKind::BreakerOpened { .. }
                | EventKind::OnceFailed { .. }
                | EventKind::WindowClosed(_)
                | EventKind::Stopping { .. },
            )) => is_over = true,
            Entry::Out(Command::Emit(EventKind::WaveStarted { play, wave })) => {
                opened = Some((*play, wave.0));
            }
            Entry::In(Input::GateSaid { play, gate, .. }) if !case.draft.is_check() => {
                assert_eq!(due, None, "a gate was ill too often, and the play went on");
                let wave = wave.expect("it was asked");
                let key = (*play, *gate, wave);
                let declared = &case.gates(*play)[usize::from(*gate)];
                let fail_limit = declared.fail_limit;
                // One that does not watch has no say once its wave is open.
                let has_a_say = declared.watch || opened != Some((*play, wave));
                let count = fails.entry(key).or_default();
                match heard.latest[&key] {
                    GateVerdict::Fail => *count += 1,
                    GateVerdict::Pass => *count = 0,
                    _ => {}
                }
                let is_too_often = heard.latest[&key] == GateVerdict::Fail && *count > fail_limit;
                let is_heeded =
                    wave == heard.wave && has_a_say && !is_over && !world.is_unconfirmed();
                if is_too_often && is_heeded {
                    due = Some((*play, *gate));
                }
            }
            Entry::In(_) | Entry::Out(_) => {}
        }
    }
    assert!(due.is_none() || world.is_unconfirmed(), "a gate was ill too often: {due:?}");
}
