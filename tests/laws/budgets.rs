//! Laws of budgets and of the soak, for a run from its beginning and for one that goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fleetmend::event::{EventKind, RunState};
use fleetmend::model::{BudgetKind, FailureClass, HostName, Outcome, PlayNo, WaveNo};
use fleetmend::plan::DraftPlay;
use fleetmend::scheduler::Command;

use crate::case::Case;
use crate::world::{Entry, World};

/// A budget as a person counts it: bad hosts, and how many may be, those included that an operator
/// resumed past.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    bad: u32,
    tolerated: u32,
    forgiven: u32,
}

impl Count {
    fn spends(&mut self) -> bool {
        self.bad += 1;
        self.bad == self.tolerated + self.forgiven + 1
    }

    fn told(self) -> (u32, u32) {
        (self.bad, self.tolerated + self.forgiven)
    }
}

/// The budgets of the play under way.
struct Tally<'c> {
    draft: &'c DraftPlay,
    waves: BTreeMap<HostName, usize>,
    of_wave: Vec<Count>,
    of_play: BTreeMap<BudgetKind, Count>,
    in_flight: BTreeSet<HostName>,
}

impl<'c> Tally<'c> {
    fn new(draft: &'c DraftPlay, waves: &[Vec<HostName>]) -> Self {
        let total = waves.iter().map(Vec::len).sum();
        let max = &draft.safeguards.max_fail;
        let declared = [
            (BudgetKind::Fleet, max.fleet.map(|share| share.of(total))),
            (BudgetKind::Unreachable, max.unreachable.map(|share| share.of(total))),
            (BudgetKind::Auth, max.auth.filter(|hosts| *hosts > 0)),
            (BudgetKind::Consecutive, max.consecutive),
            (BudgetKind::Drifted, max.drifted.map(|share| share.of(total))),
        ];
        let count = |tolerated| Count { tolerated, ..Count::default() };
        let numbered = waves.iter().enumerate();
        Self {
            draft,
            waves: numbered
                .flat_map(|(n, hosts)| hosts.iter().map(move |h| (h.clone(), n)))
                .collect(),
            of_wave: waves.iter().map(|hosts| count(draft.tolerated(hosts.len()))).collect(),
            of_play: declared.into_iter().filter_map(|(kind, b)| Some((kind, count(b?)))).collect(),
            in_flight: BTreeSet::new(),
        }
    }

    /// The play as the journal of an earlier process left it.
    fn resumed(draft: &'c DraftPlay, state: &RunState, play: PlayNo) -> Option<Self> {
        let state = state.plays.get(&play).filter(|state| state.started)?;
        let mut waves = vec![Vec::new(); state.waves.len()];
        for (name, host) in &state.hosts {
            waves[usize::from(host.wave.0)].push(name.clone());
        }
        let small = |count: usize| u32::try_from(count).expect("few hosts");
        let mut tally = Self::new(draft, &waves);
        for (count, wave) in tally.of_wave.iter_mut().zip(&state.waves) {
            (count.bad, count.forgiven) = (small(wave.bad()), small(wave.forgiven));
        }
        for (kind, count) in &mut tally.of_play {
            if *kind == BudgetKind::Consecutive {
                count.bad = small(state.row.len());
            } else {
                count.bad = small(state.bad(*kind));
                count.forgiven = small(state.forgiven.get(kind).copied().unwrap_or_default());
            }
        }
        Some(tally)
    }

    /// What a host's end spends, in the order in which it is told.
    fn ended(
        &mut self,
        host: &HostName,
        outcome: Outcome,
        class: Option<FailureClass>,
    ) -> VecDeque<(BudgetKind, (u32, u32))> {
        self.in_flight.remove(host);
        let mut due = VecDeque::new();
        if outcome.is_well() {
            if let Some(row) = self.of_play.get_mut(&BudgetKind::Consecutive)
                && outcome != Outcome::Skipped
            {
                (row.bad, row.forgiven) = (0, 0);
            }
            return due;
        }
        let wave = &mut self.of_wave[self.waves[host]];
        if wave.spends() {
            due.push_back((BudgetKind::Wave, wave.told()));
        }
        for (kind, count) in &mut self.of_play {
            let is_counted = match kind {
                BudgetKind::Wave | BudgetKind::Fleet | BudgetKind::Consecutive => true,
                BudgetKind::Unreachable => class == Some(FailureClass::Unreachable),
                BudgetKind::Auth => class == Some(FailureClass::AuthRejected),
                BudgetKind::Drifted => class == Some(FailureClass::Drifted),
            };
            if is_counted && count.spends() {
                due.push_back((*kind, count.told()));
            }
        }
        due
    }

    fn counts_of(&self, wave: usize) -> impl Iterator<Item = (BudgetKind, Count)> {
        let of_play = self.of_play.iter().map(|(kind, count)| (*kind, *count));
        of_play.chain([(BudgetKind::Wave, self.of_wave[wave])])
    }

    /// With `strict`, a host is taken only while all in flight may end badly and no budget is
    /// exceeded by more than one.
    fn taken(&mut self, host: &HostName, at: u64) {
        if self.in_flight.contains(host) {
            return;
        }
        // Nothing says of a host that it was left when its site's window closed: it is out of flight.
        let safeguards = &self.draft.safeguards;
        if safeguards.max_fail.strict && !safeguards.hours.differ_by_site() {
            let in_flight = u32::try_from(self.in_flight.len()).expect("few hosts");
            for (kind, count) in self.counts_of(self.waves[host]) {
                let used = count.bad.saturating_sub(count.forgiven) + in_flight;
                assert!(used <= count.tolerated, "{host} was taken at {at}: {kind:?} {count:?}");
            }
        }
        self.in_flight.insert(host.clone());
    }

