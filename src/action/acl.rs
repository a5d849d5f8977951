//! `acl`: an account has rights on the folder of a role, and on those of packages.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::acl_tree::{self, Folder, Wanted};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Account, Changer, DescriptorChange, DescriptorWritten, Place, Reader, Role};
use crate::model::{Cost, FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::security::{AceFlags, AceKind, Dacl, FileRights, SecurityDescriptor, Sid};

/// The action.
pub(super) struct Acl;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    role: Role,
    account: String,
    rights: Rights,
    #[serde(default)]
    packages: Vec<Guid>,
    #[serde(default)]
    tree: bool,
    #[serde(default)]
    alternate_locations: bool,
}

/// Rights under the names that Windows shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rights {
    FullControl,
    Modify,
    Read,
}

impl Rights {
    const NAMES: &'static [&'static str] = &["full_control", "modify", "read"];

    fn mask(self) -> u32 {
        match self {
            Self::FullControl => FileRights::FULL_CONTROL,
            Self::Modify => FileRights::MODIFY,
            Self::Read => FileRights::READ_AND_EXECUTE,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::FullControl => "full control",
            Self::Modify => "the right to modify",
            Self::Read => "the right to read",
        }
    }
}

/// Who has which rights now.
pub(super) struct State {
    account: Account,
    /// The role's folder first, then those of packages.
    folders: Vec<Folder>,
    /// Packages that are left alone, and why.
    left: Vec<String>,
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The account's name.
    account: String,
    /// Its SID.
    sid: String,
    /// The rights.
    rights: Rights,
    /// Whether the rights are given, or what was there before is put back.
    gives: bool,
    /// The descriptors of the folders that need it.
    folders: Vec<DescriptorChange>,
    /// Packages that are left alone, and why.
    #[serde(default)]
    left: Vec<String>,
}

#[async_trait]
impl Action for Acl {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "acl";
    const SUMMARY: &'static str =
        "Gives an account rights on the folder of a role, and on those of packages.";
    const DOC: &'static str = "\
Ensures that the list of rights of the role's folder holds an entry for the account,
for the folder and all that is made in it later. Every other entry stays as it is,
byte for byte. A folder without a list (a NULL DACL) is open to everybody and stays
so, with a note.

Folders that are inside already keep their lists: what is written over SMB is not
handed down to them. With `packages`, or `tree` for all of the store, the folders of these
packages are looked at as well, one by one, and get an entry of their own where the account
lacks the rights: that mends folders whose inheritance is broken (KB 179719). Files in them
keep their lists. A package that is being downloaded is left alone, because the agent takes
the account's rights away meanwhile by itself (KB 150861), and so is one that it removes.
With `alternate_locations` the folders outside of the store that the agent's own list names
for these packages are treated likewise, and of those inside them the ones in which the
package's snapshot lists files. A volume, a folder of users, of Windows or of other programs,
a short name and a way through a link are refused. At most 1,000 folders.

Groups that stand for everybody are never given more than reading, and a denial for the
account that would outweigh the grant is refused.

Rights: an administrator of the server, over SMB; WinRM to find the folder and the
account.

Undo: puts each earlier list back, if the one that this wrote is still there.
";
    const EXAMPLE: &'static str = "\
- name: Give the Agent Connectivity Credential full control
  acl: { role: ps_delivery, account: '{{ acc_account }}', rights: full_control }
";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(Role::CHANGEABLE),
            required: true,
            doc: "What the folder is for; it is found on each host.",
        },
        ParamDoc {
            name: "account",
            kind: ParamKind::Text,
            required: true,
            doc: "The account: `DOM\\name`, or its SID.",
        },
        ParamDoc {
            name: "rights",
            kind: ParamKind::OneOf(Rights::NAMES),
            required: true,
            doc: "The rights that it gets.",
        },
        ParamDoc {
            name: "packages",
            kind: ParamKind::Guids,
            required: false,
            doc: "The packages whose own folders are looked at as well.",
        },
        ParamDoc {
            name: "tree",
            kind: ParamKind::Bool,
            required: false,
            doc: "Whether the folders of all packages are looked at.",
        },
        ParamDoc {
            name: "alternate_locations",
            kind: ParamKind::Bool,
            required: false,
            doc: "Whether folders outside of the store are, if the agent names them.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        if params.role.is_of_package_servers() {
            at.expect_package_server().await?;
        }
        let root = at.root(params.role).await?;
        at.fence().root(&root).await?;
        let account = at.account(&params.account).await?;
        let mut folders = vec![Folder::read(at, Place::Root, root.path.clone()).await?];
        let mut left = Vec::new();
        if params.tree || params.alternate_locations || !params.packages.is_empty() {
            let wanted = Wanted {
                packages: (!params.tree).then_some(params.packages.as_slice()),
                alternate_locations: params.alternate_locations,
            };
            let found = acl_tree::folders(at, &root, &wanted).await?;
            folders.extend(found.folders);
            left = found.left;
        }
        Ok(State { account, folders, left })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let account = &state.account;
        let words = params.rights.words();
        let mut changes = Vec::new();
        let mut open = Vec::new();
        for folder in &state.folders {
            match grant(params, account, folder) {
                Ok(Grant::Held) => {}
                Ok(Grant::Open) => open.push(folder.path.to_string()),
                Ok(Grant::Needed(change)) => changes.push(change),
                Err(failure) => return Verdict::Refuse(failure),
            }
        }
        let mut asides: Vec<String> = open
            .iter()
            .map(|path| format!("{path} has no list of rights: everybody has full control"))
            .collect();
        asides.extend(state.left.iter().cloned());
        if changes.is_empty() {
            let is_all_open = open.len() == state.folders.len();
            let held = (!is_all_open).then(|| format!("{} has {words} already", account.name));
            let notes: Vec<String> = held.into_iter().chain(asides).collect();
            let value = json!({ "path": state.folders.first().map(|folder| &folder.path),
                "folders": [], "left": state.left });
            return Verdict::Unchanged { note: notes.join("; "), value };
        }
        Verdict::Change(Change {
            account: account.name.clone(),
            sid: account.sid.to_string(),
            rights: params.rights,
            gives: true,
            folders: changes,
            left: asides,
        })
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let words = change.rights.words();
        let (account, sid) = (&change.account, &change.sid);
        let mut lines: Vec<String> = change
            .folders
            .iter()
            .map(|folder| {
                let path = &folder.path;
                if change.gives {
                    format!("give {account} ({sid}) {words} on {path}")
                } else {
                    format!(
                        "put the rights on {path} back as they were before {account} got {words}"
                    )
                }
            })
            .collect();
        if change.gives {
            lines.extend(change.left.iter().map(|left| format!("leave: {left}")));
        }
        lines
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let mut written = 0_usize;
        for (done, folder) in change.folders.iter().enumerate() {
            match at.exchange_descriptor(folder).await {
                Ok(DescriptorWritten::Now) => written += 1,
                Ok(DescriptorWritten::Already) => {}
                // The folder of a package that was removed since then has no rights to put back.
                Err(failure) if !change.gives && is_gone(at, folder).await => {
                    drop(failure);
                }
                Err(mut failure) => {
                    if done > 0 {
                        let of = change.folders.len();
                        failure.message.push_str(&format!(" (after {done} of {of} folders)"));
                    }
                    return Err(failure);
                }
            }
        }
        let folders = if written == 1 { String::new() } else { format!(" on {written} folders") };
        let mut note = match (written, change.gives) {
            (0, _) => "the rights are so already".to_owned(),
            (_, true) => format!("gave {} {}{folders}", change.account, change.rights.words()),
            (_, false) => format!("put the earlier rights back{folders}"),
        };
        if change.gives && !change.left.is_empty() {
            note.push_str(&format!("; left: {}", change.left.join("; ")));
        }
        let paths: Vec<&WindowsPath> = change.folders.iter().map(|folder| &folder.path).collect();
        Ok(Applied {
            note,
            value: json!({ "path": paths.first(), "folders": paths, "left": change.left }),
            was_so_already: written == 0,
        })
    }

    fn invert(change: &Change) -> Undo {
        let inverse = Change {
            gives: !change.gives,
            // The last one first: the way back is the way there.
            folders: change.folders.iter().rev().map(DescriptorChange::inverse).collect(),
            ..change.clone()
        };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
}

