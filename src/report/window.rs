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
    use crate::model::{HostName, PlayNo, StepId, TaskId};

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
    #[test]
    fn a_host_left_in_the_middle_of_a_task_for_all_is_named_with_its_task() {
        let task = TaskId { play: PlayNo(0), task: 1 };
        let step = StepId { task, host: HostName::new("ps-1") };
        let why = WindowEnd::InTheMiddle { step };
        let over = WindowClosed { play: PlayNo(0), left: 3, why, opens: None };

        let says = closed(&over);
        assert!(
            says.starts_with("the window closed on ps-1 in the middle of task 1.2, which"),
            "{says}"
        );
        // As the journal keeps it, beside reasons of journals that are older.
        let kept = serde_json::to_value(&over).expect("it is JSON");
        assert_eq!(kept["why"]["in_the_middle"]["step"]["host"], "ps-1");
        assert_eq!(serde_json::from_value::<WindowClosed>(kept).expect("the same"), over);
        let old = r#"{"play":0,"left":3,"why":"closed"}"#;
        let old: WindowClosed = serde_json::from_str(old).expect("an old journal");
        assert_eq!(old.why, WindowEnd::Closed);
    }
}
