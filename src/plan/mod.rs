//! The pure planner: what a run will do, before and after anything was done.
//!
//! [`Draft`] is all that the scheduler needs of a playbook and an inventory. [`resume`] says what
//! is left of a run that was cut, [`Takeback`] what must be done to undo one. Nothing here reads a
//! clock, a file or a host.

mod again;
mod attempt;
mod bare;
mod course;
mod delegates;
mod draft;
mod hours;
mod order;
mod resume;
mod taken_back;
mod undo;
mod waves;

pub use attempt::{AfterAttempt, Attempt};
pub use course::{Course, Onward, Spot};
pub use delegates::{DelegateError, Delegates};
pub use draft::{ActionTraits, Draft, DraftFlow, DraftHost, DraftPlay, DraftRequest, DraftTask};
pub use order::{in_order, turn};
pub use resume::{Answers, InDoubt, Resolution, ResumeError, Resumption, resume};
pub use taken_back::{TakenBack, UndoRun, expect_not_taken_back, wholly_taken_back};
pub use undo::{Inverse, NotTakenBack, Takeback, TakebackError, takeback};
pub use waves::cut;
