//! `cmdb_repair`: guarded changes of rows in the CMDB.

mod decide;
mod exchange;
mod origin;
mod params;
mod rows;
mod sight;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use self::exchange::{Change, Exchange};
use self::params::{Params, RepairKind};
use self::sight::State;
use super::cmdb_backup::shown;
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::repair_statements::Bound;
use crate::host::{Changer, Reader};
use crate::model::{Cost, Draw, LimitName, StepFailure};
use crate::transport::SqlParameter;

const NAME: &str = "cmdb_repair";

/// How much of a statement a line shows; the whole text is in the journal.
const LONGEST_TEXT: usize = 2000;
/// How many parameters a line shows.
const SHOWN_PARAMETERS: usize = 12;

/// The action.
pub(super) struct CmdbRepair;

#[async_trait]
impl Action for CmdbRepair {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "Changes rows of the CMDB in one transaction, with a copy of them.";
    const DOC: &'static str = "\
Repairs one of the tables of KB 181405, for the packages and servers that are named:

- `delete_codebases`: deletes rows of SWDPackageCodebase (section 2). The scheduled tasks
  and the package servers make them anew.
- `delete_package_status`: deletes rows of SWDPackageServer (section 2, \"normally not
  needed\").
- `remove_duplicates`: of rows of SWDPackageServer that are the same in every column, one
  stays (Additional Queries). Rows of one pair that differ are refused.
- `set_origin`: makes packages this server's own (section 1). Both of the article's ways
  must agree on the local identifier, the operator names the servers that have left the
  hierarchy, and none of them may be one of the inventory's `parent_servers`.

One transaction on a connection of its own, with XACT_ABORT and LOCK_TIMEOUT: looks at the
rows and holds them, compares them with those that were planned with, copies them to
`fleetmend.fleetmend_backup_<date>_<run>_<step>`, changes them, counts both, looks again,
commits. If the answer to COMMIT is lost, the copy proves it. At most 20,000 rows.

Before that, a full backup within `backup_within` must be in msdb. The whole of a table
needs `all: true` and the sentence in `typed`; nothing is ever truncated.
`purge_backup: NAME` drops a copy; nothing else does.

Rights: a login of its own, the `writer_credential` of the inventory's `cmdb`; docs/cmdb.md
has its GRANT lines and every statement.

Undo: puts the rows back from the copy, if the table is as this left it; refuses if rows
changed since. The copy stays. A dropped copy cannot be brought back.";
    const EXAMPLE: &'static str = "\
- name: Remove the duplicates of a package
  cmdb_repair:
    repair: remove_duplicates
    packages: ['{0562094A-ECBE-4617-9253-5E7FFB5E00C4}']
    expect: { max: 50 }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "repair",
            kind: ParamKind::OneOf(RepairKind::NAMES),
            required: false,
            doc: "What is repaired; this or `purge_backup`.",
        },
        ParamDoc {
            name: "packages",
            kind: ParamKind::Guids,
            required: false,
            doc: "The packages whose rows are meant; an empty list means none, and nothing is done.",
        },
        ParamDoc {
            name: "servers",
            kind: ParamKind::Guids,
            required: false,
            doc: "The package servers whose rows are meant; all when not given, none when empty.",
        },
        ParamDoc {
            name: "expect",
            kind: ParamKind::Map(&[ParamDoc {
                name: "max",
                kind: ParamKind::Count,
                required: true,
                doc: "The most rows that may be deleted or changed.",
            }]),
            required: false,
            doc: "What the operator reckons with; every repair needs it.",
        },
        ParamDoc {
            name: "all",
            kind: ParamKind::Bool,
            required: false,
            doc: "Means the whole table; needs `typed`, and no packages or servers.",
        },
        ParamDoc {
            name: "typed",
            kind: ParamKind::Text,
            required: false,
            doc: "The sentence that confirms `all`: `DELETE ALL ROWS OF SWDPackageCodebase`, for one.",
        },
        ParamDoc {
            name: "backup_within",
            kind: ParamKind::Span,
            required: false,
            doc: "How old the last full backup may be; 24 h when not given.",
        },
        ParamDoc {
            name: "attest_unused_package_setting",
            kind: ParamKind::Bool,
            required: false,
            doc: "Says that the setting for unused package files was seen to be 1 Week; deletions need it.",
        },
        ParamDoc {
            name: "owner_guid",
            kind: ParamKind::Text,
            required: false,
            doc: "The OwnerNSGuid of CoreSettings.config; `set_origin` needs it.",
        },
        ParamDoc {
            name: "left_hierarchy",
            kind: ParamKind::Guids,
            required: false,
            doc: "The servers that are no parent of this one any more, for `set_origin`.",
        },
        ParamDoc {
            name: "live_parents",
            kind: ParamKind::Guids,
            required: false,
            doc: "The servers that are known to be a parent: their packages are refused.",
        },
        ParamDoc {
            name: "purge_backup",
            kind: ParamKind::Text,
            required: false,
            doc: "The name of a backup table that is dropped, instead of a repair.",
        },
    ];
    const REPLAY: Replay = Replay::Safe;

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        sight::look(params, at).await
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        decide::decide(params, state)
    }

    fn cost(_: &Change) -> Cost {
        Cost::none().and(LimitName::new(LimitName::CMDB), Draw { now: 1, later: 0 })
    }

    fn describe(change: &Change) -> Vec<String> {
        match change {
            Change::Purge { backup } => vec![format!("drop {}", backup.table().quoted())],
            Change::Repair(exchange) => {
                let mut lines = vec![
                    summary(exchange),
                    format!(
                        "checked at {}: {}",
                        exchange.checked.at,
                        shown(&exchange.checked.backup)
                    ),
                ];
                lines.extend(
                    exchange.checked.attested.iter().map(|said| format!("attested: {said}")),
                );
                lines.extend(exchange.statements.iter().flat_map(statement_lines));
                lines
            }
            Change::Restore(exchange) => {
                let count = exchange.rows.touched();
                let mut lines = vec![format!(
                    "put {count} rows of {} back from {}",
                    exchange.look.from.quoted(),
                    exchange.backup.table().quoted()
                )];
                lines.extend(exchange.put_back.iter().flat_map(statement_lines));
                lines
            }
        }
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        match change {
            Change::Repair(exchange) => exchange::repair(exchange, at).await,
            Change::Restore(exchange) => exchange::restore(exchange, at).await,
            Change::Purge { backup } => exchange::purge(backup, at).await,
        }
    }

    fn invert(change: &Change) -> Undo {
        match change {
            Change::Repair(exchange) => {
                match serde_json::to_value(Change::Restore(exchange.clone())) {
                    Ok(restore) => Undo::With(restore),
                    Err(error) => Undo::Impossible(error.to_string()),
                }
            }
            Change::Restore(_) => {
                Undo::Impossible("the repair is made again by running its playbook".to_owned())
            }
            Change::Purge { .. } => {
                Undo::Impossible("a dropped backup table cannot be brought back".to_owned())
            }
        }
    }
}

