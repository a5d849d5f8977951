//! Change windows before a run begins: is one open, when does it open, and waiting for it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;

use super::error::{Failure, FailureKind, nearest};
use super::{launch, output, signals};
use crate::load::InventorySettings;
use crate::model::{
    Hours, Inventory, Odd, Oddity, Play, PlayNo, Playbook, Selector, Window, WindowZone, Zone,
    format_span,
};

/// For how many days `lint` looks at the clocks.
const AHEAD: i32 = 400;
/// How often the wall clock is looked at while a run waits for its window.
const LOOK: Duration = Duration::from_secs(20);
/// Zones of which `lint` tells the times.
const ZONES: usize = 8;

/// Reads `--window`.
///
/// # Errors
///
/// It is no window.
pub(super) fn read(given: Option<&str>) -> Result<Option<Window>, Failure> {
    let parse = |text: &str| {
        text.parse().map_err(|error: crate::model::ParseWindowError| {
            let form =
                "as in --window 'tue,thu 22:00-02:00 Europe/Oslo', or '22:00-02:00 site cutoff=30min'";
            let failure = Failure::input("could not read --window").because(&error);
            match zone_meant(text) {
                Some(zone) => failure.hint(format!("did you mean `{zone}`?")),
                None => failure.hint(form),
            }
        })
    };
    given.map(parse).transpose()
}

/// The zone that is most like a word of a window that looks like one, where no zone is called so.
fn zone_meant(text: &str) -> Option<String> {
    let word = text
        .split_whitespace()
        .find(|word| word.contains('/') && !word.contains(':') && Zone::find(word).is_err())?;
    let known = Zone::names();
    nearest(word, known.iter().map(String::as_str)).map(str::to_owned)
}

/// Refuses to wait where there is nothing to wait for: who says --wait counts on a window.
///
/// # Errors
///
/// Neither the run nor any of its plays has a window.
pub(super) fn expect_any(playbook: &Playbook, of_run: Option<&Window>) -> Result<(), Failure> {
    let has_one = playbook.plays.iter().any(|play| play.safeguards.window.is_some());
    if has_one || of_run.is_some() {
        return Ok(());
    }
    Err(Failure::input("--wait: there is no change window to wait for").hint(
        "give one by --window or by `window` at a play; without --wait the run begins at once",
    ))
}

/// The windows of a play's hosts.
pub(super) struct PlayWindows {
    hours: Hours,
    /// What the hosts say about their own clocks; one entry where all go by the same.
    sites: Vec<Option<String>>,
}

/// Whether hosts of a play may be taken now.
enum Standing {
    Open,
    /// Not before this instant; in the words of the zone where it opens first.
    Until(Timestamp, String),
    Never,
}

impl PlayWindows {
    /// Those of a play, with the window of the run beside its own; `None` for a play that is always
    /// open, and while no host says whose clocks count.
    pub(super) fn of(
        play: &Play,
        of_run: Option<&Window>,
        inventory: &Inventory,
        limit: Option<&Selector>,
    ) -> Option<Self> {
        let windows = play.safeguards.window.iter().chain(of_run).cloned().collect();
        let mut hours = Hours { windows, ..Hours::default() };
        if hours.are_unbounded() {
            return None;
        }
        if !hours.differ_by_site() {
            return Some(Self { hours, sites: vec![None] });
        }
        let hosts = play.hosts.select(inventory).into_iter();
        let hosts = hosts.filter(|name| limit.is_none_or(|limit| limit.matches(name, inventory)));
        let zone = |name| {
            let host = inventory.host(&name)?;
            Some(host.vars.get(WindowZone::VARIABLE)?.as_str()?.to_owned())
        };
        let names: BTreeSet<String> = hosts.filter_map(zone).collect();
        let found = names.iter().filter_map(|name| Some((name.clone(), Zone::find(name).ok()?)));
        hours.zones = found.collect();
        let sites: Vec<Option<String>> = hours.zones.keys().cloned().map(Some).collect();
        (!sites.is_empty()).then_some(Self { hours, sites })
    }

