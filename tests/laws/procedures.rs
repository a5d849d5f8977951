//! The law of the articles' rows: docs/procedures.md names for each of them something that exists,
//! and a test that shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fleetmend::action;
use fleetmend::host::queries;
use fleetmend::itms::triage::Verdict;

use crate::playbooks;

/// The rows of the four articles: a letter and how many it has.
const ARTICLES: &[(char, u32)] = &[('A', 53), ('B', 27), ('C', 7), ('D', 15)];

/// Commands and keys of tasks: neither verbs nor their parameters.
const COMMANDS: &[&str] = &["check", "diagnose", "run", "undo", "inventory"];

/// A line of the page.
struct Row {
    id: String,
    how: String,
    shown_by: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/procedures.md")).expect("the page");
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, _, how, _, _, shown_by] = cells[..] else { panic!("seven cells: {line}") };
        if id == "row" || id.starts_with("---") {
            continue;
        }
        let (id, how, shown_by) = (id.to_owned(), how.to_owned(), shown_by.to_owned());
        rows.push(Row { id, how, shown_by });
    }
    rows
}

/// What stands between pairs of a mark, as between the stars of **bold**.
fn between<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    text.split(mark).skip(1).step_by(2).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .map(|word| word.trim_matches('.'))
}

/// The names of all tests, in the sources and below `tests/`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(at) = line.find("fn ") {
                    let name = line[at + 3..].split(['(', '<']).next().unwrap_or_default();
                    if std::mem::take(&mut is_test) {
                        found.insert(name.to_owned());
                    }
                }
            }
        }
    }
}

#[test]
fn every_row_of_the_articles_is_there_once() {
    let expected = ARTICLES
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number:02}")));
    let listed: Vec<String> = rows().into_iter().map(|row| row.id).collect();

    assert_eq!(listed, expected.collect::<Vec<_>>());
}

#[test]
fn what_a_row_names_exists() {
    let shipped = playbooks::texts();
    let verdicts: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
    let parameters: BTreeSet<&str> =
        action::registry().iter().flat_map(|verb| verb.params()).map(|param| param.name).collect();
    for Row { id, how, .. } in rows() {
        for verdict in between(&how, "**") {
            assert!(verdicts.contains(&verdict), "{id}: no verdict `{verdict}`");
        }
        for code in between(&how, "`") {
            let word = code.split(' ').next().unwrap_or_default();
            let is_known = action::find(word).is_some()
                || COMMANDS.contains(&word)
                || parameters.contains(word);
            assert!(is_known, "{id}: nothing is called `{code}`");
        }
        for playbook in words(&how).filter(|word| word.ends_with(".yml")) {
            assert!(shipped.contains_key(playbook), "{id}: no playbook {playbook}");
        }
        for (_, name) in words(&how).zip(words(&how).skip(1)).filter(|(word, _)| *word == "query") {
            assert!(queries::find(name).is_some(), "{id}: no query `{name}`");
        }
    }
}

#[test]
fn every_row_is_done_refused_or_waits_for_a_person() {
    let shipped = playbooks::texts();
    for Row { id, how, .. } in rows() {
        let is_done = !between(&how, "**").is_empty()
            || between(&how, "`").iter().any(|code| {
                let word = code.split(' ').next().unwrap_or_default();
                action::find(word).is_some() || COMMANDS.contains(&word)
            })
            || words(&how).any(|word| word.ends_with(".yml") || word == "query")
            || how.contains("refused: ");
        let waits = how.contains("person: ");
        assert!(is_done || waits, "{id}: nothing does it: {how}");
        let Some((_, person)) = how.split_once("person: ") else { continue };
        for playbook in words(person).filter(|word| word.ends_with(".yml")) {
            let waits = shipped[playbook].contains("confirm:");
            assert!(waits, "{id}: {playbook} does not wait for the person");
        }
    }
}

#[test]
fn every_row_has_a_test_that_exists() {
    let tests = tests();
    for Row { id, shown_by, .. } in rows() {
        let named = between(&shown_by, "`");
        assert!(!named.is_empty(), "{id} is shown by nothing");
        for name in named {
            assert!(tests.contains(name), "{id}: no test `{name}`");
        }
    }
}
