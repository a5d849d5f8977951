//! What was named against what was placed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fleetmend::itms::triage::{Diagnosis, Playbook, Scope, Verdict};
use fleetmend::lab::world::Fleet;

use crate::scenario::Scenario;

/// Where something is wrong, by numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Server(usize),
    Package(usize),
    NotificationServer,
}

/// The figures of one group of scenarios.
#[derive(Debug, Default)]
pub(crate) struct Score {
    verdicts: BTreeMap<String, Figures>,
    /// Servers by how many causes they have: named right, and all.
    servers: BTreeMap<usize, (usize, usize)>,
    scenarios: (usize, usize),
    harmful: Vec<String>,
    /// What went wrong, a line each.
    mistakes: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    placed: usize,
    found: usize,
    named: usize,
    right: usize,
}

impl Figures {
    fn precision(self) -> f64 {
        if self.named == 0 { 1.0 } else { self.right as f64 / self.named as f64 }
    }

    fn recall(self) -> f64 {
        if self.placed == 0 { 1.0 } else { self.found as f64 / self.placed as f64 }
    }
}

impl Score {
    /// Compares one diagnosis with its scenario.
    pub(crate) fn take(&mut self, scenario: &Scenario, fleet: &Fleet, diagnosis: &Diagnosis) {
        let named = named(fleet, diagnosis);
        let placed = placed(scenario);
        for (verdict, place) in &placed {
            let figures = self.verdicts.entry(verdict.clone()).or_default();
            figures.placed += 1;
            let is_found = named.contains(&(verdict.clone(), *place))
                || named.iter().any(|(other, at)| {
                    other == verdict
                        && (stands_for(*at, *place) || tells_of(scenario, verdict, *at, *place))
                });
            figures.found += usize::from(is_found);
        }
        for (verdict, place) in &named {
            let figures = self.verdicts.entry(verdict.clone()).or_default();
            figures.named += 1;
            let is_right = placed.iter().any(|(other, at)| {
                other == verdict && (at == place || stands_for(*place, *at) || spans(*place, *at))
            });
            figures.right += usize::from(is_right);
        }
        let mut is_right = true;
        for number in 1..=scenario.servers as usize {
            is_right &= self.take_server(scenario, fleet, diagnosis, number);
        }
        for (verdict, place) in placed.iter().filter(|(_, p)| !matches!(p, Place::Server(_))) {
            if !named.iter().any(|(v, at)| v == verdict && (at == place || stands_for(*at, *place)))
            {
                is_right = false;
                self.mistakes.push(format!("{}: {verdict} at {place:?} missed", scenario.name));
            }
        }
        self.scenarios.1 += 1;
        self.scenarios.0 += usize::from(is_right);
        let harmful = harmful(scenario, fleet, diagnosis);
        self.harmful.extend(harmful.into_iter().map(|what| format!("{}: {what}", scenario.name)));
    }

    /// Adds the figures of other scenarios.
    pub(crate) fn add(&mut self, other: Self) {
        for (verdict, figures) in other.verdicts {
            let own = self.verdicts.entry(verdict).or_default();
            own.placed += figures.placed;
            own.found += figures.found;
            own.named += figures.named;
            own.right += figures.right;
        }
        for (causes, (right, all)) in other.servers {
            let own = self.servers.entry(causes).or_default();
            *own = (own.0 + right, own.1 + all);
        }
        self.scenarios =
            (self.scenarios.0 + other.scenarios.0, self.scenarios.1 + other.scenarios.1);
        self.harmful.extend(other.harmful);
        self.mistakes.extend(other.mistakes);
        self.mistakes.sort_unstable();
    }

