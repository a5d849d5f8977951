//! Host names as an operator types them, for the hosts of a past run.

use std::collections::BTreeSet;

use super::error::Failure;
use crate::event::RunState;
use crate::model::{HostName, RunId};

/// How many names are proposed, at most.
const PROPOSED: usize = 3;

/// The likeness from which a name is proposed, 0 to 1.
const ALIKE: f64 = 0.85;

/// Every host that has a part in a run: those of its plays and those on which tasks acted for them.
pub(super) fn hosts_of(state: &RunState) -> BTreeSet<HostName> {
    let of_plays = state.plays.values().flat_map(|play| play.hosts.keys());
    of_plays.chain(state.delegated.keys()).cloned().collect()
}

/// Finds typed names among the hosts of a run. Names are compared as DNS does, without regard to
/// letter case; a host is also found by its name up to the first dot, where only one is called so.
///
/// # Errors
///
/// The run has no host of a name, or several.
pub(super) fn resolve(
    run: RunId,
    known: &BTreeSet<HostName>,
    typed: &[String],
) -> Result<BTreeSet<HostName>, Failure> {
    typed.iter().map(|name| one(run, known, name.trim())).collect()
}

fn one(run: RunId, known: &BTreeSet<HostName>, typed: &str) -> Result<HostName, Failure> {
    if let Some(exact) = known.get(&HostName::new(typed)) {
        return Ok(exact.clone());
    }
    let by = |name: fn(&HostName) -> &str| -> Vec<&HostName> {
        known.iter().filter(|host| name(host).eq_ignore_ascii_case(typed)).collect()
    };
    let whole = by(HostName::as_str);
    let found = if whole.is_empty() { by(HostName::short) } else { whole };
    match found[..] {
        [only] => Ok(only.clone()),
        [] => {
            let failure = Failure::input(format!("run {run} has no host of the name `{typed}`"));
            let nearest = nearest(known, typed);
            Err(if nearest.is_empty() {
                failure.hint(format!("`fleetmend export {run}` has its hosts"))
            } else {
                failure.hint(format!("did you mean {}?", listed(&nearest)))
            })
        }
        [_, _, ..] => {
            let failure = Failure::input(format!(
                "`{typed}` could be {} hosts of run {run}: {}",
                found.len(),
                listed(&found)
            ));
            Err(failure.hint("name the whole of it"))
        }
    }
}

/// The names most like what was typed, the most alike first.
fn nearest<'h>(known: &'h BTreeSet<HostName>, typed: &str) -> Vec<&'h HostName> {
    let typed = typed.to_lowercase();
    let likeness = |host: &HostName| {
        let of = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &typed);
        of(host.as_str()).max(of(host.short()))
    };
    let mut alike: Vec<(f64, &HostName)> = known
        .iter()
        .map(|host| (likeness(host), host))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(PROPOSED).map(|(_, host)| host).collect()
}

fn listed(hosts: &[&HostName]) -> String {
    let names: Vec<String> = hosts.iter().take(PROPOSED).map(|host| format!("`{host}`")).collect();
    let more = match hosts.len().saturating_sub(PROPOSED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(typed: &str) -> Result<String, Failure> {
        let known = ["ps-17.a.example", "ps-18.a.example", "ps-18.b.example", "10.0.0.7", "smp01"];
        let known = known.into_iter().map(HostName::new).collect();
        let found = resolve(RunId::new(uuid::Uuid::from_u128(1)), &known, &[typed.to_owned()])?;
        Ok(found.iter().map(HostName::as_str).collect())
    }

    #[test]
    fn a_host_is_found_in_any_letter_case_and_by_a_short_name_of_its_own() {
        for (typed, host) in [
            ("ps-17.a.example", "ps-17.a.example"),
            ("PS-17.A.example", "ps-17.a.example"),
            ("PS-17", "ps-17.a.example"),
            ("SMP01", "smp01"),
            ("10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(found(typed).expect("it is found"), host, "{typed}");
        }
    }

    #[test]
    fn a_name_that_is_nobodys_or_of_several_is_refused_with_the_nearest() {
        let refused = found("ps-18").expect_err("two are called so");
        assert!(refused.message.ends_with("`ps-18.a.example`, `ps-18.b.example`"), "{refused:?}");

        let refused = found("ps17").expect_err("nobody is called so");
        assert_eq!(refused.message, "run 00000000 has no host of the name `ps17`");
        let hint = refused.hint.expect("a hint");
        assert!(hint.starts_with("did you mean `ps-17.a.example`"), "{hint}");

        let refused = found("10").expect_err("an address has no short name");
        assert!(refused.message.contains("has no host of the name `10`"), "{refused:?}");
        let refused = found("zzz").expect_err("nobody is called so");
        assert!(refused.hint.is_some_and(|hint| hint.contains("fleetmend export 00000000")));
    }
}
