//! A play under way: its waves, and where each of its hosts stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::admission::Admission;
use super::budget::Budget;
use super::budgets::Budgets;
use super::gates::Gates;
use super::hours::sites;
use super::ramp::Ramp;
use crate::event::Phase;
use crate::model::{
    BudgetKind, Elapsed, FailureClass, HostName, Outcome, PlayNo, StepId, TaskId, WaveNo,
    WindowZone,
};
use crate::plan::{Course, DraftFlow, DraftHost, DraftPlay, Onward, Spot};

/// Where a host stands in a play.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stay {
    /// Waits for its wave, for the slow start or for its site.
    Pending,
    /// Is admitted here; the ledger is asked whether other runs leave a place.
    Entering,
    /// Is at a step.
    At(Running),
    /// Is between two steps, in flight, and waits for another host.
    Waits(WaitsFor),
    /// Has tasks left that this run does not start any more.
    Left,
    /// Is through.
    Ended(Outcome),
}

/// What a host in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Another host does the task for all.
    Once,
    /// A step of another host acts on the host that this one's step would act on.
    Delegate,
    /// A gate pauses the play.
    Gate,
}

/// How far a task is that one host does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    /// The host at this place does it.
    Taken(usize),
    /// It is done.
    Done,
}

/// A step under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Running {
    pub(super) since: Elapsed,
    pub(super) phase: Phase,
    /// When the driver is told to cancel it, should it say nothing; none while it waits.
    pub(super) overdue: Option<Elapsed>,
    pub(super) is_cancelled: bool,
    pub(super) deadline: Duration,
    /// Whether what it waits for would change something.
    pub(super) will_change: bool,
    /// Whether it was allowed to change something.
    pub(super) has_applied: bool,
    /// Whether it went on after an attempt or an item.
    pub(super) has_gone_on: bool,
    /// Whether it is the first of its block, or stands alone.
    pub(super) opens_block: bool,
    /// Whether it was cancelled because the window closed.
    pub(super) is_shut: bool,
}

/// A host of a play.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostRun {
    pub(super) name: HostName,
    pub(super) values: BTreeMap<String, String>,
    pub(super) wave: usize,
    pub(super) group: usize,
    /// Its place among the sites whose clocks differ.
    pub(super) site: usize,
    /// When it was taken by this process.
    pub(super) since: Option<Elapsed>,
    /// Whether it waited for another host, for a person, for a gate or for a lost server, or an earlier
    /// process began it, so that the time it takes says nothing about others.
    pub(super) has_waited: bool,
    /// The task that it began last in this process.
    pub(super) last: Option<u16>,
    /// The task it is at, or that it starts with.
    pub(super) task: u16,
    /// Where that is among blocks.
    pub(super) spot: Spot,
    /// For tasks that act on another host: that host.
    pub(super) delegates: BTreeMap<u16, HostName>,
    /// The worst of its steps so far.
    pub(super) so_far: Option<Outcome>,
    /// Why the latest of its steps that ended badly did.
    pub(super) class: Option<FailureClass>,
    pub(super) stay: Stay,
}

/// A wave of a play.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WaveRun {
    pub(super) hosts: Vec<usize>,
    /// Hosts that are not through.
    pub(super) open: usize,
    pub(super) budget: Budget,
    pub(super) is_started: bool,
    pub(super) is_finished: bool,
    /// When all its hosts were through, in this process or an earlier one.
    pub(super) finished_at: Option<Elapsed>,
}

/// A play under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlayRun {
    pub(super) number: PlayNo,
    pub(super) course: Course,
    pub(super) hosts: Vec<HostRun>,
    places: HashMap<HostName, usize>,
    pub(super) waves: Vec<WaveRun>,
    /// The budgets over all waves.
    pub(super) budgets: Budgets,
    /// Whether hosts are taken only while no budget could be exceeded by more than one of them.
    is_strict: bool,
    /// The wave under way, or the next one.
    pub(super) wave: usize,
    /// Until when nothing more starts after the wave before.
    pub(super) soak_until: Option<Elapsed>,
    /// What must be well for its waves.
    pub(super) gates: Gates,
    /// The wave whose hosts wait for admission.
    queued: Option<usize>,
    pub(super) admission: Admission,
    pub(super) ramp: Ramp,
    /// Hosts in flight, in the order in which they were admitted.
    pub(super) active: Vec<usize>,
    /// Tasks that one host does for all, when it is under way or done.
    pub(super) once: BTreeMap<u16, Once>,
    /// Those of them whose change an earlier process began, that are not safe to repeat, and that
    /// nobody allowed to be repeated.
    pub(super) once_begun: BTreeSet<u16>,
    /// Hosts on which a step acts, where any task of the play is delegated.
    busy: BTreeSet<HostName>,
    has_delegates: bool,
    /// The values of hosts on which delegated tasks act.
    delegate_values: BTreeMap<HostName, BTreeMap<String, String>>,
    /// Whether hosts that wait for another host may go on.
    pub(super) is_stirred: bool,
    /// Hosts that have given back their places, of which the ledger was not told yet.
    pub(super) freed: Vec<HostName>,
    /// Hosts to which the ledger gave a place in flight and that have not started.
    pub(super) entered: Vec<usize>,
}

