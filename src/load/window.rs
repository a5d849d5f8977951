//! The `window` of a play, and the calendars of an inventory.

use indexmap::IndexMap;
use serde_json::Value;

use super::LoadedInventory;
use super::fields::{self, Keys};
use super::settings::{Parts, SettingError, within, wrong};
use super::source::Source;
use super::yaml::{Kind, Node};
use crate::model::{
    AtClose, ClockTime, Days, Fold, HostName, Selector, Weekday, Window, WindowZone, Zone,
};

const WINDOW: Keys = Keys {
    what: "a window",
    known: &[
        "calendar", "days", "dates", "except", "open", "close", "tz", "fold", "cutoff", "margin",
        "expect", "at_close", "grace",
    ],
    later: &[],
    foreign: &[
        ("duration", "say when it closes: `close: \"02:00\"`"),
        ("timezone", "the zone is `tz: Europe/Oslo`, or `tz: site`"),
        ("start", "say when it opens: `open: \"22:00\"`"),
        ("end", "say when it closes: `close: \"02:00\"`"),
    ],
};

const EXAMPLE: &str =
    "as in `window: { days: [tue, thu], open: \"22:00\", close: \"02:00\", tz: Europe/Oslo }`";
const DATE: &str = "a date, as in `2026-12-24`";

/// Reads the window of a play; `hosts` are those of the play.
pub(super) fn read(
    node: &Node<'_>,
    hosts: Option<&Selector>,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) -> Option<Window> {
    let window = match &node.kind {
        Kind::Scalar(_) if !fields::is_nothing(node) => one_line(node, source)?,
        Kind::Scalar(_) | Kind::Map(_) | Kind::List(_) | Kind::Broken => {
            mapping(node, inventory, source)?
        }
    };
    if let Some(mistake) = window.mistake() {
        source.error("wrong-value", node.span, format!("this is not {mistake}")).help(EXAMPLE);
        return None;
    }
    if window.tz == WindowZone::Site
        && let Some((hosts, loaded)) = hosts.zip(inventory)
    {
        expect_zones(node, hosts, loaded, source);
    }
    Some(window)
}

fn one_line(node: &Node<'_>, source: &mut Source<'_>) -> Option<Window> {
    let written = fields::written(node, "a window", source)?;
    written
        .parse()
        .map_err(|error: crate::model::ParseWindowError| {
            source.error("wrong-value", node.span, error.to_string()).help(EXAMPLE);
        })
        .ok()
}

fn mapping(
    node: &Node<'_>,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) -> Option<Window> {
    let entries = fields::entries(node, "a window", source)?;
    WINDOW.refuse_unknown(entries, source);
    let get = |key| fields::get(entries, key);
    let lacks = ["open", "close", "tz"]
        .into_iter()
        .filter(|key| get(key).is_none() && !fields::is_misspelt(entries, key, WINDOW.known));
    for key in lacks.collect::<Vec<_>>() {
        fields::missing(node.span, "this window", key, EXAMPLE, source);
    }
    let mut days = named_days(get("days"), get("dates"), source);
    if let Some(named) = get("calendar") {
        let calendar = calendar(named, inventory, source);
        if days != Days::default() {
            source
                .error("two-calendars", named.span, "a window has a calendar or days, not both")
                .help("put the days into the calendar; `except` may stand beside it");
        }
        days = calendar.unwrap_or_default();
    }
    days.except.extend(dates(get("except"), source));
    let open = get("open").and_then(|node| clock_time(node, source));
    let close = get("close").and_then(|node| closing(node, source));
    let tz = get("tz").and_then(|node| zone(node, source));
    let span = |key: &'static str, source: &mut Source<'_>| {
        get(key).and_then(|node| fields::span_of_time(node, source))
    };
    let cutoff = span("cutoff", source).unwrap_or_default();
    let margin = span("margin", source).unwrap_or(Window::MARGIN);
    let grace = span("grace", source).unwrap_or(Window::GRACE);
    let expect = span("expect", source);
    let fold = get("fold").and_then(|node| word(node, &Fold::ALL, source));
    let at_close = get("at_close").and_then(|node| word(node, &AtClose::ALL, source));
    let (close_on, close) = close?;
    let at_close = at_close.unwrap_or_default();
    let window = Window::new(days, open?, close, tz?);
    Some(Window { close_on, fold, cutoff, margin, expect, at_close, grace, ..window })
}

