//! The law of links: what a page of the documentation points at is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the root with no pages of ours.
const NOT_OURS: &[&str] = &["target", ".git"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !NOT_OURS.contains(&name) {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The lines that are no code, with their numbers from 1, without what stands between backticks.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        let without_code = || line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        (!is_code).then(|| (at + 1, without_code()))
    })
}

/// What the links of a line point at: `](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The names by which the headings of a page can be pointed at, as GitHub makes them: in lower case,
/// without punctuation, blanks as dashes, and numbered where there are two alike.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_code = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let Some(title) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = seen.entry(anchor.clone()).or_default();
        anchors.push(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    anchors
}

/// Why a link of a page leads nowhere.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(f, a)| (f, Some(a)));
    let path = match file {
        "" => page.to_owned(),
        file => page.parent().expect("a folder").join(file),
    };
    if !path.exists() {
        return Some(format!("there is no {file}"));
    }
    let anchor = anchor?;
    let text = fs::read_to_string(&path).expect("a page");
    let is_there = anchors(&text).iter().any(|known| known == anchor);
    (!is_there).then(|| format!("{} has no heading #{anchor}", path.display()))
}

#[test]
fn every_link_between_pages_and_into_them_leads_somewhere() {
    let (mut files, mut links, mut wrong) = (Vec::new(), 0, Vec::new());
    pages(root(), &mut files);
    for page in &files {
        let text = fs::read_to_string(page).expect("a page");
        for (number, line) in prose(&text) {
            for target in targets(&line) {
                links += 1;
                if let Some(why) = broken(page, target) {
                    wrong.push(format!("{}:{number}: ({target}) {why}", page.display()));
                }
            }
        }
    }

    assert!(files.len() > 10 && links > 40, "{} pages, {links} links", files.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_file_or_a_heading_that_is_not_there_is_found() {
    let page = root().join("README.md");

    assert_eq!(broken(&page, "docs/runs.md#looking-back"), None);
    assert!(broken(&page, "docs/no-such-page.md").is_some());
    assert!(broken(&page, "docs/runs.md#no-such-heading").is_some());
    assert_eq!(anchors("# A, `b` c\n```\n# no\n```\n## A b c\n"), ["a-b-c", "a-b-c-1"]);
    let line = "see [one](a.md) and [two](b.md#c), `[not](this)`";
    let (_, line) = prose(line).next().expect("a line");
    assert_eq!(targets(&line).collect::<Vec<_>>(), ["a.md", "b.md#c"]);
}