impl PlayRun {
    pub(super) fn new(number: PlayNo, draft: &DraftPlay, waves: &[Vec<HostName>]) -> Self {
        let mut drafted: HashMap<&HostName, &DraftHost> =
            draft.hosts.iter().map(|host| (&host.name, host)).collect();
        let mut admission = Admission::new(&draft.limits);
        let sites = sites(draft);
        let mut play = Self {
            number,
            course: draft.course(),
            hosts: Vec::new(),
            places: HashMap::new(),
            waves: Vec::new(),
            budgets: Budgets::new(
                &draft.safeguards.max_fail,
                waves.iter().map(Vec::len).sum(),
                |_| 0,
            ),
            is_strict: draft.safeguards.max_fail.strict,
            wave: 0,
            soak_until: None,
            gates: Gates::new(draft.safeguards.gates.len()),
            queued: None,
            admission: Admission::default(),
            ramp: Ramp::new(draft.throttle),
            active: Vec::new(),
            once: BTreeMap::new(),
            once_begun: BTreeSet::new(),
            busy: BTreeSet::new(),
            has_delegates: draft.hosts.iter().any(|host| !host.delegates.is_empty()),
            delegate_values: draft.delegate_values.clone(),
            is_stirred: false,
            freed: Vec::new(),
            entered: Vec::new(),
        };
        for (wave, names) in waves.iter().enumerate() {
            let first = play.hosts.len();
            for name in names {
                let host = drafted.remove(name);
                let values = host.map(|host| host.values.clone()).unwrap_or_default();
                let own = values.get(WindowZone::VARIABLE).cloned();
                let site = sites.binary_search(&own).unwrap_or_default();
                play.places.insert(name.clone(), play.hosts.len());
                play.hosts.push(HostRun {
                    name: name.clone(),
                    group: admission.group(&values, site),
                    site,
                    since: None,
                    has_waited: false,
                    last: None,
                    values,
                    wave,
                    task: 0,
                    spot: Spot::default(),
                    delegates: host.map(|host| host.delegates.clone()).unwrap_or_default(),
                    so_far: None,
                    class: None,
                    stay: Stay::Pending,
                });
            }
            play.waves.push(WaveRun {
                hosts: (first..play.hosts.len()).collect(),
                open: names.len(),
                budget: Budget::new(draft.tolerated(names.len()), 0),
                is_started: false,
                is_finished: false,
                finished_at: None,
            });
        }
        play.admission = admission;
        play
    }

    /// Leaves a task that one host does for all to the host that began it in an earlier process.
    pub(super) fn keep_once(&mut self, task: u16, place: usize, may_be_repeated: bool) {
        self.once.insert(task, Once::Taken(place));
        if !may_be_repeated {
            self.once_begun.insert(task);
        }
    }

    /// The hosts before which no other one is taken: each was in the middle of a task for all when an
    /// earlier process ended, so that only it can go on with it, and all others would wait for it.
    pub(super) fn come_first(&self) -> Vec<usize> {
        let begun = self.once_begun.iter().filter_map(|task| match self.once.get(task) {
            Some(Once::Taken(place)) => Some(*place),
            Some(Once::Done) | None => None,
        });
        let is_awaited = |place: &usize| {
            let host = &self.hosts[*place];
            host.wave == self.wave
                && matches!(host.stay, Stay::Pending | Stay::Entering | Stay::Left)
        };
        begun.filter(is_awaited).collect()
    }

    /// The place of the host that is at this very step.
    pub(super) fn running(&self, step: &StepId) -> Option<usize> {
        if step.task.play != self.number {
            return None;
        }
        let place = *self.places.get(&step.host)?;
        let host = self.hosts.get(place)?;
        (host.task == step.task.task && matches!(host.stay, Stay::At(_))).then_some(place)
    }

    /// The step that a host is at.
    pub(super) fn step(&self, place: usize) -> StepId {
        let host = &self.hosts[place];
        let task = TaskId { play: self.number, task: host.task };
        StepId { task, host: host.name.clone() }
    }

    /// Marks the host's step as begun.
    pub(super) fn start(
        &mut self,
        place: usize,
        phase: Phase,
        now: Elapsed,
        deadline: Duration,
        overdue: Option<Elapsed>,
    ) {
        if self.has_delegates {
            self.busy.insert(self.target(place).clone());
        }
        let opens_block = self.opens_block(place);
        let host = &mut self.hosts[place];
        host.last = Some(host.task);
        host.stay = Stay::At(Running {
            since: now,
            phase,
            overdue,
            is_cancelled: false,
            deadline,
            will_change: false,
            has_applied: false,
            has_gone_on: false,
            opens_block,
            is_shut: false,
        });
    }