fn named_days(days: Option<&Node<'_>>, named: Option<&Node<'_>>, source: &mut Source<'_>) -> Days {
    let mut found = Days::default();
    for item in days.into_iter().flat_map(fields::one_or_more) {
        let Some(written) = fields::written(item, "a day of the week", source) else { continue };
        if let Some(day) = Weekday::named(written) {
            found.weekdays.insert(day);
        } else {
            source
                .error("wrong-value", item.span, format!("`{written}` is no day of the week"))
                .nearest(written, Weekday::ALL.iter().flat_map(|(_, words)| *words))
                .expected("mon, tue, wed, thu, fri, sat or sun");
        }
    }
    found.dates.extend(dates(named, source));
    found
}

fn dates(node: Option<&Node<'_>>, source: &mut Source<'_>) -> Vec<jiff::civil::Date> {
    let mut found = Vec::new();
    for item in node.into_iter().flat_map(fields::one_or_more) {
        let Some(written) = fields::written(item, DATE, source) else { continue };
        match written.parse() {
            Ok(date) => found.push(date),
            Err(_) => {
                source
                    .error("wrong-value", item.span, format!("`{written}` is no date"))
                    .expected(DATE);
            }
        }
    }
    found
}

fn calendar(
    node: &Node<'_>,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) -> Option<Days> {
    let name = fields::text(node, "the name of a calendar of the inventory", source)?;
    let calendars = &inventory?.settings.calendars;
    let found = calendars.get(&name).cloned();
    if found.is_none() {
        let known: Vec<&str> = calendars.keys().map(String::as_str).collect();
        let finding = source.error(
            "unknown-calendar",
            node.span,
            format!("the inventory has no calendar `{name}`"),
        );
        finding.nearest(&name, known.iter().copied());
        finding.help(if known.is_empty() {
            format!("write it into the inventory: `calendars: {{ {name}: {{ days: [tue] }} }}`")
        } else {
            format!("its calendars are {}", known.join(", "))
        });
    }
    found
}

fn clock_time(node: &Node<'_>, source: &mut Source<'_>) -> Option<ClockTime> {
    let written = fields::written(node, "a time of day, as in `22:00`", source)?;
    time_of(written, node, source)
}

fn time_of(written: &str, node: &Node<'_>, source: &mut Source<'_>) -> Option<ClockTime> {
    let found = written.parse().ok();
    if found.is_none() {
        source
            .error("wrong-value", node.span, format!("`{written}` is no time of day"))
            .expected("a time from `00:00` to `24:00`");
    }
    found
}

/// `02:00`, or with the day of the week on which it closes: `mon 06:00`.
fn closing(node: &Node<'_>, source: &mut Source<'_>) -> Option<(Option<Weekday>, ClockTime)> {
    let written = fields::written(node, "a time of day, as in `02:00`", source)?;
    let Some((day, time)) = written.split_once([' ', '/']) else {
        return Some((None, time_of(written, node, source)?));
    };
    let found = Weekday::named(day);
    if found.is_none() {
        source
            .error("wrong-value", node.span, format!("`{day}` is no day of the week"))
            .expected("a time, or a day and a time: `mon 06:00`");
    }
    Some((Some(found?), time_of(time.trim(), node, source)?))
}