fn summary(exchange: &Exchange) -> String {
    let (count, table) = (exchange.rows.touched(), exchange.look.from.quoted());
    let what = match exchange.repair {
        RepairKind::DeleteCodebases | RepairKind::DeletePackageStatus => "delete",
        RepairKind::RemoveDuplicates => "remove as duplicates",
        RepairKind::SetOrigin => "set the origin of",
    };
    let backup = exchange.backup.table().quoted();
    format!("{what} {count} rows of {table}, copied to {backup} in the same transaction")
}

/// A statement in one line, and its parameters in another.
fn statement_lines((statement, parameters): &Bound) -> [String; 2] {
    let mut text = statement.text.replace('\n', " ");
    if text.chars().count() > LONGEST_TEXT {
        let head: String = text.chars().take(LONGEST_TEXT / 2).collect();
        let skipped = text.chars().count() - LONGEST_TEXT;
        let tail: String = text.chars().skip(LONGEST_TEXT / 2 + skipped).collect();
        text = format!("{head} … {tail}");
    }
    let show = |(number, value): (usize, &SqlParameter)| {
        let value = match value {
            SqlParameter::Guid(guid) => guid.to_string(),
            SqlParameter::Text(text) => format!("{text:?}"),
            SqlParameter::Integer(value) => value.to_string(),
        };
        format!("@P{number} = {value}")
    };
    let mut list: Vec<String> = (1..).zip(parameters).map(show).collect();
    if list.len() > SHOWN_PARAMETERS {
        let skipped = list.len() - SHOWN_PARAMETERS;
        list.splice(
            SHOWN_PARAMETERS / 2..SHOWN_PARAMETERS / 2 + skipped,
            [format!("… {skipped} more")],
        );
    }
    let list = if list.is_empty() { "no parameters".to_owned() } else { list.join(", ") };
    [text, list]
}
