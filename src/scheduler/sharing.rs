//! Limits that other runs draw from too: the ledger judges after this run's own limits.

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexMap;

use super::Command;
use crate::ledger::{Answer, ClaimId, LimitKey, Load, SharedDraw, SharedSpec};
use crate::model::{Elapsed, HostName, LimitName, LimitScope, LimitSpec, StepId, TimeScale};

/// How long a draw waits before it asks a ledger again that could not be read.
const AGAIN: Duration = Duration::from_secs(2);

/// What draws from shared limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// A step, from its grant to its end.
    Step(StepId),
    /// A host, for its stay in a play.
    Host(HostName),
}

/// A limit that a holder draws from, as this run declares it.
pub(super) struct Drawn<'l> {
    pub(super) name: &'l LimitName,
    pub(super) by: Option<&'l String>,
    pub(super) spec: &'l LimitSpec,
    pub(super) load: Load,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    /// The ledger was asked.
    Asked,
    /// It is to be asked again; which of the draws was not possible, if the ledger was read.
    Waits { until: Elapsed, by: Option<usize> },
    /// It is drawn.
    Held,
}

#[derive(Debug, Clone, PartialEq)]
struct Claim {
    holder: Holder,
    draws: Vec<SharedDraw>,
    standing: Standing,
}

/// What came of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// It is drawn. What is left in each limit's fullest bucket, by the order of the limits.
    Granted(Holder, Vec<Option<f64>>),
    /// It is not, until this instant; the limit that is exhausted, by its place, if that is known.
    Refused(Holder, Elapsed, Option<usize>),
}

/// What this run shares with others. Where the world has no Notification Server that is known,
/// nothing is shared: nobody could say with whom.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sharing {
    servers: Vec<String>,
    next: u64,
    claims: IndexMap<ClaimId, Claim>,
    by_holder: HashMap<Holder, ClaimId>,
    trouble: Option<String>,
}

impl Sharing {
    pub(super) fn with(servers: Vec<String>) -> Self {
        Self { servers, ..Self::default() }
    }

    /// The draws from what is shared. Which of several Notification Servers a change reaches is not
    /// known before, so each one's limit is drawn from.
    pub(super) fn draws<'l>(
        &self,
        limits: impl Iterator<Item = Drawn<'l>>,
        scale: TimeScale,
    ) -> Vec<SharedDraw> {
        let shared = limits.filter(|drawn| drawn.spec.scope == LimitScope::Controller);
        shared
            .flat_map(|Drawn { name, by, spec, load }| {
                let rate = spec.rate.map(|rate| (rate.per_second(scale), spec.burst));
                let spec = SharedSpec { rate, in_flight: spec.in_flight.map(|cap| cap.max(1)) };
                self.servers.iter().map(move |server| SharedDraw {
                    key: LimitKey { server: server.clone(), name: name.clone(), by: by.cloned() },
                    spec,
                    load,
                })
            })
            .collect()
    }

    /// Asks for a holder, or asks again; it keeps its place among those who wait.
    pub(super) fn ask(&mut self, holder: Holder, draws: Vec<SharedDraw>) -> Command {
        let claim = *self.by_holder.entry(holder.clone()).or_insert_with(|| {
            self.next += 1;
            ClaimId(self.next)
        });
        let draws = self.claims.get(&claim).map_or(draws, |claim| claim.draws.clone());
        let standing = Standing::Asked;
        self.claims.insert(claim, Claim { holder, draws: draws.clone(), standing });
        Command::Draw { claim, draws }
    }

    /// Asks again for steps whose time has come.
    pub(super) fn ask_again(&mut self, now: Elapsed) -> Vec<Command> {
        let mut commands = Vec::new();
        for (id, claim) in &mut self.claims {
            let is_due = matches!(claim.standing, Standing::Waits { until, .. } if until <= now);
            if is_due && matches!(claim.holder, Holder::Step(_)) {
                claim.standing = Standing::Asked;
                commands.push(Command::Draw { claim: *id, draws: claim.draws.clone() });
            }
        }
        commands
    }

    /// Takes in an answer; none where nobody asks any more.
    pub(super) fn answered(&mut self, id: ClaimId, answer: Answer, now: Elapsed) -> Option<Said> {
        let servers = self.servers.len().max(1);
        let claim = self.claims.get_mut(&id).filter(|claim| claim.standing == Standing::Asked)?;
        let holder = claim.holder.clone();
        let (until, by) = match answer {
            Answer::Granted { left, .. } => {
                claim.standing = Standing::Held;
                self.trouble = None;
                let least =
                    |left: &[Option<f64>]| left.iter().flatten().copied().min_by(f64::total_cmp);
                return Some(Said::Granted(holder, left.chunks(servers).map(least).collect()));
            }
            Answer::Wait { span, by } => {
                self.trouble = None;
                (now.plus(span), Some(by))
            }
            Answer::Unreadable(error) => {
                self.trouble = Some(error.reason);
                (now.plus(AGAIN), None)
            }
        };
        claim.standing = Standing::Waits { until, by };
        Some(Said::Refused(holder, until, by.map(|by| by / servers)))
    }

    /// A holder ended, or does not want to draw any more.
    pub(super) fn give_back(&mut self, holder: &Holder) -> Option<Command> {
        let claim = self.by_holder.remove(holder)?;
        let gone = self.claims.shift_remove(&claim)?;
        let keys = gone.draws.into_iter().map(|draw| draw.key).collect();
        Some(Command::GiveBack { claim, keys })
    }

    /// Hosts that wait for a place that other runs hold give up their turn: they could not take it
    /// now.
    pub(super) fn give_up_turns(&mut self) -> Vec<Command> {
        let waits = |claim: &&Claim| {
            matches!((&claim.holder, claim.standing), (Holder::Host(_), Standing::Waits { .. }))
        };
        let holders = self.claims.values().filter(waits).map(|claim| claim.holder.clone());
        let holders: Vec<Holder> = holders.collect();
        holders.iter().filter_map(|holder| self.give_back(holder)).collect()
    }

    /// When a step is to be asked for again.
    pub(super) fn next_wakeup(&self) -> Option<Elapsed> {
        let steps =
            self.claims.values().filter_map(|claim| match (&claim.holder, claim.standing) {
                (Holder::Step(_), Standing::Waits { until, .. }) => Some(until),
                _ => None,
            });
        steps.min()
    }

    /// How many steps wait for what other runs drew or hold, by limit.
    pub(super) fn waiting(&self) -> IndexMap<(LimitName, Option<String>), usize> {
        let mut counts = IndexMap::new();
        for claim in self.claims.values() {
            if let (Holder::Step(_), Standing::Waits { by: Some(by), .. }) =
                (&claim.holder, claim.standing)
                && let Some(draw) = claim.draws.get(by)
            {
                let key = (draw.key.name.clone(), draw.key.by.clone());
                *counts.entry(key).or_default() += 1;
            }
        }
        counts
    }

    /// Why the ledger could not be read at the last question, and how many wait for it.
    pub(super) fn trouble(&self) -> Option<(&str, usize)> {
        let is_held_up =
            |claim: &&Claim| matches!(claim.standing, Standing::Waits { by: None, .. });
        let trouble = self.trouble.as_deref()?;
        Some((trouble, self.claims.values().filter(is_held_up).count()))
    }
}
