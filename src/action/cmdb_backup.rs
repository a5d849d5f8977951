//! `cmdb_backup`: whether the CMDB has a full backup that is recent enough.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::cmdb_tables::{FullBackup, last_full_backup};
use crate::host::{Changer, Reader};
use crate::model::{Cost, Draw, FailureClass, LimitName, StepFailure, format_span, parse_span};

/// How old a backup may be when nothing is said.
pub(super) const DEFAULT_AGE: Duration = Duration::from_secs(24 * 3600);

/// The action.
pub(super) struct CmdbBackup;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    backup_within: Option<String>,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

#[async_trait]
impl Action for CmdbBackup {
    type Params = Params;
    type State = Option<FullBackup>;
    type Change = Change;

    const NAME: &'static str = "cmdb_backup";
    const SUMMARY: &'static str = "Requires a recent full backup of the CMDB.";
    const DOC: &'static str = "\
Reads from `msdb.dbo.backupset` when the CMDB was last backed up in full, and fails the
step when that was longer ago than `backup_within`, or never. Ages are told by the SQL
Server, between two of its own times. The step's value holds `name`, `finished` and
`age_minutes`.

It makes no backup: that is the database administrator's, who decides where it goes. A
backup beside the usual chain is `BACKUP DATABASE [Symantec_CMDB] TO DISK = N'…' WITH
COPY_ONLY, CHECKSUM` (KB 181405, sections 2 and 4, ask for one before any change).

Rights: reading `msdb.dbo.backupset`; see docs/cmdb.md. Undo: nothing.";
    const EXAMPLE: &'static str = "\
- name: Require last night's backup
  cmdb_backup: { backup_within: 24 h }
  register: backup";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "backup_within",
        kind: ParamKind::Span,
        required: false,
        doc: "How old the backup may be; 24 h when not given.",
    }];
    const SCALAR: Option<&'static str> = Some("backup_within");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 60;

    fn probe_cost(_: &Params) -> Cost {
        Cost::none().and(LimitName::new(LimitName::CMDB), Draw { now: 1, later: 0 })
    }

    async fn probe(_: &Params, at: &Reader<'_>) -> Result<Option<FullBackup>, StepFailure> {
        last_full_backup(at).await
    }

    fn decide(params: &Params, state: &Option<FullBackup>) -> Verdict<Change> {
        let checked = allowed_age(params.backup_within.as_deref())
            .and_then(|age| recent(state.as_ref(), age));
        match checked {
            Ok(backup) => Verdict::Unchanged { note: shown(backup), value: value(backup) },
            Err(failure) => Verdict::Refuse(failure),
        }
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

/// The age that a parameter says.
pub(super) fn allowed_age(text: Option<&str>) -> Result<Duration, StepFailure> {
    text.map_or(Ok(DEFAULT_AGE), |text| {
        parse_span(text).map_err(|error| StepFailure::from_error(FailureClass::Refused, &error))
    })
}

/// The backup, if there is one that is recent enough.
pub(super) fn recent(
    backup: Option<&FullBackup>,
    allowed: Duration,
) -> Result<&FullBackup, StepFailure> {
    let refuse = |what: String| {
        let text = format!(
            "{what}; a database administrator makes one by BACKUP DATABASE … WITH COPY_ONLY, CHECKSUM"
        );
        StepFailure::new(FailureClass::Refused, text)
    };
    let backup =
        backup.ok_or_else(|| refuse("msdb knows no full backup of the CMDB".to_owned()))?;
    if age(backup) > allowed {
        let allowed = format_span(allowed);
        return Err(refuse(format!("{}, and {allowed} are allowed", shown(backup))));
    }
    Ok(backup)
}

fn age(backup: &FullBackup) -> Duration {
    Duration::from_secs(backup.age_minutes.saturating_mul(60))
}

/// A backup in a few words.
pub(super) fn shown(backup: &FullBackup) -> String {
    let name = backup.name.as_deref().map_or_else(String::new, |name| format!(" {name:?}"));
    format!("the last full backup{name} of the CMDB ended {} ago", format_span(age(backup)))
}

fn value(backup: &FullBackup) -> Value {
    json!({
        "name": backup.name,
        "finished": backup.finished.to_string(),
        "age_minutes": backup.age_minutes,
        "is_copy_only": backup.is_copy_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(age_minutes: u64) -> FullBackup {
        FullBackup {
            name: Some("nightly".to_owned()),
            finished: "2026-11-20T02:00:00Z".parse().unwrap(),
            age_minutes,
            is_copy_only: false,
        }
    }

    fn decide(within: Option<&str>, state: Option<FullBackup>) -> Verdict<Change> {
        let params = Params { backup_within: within.map(str::to_owned) };
        CmdbBackup::decide(&params, &state)
    }

    #[test]
    fn a_backup_counts_up_to_its_age_and_no_longer() {
        let Verdict::Unchanged { note, value } = decide(None, Some(backup(24 * 60))) else {
            panic!("it is recent");
        };
        assert!(note.contains("\"nightly\"") && value["age_minutes"] == 1440, "{note} {value}");

        for (within, state) in [
            (None, Some(backup(24 * 60 + 1))),
            (Some("2 h"), Some(backup(121))),
            (Some("2 h"), None),
            (Some("soon"), Some(backup(1))),
        ] {
            let verdict = decide(within, state);
            assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
        }
    }
}
