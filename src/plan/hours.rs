//! The windows that hold for the hosts of a play.

use super::DraftHost;
use crate::event::RunMode;
use crate::model::{Hours, Play, Window, WindowZone, Zone};

/// The windows of a play: its own and that of the run; a host is taken only while both are open.
/// A check changes nothing, and an undo must not wait: neither has any.
pub(super) fn windows(play: &Play, of_run: Option<&Window>, mode: RunMode) -> Vec<Window> {
    let is_bound = mode == RunMode::Run;
    let all = play.safeguards.window.iter().chain(of_run);
    all.filter(|_| is_bound).cloned().collect()
}

/// Those windows with the zones of the hosts. A zone that is not known is left out, so that its
/// hosts are never taken.
pub(super) fn hours(windows: Vec<Window>, hosts: &[DraftHost]) -> Hours {
    let mut hours = Hours { windows, ..Hours::default() };
    if hours.differ_by_site() {
        let names = hosts.iter().filter_map(|host| host.values.get(WindowZone::VARIABLE));
        for name in names {
            if !hours.zones.contains_key(name)
                && let Ok(zone) = Zone::find(name)
            {
                hours.zones.insert(name.clone(), zone);
            }
        }
    }
    hours
}
