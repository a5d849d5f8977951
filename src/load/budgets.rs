//! The budgets of a play over all its waves: `max_fail`.

use super::LoadedInventory;
use super::fields::{self, Keys};
use super::source::Source;
use super::yaml::{Entry, Kind, Node};
use crate::model::{MaxFail, Play, Tolerance, share_of, wave_sizes};

const MAX_FAIL: Keys = Keys {
    what: "`max_fail`",
    known: &["fleet", "unreachable", "auth", "consecutive", "drifted", "strict"],
    later: &[],
    foreign: &[],
};

/// The most hosts that a budget in whole hosts may name.
const MOST: u32 = 100_000;

/// Reads `max_fail`.
pub(super) fn read(node: &Node<'_>, source: &mut Source<'_>) -> MaxFail {
    let what = "`max_fail`, as in `{ fleet: 2%, unreachable: 3% }`";
    let Some(entries) = fields::entries(node, what, source) else { return MaxFail::default() };
    MAX_FAIL.refuse_unknown(entries, source);
    if entries.is_empty() {
        source.error("wrong-value", node.span, "`max_fail` says nothing").help(format!(
            "it has at least one of {}; leave it out to have no such budget",
            MAX_FAIL.known.join(", ")
        ));
    }
    let mut tolerance = |key| fields::get(entries, key).and_then(|node| hosts(node, source));
    let (fleet, unreachable, drifted) =
        (tolerance("fleet"), tolerance("unreachable"), tolerance("drifted"));
    let mut count = |key| {
        let node = fields::get(entries, key)?;
        fields::whole(node, 0, MOST, source)
    };
    let (auth, consecutive) = (count("auth"), count("consecutive"));
    let strict = fields::get(entries, "strict").and_then(|node| fields::flag(node, source));
    MaxFail { fleet, unreachable, auth, consecutive, drifted, strict: strict.unwrap_or(false) }
}

fn hosts(node: &Node<'_>, source: &mut Source<'_>) -> Option<Tolerance> {
    fields::policy(node, "a number of hosts or a share of the play's hosts (`2%`)", source)
}

/// A budget, as far as it can be known before a run.
struct Declared<'n, 't> {
    node: &'n Node<'t>,
    key: &'static str,
    tolerance: Tolerance,
}

/// Notes budgets that do not do what their author thinks. `hosts` are those that the play may
/// touch, where the inventory says so; with `work` they may be fewer.
pub(super) fn look(
    play: &Play,
    entries: &[Entry<'_>],
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) {
    let own = match fields::get(entries, "max_fail").map(|node| &node.kind) {
        Some(Kind::Map(own)) => own.as_slice(),
        _ => return,
    };
    // Hosts of a source are known when it is asked.
    let hosts = inventory
        .filter(|loaded| loaded.sources.is_empty() || !loaded.inventory.is_unresolved())
        .map(|loaded| play.hosts.select(&loaded.inventory).len());
    let budgets = play.safeguards.max_fail;
    let declare = |key, tolerance: Option<Tolerance>| {
        Some(Declared { node: fields::get(own, key)?, key, tolerance: tolerance? })
    };
    let auth = budgets.auth.filter(|hosts| *hosts > 0).map(Tolerance::Hosts);
    let classes: Vec<Declared<'_, '_>> = [
        declare("unreachable", budgets.unreachable),
        declare("auth", auth),
        declare("consecutive", budgets.consecutive.map(Tolerance::Hosts)),
        declare("drifted", budgets.drifted),
    ]
    .into_iter()
    .flatten()
    .collect();
    let fleet = declare("fleet", budgets.fleet);
    for budget in fleet.iter().chain(&classes) {
        of_nothing(budget, hosts, source);
        // So many in a row are meant for a large fleet; that a small one has fewer is no mistake.
        let is_for_many = budget.key == "consecutive";
        if !is_for_many && hosts.is_some_and(|hosts| budget.tolerance.of(hosts) as usize >= hosts) {
            let why = format!("the play has {} hosts", hosts.unwrap_or_default());
            never_trips(budget, &why, source);
        }
    }
    for budget in &classes {
        match &fleet {
            Some(fleet)
                if is_reached_first(fleet, budget, hosts.filter(|_| play.work.is_none())) =>
            {
                let why = format!("`fleet: {}` stops it first", fleet.tolerance);
                never_trips(budget, &why, source);
            }
            None if play.max_fail_percentage.is_none() => {
                never_trips(budget, "the first failure stops it", source);
            }
            Some(_) | None => {}
        }
    }
    let waves = hosts.map(|hosts| wave_sizes(hosts, &play.serial)).unwrap_or_default();
    if let (Some(fleet), Some(share), Some(hosts)) =
        (&fleet, play.max_fail_percentage, hosts.filter(|_| play.work.is_none()))
    {
        let together: usize = waves.iter().map(|size| share_of(*size, share)).sum();
        let tolerated = fleet.tolerance.of(hosts) as usize;
        if tolerated >= together && tolerated < hosts {
            let why = format!("the waves tolerate {together} together by `max_fail_percentage`");
            never_trips(fleet, &why, source);
        }
    }
    if let Some(node) = fields::get(own, "strict").filter(|_| budgets.strict) {
        let of_play = fleet.iter().chain(&classes).any(|budget| {
            hosts.is_some_and(|hosts| budget.tolerance.of(hosts) == 0)
                || budget.tolerance == Tolerance::Hosts(0)
        });
        let of_wave = match play.max_fail_percentage {
            Some(share) => waves.last().is_some_and(|size| share_of(*size, share) == 0),
            None => fleet.is_none(),
        };
        if of_play || of_wave {
            source
                .warning("one-host-at-a-time", node.span, "`strict` takes one host at a time here")
                .help("a budget of 0 leaves no room for a second host in flight");
        }
    }
}

/// Whether a budget that counts every bad host is spent no later than one that counts some of them.
fn is_reached_first(
    fleet: &Declared<'_, '_>,
    other: &Declared<'_, '_>,
    hosts: Option<usize>,
) -> bool {
    match (fleet.tolerance, other.tolerance) {
        (Tolerance::Percent(fleet), Tolerance::Percent(other)) => fleet <= other,
        (Tolerance::Hosts(fleet), Tolerance::Hosts(other)) => fleet <= other,
        (fleet, other) => hosts.is_some_and(|hosts| fleet.of(hosts) <= other.of(hosts)),
    }
}

fn of_nothing(budget: &Declared<'_, '_>, hosts: Option<usize>, source: &mut Source<'_>) {
    let (Tolerance::Percent(share), Some(hosts)) = (budget.tolerance, hosts) else { return };
    if share > 0.0 && share_of(hosts, share) == 0 {
        let text = format!("{share} % of {hosts} hosts tolerates 0 failures");
        source
            .warning("budget-of-nothing", budget.node.span, text)
            .help("failures are counted in whole hosts, rounded down");
    }
}

fn never_trips(budget: &Declared<'_, '_>, why: &str, source: &mut Source<'_>) {
    let text = format!("`{}: {}` can never stop this play: {why}", budget.key, budget.tolerance);
    source.warning("budget-never-trips", budget.node.span, text).help(
        "a budget of B tolerates B hosts and stops on the next; the first that is spent counts",
    );
}
