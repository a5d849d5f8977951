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

/// The user of the operating system: the owner of this process, else what the environment says.
/// Behind `sudo`, both are named.
pub(super) fn user() -> String {
    let owner = process_owner()
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .or_else(|| variable("USERNAME"))
        .unwrap_or_else(|| "unknown".to_owned());
    match variable("SUDO_USER").filter(|sudo| *sudo != owner) {
        Some(sudo) => format!("{owner} for {sudo}"),
        None => owner,
    }
}

/// The name of the user that owns this process, which its environment cannot change.
#[cfg(unix)]
fn process_owner() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let user = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == user).then(|| name.to_owned())
    });
    name.or_else(|| Some(format!("user {user}")))
}

#[cfg(not(unix))]
fn process_owner() -> Option<String> {
    None
}

/// Whether an operator can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The terminal's columns; 80 when nobody knows.
pub(super) fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// The columns of the terminal that standard output is; none where it is a file or a pipe.
pub(super) fn stdout_columns() -> Option<usize> {
    let size = console::Term::stdout().size_checked();
    size.filter(|_| std::io::stdout().is_terminal()).map(|(_, columns)| usize::from(columns))
}

fn wants_colour() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb")
}
