//! What `quarantine_files` moved away on a host earlier in the same run.

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::host::PriorChange;
use crate::model::{Guid, WindowsPath};

/// The part of a change of `quarantine_files` that other actions look at.
#[derive(Debug, Clone, Deserialize)]
struct Moves {
    role: String,
    #[serde(default)]
    packages_moved: Vec<Guid>,
    #[serde(default)]
    moves: Vec<OneMove>,
}

/// One of its files; the policy file, for one, belongs to no package.
#[derive(Debug, Clone, Deserialize)]
struct OneMove {
    package: Option<Guid>,
    from: WindowsPath,
    modified: u64,
}

/// A file of a package that was moved away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MovedFile {
    /// The package it belongs to.
    pub(super) package: Guid,
    /// Where it was.
    pub(super) from: WindowsPath,
    /// Its last write time, Windows FILETIME.
    pub(super) modified: u64,
}

/// The moves that this run made in places of a role, oldest first.
fn moves_in<'a>(prior: &'a [PriorChange], role: &'a str) -> impl Iterator<Item = Moves> + 'a {
    prior
        .iter()
        .filter(|prior| prior.action == "quarantine_files")
        .filter_map(|prior| Moves::deserialize(&prior.change).ok())
        .filter(move |moves| moves.role == role)
}

/// The packages of which this run moved files away in places of a role, each once.
pub(super) fn packages_moved(prior: &[PriorChange], role: &str) -> IndexSet<Guid> {
    moves_in(prior, role).flat_map(|moves| moves.packages_moved).collect()
}

/// The files that this run moved away in places of a role; of a file that was moved twice, the
/// newer one.
pub(super) fn files_moved(prior: &[PriorChange], role: &str) -> Vec<MovedFile> {
    let mut files: Vec<MovedFile> = Vec::new();
    for OneMove { package, from, modified } in moves_in(prior, role).flat_map(|moves| moves.moves) {
        let Some(package) = package else { continue };
        let file = MovedFile { package, from, modified };
        match files.iter_mut().find(|other| other.from == file.from) {
            Some(other) => *other = file,
            None => files.push(file),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::{Direction, Move, Relocation, Role};
    use crate::model::RunId;

    const A: Guid = Guid::from_u128(1);
    const B: Guid = Guid::from_u128(2);

    fn moved(role: &str, package: Guid, modified: u64) -> PriorChange {
        PriorChange {
            action: "quarantine_files".to_owned(),
            change: json!({
                "role": role,
                "packages_moved": [package],
                "moves": [{
                    "package": package,
                    "from": format!("C:\\Store\\{package}\\snapshot.xml"),
                    "to": "C:\\Quarantine\\1",
                    "modified": modified,
                }],
            }),
        }
    }

    #[test]
    fn packages_are_counted_once_and_only_in_their_role() {
        let prior =
            [moved("ps_delivery", A, 1), moved("ps_delivery", A, 2), moved("ps_status", B, 1)];

        assert_eq!(packages_moved(&prior, "ps_delivery").len(), 1);
        assert!(packages_moved(&prior, "ns_snapshots").is_empty());
    }

    #[test]
    fn of_a_file_that_was_moved_twice_the_newer_one_counts() {
        let files =
            files_moved(&[moved("ps_delivery", A, 1), moved("ps_delivery", A, 2)], "ps_delivery");

        assert_eq!(files.len(), 1);
        assert_eq!(files[0].modified, 2);
    }

    #[test]
    fn what_quarantine_files_writes_is_what_is_read_here() {
        let moved = Relocation::new(
            Role::PsDelivery,
            RunId::new(uuid::Uuid::nil()),
            Direction::Away,
            vec![Move {
                package: Some(A),
                from: "C:\\Store\\snapshot.xml".parse().expect("a path"),
                to: "ps_delivery\\snapshot.xml".to_owned(),
                size: 3,
                modified: 7,
                sha256: String::new(),
            }],
        );
        let prior = [PriorChange {
            action: "quarantine_files".to_owned(),
            change: serde_json::to_value(&moved).expect("a value"),
        }];

        assert!(packages_moved(&prior, "ps_delivery").contains(&A));
        assert_eq!(files_moved(&prior, "ps_delivery")[0].modified, 7);
    }

    #[test]
    fn a_file_of_no_package_is_passed_over() {
        let policy = PriorChange {
            action: "quarantine_files".to_owned(),
            change: json!({ "role": "ps_policies", "moves": [{
                "from": "C:\\Agent\\Client Policies\\smp01.xml", "to": "1", "modified": 1,
            }] }),
        };

        assert!(files_moved(&[policy], "ps_policies").is_empty());
    }

    #[test]
    fn changes_of_other_actions_are_passed_over() {
        let other =
            PriorChange { action: "acl".to_owned(), change: json!({ "role": "ps_delivery" }) };

        assert!(files_moved(&[other], "ps_delivery").is_empty());
    }
}
