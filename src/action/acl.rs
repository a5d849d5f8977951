//! `acl`: an account has rights on the folder of a role.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Account, Changer, DescriptorChange, DescriptorWritten, Reader, Role, Root};
use crate::model::{Cost, FailureClass, StepFailure};
use crate::transport::SecurityInformation;
use crate::transport::security::{AceFlags, AceKind, Dacl, FileRights, SecurityDescriptor, Sid};

/// The action.
pub(super) struct Acl;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    role: Role,
    account: String,
    rights: Rights,
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
    root: Root,
    account: Account,
    stored: Vec<u8>,
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
    /// The descriptors.
    descriptor: DescriptorChange,
}

#[async_trait]
impl Action for Acl {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "acl";
    const SUMMARY: &'static str = "Gives an account rights on the folder of a role.";
    const DOC: &'static str = "\
Ensures that the list of rights of the role's folder holds an entry for the account,
for the folder and all that is made in it later. Every other entry stays as it is,
byte for byte. A folder without a list (a NULL DACL) is open to everybody and stays
so, with a note.

Folders that are inside already keep their lists: what is written over SMB is not
handed down to them. Groups that stand for everybody are never given more than
reading, and a denial for the account that would outweigh the grant is refused.

Rights: an administrator of the server, over SMB; WinRM to find the folder and the
account.

Undo: puts the earlier list back, if the one that this wrote is still there.
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
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let root = at.root(params.role).await?;
        at.fence().root(&root).await?;
        let account = at.account(&params.account).await?;
        let stored = at.files().descriptor(&root.path, SecurityInformation::DACL).await?;
        Ok(State { root, account, stored })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let (path, account) = (&state.root.path, &state.account);
        let words = params.rights.words();
        let refuse = |reason: &str| {
            Verdict::Refuse(StepFailure::new(
                FailureClass::Refused,
                format!("could not give {} {words} on {path}: {reason}", account.name),
            ))
        };
        let unchanged = |note: String| Verdict::Unchanged { note, value: json!({ "path": path }) };
        let before = match SecurityDescriptor::parse(&state.stored) {
            Ok(descriptor) => descriptor,
            Err(error) => {
                return Verdict::Refuse(StepFailure::caused_by(
                    FailureClass::Refused,
                    format!("could not understand the rights on {path}"),
                    &error,
                ));
            }
        };
        if !matches!(before.dacl(), Dacl::List(_)) {
            return unchanged(format!("{path} has no list of rights: everybody has full control"));
        }
        if params.rights != Rights::Read && is_everybody(&account.sid) {
            return refuse("this account stands for everybody");
        }
        let mask = params.rights.mask();
        if holds(&before, &account.sid, mask) {
            return unchanged(format!("{} has {words} already", account.name));
        }
        let flags = AceFlags::THIS_FOLDER_AND_BELOW;
        let after = match before.with_allow_ace(&account.sid, mask, flags) {
            Ok(after) if holds(&after, &account.sid, mask) => after,
            Ok(_) => return refuse("a denial for the account outweighs it"),
            Err(error) => return refuse(&error.to_string()),
        };
        Verdict::Change(Change {
            account: account.name.clone(),
            sid: account.sid.to_string(),
            rights: params.rights,
            gives: true,
            descriptor: DescriptorChange::new(
                params.role,
                path.clone(),
                &state.stored,
                &after.encode(),
            ),
        })
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let (path, words) = (&change.descriptor.path, change.rights.words());
        let (account, sid) = (&change.account, &change.sid);
        vec![if change.gives {
            format!("give {account} ({sid}) {words} on {path}")
        } else {
            format!("put the rights on {path} back as they were before {account} got {words}")
        }]
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let written = at.exchange_descriptor(&change.descriptor).await?;
        let note = match (written, change.gives) {
            (DescriptorWritten::Now, true) => {
                format!("gave {} {}", change.account, change.rights.words())
            }
            (DescriptorWritten::Now, false) => "put the earlier rights back".to_owned(),
            (DescriptorWritten::Already, _) => "the rights are so already".to_owned(),
        };
        Ok(Applied {
            note,
            value: json!({ "path": change.descriptor.path }),
            was_so_already: written == DescriptorWritten::Already,
        })
    }

    fn invert(change: &Change) -> Undo {
        let inverse = Change {
            gives: !change.gives,
            descriptor: change.descriptor.inverse(),
            ..change.clone()
        };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
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
