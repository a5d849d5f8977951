//! A diagnosis as one HTML file that needs nothing else: no scripts, no fonts, no network.

use std::fmt::Write;

use indexmap::IndexMap;

use super::Examination;
use super::group::{Group, groups};
use super::heat_map::{Cell, HeatMap, HeatRow, escape, mark, marks};
use super::kind::Kind;
use super::rows::count;
use super::text::{Meant, certainty, command, pairs, shape, who};
use super::unread::unread;
use crate::itms::triage::{self, Finding, Proposal, Scope, Severity};
use crate::model::{Guid, HostName};
use crate::report::fold_hosts;

const CSS: &str = include_str!("page.css");
/// The most characters of a package's name over its column.
const LABEL: usize = 24;

/// Writes the page.
pub fn diagnosis_page(examination: &Examination<'_>) -> String {
    let diagnosis = examination.diagnosis;
    let groups = groups(diagnosis);
    let mut html = format!(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' \
         content='width=device-width,initial-scale=1'><meta http-equiv='Content-Security-Policy' \
         content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Diagnosis of {}</title>\
         <style>{CSS}</style></head><body>{}<main>",
        escape(examination.inventory),
        marks()
    );
    head(&mut html, examination, &groups);
    if !diagnosis.matrix.servers.is_empty() && !diagnosis.matrix.packages.is_empty() {
        html.push_str("<h2>Servers and packages</h2>");
        html.push_str(&map(examination).html());
        legend(&mut html, examination);
    }
    table(&mut html, &groups);
    findings(&mut html, &groups, examination);
    gaps(&mut html, examination);
    let _infallible = writeln!(
        html,
        "<footer>Written by fleetmend {}; read-only, nothing was changed.</footer></main></body>\
         </html>",
        env!("CARGO_PKG_VERSION")
    );
    html
}

fn head(html: &mut String, seen: &Examination<'_>, groups: &[Group<'_>]) {
    let diagnosis = seen.diagnosis;
    let (all, well) = pairs(diagnosis);
    let is_well = groups.iter().all(|group| group.severity == Severity::Note);
    let (class, verdict) = if is_well {
        let words = if unread(seen.evidence).is_empty() { "" } else { ", as far as was read" };
        ("good", format!("All is well{words}"))
    } else {
        ("bad", format!("{} of {all} pairs are not well", all - well))
    };
    let _infallible = write!(
        html,
        "<h1>Diagnosis of {}</h1><p class='soft'>{}</p><p class='verdict {class}'>{verdict}</p>\
         <p>{}.</p><div class='cards'>",
        escape(seen.inventory),
        diagnosis.taken.strftime("%Y-%m-%d %H:%M UTC"),
        escape(&capital(shape(diagnosis.shape))),
    );
    let off = groups.iter().filter(|group| Kind::Unreachable == Kind::of(group.verdict));
    let off: usize = off.map(|group| group.hosts.len()).sum();
    for (number, what) in [
        (diagnosis.matrix.servers.len(), "package servers"),
        (diagnosis.matrix.packages.len(), "packages"),
        (well, "pairs well"),
        (all - well, "pairs not well"),
        (groups.len(), "different findings"),
        (off, "servers out of reach"),
    ] {
        let _infallible =
            write!(html, "<div class='card'><b>{number}</b><span>{what}</span></div>");
    }
    html.push_str("</div>");
}

/// The map with, for each cell that is not well, why.
fn map(seen: &Examination<'_>) -> HeatMap {
    let diagnosis = seen.diagnosis;
    let matrix = &diagnosis.matrix;
    let mut by_pair: IndexMap<(&HostName, Guid), &Finding> = IndexMap::new();
    for finding in &diagnosis.findings {
        if let Scope::Pair { host, id, .. } = &finding.scope {
            by_pair.entry((host, *id)).or_insert(finding);
        }
    }
    let label = |package: &triage::MatrixPackage| {
        package.name.clone().unwrap_or_else(|| package.id.to_string())
    };
    let columns = matrix
        .packages
        .iter()
        .map(|package| {
            let name = label(package);
            let full = format!("{name} {}", package.id);
            (crate::report::clean_line(&name, LABEL), full)
        })
        .collect();
    let domain = shared_domain(&matrix.servers);
    let rows = matrix.servers.iter().zip(&matrix.cells).map(|(host, cells)| {
        let cells = cells.iter().zip(&matrix.packages).map(|(cell, package)| match cell {
            triage::Cell::Unassigned => Cell::Absent,
            triage::Cell::Ready => Cell::Well,
            triage::Cell::Verdict(verdict) => {
                let why = by_pair.get(&(host, package.id)).and_then(|one| one.evidence.first());
                let why = why.map_or_else(|| verdict.meaning().to_owned(), Clone::clone);
                let title = format!("{host} · {}\n{verdict}: {why}", label(package));
                Cell::Bad(Kind::of(*verdict), title)
            }
        });
        let label = host.as_str().strip_suffix(domain).unwrap_or(host.as_str()).to_owned();
        HeatRow { label, title: host.to_string(), cells: cells.collect() }
    });
    HeatMap { columns, rows: rows.collect() }
}

