//! The law of the way through a play: tasks, blocks and handlers, as they are written.

use fleetmend::event::HostState;
use fleetmend::model::{Block, Outcome};
use fleetmend::plan::{DraftPlay, DraftTask};

use crate::case::Case;
use crate::world::World;

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
    play: &'c DraftPlay,
    host: &'c HostState,
    done: Vec<u16>,
    has_failed: bool,
}

impl Reader<'_> {
    /// The tasks from `from` to before `to`, among the blocks given.
    fn list(&mut self, from: u16, to: u16, blocks: &[Block]) -> Walked {
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

    fn block(&mut self, block: Block, inner: &[Block]) -> Walked {
        let within = |from: u16, to: u16| {
            let inside = |b: &&Block| b.start >= from && b.end <= to;
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
        let changed = |task: &&DraftTask| {
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
