//! Notes about plays that can run and may not do what their author thinks.

use super::LoadedInventory;
use super::budgets;
use super::fields;
use super::source::Source;
use super::yaml::{Entry, Span};
use crate::model::{Batch, HostName, Order, Play, share_of};

/// Looks at a play as a whole.
pub(super) fn play(
    play: &Play,
    entries: &[Entry<'_>],
    start: Span,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) {
    for task in play.tasks.iter().filter(|task| task.flow.run_once && !play.serial.is_empty()) {
        source
            .warning(
                "run-once-per-play",
                start,
                format!("`{}` runs once in this play, not once in each wave", task.name),
            )
            .help("Ansible runs it once for each batch of `serial`; put it into a play of its own");
    }
    order(play, entries, inventory, source);
    let hosts = inventory.map(|loaded| play.hosts.select(&loaded.inventory).len());
    if hosts.is_some_and(|hosts| hosts <= 1) {
        return;
    }
    budgets::look(play, entries, inventory, source);
    soak(play, entries, source);
    let Some(share) = play.max_fail_percentage else {
        // Without an inventory nobody knows how many hosts it has: it may well be the Notification
        // Server alone, unless the play itself speaks of many.
        let speaks_of_many = !play.serial.is_empty() || fields::get(entries, "throttle").is_some();
        let is_safe = play.safeguards.max_fail.fleet.is_some();
        if is_safe || hosts.is_none() && !speaks_of_many {
            return;
        }
        source.warning("no-failure-budget", start, "the first failure stops this play").help(
            "it has no `max_fail_percentage`; `max_fail_percentage: 5` tolerates 5 % of a wave",
        );
        return;
    };
    let Some(serial) = fields::get(entries, "serial") else { return };
    for (at, (node, batch)) in fields::one_or_more(serial).iter().zip(&play.serial).enumerate() {
        let is_last = at + 1 == play.serial.len();
        let size = match (*batch, hosts) {
            (Batch::Hosts(count), _) => hosts.map_or(count as usize, |h| (count as usize).min(h)),
            // The shares of early waves are small on purpose.
            (Batch::Percent(_), Some(hosts)) if is_last => batch.of(hosts),
            (Batch::Percent(_), _) => continue,
        };
        // A wave of one is a canary: that it may not fail is its purpose.
        if size > 1 && share > 0.0 && share_of(size, share) == 0 {
            source
                .warning(
                    "budget-of-nothing",
                    node.span,
                    format!("{share} % of a wave of {size} hosts tolerates 0 failures"),
                )
                .help("failures are counted in whole hosts, rounded down");
        }
    }
}

/// Hosts that all lack the variable come in inventory order.
fn order(
    play: &Play,
    entries: &[Entry<'_>],
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) {
    let (Order::Interleave(var), Some(loaded)) = (&play.order, inventory) else { return };
    let hosts = play.hosts.select(&loaded.inventory);
    let has = |name: &HostName| {
        loaded.inventory.host(name).is_some_and(|host| host.vars.contains_key(var.as_str()))
    };
    if hosts.is_empty() || hosts.iter().any(has) {
        return;
    }
    let at = fields::get(entries, "order").map_or_else(|| entries[0].key_span, |node| node.span);
    source
        .warning(
            "interleave-of-nothing",
            at,
            format!("no host of this play has the variable `{var}`"),
        )
        .help("`interleave(site)` takes one host of each site in turn");
}

/// Nothing soaks after the last wave.
fn soak(play: &Play, entries: &[Entry<'_>], source: &mut Source<'_>) {
    let Some(node) = fields::get(entries, "soak") else { return };
    let is_one_wave = play.serial.is_empty() || play.serial == [Batch::Percent(100.0)];
    if play.safeguards.soak.is_some() && is_one_wave {
        source
            .warning("soak-after-nothing", node.span, "`soak` waits between waves, and this is one")
            .help("cut the play into waves, as in `serial: [1, 5%, 100%]`");
    }
}