    fn standing(&self, now: Timestamp) -> Standing {
        let mut next: Option<(Timestamp, Zone)> = None;
        for site in &self.sites {
            let site = site.as_deref();
            let Some(mut opening) = self.hours.opening(site, now) else { continue };
            if opening.holds(now) && now < opening.cutoff {
                return Standing::Open;
            }
            if opening.holds(now) {
                match self.hours.opening(site, opening.close) {
                    Some(after) => opening = after,
                    None => continue,
                }
            }
            if next.as_ref().is_none_or(|(at, _)| opening.open < *at) {
                next = Some((opening.open, self.hours.zone(site)));
            }
        }
        next.map_or(Standing::Never, |(at, zone)| Standing::Until(at, zone.say(at)))
    }

    /// The zones by which a window goes, each once.
    fn zones<'w>(&'w self, window: &'w Window) -> Vec<&'w Zone> {
        match &window.tz {
            WindowZone::Named(zone) => vec![zone],
            WindowZone::Site => self.hours.zones.values().collect(),
        }
    }

    /// Times that clocks show twice and of which nobody said which one is meant.
    fn undecided(&self, from: Timestamp, days: i32) -> Option<(&Window, &Zone, Oddity)> {
        let open = self.hours.windows.iter().filter(|window| window.fold.is_none());
        open.flat_map(|window| self.zones(window).into_iter().map(move |zone| (window, zone)))
            .find_map(|(window, zone)| {
                let odd = window.oddities(zone, from, days).into_iter();
                let found = odd.into_iter().find(|odd| odd.kind == Odd::Twice)?;
                Some((window, zone, found))
            })
    }
}

fn fold_failure(window: &Window, zone: &Zone, odd: &Oddity) -> Failure {
    let what = if odd.is_open { "opens" } else { "closes" };
    Failure::input(format!(
        "the window `{window}` {what} at {}, which the clocks of {zone} show twice",
        odd.wall.strftime("%a %Y-%m-%d %H:%M")
    ))
    .hint("say which one is meant: `fold: first` or `fold: second`, or take another time")
}

/// Refuses a play whose window is closed, before any connection; where the run waits for it, one
/// that never opens.
///
/// # Errors
///
/// It is closed, with exit code 5; or it is not decided when it is, with exit code 7.
pub(super) fn expect_open(windows: &PlayWindows, waits: bool) -> Result<(), Failure> {
    let now = launch::wall_clock();
    match windows.standing(now) {
        Standing::Open => decided(windows, now),
        Standing::Until(at, _) if waits => decided(windows, at),
        Standing::Until(at, says) => {
            let utc = at.strftime("%Y-%m-%d %H:%M UTC");
            let text = format!("the change window is closed: it opens next {says} ({utc})");
            Err(closed(text).hint("add --wait to wait for it; nothing was connected to"))
        }
        Standing::Never => Err(never()),
    }
}

fn decided(windows: &PlayWindows, opens: Timestamp) -> Result<(), Failure> {
    // A night belongs to the day before it.
    let from = opens.checked_sub(Duration::from_secs(24 * 3600)).unwrap_or(opens);
    match windows.undecided(from, 3) {
        Some((window, zone, odd)) => Err(fold_failure(window, zone, &odd)),
        None => Ok(()),
    }
}

fn closed(message: String) -> Failure {
    Failure { kind: FailureKind::WindowClosed, message, causes: Vec::new(), hint: None }
}

fn never() -> Failure {
    closed("the change window is closed, and it does not open again".to_owned())
        .hint("its dates have passed, or two windows have no time in common: see `fleetmend lint`")
}

/// Waits until the window of a play opens, if it is closed. Nothing is held meanwhile: no lease, no
/// connection, no journal.
///
/// # Errors
///
/// It never opens, or the operator left.
pub(super) async fn wait(windows: &PlayWindows) -> Result<(), Failure> {
    wait_until_open(windows, launch::wall_clock, signals::interrupted()).await
}

