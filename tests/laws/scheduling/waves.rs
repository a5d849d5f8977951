//! Laws of waves and of the gates before and in them.

use std::collections::{BTreeMap, BTreeSet};

use fleetmend::event::{EventKind, Reply};
use fleetmend::model::{GateVerdict, HostName, PlayNo};
use fleetmend::scheduler::{Command, GateReading, Input};

use crate::case::Case;
use crate::world::{Entry, World};

pub(crate) fn waves_come_one_after_the_other(world: &World<'_>) {
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

pub(crate) fn nothing_of_a_wave_starts_before_its_gates(case: &Case, world: &World<'_>) {
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

pub(crate) fn a_paused_play_starts_nothing(world: &World<'_>) {
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
pub(crate) fn a_gate_that_is_ill_stops_the_play_when_it_is_too_often(
    case: &Case,
    world: &World<'_>,
) {
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
