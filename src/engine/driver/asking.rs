//! What the operator is asked, by steps and about gates.
//!
//! A question is put when it is on disk and was shown; its answer is recorded before it is passed on.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError};

use super::super::config::Orders;
use super::super::message::TaskEnd;
use super::{DriveError, Driver};
use crate::event::{Ack, Answer, AnsweredBy, EventKind, Question, Reply};
use crate::model::{PlayNo, StepId};
use crate::scheduler::Input;

/// A question to the operator.
pub(super) struct Ask {
    pub(super) reply: oneshot::Sender<(Answer, Ack)>,
    /// Ends the asking, once it has begun.
    pub(super) abort: Option<AbortHandle>,
}

impl Driver {
    /// A step asks. What was confirmed before, in this process or an earlier one, stays so.
    pub(super) fn wants_to_ask(
        &mut self,
        step: StepId,
        question: Question,
        reply: oneshot::Sender<(Answer, Ack)>,
    ) -> Result<(), DriveError> {
        let asked = self.state.plays.get(&step.task.play);
        let asked = asked.and_then(|play| play.confirmations.get(&step.task.task));
        if let Some((answer, _)) = asked.and_then(|asked| asked.answer.as_ref())
            && answer.reply == Reply::Confirmed
        {
            let on_disk = std::future::ready(Ok(())).boxed();
            let _cancelled = reply.send((answer.clone(), on_disk));
            return Ok(());
        }
        self.asks.insert(step.clone(), Ask { reply, abort: None });
        self.record(EventKind::ConfirmAsked { step, question })
    }

    /// Asks, now that the question is on disk and was shown.
    pub(super) fn ask(&mut self, step: &StepId, question: Question) {
        let Some(ask) = self.asks.get_mut(step) else { return };
        let (asked, step) = (Arc::clone(&self.config.operator).ask(question), step.clone());
        let abort = self.tasks.spawn(async move { TaskEnd::Answered(step, asked.await) });
        self.asking.insert(abort.id());
        ask.abort = Some(abort);
    }

    /// Passes on what the operator said to a step, with what tells when that is on disk. `asked` is
    /// the task that asked him.
    pub(super) fn answered(
        &mut self,
        step: &StepId,
        asked: Id,
        answer: Answer,
    ) -> Result<(), DriveError> {
        // A step that was cancelled meanwhile does not listen any more.
        let is_open = |ask: &Ask| ask.abort.as_ref().is_some_and(|abort| abort.id() == asked);
        if !self.asks.get(step).is_some_and(is_open) {
            return Ok(());
        }
        let Some(ask) = self.asks.remove(step) else { return Ok(()) };
        let told = EventKind::ConfirmAnswered { step: step.clone(), answer: answer.clone() };
        let on_disk = self.emit(told)?;
        let _cancelled = ask.reply.send((answer, on_disk));
        Ok(())
    }

    /// Asks about a gate, now that the question is on disk and was shown.
    pub(super) fn ask_gate(&mut self, play: PlayNo, gate: &str, question: Question) {
        let Orders::Playbook(playbook) = &self.config.orders else { return };
        let gates = playbook.plays.get(usize::from(play.0)).map(|play| &play.safeguards.gates);
        let place = gates.and_then(|gates| gates.iter().position(|known| known.name == gate));
        let Some(place) = place.and_then(|place| u16::try_from(place).ok()) else { return };
        // The play may have ended, or been stopped, before the question was on disk.
        if !self.scheduler.awaits_answer(play, place) {
            return;
        }
        let asked = Arc::clone(&self.config.operator).ask(question);
        let abort =
            self.tasks.spawn(async move { TaskEnd::GateAnswered(play, place, asked.await) });
        self.asking.insert(abort.id());
        self.gate_asks.insert((play, place), abort);
    }

    /// Takes back the questions about gates whose answers would not count any more: the play ended,
    /// or nothing new starts in this run.
    pub(super) fn take_back_settled(&mut self) {
        let scheduler = &self.scheduler;
        self.gate_asks.retain(|(play, gate), ask| {
            let is_awaited = scheduler.awaits_answer(*play, *gate);
            if !is_awaited {
                ask.abort();
            }
            is_awaited
        });
    }

    /// Takes back every question.
    pub(super) fn take_back_questions(&mut self) {
        let of_steps = self.asks.drain().filter_map(|(_, ask)| ask.abort);
        for ask in of_steps.chain(self.gate_asks.drain().map(|(_, ask)| ask)) {
            ask.abort();
        }
    }

    /// Questions that are before the operator, will be, or are being taken back.
    pub(super) fn open_questions(&self) -> usize {
        self.asking.len() + self.asks.values().filter(|ask| ask.abort.is_none()).count()
    }

    /// Passes on what the operator said about a gate, once for each question; `asked` is the task
    /// that asked him.
    pub(super) fn gate_answered(
        &mut self,
        play: PlayNo,
        gate: u16,
        asked: Id,
        answer: Answer,
    ) -> Result<(), DriveError> {
        // A question that was taken back has no answer.
        if self.gate_asks.get(&(play, gate)).is_none_or(|ask| ask.id() != asked) {
            return Ok(());
        }
        self.gate_asks.remove(&(play, gate));
        let Orders::Playbook(playbook) = &self.config.orders else { return Ok(()) };
        let own = playbook.plays.get(usize::from(play.0));
        let own = own.and_then(|play| play.safeguards.gates.get(usize::from(gate)));
        let state = self.state.plays.get(&play);
        let Some((own, state)) = own.zip(state) else { return Ok(()) };
        let asked = state.gates.get(&own.name).and_then(|gate| gate.asked.last());
        let Some(asked) = asked.filter(|asked| asked.answer.is_none()) else { return Ok(()) };
        let (wave, gate_name, reply) = (asked.wave, own.name.clone(), answer.reply);
        self.record(EventKind::GateAnswered { play, wave, gate: gate_name, answer })?;
        self.tell(Input::GateAnswered { play, gate, reply });
        Ok(())
    }

    /// Asking ended by a mistake in this program: it counts as if nobody had been there.
    pub(super) fn asking_panicked(&mut self, error: &JoinError) -> Result<(), DriveError> {
        let is_ask = |ask: &Ask| ask.abort.as_ref().is_some_and(|abort| abort.id() == error.id());
        if let Some(step) = self.asks.iter().find(|(_, ask)| is_ask(ask)).map(|(s, _)| s.clone()) {
            let (user, by) = (String::new(), AnsweredBy::Terminal);
            self.answered(&step, error.id(), Answer { reply: Reply::NobodyThere, user, by })?;
        }
        let is_gate = |ask: &AbortHandle| ask.id() == error.id();
        if let Some(key) = self.gate_asks.iter().find(|(_, ask)| is_gate(ask)).map(|(key, _)| *key)
        {
            let (user, by) = (String::new(), AnsweredBy::Terminal);
            let answer = Answer { reply: Reply::NobodyThere, user, by };
            self.gate_answered(key.0, key.1, error.id(), answer)?;
        }
        Ok(())
    }
}
