//! What the Notification Servers are asked, which only reads: for the work of a play, for the word
//! of the CMDB on what is ready, for their health and for the answers of gates.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError};

use super::super::config::Orders;
use super::super::gates::{self, GateVars};
use super::super::message::TaskEnd;
use super::super::{cmdb, health};
use super::Driver;
use crate::model::{FailureClass, GateAsk, HostName, NsHealth, PlayNo, StepFailure, WaveNo};
use crate::scheduler::{GateReading, Input};

/// The longest that the CMDBs may take to name the work of a play, or to say what is ready. Each
/// statement has its own, shorter deadline; this bounds all of them together.
const QUESTION: Duration = Duration::from_secs(10 * 60);

/// Who waits for a look at the Notification Servers.
#[derive(Debug, Clone, Copy)]
pub(super) enum LooksFor {
    /// The scheduler, for a play.
    Health(PlayNo),
    /// A gate of a play.
    Gate(PlayNo, u16),
}

/// What is asked that only reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Work(PlayNo),
    Oracle(PlayNo),
    Gate(PlayNo, u16),
    /// A look at the Notification Servers; one at a time.
    Look,
}

/// A question to the Notification Servers that is under way.
pub(super) struct Question {
    pub(super) asked: Asked,
    /// Ends it: it only reads.
    pub(super) abort: AbortHandle,
}

impl Driver {
    /// Asks for the work of a play.
    pub(super) fn find_work(&mut self, play: PlayNo) {
        let config = Arc::clone(&self.config);
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move {
            TaskEnd::Work(play, in_time(cmdb::find_work(&config, &sessions, play)).await)
        });
        self.questions.insert(abort.id(), Question { asked: Asked::Work(play), abort });
    }

    /// Asks whether what a play repaired is ready.
    pub(super) fn check_oracle(&mut self, play: PlayNo) {
        let pairs = cmdb::pairs_of(&self.state, play);
        let query = cmdb::query_of(&self.config, play);
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move {
            TaskEnd::Oracle(play, in_time(cmdb::ask_oracle(&sessions, query, pairs)).await)
        });
        self.questions.insert(abort.id(), Question { asked: Asked::Oracle(play), abort });
    }

    /// Asks a gate before a wave.
    pub(super) fn check_gate(&mut self, play: PlayNo, wave: WaveNo, gate: u16) {
        let declared = match &self.config.orders {
            Orders::Playbook(playbook) => playbook.plays.get(usize::from(play.0)),
            Orders::TakeBack(_) => None,
        };
        let found = declared
            .and_then(|own| Some((own.safeguards.gates.get(usize::from(gate))?.ask.clone(), own)));
        let Some((ask, own)) = found else {
            let failure = StepFailure::new(FailureClass::Bug, "there is no such gate");
            let reading = GateReading::Unreadable(failure);
            return self.tell(Input::GateSaid { play, gate, reading });
        };
        let sessions = self.sessions.notification_servers();
        let abort = match ask {
            GateAsk::NsHealthy(_) => return self.look(LooksFor::Gate(play, gate)),
            GateAsk::WaveReady => {
                let before = WaveNo(wave.0.saturating_sub(1));
                let pairs = cmdb::pairs_of_wave(&self.state, play, before);
                let query = cmdb::query_of(&self.config, play);
                self.tasks.spawn(async move {
                    TaskEnd::Gate(play, gate, gates::ask_wave(&sessions, query, pairs).await)
                })
            }
            GateAsk::Query(query) => {
                let vars = GateVars {
                    play: Arc::new(own.vars.clone()),
                    extra: Arc::new(self.config.extra_vars.clone()),
                };
                self.tasks.spawn(async move {
                    TaskEnd::Gate(play, gate, gates::ask_query(&sessions, &query, &vars).await)
                })
            }
        };
        self.questions.insert(abort.id(), Question { asked: Asked::Gate(play, gate), abort });
    }

    /// Looks at the Notification Servers, or waits for the look that is under way.
    pub(super) fn look(&mut self, who: LooksFor) {
        self.looking.push(who);
        if self.looking.len() > 1 {
            return;
        }
        let sessions = self.sessions.notification_servers();
        let abort = self.tasks.spawn(async move { TaskEnd::Looked(health::look(sessions).await) });
        self.questions.insert(abort.id(), Question { asked: Asked::Look, abort });
    }

    /// Tells what was seen to all who waited for it.
    pub(super) fn looked(&mut self, looks: &[(HostName, NsHealth)]) {
        for who in std::mem::take(&mut self.looking) {
            self.tell(match who {
                LooksFor::Health(play) => {
                    let health = NsHealth::together(looks.iter().map(|(_, look)| look.clone()));
                    Input::Health { play, health }
                }
                LooksFor::Gate(play, gate) => {
                    let reading = GateReading::Health(looks.to_vec());
                    Input::GateSaid { play, gate, reading }
                }
            });
        }
    }

    /// A question ended by a mistake in this program; nobody learns anything from it.
    pub(super) fn question_panicked(&mut self, error: &JoinError) {
        if let Some(Question { asked, .. }) = self.questions.remove(&error.id()) {
            let failure = StepFailure::caused_by(FailureClass::Bug, "the question panicked", error);
            match asked {
                Asked::Work(play) => self.tell(Input::WorkFailed { play, failure }),
                Asked::Oracle(play) => self.tell(Input::OracleFailed { play, failure }),
                Asked::Gate(play, gate) => {
                    let reading = GateReading::Unreadable(failure);
                    self.tell(Input::GateSaid { play, gate, reading });
                }
                Asked::Look => self.looked(&[]),
            }
        }
    }
}

/// Bounds a question to the CMDBs, which could hang one statement after the other.
pub(in crate::engine) async fn in_time<T>(
    question: impl Future<Output = Result<T, StepFailure>>,
) -> Result<T, StepFailure> {
    tokio::time::timeout(QUESTION, question).await.unwrap_or_else(|_| {
        Err(StepFailure::new(
            FailureClass::TimedOut,
            "could not ask the CMDB: the answers took longer than ten minutes",
        ))
    })
}
