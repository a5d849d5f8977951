//! The end of a log, and what of it is known by name.

use super::part::{seen, then};
use crate::host::Reader;
use crate::itms::agent_log::read_events;
use crate::itms::evidence::{LogFinding, Seen};
use crate::itms::signature::fold;
use crate::model::{StepFailure, WindowsPath};

/// How many bytes from the end of a log are read.
const TAIL: u64 = 2 << 20;

/// The signatures in the end of a log.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn findings(
    at: &Reader<'_>,
    path: &WindowsPath,
) -> Result<Seen<Vec<LogFinding>>, StepFailure> {
    let size = match seen(at.files().metadata(path).await)? {
        Seen::Known(Some(metadata)) => metadata.size,
        Seen::Known(None) => return Ok(Seen::Unreadable(format!("there is no {path}"))),
        Seen::Unreadable(why) => return Ok(Seen::Unreadable(why)),
        Seen::NotAsked => return Ok(Seen::NotAsked),
    };
    let offset = size.saturating_sub(TAIL);
    let bytes = seen(at.files().read_from(path, offset, TAIL).await)?;
    Ok(then(bytes, |bytes| Seen::Known(fold(&read_events(&bytes).events))))
}
