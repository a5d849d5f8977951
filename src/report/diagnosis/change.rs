//! What changed between two looks at a fleet.

use std::collections::BTreeSet;
use std::fmt::Write;

use indexmap::{IndexMap, IndexSet};

use super::rows::line;
use crate::itms::triage::{Diagnosis, Scope, Verdict};
use crate::report::{Paint, clean_line, fold_hosts};

/// What is new since an earlier diagnosis and what is gone, for people.
pub fn changes(before: &Diagnosis, now: &Diagnosis, paint: Paint) -> String {
    let places = |diagnosis: &Diagnosis| -> BTreeSet<(Verdict, Scope)> {
        diagnosis.findings.iter().map(|one| (one.verdict, one.scope.clone())).collect()
    };
    let (old, new) = (places(before), places(now));
    let came: Vec<&(Verdict, Scope)> = new.difference(&old).collect();
    let went: Vec<&(Verdict, Scope)> = old.difference(&new).collect();
    let title = format!(
        "{}: {} new since {}, {} gone, {} as before",
        now.taken.strftime("%Y-%m-%d %H:%M"),
        came.len(),
        before.taken.strftime("%H:%M"),
        went.len(),
        new.len() - came.len()
    );
    let mut text = format!("{}\n", paint.strong(&title));
    for (verdict, told) in folded(&came) {
        line(&mut text, &paint.bad("new"), &format!("{verdict}  {told}"));
    }
    for (verdict, told) in folded(&went) {
        line(&mut text, &paint.good("gone"), &format!("{verdict}  {told}"));
    }
    text
}

/// By verdict, where.
fn folded<'a>(places: &[&'a (Verdict, Scope)]) -> Vec<(Verdict, String)> {
    let mut hosts: IndexMap<Verdict, (IndexSet<&'a str>, IndexSet<String>)> = IndexMap::new();
    for (verdict, scope) in places {
        let (hosts, packages) = hosts.entry(*verdict).or_default();
        match scope {
            Scope::NotificationServer { host } | Scope::Server { host } => {
                hosts.insert(host.as_str());
            }
            Scope::Pair { host, id, name } => {
                hosts.insert(host.as_str());
                packages.insert(name.clone().unwrap_or_else(|| id.to_string()));
            }
            Scope::Package { id, name, .. } => {
                packages.insert(name.clone().unwrap_or_else(|| id.to_string()));
            }
        }
    }
    let told = hosts.into_iter().map(|(verdict, (hosts, packages))| {
        let mut text = String::new();
        if !hosts.is_empty() {
            let _infallible = write!(text, "on {}", fold_hosts(hosts));
        }
        if !packages.is_empty() {
            let names: Vec<String> = packages.into_iter().collect();
            let gap = if text.is_empty() { "" } else { ": " };
            let _infallible = write!(text, "{gap}{}", clean_line(&names.join(", "), 200));
        }
        (verdict, text)
    });
    told.collect()
}
