//! A diagnosis for people at a terminal.

use std::fmt::Write;

use indexmap::{IndexMap, IndexSet};

use super::Examination;
use super::group::{Group, groups};
use super::rows::{WIDTH, count, line};
use super::unread::unread;
use crate::itms::triage::{
    Cell, Certainty, Diagnosis, Playbook, Proposal, Severity, Shape, Verdict,
};
use crate::model::{Guid, HostName};
use crate::report::recap::fold;
use crate::report::{Paint, clean_line, fold_hosts};

/// The longest command that stays on one line: a terminal wraps it, and it is copied whole.
const LONGEST_COMMAND: usize = 118;
/// How many groups of findings are told in full, and how many parts that were not readable.
const MOST_GROUPS: usize = 40;
const MOST_UNREAD: usize = 8;

/// Writes a diagnosis for people.
pub fn diagnosis_text(examination: &Examination<'_>, paint: Paint) -> String {
    let diagnosis = examination.diagnosis;
    let groups = groups(diagnosis);
    let mut text = String::new();
    headline(&mut text, examination, &groups, paint);
    table(&mut text, &groups, paint);
    details(&mut text, &groups, paint);
    commands(&mut text, examination, &groups, paint);
    persons(&mut text, &groups, paint);
    waits(&mut text, &groups, paint);
    gaps(&mut text, examination, paint);
    text
}

/// How many pairs there are, and how many of them are well.
pub(super) fn pairs(diagnosis: &Diagnosis) -> (usize, usize) {
    let cells = || diagnosis.matrix.cells.iter().flatten();
    let all = cells().filter(|cell| **cell != Cell::Unassigned).count();
    (all, cells().filter(|cell| **cell == Cell::Ready).count())
}

/// What the shape of the matrix says of where to look.
pub(super) fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Unread => "nothing can be said: no pair was looked at",
        Shape::AllWell => "every pair is well",
        Shape::PackageEverywhere => {
            "packages that are well nowhere: look at the package and the Notification Server"
        }
        Shape::ServerForEverything => {
            "servers on which nothing is well: look at these servers, not at packages"
        }
        Shape::AllBad => "hardly a pair is well: look at the Notification Server and its queue",
        Shape::Mixed => "no one package and no one server explains it: look at each pair",
    }
}

/// How sure a finding is.
pub(super) fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Proven => "proven",
        Certainty::Likely => "likely",
        Certainty::Possible => "possible",
    }
}

/// Who acts.
pub(super) fn who(proposal: &Proposal) -> &'static str {
    match proposal {
        Proposal::Playbook { .. } => "playbook",
        Proposal::Person { .. } => "person",
        Proposal::Wait { .. } => "wait",
    }
}

fn headline(text: &mut String, seen: &Examination<'_>, groups: &[Group<'_>], paint: Paint) {
    let diagnosis = seen.diagnosis;
    let (all, well) = pairs(diagnosis);
    let title = format!("diagnosis of {}", clean_line(seen.inventory, 50));
    let taken = diagnosis.taken.strftime("%Y-%m-%d %H:%M UTC");
    let _infallible = writeln!(text, "{}  ({taken})", paint.strong(&title));
    let servers = count(diagnosis.matrix.servers.len() as u64, "server");
    let packages = count(diagnosis.matrix.packages.len() as u64, "package");
    let is_well = groups.iter().all(|group| group.severity == Severity::Note);
    let verdict = if all == 0 {
        paint.bad("NO PAIR WAS LOOKED AT: THE CMDB HAS NONE, OR COULD NOT BE READ")
    } else if is_well {
        let so_far = if unread(seen.evidence).is_empty() { "" } else { ", AS FAR AS WAS READ" };
        paint.good(&format!("ALL IS WELL{so_far}: {all} PAIRS ON {}", servers.to_uppercase()))
    } else {
        let of = groups.iter().map(|group| group.verdict).collect::<IndexSet<_>>().len();
        let causes = count(of as u64, "cause").to_uppercase();
        paint.bad(&format!("{causes}: {} OF {all} PAIRS ARE NOT WELL", all - well))
    };
    let _infallible = writeln!(text, "{verdict}\n");
    line(text, "looked at", &format!("{servers}, {packages}"));
    line(text, "shape", shape(diagnosis.shape));
    text.push('\n');
}

