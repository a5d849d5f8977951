//! Events on their way: to the fold, to the disk, and when they are there to those who read them.

use futures::{FutureExt, StreamExt};

use super::{DriveError, Driver};
use crate::event::{Ack, Event, EventKind, JournalError};

impl Driver {
    /// Emits an event whose durability nobody waits for here; a failure ends the run.
    pub(super) fn record(&mut self, kind: EventKind) -> Result<(), DriveError> {
        self.emit(kind).map(drop)
    }

    /// Numbers and stamps an event, folds it and queues it for the disk. Readers are shown it when
    /// it is there: what was shown is never lost.
    pub(super) fn emit(&mut self, kind: EventKind) -> Result<Ack, DriveError> {
        let now = self.clock.now();
        let event = Event { seq: self.state.next_seq, at: now.wall, elapsed: now.elapsed, kind };
        self.state.apply(&event)?;
        let written = self.journal.append(event.clone()).shared();
        let shown = written.clone().map(|written| (event, written)).boxed();
        self.unwritten.push_back(shown);
        Ok(written.boxed())
    }

    /// An event is on disk, or will never be: readers are shown it, and a question in it is put.
    pub(super) fn written(
        &mut self,
        (event, written): (Event, Result<(), JournalError>),
    ) -> Result<(), DriveError> {
        if let Err(error) = written {
            self.lost.push(event);
            return Err(error.into());
        }
        let state = &self.state;
        self.observers.retain_mut(|observer| survives(|| observer.observe(&event, state)));
        match event.kind {
            EventKind::ConfirmAsked { step, question } => self.ask(&step, question),
            EventKind::GateAsked { play, gate, question, .. } => {
                self.ask_gate(play, &gate, question);
            }
            _ => {}
        }
        Ok(())
    }

    /// Awaits that every event is on disk.
    pub(super) async fn flush(&mut self) -> Result<(), DriveError> {
        while let Some(written) = self.unwritten.next().await {
            self.written(written)?;
        }
        Ok(())
    }
}

/// Whether a reader got through without a panic. One that did not is not shown anything more: a
/// mistake on the screen must not leave changes on hosts half done.
pub(super) fn survives(show: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(show)).is_ok()
}