    fn is_strictly_kept(&self, host: &HostName) {
        if !self.draft.safeguards.max_fail.strict {
            return;
        }
        for (kind, count) in self.counts_of(self.waves[host]) {
            let most = count.tolerated + count.forgiven + 1;
            assert!(count.bad <= most, "{kind:?} exceeded: {count:?}");
        }
    }
}

/// Each budget tolerates exactly what it says, is told at once with its numbers, and never without
/// cause; with `strict` it is never exceeded by more than one host. `before` is what an earlier
/// process left, as a resume sees it.
pub(crate) fn budgets_tolerate_exactly_what_they_say(
    case: &Case,
    before: &RunState,
    world: &World<'_>,
) {
    let draft = |play: PlayNo| &case.draft.plays[usize::from(play.0)];
    // More than one: a host of an earlier play that was in doubt is taken up again before the play
    // that had begun after it goes on.
    let mut tallies: BTreeMap<PlayNo, Tally<'_>> = before
        .plays
        .keys()
        .filter(|play| !before.plays[*play].finished)
        .filter_map(|play| Some((*play, Tally::resumed(draft(*play), before, *play)?)))
        .collect();
    // What the earlier process spent and had no time to tell.
    let mut untold: BTreeSet<(PlayNo, BudgetKind)> = BTreeSet::new();
    for (play, tally) in &tallies {
        let waves = (0..tally.of_wave.len()).flat_map(|wave| tally.counts_of(wave));
        let is_spent = |count: &Count| count.bad > count.tolerated + count.forgiven;
        untold.extend(waves.filter(|(_, count)| is_spent(count)).map(|(kind, _)| (*play, kind)));
    }
    let mut due: VecDeque<(BudgetKind, (u32, u32))> = VecDeque::new();
    for (at, entry) in &world.log {
        let Entry::Out(command) = entry else { continue };
        if let Command::Emit(EventKind::BudgetTripped { play, budget, bad, tolerated, .. }) =
            command
        {
            match due.pop_front() {
                Some(expected) => assert_eq!((*budget, (*bad, *tolerated)), expected),
                None => {
                    let is_late = untold.remove(&(*play, *budget));
                    assert!(is_late, "{budget:?} of play {play} without a cause at {at}");
                }
            }
            continue;
        }
        assert!(due.is_empty(), "{command:?} where {due:?} were spent");
        match command {
            Command::Emit(EventKind::PlayStarted { play, waves }) => {
                tallies.insert(*play, Tally::new(draft(*play), waves));
            }
            Command::Emit(EventKind::HostFinished { play, host, outcome, class }) => {
                assert_eq!(class.is_some(), !outcome.is_well(), "{host} ended as {outcome}");
                let tally = tallies.get_mut(play).expect("the play is under way");
                due = tally.ended(host, *outcome, *class);
                tally.is_strictly_kept(host);
            }
            Command::Start { step, .. } => {
                let play = step.task.play;
                let tally = tallies.get_mut(&play).expect("the play is under way");
                let is_spent = untold.iter().any(|(of, _)| *of == play);
                assert!(!is_spent, "{step} was started although {untold:?} were spent");
                tally.taken(&step.host, *at);
            }
            _ => {}
        }
    }
    assert!(due.is_empty(), "{due:?} were spent and not told");
}

/// A host ends for the reason of a step of its own.
pub(crate) fn hosts_end_for_the_reason_of_a_step(world: &World<'_>) {
    for (name, host) in world.state.plays.values().flat_map(|play| &play.hosts) {
        let Some(class) = host.class else { continue };
        let classes = host.steps.values().filter_map(|step| Some(step.failure.as_ref()?.class));
        assert!(classes.into_iter().any(|of_step| of_step == class), "{name}: {class:?}");
        if host.outcome != Some(Outcome::Failed) {
            assert_eq!(Some(class.outcome()), host.outcome, "{name}");
        }
    }
}

/// Nothing of a later wave starts before a wave that is through has soaked, whatever number of
/// processes wrote the journal.
pub(crate) fn nothing_starts_while_a_wave_soaks(case: &Case, world: &World<'_>) {
    let mut waves: BTreeMap<(PlayNo, &HostName), WaveNo> = BTreeMap::new();
    let mut finished: BTreeMap<(PlayNo, WaveNo), u64> = BTreeMap::new();
    for event in &world.events {
        match &event.kind {
            EventKind::PlayStarted { play, waves: all } => {
                for (number, hosts) in (0..).map(WaveNo).zip(all) {
                    waves.extend(hosts.iter().map(|host| ((*play, host), number)));
                }
            }
            EventKind::WaveFinished { play, wave } => {
                finished.insert((*play, *wave), event.elapsed.as_millis());
            }
            EventKind::StepStarted { step, .. } => {
                let play = step.task.play;
                let draft = &case.draft.plays[usize::from(play.0)];
                let Some(soak) = draft.safeguards.soak else { continue };
                let soak = case.draft.scale.to_real(soak).as_millis();
                let wave = waves[&(play, &step.host)];
                let earlier = finished.range((play, WaveNo(0))..(play, wave));
                for (_, at) in earlier {
                    let from = u128::from(*at) + soak;
                    let started = u128::from(event.elapsed.as_millis());
                    assert!(started >= from, "{step} at {started}, soak until {from}");
                }
            }
            _ => {}
        }
    }
}
