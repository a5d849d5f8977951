//! `read_setting`: the value of a setting of the Notification Server.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader, Role};
use crate::itms::core_settings::read_setting;
use crate::model::{Cost, FailureClass, StepFailure, WindowsPath};

/// The file, and the most of it that is read.
const FILE: &str = "CoreSettings.config";
const LARGEST: u64 = 16 << 20;

/// The action.
pub(super) struct ReadSetting;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: Setting,
}

/// A setting that may be read: others could be secrets.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Setting {
    #[serde(rename = "OwnerNSGuid")]
    Owner,
    #[serde(rename = "MaxConcurrentPackageInfoRequest")]
    PackageInfoLimit,
}

impl Setting {
    const NAMES: &'static [&'static str] = &["OwnerNSGuid", "MaxConcurrentPackageInfoRequest"];

    fn name(self) -> &'static str {
        match self {
            Self::Owner => Self::NAMES[0],
            Self::PackageInfoLimit => Self::NAMES[1],
        }
    }
}

/// What the file says.
#[derive(Debug)]
pub(super) struct State {
    path: WindowsPath,
    value: Option<String>,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for ReadSetting {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "read_setting";
    const SUMMARY: &'static str = "Reads a setting of the Notification Server.";
    const DOC: &'static str = "\
Reads one value of `CoreSettings.config` and keeps it as the step's value: `name`, `value` (null
when it is not set), `path`.

- `OwnerNSGuid`: the server's own identity, to be compared with the CMDB's (KB 181405).
- `MaxConcurrentPackageInfoRequest`: how many requests for sources of packages it serves at
  once. When agents report `Server is busy`, KB 181405 raises it; that is done in the product's
  own editor, `NSConfigurator.exe`, and never by this program.

No other setting is read: the file holds secrets.

Rights: reading the folder of the settings over SMB; WinRM to find it. Undo: nothing.
";
    const EXAMPLE: &'static str = "\
- name: Read how many requests the server takes at once
  read_setting: { name: MaxConcurrentPackageInfoRequest }
  register: limit
";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "name",
        kind: ParamKind::OneOf(Setting::NAMES),
        required: true,
        doc: "The setting.",
    }];
    const SCALAR: Option<&'static str> = Some("name");
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let root = at.root(Role::NsSettings).await?;
        let file = at.fence().to_read(&root, FILE).await?;
        let path = file.path().clone();
        if file.metadata().is_none() {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!("could not read {path}: it is not there"),
            ));
        }
        let bytes = at.files().read(&path, LARGEST).await?;
        let value = read_setting(&bytes, params.name.name()).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::RemoteFault,
                format!("could not understand {path}"),
                &error,
            )
        })?;
        Ok(State { path, value })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let name = params.name.name();
        let note = match &state.value {
            Some(value) => format!("{name} is {}", value.chars().take(80).collect::<String>()),
            None => format!("{name} is not set"),
        };
        let value = json!({ "name": name, "value": state.value, "path": state.path });
        Verdict::Unchanged { note, value }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::action::{Decision, find};
    use crate::host::memory::{MemoryHost, reader};

    const PATH: &str = "C:\\ProgramData\\Symantec\\SMP\\Settings\\CoreSettings.config";

    async fn read(content: Option<&str>, name: &str) -> Result<(String, Value), StepFailure> {
        let host = MemoryHost::package_server();
        host.folder("C:\\ProgramData\\Symantec\\SMP\\Settings");
        if let Some(content) = content {
            host.write(PATH, content);
        }
        let session = host.session(1);
        let at = reader(&session);
        let prepared = find("read_setting").expect("it is there").prepare(json!(name));
        match prepared.expect("parameters").decide(&at).await? {
            Decision::Unchanged { note, value } => Ok((note, value)),
            other => panic!("it changes: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_value_is_shown_with_the_file_it_stands_in() {
        let text = "<c><s key='MaxConcurrentPackageInfoRequests' value='20'/></c>";

        let (note, value) =
            read(Some(text), "MaxConcurrentPackageInfoRequest").await.expect("read");

        assert_eq!(note, "MaxConcurrentPackageInfoRequest is 20");
        assert_eq!((&value["value"], &value["path"]), (&json!("20"), &json!(PATH)));
        let (note, _) = read(Some("<c/>"), "OwnerNSGuid").await.expect("read");
        assert_eq!(note, "OwnerNSGuid is not set");
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_broken_is_no_missing_setting() {
        assert!(read(None, "OwnerNSGuid").await.is_err());
        let failure = read(Some("<c>"), "OwnerNSGuid").await.expect_err("broken");
        assert_eq!(failure.class, FailureClass::RemoteFault);
    }

    #[test]
    fn a_setting_that_could_be_a_secret_is_not_read() {
        let action = find("read_setting").expect("it is there");
        for name in ["AppIdentityPassword", "ownernsguid", ""] {
            assert!(action.prepare(json!({ "name": name })).is_err(), "{name}");
        }
    }
}
