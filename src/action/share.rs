//! `share`: a folder is shared, and accounts have rights through the share.

use std::fmt;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scripts::{SHARE_CHANGE, SHARE_STATE};
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Account, Changer, Reader, Role};
use crate::model::{Cost, FailureClass, StepFailure, WindowsPath};
use crate::transport::security::{
    AceFlags, AceKind, Acl, Dacl, FileRights, SecurityDescriptor, Sid, map_generic,
};

/// The action.
pub(super) struct Share;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: String,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    path: Option<WindowsPath>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    rights: Option<Rights>,
}

/// Rights through a share, under the names that Windows shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rights {
    FullControl,
    Change,
    Read,
}

impl Rights {
    const NAMES: &'static [&'static str] = &["full_control", "change", "read"];

    fn mask(self) -> u32 {
        match self {
            Self::FullControl => FileRights::FULL_CONTROL,
            Self::Change => FileRights::MODIFY,
            Self::Read => FileRights::READ_AND_EXECUTE,
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FullControl => "full control",
            Self::Change => "the right to change",
            Self::Read => "the right to read",
        })
    }
}

/// A share as the host describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    found: bool,
    name: String,
    path: String,
    /// Whether it is one that Windows makes for itself.
    special: bool,
    /// Who may use it, self-relative, Base64; none where the share has no list.
    descriptor: Option<String>,
    /// Whether the folder that was asked about exists.
    folder: bool,
}

/// What was read.
pub(super) struct State {
    share: Found,
    folder: WindowsPath,
    grants: Vec<(Account, Rights)>,
}

/// What will be done. A share that is missing has no descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The share.
    share: String,
    /// The folder that it leads to.
    path: String,
    /// Who may use it before, Base64.
    before: Option<String>,
    /// Who may use it then, Base64.
    after: Option<String>,
    /// The rights that are given, in words.
    grants: Vec<String>,
}

fn refused(text: String) -> StepFailure {
    StepFailure::new(FailureClass::Refused, text)
}

async fn read(name: &str, path: &str, at: &Reader<'_>) -> Result<Found, StepFailure> {
    let answer = at.script(&SHARE_STATE, &json!({ "name": name, "path": path })).await?;
    serde_json::from_value(answer).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::RemoteFault,
            format!("could not understand what the share `{name}` is"),
            &error,
        )
    })
}

fn decode(name: &str, text: &str) -> Result<SecurityDescriptor, StepFailure> {
    let what = || format!("could not understand the rights on the share `{name}`");
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| StepFailure::caused_by(FailureClass::Refused, what(), &error))?;
    SecurityDescriptor::parse(&bytes)
        .map_err(|error| StepFailure::caused_by(FailureClass::Refused, what(), &error))
}

/// Whether two descriptors let the same accounts in: Windows stores what it is given in a form of
/// its own.
fn is_same(a: &SecurityDescriptor, b: &SecurityDescriptor) -> bool {
    let lists = |dacl: &Dacl| matches!(dacl, Dacl::List(_));
    lists(a.dacl()) == lists(b.dacl())
        && a.aces().len() == b.aces().len()
        && a.aces().iter().zip(b.aces()).all(|(a, b)| {
            a.kind() == b.kind()
                && a.sid() == b.sid()
                && map_generic(a.mask()) == map_generic(b.mask())
        })
}

/// Whether a share must not lead to a folder: its whole content would be open to whoever may use
/// the share.
fn is_too_much(path: &WindowsPath) -> bool {
    let parts: Vec<String> = path.components().map(str::to_lowercase).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    matches!(
        parts.as_slice(),
        [] | ["windows" | "users", ..]
            | ["programdata", "fleetmend", ..]
            | ["programdata" | "program files" | "program files (x86)"]
    )
}