/// The domain that all names end with, with its dot; empty when they share none.
fn shared_domain(hosts: &[HostName]) -> &str {
    let domain = |host: &'_ HostName| host.as_str().find('.');
    let Some((first, dot)) = hosts.first().and_then(|first| Some((first, domain(first)?))) else {
        return "";
    };
    let shared = &first.as_str()[dot..];
    let has_it = |host: &HostName| domain(host).is_some_and(|dot| &host.as_str()[dot..] == shared);
    if hosts.iter().all(has_it) { shared } else { "" }
}

fn legend(html: &mut String, seen: &Examination<'_>) {
    let mut counts: IndexMap<Kind, usize> = IndexMap::new();
    for cell in seen.diagnosis.matrix.cells.iter().flatten() {
        if let triage::Cell::Verdict(verdict) = cell {
            *counts.entry(Kind::of(*verdict)).or_default() += 1;
        }
    }
    html.push_str("<ul class='legend'><li><i class='swatch'></i>well</li>");
    for kind in Kind::ALL {
        if let Some(count) = counts.get(&kind) {
            let _infallible = write!(html, "<li>{}{} ({count})</li>", mark(kind), kind.name());
        }
    }
    html.push_str("<li><i class='swatch none'></i>not assigned</li></ul>");
}

fn table(html: &mut String, groups: &[Group<'_>]) {
    if groups.is_empty() {
        return;
    }
    html.push_str(
        "<h2>Verdicts</h2><table><thead><tr><th>Verdict</th><th>Sure</th><th \
         class='n'>Servers</th><th class='n'>Packages</th><th class='n'>Pairs</th><th>Who \
         acts</th></tr></thead><tbody>",
    );
    for (number, group) in groups.iter().enumerate() {
        let _infallible = write!(
            html,
            "<tr><td>{}<a href='#f{number}'>{}</a></td><td>{}</td><td class='n'>{}</td><td \
             class='n'>{}</td><td class='n'>{}</td><td>{}</td></tr>",
            mark(Kind::of(group.verdict)),
            group.verdict,
            certainty(group.certainty),
            group.hosts.len(),
            group.packages.len(),
            group.pairs,
            who(group.proposal)
        );
    }
    html.push_str("</tbody></table>");
}

fn findings(html: &mut String, groups: &[Group<'_>], seen: &Examination<'_>) {
    if groups.is_empty() {
        return;
    }
    html.push_str("<h2>Findings</h2>");
    for (number, group) in groups.iter().enumerate() {
        let _infallible = write!(
            html,
            "<article id='f{number}'><h3>{}{}<span class='tag'>{}</span><span \
             class='tag'>{}</span></h3><p>{}.</p><dl>",
            mark(Kind::of(group.verdict)),
            group.verdict,
            certainty(group.certainty),
            who(group.proposal),
            escape(&capital(group.verdict.meaning()))
        );
        let names = |hosts: &indexmap::IndexSet<&HostName>| {
            fold_hosts(hosts.iter().map(|host| host.as_str()))
        };
        if !group.notification_servers.is_empty() {
            entry(html, "at", &names(&group.notification_servers));
        }
        if !group.hosts.is_empty() {
            entry(html, "servers", &names(&group.hosts));
        }
        if !group.packages.is_empty() {
            let packages: Vec<&str> = group.packages.iter().map(String::as_str).collect();
            entry(html, "packages", &packages.join(", "));
        }
        for (number, told) in group.evidence.iter().enumerate() {
            entry(html, if number == 0 { "seen" } else { "" }, told);
        }
        if group.more_evidence > 0 {
            entry(html, "", &format!("… and {} more of that kind", group.more_evidence));
        }
        answer(html, group, seen);
        html.push_str("</dl></article>");
    }
}

fn answer(html: &mut String, group: &Group<'_>, seen: &Examination<'_>) {
    match group.proposal {
        Proposal::Playbook { playbook, afterwards } => {
            let command = command(*playbook, &Meant::by(group), seen);
            let _infallible = write!(html, "<dt>run</dt><dd><pre>{}</pre></dd>", escape(&command));
            if let Some(next) = afterwards {
                entry(html, "otherwise", &format!("if that does not help: {next}"));
            }
        }
        Proposal::Person { instruction, afterwards } => {
            entry(html, "a person", instruction);
            if let Some(next) = afterwards {
                entry(html, "then", &format!("fleetmend run playbooks/{next}"));
            }
        }
        Proposal::Wait { reason } => entry(html, "wait", reason),
    }
}

fn gaps(html: &mut String, seen: &Examination<'_>) {
    let unread = unread(seen.evidence);
    if unread.is_empty() {
        return;
    }
    html.push_str("<h2>What could not be read</h2><article><dl>");
    for part in unread.iter().take(100) {
        let hosts = count(part.names.len() as u64, "host");
        entry(html, &part.part, &format!("{} — {hosts}: {}", part.why, part.hosts));
    }
    html.push_str("</dl></article>");
}

fn entry(html: &mut String, term: &str, text: &str) {
    let _infallible = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(term), escape(text));
}

/// A phrase as a sentence begins.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