/// A line for each verdict.
fn table(text: &mut String, groups: &[Group<'_>], paint: Paint) {
    if groups.is_empty() {
        return;
    }
    let heads = format!(
        "  {:<30} {:<9} {:>8} {:>9} {:>7}  {}",
        "verdict", "sure", "servers", "packages", "pairs", "who acts"
    );
    let _infallible = writeln!(text, "{}", paint.strong(&heads));
    for group in groups {
        let row = format!(
            "  {:<30} {:<9} {:>8} {:>9} {:>7}  {}",
            group.verdict,
            certainty(group.certainty),
            group.hosts.len(),
            group.packages.len(),
            group.pairs,
            who(group.proposal)
        );
        let row = match group.severity {
            Severity::Error => paint.bad(&row),
            Severity::Warning => paint.change(&row),
            Severity::Note => paint.faint(&row),
        };
        let _infallible = writeln!(text, "{row}");
    }
    text.push('\n');
}

fn details(text: &mut String, groups: &[Group<'_>], paint: Paint) {
    for group in groups.iter().take(MOST_GROUPS) {
        let title = paint.strong(group.verdict.name());
        let _infallible = writeln!(text, "{title}");
        line(text, "means", group.verdict.meaning());
        where_it_is(text, group);
        for told in &group.evidence {
            line(text, "seen", &clean_line(told, 300));
        }
        if group.more_evidence > 0 {
            line(text, "", &format!("… and {} more of that kind", group.more_evidence));
        }
        match group.proposal {
            Proposal::Playbook { playbook, afterwards } => {
                line(text, "answer", playbook.file());
                if let Some(next) = afterwards {
                    line(text, "", &format!("if that does not help: {next}"));
                }
            }
            Proposal::Person { .. } => line(text, "answer", "a person must act, see below"),
            Proposal::Wait { .. } => line(text, "answer", "wait, see below"),
        }
    }
    if groups.len() > MOST_GROUPS {
        let _infallible =
            writeln!(text, "… and {} more; --json has all", groups.len() - MOST_GROUPS);
    }
    if !groups.is_empty() {
        text.push('\n');
    }
}

fn where_it_is(text: &mut String, group: &Group<'_>) {
    let names = |hosts: &IndexSet<&HostName>| fold_hosts(hosts.iter().map(|host| host.as_str()));
    if !group.notification_servers.is_empty() {
        line(text, "at", &names(&group.notification_servers));
    }
    if !group.hosts.is_empty() {
        line(text, "on", &names(&group.hosts));
    }
    if !group.packages.is_empty() {
        let mut told: Vec<&str> = group.packages.iter().take(8).map(String::as_str).collect();
        let more = format!("and {} more", group.packages.len().saturating_sub(8));
        if group.packages.len() > 8 {
            told.push(&more);
        }
        line(text, "packages", &clean_line(&told.join(", "), 400));
    }
}

/// What a playbook is proposed for.
#[derive(Debug, Default)]
pub(super) struct Meant<'a> {
    /// The servers, Notification Servers among them.
    pub(super) hosts: IndexSet<&'a HostName>,
    /// The packages.
    pub(super) packages: IndexSet<Guid>,
}

impl<'a> Meant<'a> {
    /// What a group of findings is about.
    pub(super) fn by(group: &Group<'a>) -> Self {
        let mut meant = Self::default();
        meant.add(group);
        meant
    }

    fn add(&mut self, group: &Group<'a>) {
        self.hosts.extend(&group.hosts);
        self.hosts.extend(&group.notification_servers);
        self.packages.extend(&group.ids);
    }
}

/// The playbooks that are proposed, each with what it is for, in the order of the findings.
pub(super) fn proposals<'a>(groups: &[Group<'a>]) -> IndexMap<Playbook, Meant<'a>> {
    let mut proposals: IndexMap<Playbook, Meant<'a>> = IndexMap::new();
    for group in groups {
        if let Some(playbook) = group.proposal.playbook() {
            proposals.entry(playbook).or_default().add(group);
        }
    }
    proposals
}