#[async_trait]
impl Action for Share {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "share";
    const SUMMARY: &'static str = "Shares a folder and gives accounts rights through the share.";
    const DOC: &'static str = "\
Ensures that the share exists, leads to the folder, and lets the account in with the
rights. Without `account` it gives what KB 181405 section 4 asks for: Everyone may read and
SYSTEM has full control. Entries that are there stay as they are. A share that is made
lets Everyone read, besides what is given.

The folder is that of a `role`, `ps_delivery` when nothing is said, or a `path`: that of
an alternate download location. It is never made: a folder that does not exist is a
failure, and so is a share of that name which leads elsewhere. A drive, Windows, the
folders of users and of other programs, the quarantine, a short name and a way through a
link are not shared, and nothing is on a host that is no package server, but for the role
`ns_snapshots`. What an account may do with the files is decided by the folder's own rights
as well: see `acl`.

Rights: administrator on the host, over WinRM and SMB. Undo: the earlier list of rights,
byte for byte, or the end of a share that this made; refused when list or folder were
changed since. The folder and its files are not touched. Safe to repeat after a crash.";
    const EXAMPLE: &'static str = "\
- name: Share the package store
  share: { name: PkgSvrHost, role: ps_delivery }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc { name: "name", kind: ParamKind::Text, required: true, doc: "The share's name." },
        ParamDoc {
            name: "role",
            kind: ParamKind::OneOf(Role::CHANGEABLE),
            required: false,
            doc: "What the folder is for; it is found on each host.",
        },
        ParamDoc {
            name: "path",
            kind: ParamKind::Text,
            required: false,
            doc: "The folder, in place of a role.",
        },
        ParamDoc {
            name: "account",
            kind: ParamKind::Text,
            required: false,
            doc: "The account: `DOM\\name`, or its SID.",
        },
        ParamDoc {
            name: "rights",
            kind: ParamKind::OneOf(Rights::NAMES),
            required: false,
            doc: "The rights that the account gets; needed with `account`.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("name");
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let name = &params.name;
        if params.role.is_none_or(Role::is_of_package_servers) {
            at.expect_package_server().await?;
        }
        let folder = match (&params.path, params.role) {
            (Some(_), Some(_)) => {
                return Err(refused(format!(
                    "could not share `{name}`: give a `role` or a `path`, not both"
                )));
            }
            (Some(path), None) => {
                if !at.fence().alternate(path).await? {
                    return Err(refused(format!(
                        "could not share {path} as `{name}`: there is no such folder"
                    )));
                }
                path.clone()
            }
            (None, role) => at.root(role.unwrap_or(Role::PsDelivery)).await?.path,
        };
        let grants = match (&params.account, params.rights) {
            (Some(account), Some(rights)) => vec![(at.account(account).await?, rights)],
            (None, None) => vec![
                (Account { name: "Everyone".to_owned(), sid: Sid::everyone() }, Rights::Read),
                (Account { name: "SYSTEM".to_owned(), sid: Sid::system() }, Rights::FullControl),
            ],
            (Some(_), None) | (None, Some(_)) => {
                return Err(refused(format!(
                    "could not share `{name}`: `account` and `rights` belong together"
                )));
            }
        };
        let share = read(name, &folder.to_string(), at).await?;
        Ok(State { share, folder, grants })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        match decide(&params.name, state) {
            Ok(verdict) => verdict,
            Err(failure) => Verdict::Refuse(failure),
        }
    }

    fn cost(_: &Change) -> Cost {
        Cost::none()
    }

    fn describe(change: &Change) -> Vec<String> {
        let Change { share, path, before, after, grants } = change;
        let given = grants.iter().map(|grant| format!("give {grant} through the share `{share}`"));
        match (before, after) {
            (None, _) => [format!("share {path} as `{share}`")].into_iter().chain(given).collect(),
            (Some(_), None) => vec![format!("end the share `{share}` of {path}")],
            (Some(_), Some(_)) if grants.is_empty() => {
                vec![format!("put the rights on the share `{share}` back as they were")]
            }
            (Some(_), Some(_)) => given.collect(),
        }
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let Change { share: name, path, .. } = change;
        let now = read(name, path, at).await?;
        let verb = match next(change, &now)? {
            Some(verb) => verb,
            None => {
                let note = "the share is so already".to_owned();
                return Ok(Applied { note, value: value(change), was_so_already: true });
            }
        };
        let input = json!({
            "name": name, "path": path, "verb": verb, "descriptor": change.after,
        });
        // What is a link by now would open another folder.
        if verb == "make" {
            let folder: WindowsPath = path.parse().map_err(|error| {
                StepFailure::caused_by(
                    FailureClass::Refused,
                    format!("could not share {path} as `{name}`"),
                    &error,
                )
            })?;
            at.fence().exists(&folder).await?;
        }
        // An answer that was lost leaves the step in doubt: it is safe to replay.
        at.change_script(&SHARE_CHANGE, &input).await?;
        if next(change, &read(name, path, at).await?)?.is_some() {
            return Err(StepFailure::new(
                FailureClass::InDoubt,
                format!("changed the share `{name}` and do not see it changed"),
            ));
        }
        let note = match verb {
            "make" => format!("shared {path}"),
            "end" => "ended the share".to_owned(),
            _ if change.grants.is_empty() => "put the earlier rights back".to_owned(),
            _ => format!("gave {}", change.grants.join(", ")),
        };
        Ok(Applied { note, value: value(change), was_so_already: false })
    }

    fn invert(change: &Change) -> Undo {
        let inverse = Change {
            before: change.after.clone(),
            after: change.before.clone(),
            grants: Vec::new(),
            ..change.clone()
        };
        match serde_json::to_value(inverse) {
            Ok(inverse) => Undo::With(inverse),
            Err(error) => Undo::Impossible(format!("the change cannot be written down: {error}")),
        }
    }
}

fn value(change: &Change) -> Value {
    json!({ "name": change.share, "path": change.path })
}