/// The same with a clock, and with what resolves when the operator leaves: one listener from the first
/// look to the last, so that he is heard whenever he does.
async fn wait_until_open(
    windows: &PlayWindows,
    clock: impl Fn() -> Timestamp,
    leaves: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut leaves = pin!(leaves);
    let mut told = None;
    loop {
        let now = clock();
        let (at, says) = match windows.standing(now) {
            Standing::Open => return decided(windows, now),
            Standing::Until(at, says) => (at, says),
            Standing::Never => return Err(never()),
        };
        let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        if told != Some(at) {
            decided(windows, at)?;
            told = Some(at);
            output::talk(&format!(
                "waits for the change window, which opens {says} ({}), in {}; Ctrl-C leaves\n",
                at.strftime("%H:%M UTC"),
                format_span(left)
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK)) => {}
            () = &mut leaves => {
                return Err(Failure {
                    kind: FailureKind::Stopped,
                    message: "left before the change window opened; nothing was changed".to_owned(),
                    causes: Vec::new(),
                    hint: None,
                });
            }
        }
    }
}

/// What `lint` says about the windows of a playbook, and what it warns of.
///
/// # Errors
///
/// A window opens or closes at a time that clocks show twice, and nobody said which is meant.
pub(super) fn lint(
    playbook: &Playbook,
    inventory: &Inventory,
    settings: &InventorySettings,
) -> Result<String, Failure> {
    let now = launch::wall_clock();
    let mut text = String::new();
    for (number, play) in (0..).map(PlayNo).zip(&playbook.plays) {
        let Some(windows) = PlayWindows::of(play, None, inventory, None) else { continue };
        for window in &windows.hours.windows {
            let _infallible = writeln!(text, "  play {number}  window {window}");
        }
        for site in windows.sites.iter().take(ZONES) {
            let zone = windows.hours.zone(site.as_deref());
            let said = match windows.hours.opening(site.as_deref(), now) {
                Some(opening) => {
                    let utc = |at: Timestamp| at.strftime("%a %H:%M UTC").to_string();
                    let is_open = if opening.holds(now) { "is open since" } else { "opens next" };
                    format!(
                        "{is_open} {} ({}), closes {} ({})",
                        zone.say(opening.open),
                        utc(opening.open),
                        zone.wall(opening.close).strftime("%a %H:%M"),
                        utc(opening.close)
                    )
                }
                None => "does not open any more".to_owned(),
            };
            let _infallible = writeln!(text, "           {said}");
        }
        if windows.sites.len() > ZONES {
            let more = windows.sites.len() - ZONES;
            let _infallible = writeln!(text, "           and {more} more zones");
        }
        if let Some((window, zone, odd)) = windows.undecided(now, AHEAD) {
            output::talk(&text);
            return Err(fold_failure(window, zone, &odd));
        }
        for window in &windows.hours.windows {
            for zone in windows.zones(window) {
                for odd in window.oddities(zone, now, AHEAD) {
                    let _infallible =
                        writeln!(text, "  play {number}  note: {}", odd_says(zone, &odd));
                }
            }
        }
        if let Some(warning) = too_short(play, &windows, inventory, settings, now) {
            let _infallible = writeln!(text, "  play {number}  warning: {warning}");
        }
    }
    Ok(text)
}

fn odd_says(zone: &Zone, odd: &Oddity) -> String {
    let wall = odd.wall.strftime("%a %Y-%m-%d %H:%M");
    let how = match odd.kind {
        Odd::Twice => "twice",
        Odd::Never => "never",
    };
    let what = match (&odd.opening, odd.is_open) {
        (Some(opening), true) => format!("the window opens {}", zone.say(opening.open)),
        (Some(opening), false) => format!("the window closes {}", zone.say(opening.close)),
        (None, _) => "the window does not open on that day".to_owned(),
    };
    format!("the clocks of {zone} show {wall} {how}: {what}")
}

