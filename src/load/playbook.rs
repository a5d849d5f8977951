//! A playbook: a list of plays.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::play::{self, Against};
use super::source::Source;
use super::tasks::Shared;
use super::yaml::{self, Kind, Span};
use super::{Diagnostic, LoadedInventory, fields};
use crate::action::ActionKind;
use crate::model::{Play, PlayNo, Playbook, Unmet};

/// A playbook that can be used.
#[derive(Debug, Clone)]
pub struct LoadedPlaybook {
    /// The plays.
    pub playbook: Playbook,
    /// What deserves a look.
    pub notes: Vec<Diagnostic>,
}

/// Reads a playbook that stands alone; `file` is its name in messages. With an inventory, host
/// patterns, limits and variables are checked against it.
///
/// # Errors
///
/// Everything that is wrong with the file, and what deserves a look, sorted by position. A file
/// that it includes cannot be read here: see [`load_playbook_with`].
pub fn load_playbook(
    file: &str,
    text: &str,
    registry: &[&dyn ActionKind],
    inventory: Option<&LoadedInventory>,
) -> Result<LoadedPlaybook, Vec<Diagnostic>> {
    load_playbook_with(file, text, registry, inventory, &|_| {
        Err("no files can be read here".to_owned())
    })
}

/// Reads a playbook and the files that it includes. `read_text` reads the text of a file, whose
/// name is joined to the folder of `file`; its error is one phrase.
///
/// # Errors
///
/// As [`load_playbook`]; what was found in included files comes last.
pub fn load_playbook_with(
    file: &str,
    text: &str,
    registry: &[&dyn ActionKind],
    inventory: Option<&LoadedInventory>,
    read_text: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<LoadedPlaybook, Vec<Diagnostic>> {
    let mut source = Source::new(file, text);
    let variables = inventory.map(variable_names);
    let against = Against { registry, inventory, variables: variables.as_ref() };
    let mut shared = Shared {
        folder: Path::new(file).parent().map(Path::to_owned).unwrap_or_default(),
        read_text,
        included: Vec::new(),
        open: vec![PathBuf::from(file)],
        confirms: HashSet::new(),
        gates: HashSet::new(),
        facts: HashSet::new(),
    };
    let plays = match yaml::parse(&mut source) {
        Some(root) => read(&root, &against, &mut shared, &mut source),
        None => {
            if !source.has_errors() {
                source
                    .error("empty-file", Span::new(0, 0), "the playbook is empty")
                    .help("a playbook is a list of plays: `- name: …`, `hosts: …`, `tasks: …`");
            }
            Vec::new()
        }
    };
    if source.has_errors() {
        return Err(source.into_diagnostics());
    }
    let sha256 = digest(text, &shared.included);
    let playbook = Playbook { path: file.to_owned(), sha256, plays };
    Ok(LoadedPlaybook { playbook, notes: source.into_diagnostics() })
}

fn read(
    root: &yaml::Node<'_>,
    against: &Against<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) -> Vec<Play> {
    match &root.kind {
        Kind::List(nodes) if !nodes.is_empty() => {
            let read: Vec<(&yaml::Node<'_>, Play)> = nodes
                .iter()
                .zip(0..)
                .filter_map(|(node, number)| {
                    Some((node, play::read(node, PlayNo(number), against, shared, source)?))
                })
                .collect();
            let judge = read.iter().rev().find_map(|(node, play)| Some((node, play.oracle?)));
            if let Some((node, _)) = judge.filter(|(_, oracle)| oracle.unmet == Unmet::GoOn) {
                play::refuse_unjudged(node, source);
            }
            read.into_iter().map(|(_, play)| play).collect()
        }
        Kind::Map(entries) => {
            let at = entries.first().map_or(root.span, |entry| entry.key_span);
            source
                .error("no-list-of-plays", at, "a playbook is a list of plays, this is a mapping")
                .help("put `- ` before the first line of the play and indent the others under it");
            Vec::new()
        }
        Kind::Scalar(_) | Kind::List(_) | Kind::Broken => {
            fields::mismatch(root, "a list of plays, each after `- `", source);
            Vec::new()
        }
    }
}

/// The names of all variables that any group or host has.
fn variable_names(loaded: &LoadedInventory) -> HashSet<&str> {
    let groups = loaded.inventory.groups().map(|(_, group)| group);
    groups
        .flat_map(|group| std::iter::once(&group.vars).chain(group.hosts.values()))
        .flat_map(|vars| vars.keys().map(String::as_str))
        .collect()
}

/// SHA-256 of the text; with included files, of theirs and their names too. The lengths keep texts
/// apart.
fn digest(text: &str, included: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    for (name, text) in included {
        for part in [name, text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
