//! The only reader of the environment and of the terminal's nature.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::report::Paint;

/// A variable of the environment; an empty one counts as missing.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    let value = std::env::var(name).ok()?;
    (!value.is_empty()).then_some(value)
}

/// Where runs are kept: `FLEETMEND_STATE_DIR`, else `$XDG_STATE_HOME/fleetmend`, else
/// `~/.local/state/fleetmend` (`%LOCALAPPDATA%\fleetmend` on Windows).
pub(super) fn state_directory() -> Option<PathBuf> {
    variable("FLEETMEND_STATE_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("XDG_STATE_HOME")?).join("fleetmend")))
        .or_else(|| Some(PathBuf::from(variable("LOCALAPPDATA")?).join("fleetmend")))
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/state/fleetmend")))
}

/// Colour for standard output, if it is a terminal and `NO_COLOR` is not set.
pub(super) fn paint_stdout() -> Paint {
    Paint { colour: wants_colour() && std::io::stdout().is_terminal() }
}

/// Colour for standard error, if it is a terminal and `NO_COLOR` is not set.
pub(super) fn paint_stderr() -> Paint {
    Paint { colour: wants_colour() && std::io::stderr().is_terminal() }
}

/// Whether a live screen can be drawn: both outputs are terminals that can move their cursor.
pub(super) fn has_screen() -> bool {
    std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal()
        && variable("TERM").as_deref() != Some("dumb")
}

/// Whether an operator can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The terminal's columns; 80 when nobody knows.
pub(super) fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

fn wants_colour() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
}
