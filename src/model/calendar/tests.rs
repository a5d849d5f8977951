use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

fn window(text: &str) -> Window {
    text.parse().expect(text)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn zone(name: &str) -> Zone {
    Zone::find(name).expect(name)
}

/// A row of the table in the manual: zone, window and day, and what they come to.
fn row(cells: &[&str]) -> String {
    let (zone_name, times, day) = (cells[0], cells[1], cells[2]);
    let zone = zone(zone_name);
    let (times, fold) = times.split_once(' ').unwrap_or((times, ""));
    let one = window(&format!("{day} {times} {zone_name} {fold}"));
    let day: Date = day.parse().expect("a date");
    let Some(opening) = one.opening_of(&zone, day) else {
        return "does not open |  | ".to_owned();
    };
    let say = |at: Timestamp| {
        let (wall, utc) = (zone.wall(at), at.strftime("%H:%M"));
        format!("{} ({utc} UTC)", wall.strftime("%H:%M"))
    };
    let lasts = opening.close.duration_since(opening.open).as_secs() / 60;
    format!("{} | {} | {} h {:02}", say(opening.open), say(opening.close), lasts / 60, lasts % 60)
}

#[test]
fn the_table_of_the_manual_is_what_the_calendar_says() {
    let manual = include_str!("../../../docs/windows.md");
    let mut rows = 0;
    for line in manual.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if cells.len() != 6 {
            continue;
        }
        rows += 1;
        let told: Vec<&str> = cells[3..].to_vec();
        assert_eq!(told.join(" | "), row(&cells), "{line}");
    }
    assert!(rows >= 12, "{rows} rows");
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_opens() {
    let (tuesday, oslo) = (window("tue 22:00-02:00 Europe/Oslo"), zone("Europe/Oslo"));
    let opening = |text: &str| tuesday.opening(&oslo, at(text)).expect("it opens");

    let night = opening("2026-12-02T00:30:00Z");
    assert_eq!(night.day.to_string(), "2026-12-01");
    assert_eq!((night.open, night.close), (at("2026-12-01T21:00:00Z"), at("2026-12-02T01:00:00Z")));
    assert_eq!(opening("2026-12-02T01:00:00Z").day.to_string(), "2026-12-08");
}

#[test]
fn days_that_touch_are_one_opening() {
    let weekend = window("sat,sun 00:00-24:00 UTC");
    let opening = weekend.opening(&Zone::utc(), at("2026-12-05T12:00:00Z")).expect("it opens");
    assert_eq!(opening.close, at("2026-12-07T00:00:00Z"));

    let long = window("fri 20:00-mon/06:00 UTC cutoff=2h");
    let opening = long.opening(&Zone::utc(), at("2026-12-06T12:00:00Z")).expect("it opens");
    assert_eq!(opening.open, at("2026-12-04T20:00:00Z"));
    assert_eq!(
        (opening.cutoff, opening.close),
        (at("2026-12-07T04:00:00Z"), at("2026-12-07T06:00:00Z"))
    );

    let always = window("daily 00:00-24:00 UTC");
    let opening = always.opening(&Zone::utc(), at("2026-12-05T12:00:00Z")).expect("it opens");
    assert!(opening.holds(at("2026-12-05T12:00:00Z")));
}

#[test]
fn dates_that_have_passed_open_nothing() {
    let past = window("2026-12-24 22:00-23:00 UTC");

    assert!(past.opening(&Zone::utc(), at("2026-12-24T22:59:00Z")).is_some());
    assert_eq!(past.opening(&Zone::utc(), at("2026-12-24T23:00:00Z")), None);
}

#[test]
fn of_two_windows_the_common_part_holds() {
    let both = |own: &str, run: &str| Hours {
        windows: vec![window(own), window(run)],
        zones: BTreeMap::from([("Asia/Kolkata".to_owned(), zone("Asia/Kolkata"))]),
    };
    let hours = both("tue 22:00-02:00 Europe/Oslo", "23:00-04:00 Europe/Oslo at_close=terminate");
    let opening = hours.opening(None, at("2026-12-01T12:00:00Z")).expect("it opens");
    assert_eq!(
        (opening.open, opening.close),
        (at("2026-12-01T22:00:00Z"), at("2026-12-02T01:00:00Z"))
    );
    assert_eq!(opening.at_close, AtClose::StopAfterBlock, "the one that closes first says it");

    let never = both("tue 22:00-23:00 UTC", "wed 22:00-23:00 UTC");
    assert_eq!(never.opening(None, at("2026-12-01T12:00:00Z")), None);

    let site = both("22:00-02:00 site", "daily 00:00-24:00 UTC");
    let opening = site.opening(Some("Asia/Kolkata"), at("2026-12-01T12:00:00Z")).expect("it opens");
    assert_eq!(opening.open, at("2026-12-01T16:30:00Z"));
    assert_eq!(site.opening(None, at("2026-12-01T12:00:00Z")), None, "no zone, no window");
}

#[test]
fn what_clocks_show_twice_or_never_is_told() {
    let oslo = zone("Europe/Oslo");
    let odd = window("02:30-05:00 Europe/Oslo").oddities(&oslo, at("2026-01-01T00:00:00Z"), 400);
    let told: Vec<(String, Odd)> = odd.iter().map(|odd| (odd.day.to_string(), odd.kind)).collect();

    assert_eq!(
        told,
        [("2026-03-29".to_owned(), Odd::Never), ("2026-10-25".to_owned(), Odd::Twice)]
    );
    let calm = window("22:00-02:00 Asia/Kolkata");
    assert_eq!(calm.oddities(&zone("Asia/Kolkata"), at("2026-01-01T00:00:00Z"), 400), []);
}

const ZONES: [&str; 7] = [
    "Europe/Oslo",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Chatham",
    "America/St_Johns",
    "UTC",
];

fn any_zone() -> impl Strategy<Value = Zone> {
    prop::sample::select(&ZONES[..]).prop_map(zone)
}

fn any_window() -> impl Strategy<Value = Window> {
    let time = || (0..24_u16, prop::sample::select(&[0_u16, 1, 15, 30, 45, 59][..]));
    let days = prop::sample::select(&["daily", "tue", "sat,sun", "mon,wed,!2026-03-30", "sun"][..]);
    let fold = prop::sample::select(&["", " fold=first", " fold=second"][..]);
    (days, time(), time(), fold, 0..90_u64).prop_filter_map(
        "it is a window",
        |(days, (h, m), (to_h, to_m), fold, cutoff)| {
            let cutoff = if cutoff == 0 { String::new() } else { format!(" cutoff={cutoff}min") };
            format!("{days} {h:02}:{m:02}-{to_h:02}:{to_m:02} UTC{fold}{cutoff}").parse().ok()
        },
    )
}

/// An instant of six years, often near the hours in which clocks are set.
fn any_instant() -> impl Strategy<Value = Timestamp> {
    let start = at("2024-01-01T00:00:00Z");
    (0..6 * 366 * 24 * 60_i64).prop_map(move |minutes| start + SignedDuration::from_mins(minutes))
}

/// Whether the clocks show a time between opening and closing, on a day that is one of the
/// window's. It knows nothing of offsets.
fn is_open_by_the_clock(window: &Window, wall: DateTime) -> bool {
    let today = wall.date();
    let yesterday = today.yesterday().expect("a date");
    [yesterday, today].into_iter().filter(|day| window.days.hold(*day)).any(|day| {
        let (from, to) = (window.open.on(day), window.close.on(day));
        let (from, mut to) = (from.expect("a time"), to.expect("a time"));
        if to <= from {
            to = window.close.on(day.tomorrow().expect("a date")).expect("a time");
        }
        from <= wall && wall < to
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_time_on_a_wall_is_an_instant(
        zone in any_zone(), near in any_instant(), minutes in -300..300_i64,
    ) {
        let wall = zone.wall(near) + SignedDuration::from_mins(minutes);
        match zone.when(wall).expect("it is found") {
            OnTheWall::Once(once) => prop_assert_eq!(zone.wall(once), wall),
            OnTheWall::Twice(first, second) => {
                prop_assert!(first < second);
                prop_assert_eq!(zone.wall(first), wall);
                prop_assert_eq!(zone.wall(second), wall);
            }
            OnTheWall::Never(change) => {
                let before = change - SignedDuration::from_secs(1);
                prop_assert!(zone.wall(before) < wall && wall < zone.wall(change));
            }
        }
    }

    #[test]
    fn instants_are_ordered_and_the_next_opening_is_the_next_one(
        zone in any_zone(), window in any_window(), from in any_instant(),
    ) {
        let opening = window.opening(&zone, from).expect("it opens every week");

        prop_assert!(opening.open <= opening.cutoff && opening.cutoff <= opening.close);
        prop_assert!(opening.open < opening.close && from < opening.close);
        // A week without an opening is the most there is, and the clocks may skip one day's.
        prop_assert!(opening.open.duration_since(from) <= SignedDuration::from_hours(15 * 24));
        let mut at = from;
        while at < opening.open {
            prop_assert_eq!(window.opening(&zone, at), Some(opening), "{} lies before it", at);
            at += SignedDuration::from_hours(7);
        }
    }

    #[test]
    fn where_no_clock_is_set_the_window_is_what_the_clock_shows(
        zone in any_zone(), window in any_window(), from in any_instant(),
    ) {
        let mut at = from;
        for _ in 0..50 {
            let offset = |hours| zone.wall(at + SignedDuration::from_hours(hours))
                .duration_since(zone.wall(at));
            let is_calm = [-30, 30].iter().all(|h| offset(*h) == SignedDuration::from_hours(*h));
            if is_calm {
                let is_open = window.opening(&zone, at).is_some_and(|one| one.holds(at));
                prop_assert_eq!(is_open, is_open_by_the_clock(&window, zone.wall(at)), "{}", at);
            }
            at += SignedDuration::from_mins(47);
        }
    }
}