fn decide(name: &str, state: &State) -> Result<Verdict<Change>, StepFailure> {
    let State { share, folder, grants } = state;
    let not_shared = |why: String| refused(format!("could not share {folder} as `{name}`: {why}"));
    if name.is_empty()
        || name.len() > 80
        || name.contains(|c: char| c.is_control() || "\\/[]:|<>+=;,?*\"".contains(c))
    {
        return Err(not_shared("the name is not one that a share can have".to_owned()));
    }
    if !share.folder {
        return Err(not_shared("there is no such folder".to_owned()));
    }
    if is_too_much(folder) {
        return Err(not_shared("too much would be open to whoever may use it".to_owned()));
    }
    if share.found {
        let leads: Option<WindowsPath> = share.path.parse().ok();
        if leads.as_ref() != Some(folder) {
            return Err(not_shared(format!("it leads to {} now", share.path)));
        }
        if share.special {
            return Err(not_shared("it is a share that Windows makes for itself".to_owned()));
        }
    }
    // A share without a list of its own is one that everyone may read.
    let before = match &share.descriptor {
        Some(text) => decode(name, text)?,
        None => readable_by_everyone(),
    };
    let is_open = !matches!(before.dacl(), Dacl::List(_));
    let mut after = before.clone();
    let mut given = Vec::new();
    for (account, rights) in grants {
        if is_open || holds(&after, &account.sid, rights.mask()) {
            continue;
        }
        if *rights != Rights::Read && is_everybody(&account.sid) {
            return Err(not_shared(format!("{} stands for everybody", account.name)));
        }
        after = after
            .with_allow_ace(&account.sid, rights.mask(), AceFlags::THIS_OBJECT)
            .map_err(|error| not_shared(error.to_string()))?;
        if !after.grants(std::slice::from_ref(&account.sid), rights.mask()) {
            return Err(not_shared(format!("a denial for {} outweighs it", account.name)));
        }
        given.push(format!("{} {rights}", account.name));
    }
    if share.found && given.is_empty() {
        let note = if is_open {
            "the share has no list of rights: everybody has full control".to_owned()
        } else {
            "the share is so already".to_owned()
        };
        return Ok(Verdict::Unchanged { note, value: json!({ "name": name, "path": folder }) });
    }
    let before = share
        .found
        .then(|| share.descriptor.clone().unwrap_or_else(|| STANDARD.encode(before.encode())));
    Ok(Verdict::Change(Change {
        share: if share.found { share.name.clone() } else { name.to_owned() },
        path: folder.to_string(),
        before,
        after: Some(STANDARD.encode(after.encode())),
        grants: given,
    }))
}

/// What a new share has: Everyone may read (KB 181405 section 4, the default of Windows).
fn readable_by_everyone() -> SecurityDescriptor {
    let none = Acl::new(Vec::new()).expect("an empty list fits");
    SecurityDescriptor::new(Sid::administrators(), Sid::system(), none)
        .with_allow_ace(&Sid::everyone(), FileRights::READ_AND_EXECUTE, AceFlags::THIS_OBJECT)
        .expect("one entry fits")
}

/// Whether an account has the rights by an entry of its own.
fn holds(descriptor: &SecurityDescriptor, sid: &Sid, mask: u32) -> bool {
    let own = descriptor
        .aces()
        .iter()
        .filter(|ace| ace.kind() == AceKind::Allow && ace.sid().as_ref() == Some(sid))
        .fold(0, |all, ace| all | map_generic(ace.mask()));
    mask & !own == 0 && descriptor.grants(std::slice::from_ref(sid), mask)
}

/// Whether a SID stands for everybody who can reach the server.
fn is_everybody(sid: &Sid) -> bool {
    let anonymous = "S-1-5-7".parse().ok();
    [Sid::everyone(), Sid::users(), Sid::authenticated_users(), Sid::network()].contains(sid)
        || anonymous.as_ref() == Some(sid)
}

/// The verb that is left to do, or `None` when the share is as it will be.
fn next(change: &Change, now: &Found) -> Result<Option<&'static str>, StepFailure> {
    let name = &change.share;
    let drifted = || {
        StepFailure::new(
            FailureClass::Drifted,
            format!("could not change the share `{name}`: it has changed since it was looked at"),
        )
    };
    if !now.found {
        return match (&change.before, &change.after) {
            (_, None) => Ok(None),
            (None, Some(_)) if now.folder => Ok(Some("make")),
            (None, Some(_)) => {
                Err(refused(format!("could not share {}: there is no such folder", change.path)))
            }
            (Some(_), Some(_)) => Err(drifted()),
        };
    }
    let leads: Option<WindowsPath> = now.path.parse().ok();
    if leads != change.path.parse().ok() {
        return Err(drifted());
    }
    let present = match &now.descriptor {
        Some(text) => decode(name, text)?,
        None => readable_by_everyone(),
    };
    let is = |wanted: &Option<String>| match wanted {
        Some(text) => decode(name, text).map(|wanted| is_same(&present, &wanted)),
        None => Ok(false),
    };
    if is(&change.after)? {
        return Ok(None);
    }
    if !is(&change.before)? {
        return Err(drifted());
    }
    Ok(Some(if change.after.is_some() { "set" } else { "end" }))
}

#[cfg(test)]
#[path = "share/tests.rs"]
mod tests;