    /// The host on which the step at a place acts.
    pub(super) fn target(&self, place: usize) -> &HostName {
        let host = &self.hosts[place];
        host.delegates.get(&host.task).unwrap_or(&host.name)
    }

    /// The host on which the step at a place acts, where that is another one.
    pub(super) fn delegate(&self, place: usize) -> Option<&HostName> {
        let host = &self.hosts[place];
        host.delegates.get(&host.task)
    }

    /// The values by which limits are split for the step at a place.
    pub(super) fn values(&self, place: usize) -> &BTreeMap<String, String> {
        let delegate = self.delegate(place).and_then(|name| self.delegate_values.get(name));
        delegate.unwrap_or(&self.hosts[place].values)
    }

    /// Whether another step acts on the host on which the step at a place would act.
    pub(super) fn is_busy(&self, place: usize) -> bool {
        self.has_delegates && self.busy.contains(self.target(place))
    }

    /// Lets a host wait for another one.
    pub(super) fn wait(&mut self, place: usize, what: WaitsFor) {
        self.hosts[place].stay = Stay::Waits(what);
    }

    /// Hosts in flight that wait for another one, in the order in which they were admitted.
    pub(super) fn waiters(&self) -> Vec<usize> {
        let waits = |place: &usize| matches!(self.hosts[*place].stay, Stay::Waits(_));
        self.active.iter().copied().filter(waits).collect()
    }

    /// The step at a place has ended: nothing acts on its target any more.
    pub(super) fn free_target(&mut self, place: usize) {
        if self.has_delegates {
            let target = self.target(place).clone();
            self.busy.remove(&target);
            self.is_stirred = true;
        }
    }

