//! A play under way: its waves, and where each of its hosts stands.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::admission::Admission;
use super::budget::Budget;
use super::ramp::Ramp;
use crate::event::Phase;
use crate::model::{Elapsed, HostName, Outcome, PlayNo, StepId, TaskId, WaveNo};
use crate::plan::DraftPlay;

/// Where a host stands in a play.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stay {
    /// Waits for its wave, for the slow start or for its site.
    Pending,
    /// Is at a step.
    At(Running),
    /// Has tasks left that this run does not start any more.
    Left,
    /// Is through.
    Ended(Outcome),
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
}

/// A host of a play.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HostRun {
    pub(super) name: HostName,
    pub(super) values: BTreeMap<String, String>,
    pub(super) wave: usize,
    pub(super) group: usize,
    /// The task it is at, or that it starts with.
    pub(super) task: u16,
    /// The worst of its steps so far.
    pub(super) so_far: Option<Outcome>,
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
}

/// A play under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlayRun {
    pub(super) number: PlayNo,
    pub(super) tasks: u16,
    pub(super) hosts: Vec<HostRun>,
    places: HashMap<HostName, usize>,
    pub(super) waves: Vec<WaveRun>,
    /// The wave under way, or the next one.
    pub(super) wave: usize,
    /// The wave whose hosts wait for admission.
    queued: Option<usize>,
    pub(super) admission: Admission,
    pub(super) ramp: Ramp,
    /// Hosts at a step, in the order in which they were admitted.
    pub(super) active: Vec<usize>,
}

impl PlayRun {
    pub(super) fn new(number: PlayNo, draft: &DraftPlay, waves: &[Vec<HostName>]) -> Self {
        let mut values: HashMap<&HostName, &BTreeMap<String, String>> =
            draft.hosts.iter().map(|host| (&host.name, &host.values)).collect();
        let mut admission = Admission::new(&draft.limits);
        let mut play = Self {
            number,
            tasks: u16::try_from(draft.tasks.len()).unwrap_or(u16::MAX),
            hosts: Vec::new(),
            places: HashMap::new(),
            waves: Vec::new(),
            wave: 0,
            queued: None,
            admission: Admission::default(),
            ramp: Ramp::new(draft.throttle),
            active: Vec::new(),
        };
        for (wave, names) in waves.iter().enumerate() {
            let first = play.hosts.len();
            for name in names {
                let values = values.remove(name).cloned().unwrap_or_default();
                play.places.insert(name.clone(), play.hosts.len());
                play.hosts.push(HostRun {
                    name: name.clone(),
                    group: admission.group(&values),
                    values,
                    wave,
                    task: 0,
                    so_far: None,
                    stay: Stay::Pending,
                });
            }
            play.waves.push(WaveRun {
                hosts: (first..play.hosts.len()).collect(),
                open: names.len(),
                budget: Budget::new(draft.tolerated(names.len()), 0),
                is_started: false,
                is_finished: false,
            });
        }
        play.admission = admission;
        play
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

    /// Marks the host's step as begun with reading.
    pub(super) fn start(
        &mut self,
        place: usize,
        now: Elapsed,
        deadline: Duration,
        grace: Duration,
    ) {
        self.hosts[place].stay = Stay::At(Running {
            since: now,
            phase: Phase::Probing,
            overdue: Some(now.plus(deadline).plus(grace)),
            is_cancelled: false,
            deadline,
        });
    }

    /// The step under way at a place, if any.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Running> {
        match &mut self.hosts[place].stay {
            Stay::At(running) => Some(running),
            Stay::Pending | Stay::Left | Stay::Ended(_) => None,
        }
    }

    /// Takes a host out of flight; it gives back what it held.
    pub(super) fn leave(&mut self, place: usize, stay: Stay) {
        if matches!(self.hosts[place].stay, Stay::At(_)) {
            self.admission.release(self.hosts[place].group);
            self.active.retain(|active| *active != place);
        }
        self.hosts[place].stay = stay;
    }

    /// Books that a host is through, in its wave and in the slow start.
    pub(super) fn end(&mut self, place: usize, outcome: Outcome) {
        self.leave(place, Stay::Ended(outcome));
        self.ramp.host_ended(outcome.is_well());
        let wave = &mut self.waves[self.hosts[place].wave];
        wave.open = wave.open.saturating_sub(1);
        if !outcome.is_well() {
            wave.budget.add_bad();
        }
    }

    /// Lets the hosts of a wave wait for admission, once.
    pub(super) fn queue_wave(&mut self, wave: usize) {
        if self.queued.replace(wave) == Some(wave) {
            return;
        }
        self.admission.clear();
        for place in &self.waves[wave].hosts {
            let host = &self.hosts[*place];
            if host.stay == Stay::Pending {
                self.admission.wait(host.group, *place);
            }
        }
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

impl HostRun {
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
        Outcome::Failed => 3,
        Outcome::Unreachable => 4,
        Outcome::Unknown => 5,
    };
    if rank(b) > rank(a) { b } else { a }
}