/// What a folder needs.
enum Grant {
    /// Nothing: the account has the rights.
    Held,
    /// Nothing: it has no list, and so everybody has all rights.
    Open,
    /// This.
    Needed(DescriptorChange),
}

/// What a folder needs so that the account has its rights there. Pure.
fn grant(params: &Params, account: &Account, folder: &Folder) -> Result<Grant, StepFailure> {
    let words = params.rights.words();
    let path = &folder.path;
    let refuse = |reason: &str| {
        Err(StepFailure::new(
            FailureClass::Refused,
            format!("could not give {} {words} on {path}: {reason}", account.name),
        ))
    };
    let before = SecurityDescriptor::parse(&folder.stored).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::Refused,
            format!("could not understand the rights on {path}"),
            &error,
        )
    })?;
    if !matches!(before.dacl(), Dacl::List(_)) {
        return Ok(Grant::Open);
    }
    if params.rights != Rights::Read && is_everybody(&account.sid) {
        return refuse("this account stands for everybody");
    }
    let mask = params.rights.mask();
    if holds(&before, &account.sid, mask) {
        return Ok(Grant::Held);
    }
    let flags = AceFlags::THIS_FOLDER_AND_BELOW;
    let after = match before.with_allow_ace(&account.sid, mask, flags) {
        Ok(after) if holds(&after, &account.sid, mask) => after,
        Ok(_) => return refuse("a denial for the account outweighs it"),
        Err(error) => return refuse(&error.to_string()),
    };
    let change = DescriptorChange::new(params.role, path.clone(), &folder.stored, &after.encode());
    Ok(Grant::Needed(change.at(folder.place)))
}

/// Whether a folder is not there any more.
async fn is_gone(at: &Reader<'_>, folder: &DescriptorChange) -> bool {
    folder.place != Place::Root && matches!(at.files().metadata(&folder.path).await, Ok(None))
}

/// Whether the account has the rights on the folder and, through this account's own entries, on all
/// that is made in it later.
fn holds(descriptor: &SecurityDescriptor, sid: &Sid, mask: u32) -> bool {
    let handed_down = descriptor
        .aces()
        .iter()
        .filter(|ace| {
            ace.kind() == AceKind::Allow
                && ace.sid().as_ref() == Some(sid)
                && ace.flags().has(AceFlags::OBJECT_INHERIT | AceFlags::CONTAINER_INHERIT)
                && !ace.flags().has(AceFlags::NO_PROPAGATE)
        })
        .fold(0, |mask, ace| mask | ace.mask());
    descriptor.grants(std::slice::from_ref(sid), mask)
        && mask & !crate::transport::security::map_generic(handed_down) == 0
}

/// Whether a SID stands for everybody who can reach the server.
fn is_everybody(sid: &Sid) -> bool {
    let anonymous = "S-1-5-7".parse().ok();
    [Sid::everyone(), Sid::users(), Sid::authenticated_users(), Sid::network()].contains(sid)
        || anonymous.as_ref() == Some(sid)
}

#[cfg(test)]
#[path = "acl/tests.rs"]
mod tests;
