//! Moving files into quarantine and back, as `quarantine_files` and `restore_files` both do.

use super::Applied;
use crate::event::Undo;
use crate::host::{Changer, Direction, Relocated, Relocation};
use crate::model::StepFailure;

/// Moves the files and says what became of them.
pub(super) async fn carry_out(
    change: &Relocation,
    at: &Changer<'_>,
) -> Result<Applied, StepFailure> {
    let done = at.relocate(change).await?;
    Ok(Applied {
        note: note_of(change.direction, done),
        value: change.value(),
        was_so_already: done.moved == 0 && done.displaced == 0,
    })
}

/// What takes moved files back.
pub(super) fn inverse_of(change: &Relocation) -> Undo {
    match serde_json::to_value(change.inverse()) {
        Ok(inverse) => Undo::With(inverse),
        Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
    }
}

/// What was done, in a few words.
fn note_of(direction: Direction, done: Relocated) -> String {
    let files =
        |count: usize| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    let mut note = match direction {
        Direction::Away => format!("moved {} into quarantine", files(done.moved)),
        Direction::Back => format!("moved {} back", files(done.moved)),
    };
    if done.already > 0 {
        note.push_str(&format!(", {} already there", done.already));
    }
    if done.displaced > 0 {
        note.push_str(&format!(", kept {} that stood in the way", files(done.displaced)));
    }
    note
}