fn zone(node: &Node<'_>, source: &mut Source<'_>) -> Option<WindowZone> {
    let written = fields::written(node, "a time zone, as in `Europe/Oslo`, or `site`", source)?;
    if written == "site" {
        return Some(WindowZone::Site);
    }
    match Zone::find(written) {
        Ok(zone) => Some(WindowZone::Named(zone)),
        Err(error) => {
            let names = Zone::names();
            source
                .error("unknown-zone", node.span, error.to_string())
                .nearest(written, names.iter().map(String::as_str))
                .help("`site` goes by the clocks of each host: its variable `site_tz`");
            None
        }
    }
}

fn word<T: Copy>(
    node: &Node<'_>,
    words: &[(&'static str, T)],
    source: &mut Source<'_>,
) -> Option<T> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let written = fields::written(node, &format!("one of {}", known.join(", ")), source)?;
    let found = words.iter().find(|(word, _)| *word == written).map(|(_, meaning)| *meaning);
    if found.is_none() {
        source
            .error("wrong-value", node.span, format!("`{written}` has no meaning here"))
            .nearest(written, known.iter().copied())
            .expected(format!("one of {}", known.join(", ")));
    }
    found
}

/// Every host of the play says whose clocks it goes by.
fn expect_zones(
    node: &Node<'_>,
    hosts: &Selector,
    loaded: &LoadedInventory,
    source: &mut Source<'_>,
) {
    let inventory = &loaded.inventory;
    let lacks = |name: &HostName| {
        inventory
            .host(name)
            .is_some_and(|host| host.vars.get(WindowZone::VARIABLE).is_none_or(Value::is_null))
    };
    let lacking: Vec<HostName> = hosts.select(inventory).into_iter().filter(lacks).collect();
    let Some(first) = lacking.first() else { return };
    let what = if lacking.len() == 1 {
        format!("`{first}` has no `site_tz`")
    } else {
        format!("{} hosts have no `site_tz`, `{first}` among them", lacking.len())
    };
    source
        .error("no-site-zone", node.span, what)
        .help("give their group in the inventory a zone: `vars: { site_tz: Europe/Oslo }`");
}

/// Reads `site_tz` of a host.
pub(super) fn site_zone(value: &Value) -> Result<(), SettingError> {
    const EXPECTED: &str = "a time zone of the IANA database, as in `Europe/Oslo`";
    let found = value.as_str().and_then(|name| Zone::find(name).ok());
    found.map(drop).ok_or_else(|| wrong(value, EXPECTED))
}

/// Reads `calendars` of an inventory.
pub(super) fn calendars(value: &Value) -> Result<IndexMap<String, Days>, Vec<SettingError>> {
    let Value::Object(map) = value else {
        let expected = "calendars by name, as in `change-tue: { days: [tue] }`";
        return Err(vec![wrong(value, expected)]);
    };
    let (mut found, mut errors) = (IndexMap::new(), Vec::new());
    for (name, value) in map {
        match days(value) {
            Ok(days) => drop(found.insert(name.clone(), days)),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| within(name, error))),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn days(value: &Value) -> Result<Days, Vec<SettingError>> {
    let mut parts = Parts::of(value, &["days", "dates", "except"])?;
    let weekdays = parts.take("days", |value| {
        list(value, "days of the week, as in `[tue, thu]`", &|text| Weekday::named(text))
    });
    let date = |text: &str| text.parse().ok();
    let dates = parts.take("dates", |value| list(value, "dates, as in `[2026-12-24]`", &date));
    let except = parts.take("except", |value| list(value, "dates, as in `[2026-12-24]`", &date));
    let all = |dates: Option<Vec<_>>| dates.into_iter().flatten().collect();
    let days = Days {
        weekdays: weekdays.into_iter().flatten().collect(),
        dates: all(dates),
        except: all(except),
    };
    parts.finish(days)
}

fn list<T>(
    value: &Value,
    expected: &str,
    read: &dyn Fn(&str) -> Option<T>,
) -> Result<Vec<T>, SettingError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let read = |item: &Value| item.as_str().and_then(read).ok_or_else(|| wrong(item, expected));
    items.iter().map(read).collect()
}