/// Whether the hosts of a play are expected to take longer than its next window is open: they run
/// beside each other up to `throttle`, wave by wave, no faster than their limits allow.
fn too_short(
    play: &Play,
    windows: &PlayWindows,
    inventory: &Inventory,
    settings: &InventorySettings,
    now: Timestamp,
) -> Option<String> {
    let scale = settings.time_scale;
    let expect = scale.to_real(windows.hours.expect()?);
    let shortest = windows.sites.iter().filter_map(|site| {
        let opening = windows.hours.opening(site.as_deref(), now)?;
        Duration::try_from(opening.close.duration_since(opening.open)).ok()
    });
    let open = shortest.min()?;
    let hosts = play.hosts.select(inventory);
    if expect + windows.hours.margin() > open {
        return Some(format!(
            "a host is expected to take {}, and the window is open for {}: no host would start",
            format_span(expect),
            format_span(open)
        ));
    }
    let waves = crate::plan::cut(hosts.clone(), &play.serial);
    let rounds: usize =
        waves.iter().map(|wave| wave.len().div_ceil((play.throttle as usize).max(1))).sum();
    let soaks = play.safeguards.soak.unwrap_or_default()
        * u32::try_from(waves.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let by_hosts = expect * u32::try_from(rounds).unwrap_or(u32::MAX) + scale.to_real(soaks);
    let takes = by_hosts.max(by_limits(play, hosts.len(), settings));
    (takes > open).then(|| {
        format!(
            "{} hosts in waves of {} take about {}, and the window is open for {}: the rest is \
             left for the next one",
            hosts.len(),
            waves.iter().map(|wave| wave.len().to_string()).collect::<Vec<_>>().join(", "),
            format_span(takes),
            format_span(open)
        )
    })
}

/// How long the limits alone let a play take, by what its tasks declare with `uses`; what actions draw
/// by themselves is known when they have read their hosts.
fn by_limits(play: &Play, hosts: usize, settings: &InventorySettings) -> Duration {
    let limits = settings.limits.0.iter().chain(&play.limits);
    let shared = limits.filter(|(_, spec)| spec.by.is_none());
    let takes = shared.filter_map(|(name, spec)| {
        let units: u32 = play.tasks.iter().map(|task| task.uses.of(name.as_str()).total()).sum();
        let rate = spec.rate?.per_second(settings.time_scale);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let units = f64::from(units) * hosts as f64;
        Duration::try_from_secs_f64(units / rate).ok()
    });
    takes.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(line: &str) -> PlayWindows {
        let windows = vec![line.parse().expect("a window")];
        PlayWindows { hours: Hours { windows, ..Hours::default() }, sites: vec![None] }
    }

    /// A clock that goes with the timers of the test, from this instant on.
    fn clock(from: &str) -> impl Fn() -> Timestamp {
        let (from, began) =
            (from.parse::<Timestamp>().expect("a time"), tokio::time::Instant::now());
        move || from + jiff::SignedDuration::try_from(began.elapsed()).expect("a span")
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_who_leaves_is_heard_at_any_look_at_the_clock() {
        let windows = windows("22:00-23:00 UTC");
        for second in [1, 20, 50, 1000] {
            let began = tokio::time::Instant::now();
            let leaves = tokio::time::sleep(Duration::from_secs(second));

            let left = wait_until_open(&windows, clock("2026-05-16T20:00:00Z"), leaves).await;

            assert_eq!(left.expect_err("he left").kind, FailureKind::Stopped);
            assert_eq!(began.elapsed().as_secs(), second);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_stays_waits_longer_than_until_the_window_opens() {
        let windows = windows("22:00-23:00 UTC");
        let began = tokio::time::Instant::now();

        let opened =
            wait_until_open(&windows, clock("2026-05-16T21:58:30Z"), std::future::pending()).await;

        assert!(opened.is_ok());
        assert_eq!(began.elapsed().as_secs(), 90);
    }
}