    /// The step under way at a place, if any.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Running> {
        match &mut self.hosts[place].stay {
            Stay::At(running) => Some(running),
            Stay::Pending | Stay::Entering | Stay::Waits(_) | Stay::Left | Stay::Ended(_) => None,
        }
    }

    /// Takes a host out of flight; it gives back what it held.
    pub(super) fn leave(&mut self, place: usize, stay: Stay) {
        if matches!(self.hosts[place].stay, Stay::Entering | Stay::At(_) | Stay::Waits(_)) {
            self.admission.release(self.hosts[place].group);
            self.freed.push(self.hosts[place].name.clone());
            self.active.retain(|active| *active != place);
            // Those that wait for it look again.
            self.is_stirred |= self.has_taken_once(place);
        }
        self.hosts[place].stay = stay;
    }

    fn has_taken_once(&self, place: usize) -> bool {
        self.once.values().any(|once| *once == Once::Taken(place))
    }

    /// Puts a host back that was admitted: other runs hold all of a limit.
    pub(super) fn refuse(&mut self, place: usize, by: Option<usize>, until: Elapsed) {
        self.active.retain(|active| *active != place);
        self.is_stirred |= self.has_taken_once(place);
        self.hosts[place].stay = Stay::Pending;
        self.hosts[place].since = None;
        self.admission.refuse(self.hosts[place].group, place, by, until);
    }

    /// Puts a host back that was admitted and may not be taken now.
    pub(super) fn put_back(&mut self, place: usize) {
        self.leave(place, Stay::Pending);
        self.hosts[place].since = None;
        self.admission.wait(self.hosts[place].group, place);
    }

    /// The place of a host that asks the ledger for its place in flight.
    pub(super) fn entering(&self, host: &HostName) -> Option<usize> {
        let place = *self.places.get(host)?;
        (self.hosts.get(place)?.stay == Stay::Entering).then_some(place)
    }

    /// Books that a host is through, in its wave, in the slow start and in the budgets, and returns
    /// the budgets that it spent.
    pub(super) fn end(&mut self, place: usize, outcome: Outcome) -> Vec<(BudgetKind, Budget)> {
        self.leave(place, Stay::Ended(outcome));
        self.ramp.host_ended(outcome.is_well());
        let host = &self.hosts[place];
        let wave = &mut self.waves[host.wave];
        wave.open = wave.open.saturating_sub(1);
        let mut spent = Vec::new();
        if !outcome.is_well() {
            wave.budget.add_bad();
            if wave.budget.is_just_spent() {
                spent.push((BudgetKind::Wave, wave.budget));
            }
        }
        spent.extend(self.budgets.host_ended(outcome, host.class));
        spent
    }

    /// Whether the budgets let another host be taken while those in flight are not through.
    pub(super) fn may_take_more(&self) -> bool {
        let in_flight = self.active.len();
        let wave = self.waves.get(self.wave);
        !self.is_strict
            || (self.budgets.have_room(in_flight)
                && wave.is_none_or(|wave| wave.budget.has_room(in_flight)))
    }

    /// Lets the hosts of a wave wait for admission, once.
    pub(super) fn queue_wave(&mut self, wave: usize) {
        if self.queued.replace(wave) == Some(wave) {
            return;
        }
        let waits = |place: &&usize| self.hosts[**place].stay == Stay::Pending;
        let waiting: Vec<usize> = self.waves[wave].hosts.iter().filter(waits).copied().collect();
        // A host that an earlier process let begin a task for all comes before those that wait for
        // it; the one that is furthest waits for none of the others.
        let begun = |place: &usize| {
            let task = self.hosts[*place].task;
            (self.once.get(&task) == Some(&Once::Taken(*place))).then_some((*place, task))
        };
        self.admission.clear(waiting.iter().filter_map(begun).collect());
        for place in waiting {
            self.admission.wait(self.hosts[place].group, place);
        }
    }

    /// Puts a host before the first task that the run takes.
    pub(super) fn begin(&mut self, place: usize) -> Onward {
        let host = &mut self.hosts[place];
        let onward = self.course.begin(&mut host.spot);
        host.arrive(onward)
    }

    /// Puts a host before the task after the one that it is at.
    pub(super) fn after(&mut self, place: usize) -> Onward {
        let host = &mut self.hosts[place];
        let onward = self.course.after(&mut host.spot);
        host.arrive(onward)
    }

    /// Whether a host does the task that it is at.
    pub(super) fn takes(&self, place: usize) -> bool {
        let host = &self.hosts[place];
        self.course.takes(&host.spot, host.task)
    }

    /// The step at a place changed something: its host owes the handlers that it notifies.
    pub(super) fn changed(&mut self, place: usize) {
        self.course.changed(&mut self.hosts[place].spot);
    }

    /// Takes in how a step ended and says where its host goes on; `Err` is how a host ends that no
    /// block may go on with.
    pub(super) fn pass(
        &mut self,
        place: usize,
        outcome: Outcome,
        class: Option<FailureClass>,
        flow: DraftFlow,
    ) -> Result<Onward, Outcome> {
        let host = &mut self.hosts[place];
        if outcome == Outcome::Changed {
            self.course.changed(&mut host.spot);
        }
        if outcome.is_well() {
            host.add(outcome);
            return Ok(self.after(place));
        }
        host.class = class;
        if !is_rescuable(outcome, class) {
            host.add(outcome);
            return Err(outcome);
        }
        if flow.goes_on_failed {
            host.add(outcome);
            return Ok(self.after(place));
        }
        host.add(Outcome::Rescued);
        if flow.ignores_errors {
            return Ok(self.after(place));
        }
        let onward = self.course.after_failure(&mut host.spot);
        Ok(host.arrive(onward))
    }

    /// Whether every host is through.
    pub(super) fn is_through(&self) -> bool {
        self.waves.iter().all(|wave| wave.open == 0)
    }

    /// Whether a host ended well.
    pub(super) fn is_well(&self, host: &HostName) -> bool {
        self.places
            .get(host)
            .is_some_and(|p| matches!(self.hosts[*p].stay, Stay::Ended(o) if o.is_well()))
    }

    /// The number of the wave at a place.
    pub(super) fn wave_no(place: usize) -> WaveNo {
        WaveNo(u16::try_from(place).unwrap_or(u16::MAX))
    }
}

/// Whether a playbook may go on after such an end of a step.
pub(super) fn is_rescuable(outcome: Outcome, class: Option<FailureClass>) -> bool {
    outcome == Outcome::Failed && class.is_none_or(FailureClass::is_rescuable)
}

impl HostRun {
    fn arrive(&mut self, onward: Onward) -> Onward {
        if let Onward::At(task) = onward {
            self.task = task;
        }
        onward
    }

    /// Takes in how a step ended.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.so_far = Some(self.so_far.map_or(outcome, |so_far| worse(so_far, outcome)));
    }

    /// How the host ends, were it through now.
    pub(super) fn outcome(&self) -> Outcome {
        self.so_far.unwrap_or(Outcome::Unchanged)
    }
}

/// The worse of two outcomes; of two good ones, the one that tells more: a host on which one step
/// changed something and another was skipped was changed.
fn worse(a: Outcome, b: Outcome) -> Outcome {
    let rank = |outcome| match outcome {
        Outcome::Skipped => 0,
        Outcome::Unchanged => 1,
        Outcome::Changed => 2,
        Outcome::Rescued => 3,
        Outcome::Failed => 4,
        Outcome::Unreachable => 5,
        Outcome::Unknown => 6,
    };
    if rank(b) > rank(a) { b } else { a }
}
