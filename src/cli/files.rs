//! Reads playbooks and inventories, and says all that is wrong with them.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::environment;
use super::error::Failure;
use super::output;
use crate::action;
use crate::load::{
    Diagnostic, LoadedInventory, Severity, load_inventory, load_playbook_with, render,
};
use crate::model::{Playbook, SourcedServer};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// An inventory with what identifies it.
pub(super) struct InventoryFile {
    /// Hosts, groups, settings.
    pub loaded: LoadedInventory,
    /// The name as the operator gave it.
    pub name: String,
    /// Where it is, absolute, for a resume from another directory.
    pub path: PathBuf,
    /// SHA-256 of its text, lower-case hexadecimal.
    pub sha256: String,
    /// The package servers that its sources had; they are in `loaded` already.
    pub sourced: Vec<SourcedServer>,
}

/// Reads an inventory; mistakes and notes go to standard error. What its sources have is not in it
/// yet: see [`super::sources::resolve`].
///
/// # Errors
///
/// It cannot be read or used.
pub(super) fn inventory(path: &Path) -> Result<InventoryFile, Failure> {
    let (name, text) = read(path, "inventory")?;
    let loaded =
        load_inventory(&name, &text).map_err(|found| refuse("inventory", &name, &found))?;
    note(&loaded.notes);
    let sha256 = hash(&text);
    Ok(InventoryFile { loaded, path: absolute(path), name, sha256, sourced: Vec::new() })
}

/// Reads a playbook; with an inventory, its patterns and limits are checked against it.
///
/// # Errors
///
/// It cannot be read or used.
pub(super) fn playbook(
    path: &Path,
    inventory: Option<&InventoryFile>,
) -> Result<Playbook, Failure> {
    playbook_with_notes(path, inventory).map(|(playbook, _)| playbook)
}

/// As [`playbook`], with the number of warnings that were told.
///
/// # Errors
///
/// As [`playbook`].
pub(super) fn playbook_with_notes(
    path: &Path,
    inventory: Option<&InventoryFile>,
) -> Result<(Playbook, usize), Failure> {
    let (name, text) = read(path, "playbook")?;
    let inventory = inventory.map(|file| &file.loaded);
    let included = |path: &Path| {
        read(path, "file")
            .map(|(_, text)| text)
            .map_err(|failure| failure.causes.last().cloned().unwrap_or(failure.message))
    };
    let loaded = load_playbook_with(&name, &text, action::registry(), inventory, &included)
        .map_err(|found| refuse("playbook", &name, &found))?;
    note(&loaded.notes);
    // A resume from another directory must find it.
    let path = absolute(path).display().to_string();
    Ok((Playbook { path, ..loaded.playbook }, loaded.notes.len()))
}

/// Reads a playbook and says nothing about it; `None` where it cannot be used.
pub(super) fn playbook_quietly(path: &Path, inventory: &InventoryFile) -> Option<Playbook> {
    let (name, text) = read(path, "playbook").ok()?;
    let included = |path: &Path| read(path, "file").map(|it| it.1).map_err(|it| it.message);
    let inventory = Some(&inventory.loaded);
    load_playbook_with(&name, &text, action::registry(), inventory, &included)
        .ok()
        .map(|loaded| loaded.playbook)
}

/// Makes a path absolute without asking for links.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read(path: &Path, what: &str) -> Result<(String, String), Failure> {
    let name = path.display().to_string();
    let fail = |error: &std::io::Error| {
        let failure = Failure::input(format!("could not read the {what} {name}")).because(error);
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                failure.hint("check the path; it is relative to the current directory")
            }
            _ => failure,
        }
    };
    let metadata = std::fs::metadata(path).map_err(|error| fail(&error))?;
    if metadata.is_dir() {
        return Err(Failure::input(format!("could not read the {what} {name}: it is a directory")));
    }
    if metadata.len() > MAX_FILE {
        return Err(Failure::input(format!(
            "could not read the {what} {name}: it is larger than 256 MiB"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| fail(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::input(format!("could not read the {what} {name}"))
            .because(&error.utf8_error())
            .hint("save it as UTF-8")
    })?;
    Ok((name, text))
}

fn refuse(what: &str, name: &str, found: &[Diagnostic]) -> Failure {
    note(found);
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    let mistakes = if errors == 1 { "1 mistake".to_owned() } else { format!("{errors} mistakes") };
    Failure::input(format!("{mistakes} in the {what} {name}; nothing was connected to"))
}

fn note(found: &[Diagnostic]) {
    if !found.is_empty() {
        output::talk(&render(found, environment::paint_stderr().colour));
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