    /// A server is named right when all of its own causes are, and nothing but what is wrong with its
    /// packages or with the Notification Server beside them.
    fn take_server(
        &mut self,
        scenario: &Scenario,
        fleet: &Fleet,
        diagnosis: &Diagnosis,
        number: usize,
    ) -> bool {
        let host = &fleet.servers[number - 1].fqdn;
        let own = scenario.on_server(number);
        let elsewhere = scenario.elsewhere();
        let named: BTreeSet<&str> = diagnosis
            .findings
            .iter()
            .filter(|finding| {
                let of_package = finding.scope.package().and_then(|id| {
                    let at = fleet.packages.iter().position(|package| package.guid == id);
                    at.map(|at| Place::Package(at + 1))
                });
                let verdict = finding.verdict.name();
                finding.scope.host().is_some_and(|at| at.as_str() == host)
                    || finding.servers.iter().any(|at| at.as_str() == host)
                    || matches!(finding.scope, Scope::Package { .. })
                        && of_package.is_some_and(|package| {
                            tells_of(scenario, verdict, package, Place::Server(number))
                        })
            })
            .map(|finding| finding.verdict.name())
            .collect();
        let missed: Vec<&str> = own.difference(&named).copied().collect();
        let wrong: Vec<&str> = named
            .iter()
            .copied()
            .filter(|verdict| !own.contains(verdict) && !elsewhere.contains(verdict))
            .collect();
        let is_right = missed.is_empty() && wrong.is_empty();
        let (right, all) = self.servers.entry(own.len()).or_default();
        *all += 1;
        *right += usize::from(is_right);
        if !is_right {
            self.mistakes.push(format!(
                "{} (server {number}, {own:?}): missed {missed:?}, wrongly named {wrong:?}",
                scenario.name
            ));
        }
        is_right
    }

    /// The share of servers with so many causes that were named right; 1 where there are none.
    pub(crate) fn share(&self, causes: usize) -> f64 {
        self.servers.get(&causes).map_or(1.0, |(right, all)| *right as f64 / *all as f64)
    }

    pub(crate) fn harmful(&self) -> &[String] {
        &self.harmful
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<30} {:>7} {:>6} {:>10} {:>7}",
            "verdict", "placed", "named", "precision", "recall"
        )?;
        for (verdict, figures) in &self.verdicts {
            writeln!(
                f,
                "{verdict:<30} {:>7} {:>6} {:>9.1}% {:>6.1}%",
                figures.placed,
                figures.named,
                100.0 * figures.precision(),
                100.0 * figures.recall()
            )?;
        }
        for (causes, (right, all)) in &self.servers {
            let share = 100.0 * *right as f64 / *all as f64;
            writeln!(
                f,
                "servers with {causes} causes named right: {right} of {all} ({share:.1} %)"
            )?;
        }
        let (right, all) = self.scenarios;
        writeln!(f, "scenarios named right as a whole: {right} of {all}")?;
        writeln!(f, "harmful proposals: {}", self.harmful.len())?;
        for line in self.harmful.iter().chain(&self.mistakes).take(60) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// A finding of a package says so of its pairs, and one of a pair so of its package.
fn stands_for(named: Place, placed: Place) -> bool {
    matches!((named, placed), (Place::Server(_), Place::Package(_) | Place::NotificationServer))
}

/// What is said of a package is said of each server on which that is the matter with it.
fn tells_of(scenario: &Scenario, verdict: &str, named: Place, placed: Place) -> bool {
    let (Place::Package(package), Place::Server(server)) = (named, placed) else { return false };
    scenario.causes.iter().any(|cause| {
        cause.cause == verdict
            && cause.packages.contains(&package)
            && cause.servers.contains(&server)
    })
}

/// A cause that was placed on servers may be told of the package that they share.
fn spans(named: Place, placed: Place) -> bool {
    matches!((named, placed), (Place::Package(_) | Place::NotificationServer, Place::Server(_)))
}

