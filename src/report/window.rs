//! Change windows in the words of recap and log.

use super::clean_line;
use crate::event::{WindowClosed, WindowTime};

/// Why a run ended in its window, how much is left, and when it could go on.
pub(super) fn closed(over: &WindowClosed) -> String {
    let hosts = if over.left == 1 {
        "1 host is left".to_owned()
    } else {
        format!("{} hosts are left", over.left)
    };
    let next = over.opens.as_ref().map_or_else(
        || "; it does not open again".to_owned(),
        |time| format!("; it opens next {}", opens(time)),
    );
    format!("{}: {hosts}{next}", over.why.phrase())
}

/// An instant in the words of the zone, and in universal time where that differs.
pub(super) fn opens(time: &WindowTime) -> String {
    let says = clean_line(&time.says, 80);
    if says.ends_with(" UTC") {
        return says;
    }
    format!("{says} ({})", time.at.strftime("%H:%M UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::WindowEnd;
    use crate::model::PlayNo;

    #[test]
    fn a_closed_window_says_what_is_left_and_when_it_goes_on() {
        let opens = WindowTime {
            at: "2026-12-01T21:00:00Z".parse().expect("an instant"),
            says: "Tue 2026-12-01 22:00 Europe/Oslo".to_owned(),
        };
        let over =
            WindowClosed { play: PlayNo(0), left: 1, why: WindowEnd::Closed, opens: Some(opens) };

        assert_eq!(
            closed(&over),
            "the window takes no host any more: 1 host is left; it opens next Tue 2026-12-01 22:00 \
             Europe/Oslo (21:00 UTC)"
        );
        let never = WindowClosed { opens: None, left: 3, ..over };
        assert!(closed(&never).ends_with("3 hosts are left; it does not open again"));
    }
}
