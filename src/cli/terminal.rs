//! The terminal is left as it was found, also by a process that is ended while it asks for a
//! password: until then keys are not echoed and Ctrl-C is a key.

use std::sync::Once;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::signals;
use crate::event::RunResult;

static KEPT: Once = Once::new();

/// Remembers how the terminal takes keys. A request to end that comes before anybody else listens to
/// it puts that back and ends the process: nothing was begun.
pub(super) fn keep() {
    let (Ok(runtime), Ok(before)) =
        (tokio::runtime::Handle::try_current(), tcgetattr(std::io::stdin()))
    else {
        return;
    };
    KEPT.call_once(|| {
        runtime.spawn(async move {
            if !signals::asked_to_end_unheard().await {
                return;
            }
            // A terminal that has gone needs nothing.
            let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
            #[expect(clippy::disallowed_methods, reason = "the prompt cannot be interrupted")]
            std::process::exit(i32::from(RunResult::Stopped.exit_code()));
        });
    });
}