/// Everything that was placed.
fn placed(scenario: &Scenario) -> BTreeSet<(String, Place)> {
    let mut all = BTreeSet::new();
    for cause in &scenario.causes {
        let name = cause.cause.clone();
        if !cause.servers.is_empty() {
            all.extend(cause.servers.iter().map(|n| (name.clone(), Place::Server(*n))));
        } else if !cause.packages.is_empty() {
            all.extend(cause.packages.iter().map(|n| (name.clone(), Place::Package(*n))));
        } else {
            all.insert((name, Place::NotificationServer));
        }
    }
    all
}

/// Everything that was named: of a finding, its own place and the servers whose pairs suffer.
fn named(fleet: &Fleet, diagnosis: &Diagnosis) -> BTreeSet<(String, Place)> {
    let server = |name: &str| {
        let at = fleet.servers.iter().position(|server| server.fqdn == name);
        at.map(|number| Place::Server(number + 1))
    };
    let mut all = BTreeSet::new();
    for finding in &diagnosis.findings {
        let verdict = finding.verdict.name().to_owned();
        match &finding.scope {
            Scope::NotificationServer { .. } => {
                all.insert((verdict, Place::NotificationServer));
            }
            Scope::Package { id, .. } => {
                let at = fleet.packages.iter().position(|package| package.guid == *id);
                all.extend(at.map(|number| (verdict.clone(), Place::Package(number + 1))));
                let is_about_servers = !is_of_packages(finding.verdict);
                let suffering = finding.servers.iter().filter(|_| is_about_servers);
                all.extend(
                    suffering.filter_map(|at| Some((verdict.clone(), server(at.as_str())?))),
                );
            }
            Scope::Server { host } | Scope::Pair { host, .. } => {
                all.extend(server(host.as_str()).map(|at| (verdict, at)));
            }
        }
    }
    all
}

fn is_of_packages(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::ForeignOrigin
            | Verdict::ParentOwnsIt
            | Verdict::SourcePathBroken
            | Verdict::SnapshotMissing
            | Verdict::Orphan
    )
}

/// The proposals that would make this scenario worse: judged by what was placed, not by what the
/// diagnosis believes.
fn harmful(scenario: &Scenario, fleet: &Fleet, diagnosis: &Diagnosis) -> Vec<String> {
    let has = |cause: &str| scenario.causes.iter().any(|placed| placed.cause == cause);
    let on_package = |cause: &str, number: usize| {
        scenario.causes.iter().any(|it| it.cause == cause && it.packages.contains(&number))
    };
    let mut found = Vec::new();
    for finding in &diagnosis.findings {
        let Some(playbook) = finding.proposal.playbook() else { continue };
        let makes_versions = matches!(
            playbook,
            Playbook::ResyncStalePackages
                | Playbook::ManualSynchronization
                | Playbook::Resynchronize
                | Playbook::RebuildCodebases
                | Playbook::RebuildPackageStatus
        );
        let makes_events = makes_versions
            || matches!(
                playbook,
                Playbook::UpdateAndResend
                    | Playbook::ResetCredentials
                    | Playbook::FixStorePermissions
                    | Playbook::StartServices
                    | Playbook::RedownloadPackages
                    | Playbook::UpdateDistributionPoints
            );
        let mut reasons = Vec::new();
        for queue in ["event-queue-stall", "event-queue-volume"] {
            if makes_events && has(queue) {
                reasons.push(queue);
            }
        }
        if makes_versions && has("server-busy") {
            reasons.push("server-busy");
        }
        let package = finding.scope.package();
        let number = package
            .and_then(|id| fleet.packages.iter().position(|package| package.guid == id))
            .map(|at| at + 1);
        if let Some(number) = number {
            for cause in
                ["external-deletion-loop", "refresh-churn", "still-downloading", "parent-owns-it"]
            {
                if makes_versions && on_package(cause, number) {
                    reasons.push(cause);
                }
            }
            if playbook == Playbook::FixOrigin && on_package("parent-owns-it", number) {
                reasons.push("parent-owns-it");
            }
        }
        for reason in reasons {
            found.push(format!("{playbook} for {} in spite of {reason}", finding.verdict));
        }
    }
    found
}