/// The command for a playbook. Names are not folded into ranges: in a pattern brackets mean
/// characters. A list may span lines, which blanks in a pattern or in JSON do no harm to.
pub(super) fn command(playbook: Playbook, meant: &Meant<'_>, seen: &Examination<'_>) -> String {
    let mut text = format!("fleetmend run playbooks/{playbook} -i {}", shell_word(seen.inventory));
    let hosts = &meant.hosts;
    let is_for_all = seen.diagnosis.matrix.servers.iter().all(|host| hosts.contains(host));
    if !hosts.is_empty() && !is_for_all {
        // The Notification Servers have the first play of most playbooks.
        let mut names = vec!["notification_servers".to_owned()];
        names.extend(hosts.iter().map(|host| host.to_string()));
        names.dedup();
        quoted_list(&mut text, "--limit", ("", ""), &names);
    }
    if playbook.takes_packages() && !meant.packages.is_empty() {
        let ids: Vec<String> = meant.packages.iter().map(|id| format!("\"{id}\"")).collect();
        quoted_list(&mut text, "-e packages=", ("[", "]"), &ids);
    }
    text
}

/// Adds an option whose value is a list between quotes: on the same line where there is room, else
/// on lines of its own.
fn quoted_list(text: &mut String, option: &str, (open, close): (&str, &str), items: &[String]) {
    let gap = if option.ends_with('=') { "" } else { " " };
    let list = items.join(",");
    if text.len() + option.len() + list.len() + 7 <= LONGEST_COMMAND {
        let _infallible = write!(text, " {option}{gap}'{open}{list}{close}'");
        return;
    }
    let _infallible = write!(text, " {option}{gap}'{open}");
    for row in fold(&items.join(", "), WIDTH - 6) {
        let _infallible = write!(text, "\n      {row}");
    }
    let _infallible = write!(text, "{close}'");
}

/// A word for a shell, quoted where it must be.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", clean_line(text, 4000).replace('\'', "'\\''"))
}

fn commands(text: &mut String, seen: &Examination<'_>, groups: &[Group<'_>], paint: Paint) {
    let proposals = proposals(groups);
    if proposals.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "{}", paint.strong("what to run, look first with --check"));
    for (playbook, meant) in &proposals {
        let _infallible = writeln!(text, "  {}", command(*playbook, meant, seen));
    }
    text.push('\n');
}

fn persons(text: &mut String, groups: &[Group<'_>], paint: Paint) {
    let mut is_first = true;
    for group in groups {
        let Proposal::Person { instruction, afterwards } = group.proposal else { continue };
        if std::mem::take(&mut is_first) {
            let _infallible = writeln!(text, "{}", paint.strong("what a person must do"));
        }
        let _infallible = writeln!(text, "  {}", paint.change(group.verdict.name()));
        line(text, "do", &clean_line(instruction, 800));
        where_it_is(text, group);
        if let Some(next) = afterwards {
            line(text, "then", &format!("fleetmend run playbooks/{next}"));
        }
    }
    if !is_first {
        text.push('\n');
    }
}

fn waits(text: &mut String, groups: &[Group<'_>], paint: Paint) {
    let waiting: IndexMap<(Verdict, &str), &Group<'_>> = groups
        .iter()
        .filter_map(|group| match group.proposal {
            Proposal::Wait { reason } => Some(((group.verdict, reason.as_str()), group)),
            Proposal::Playbook { .. } | Proposal::Person { .. } => None,
        })
        .collect();
    if waiting.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "{}", paint.strong("what to wait for"));
    for ((verdict, reason), group) in waiting {
        let _infallible = writeln!(text, "  {}", paint.change(verdict.name()));
        line(text, "why", &clean_line(reason, 400));
        where_it_is(text, group);
    }
    text.push('\n');
}

fn gaps(text: &mut String, seen: &Examination<'_>, paint: Paint) {
    let unread = unread(seen.evidence);
    if unread.is_empty() {
        return;
    }
    let _infallible = writeln!(text, "{}", paint.strong("what could not be read"));
    for part in unread.iter().take(MOST_UNREAD) {
        line(text, &part.part, &format!("{} ({})", part.why, part.hosts));
    }
    if unread.len() > MOST_UNREAD {
        line(text, "", &format!("… and {} more; --evidence has all", unread.len() - MOST_UNREAD));
    }
    text.push('\n');
}
