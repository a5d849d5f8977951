//! Actions that have parameters and do nothing.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::action::{
    self, ActionKind, Applied, ParamDoc, ParamKind, ParamsError, Prepared, Replay,
};
use crate::event::ChangeRecord;
use crate::host::Changer;
use crate::model::{Cost, FailureClass, StepFailure};

/// An action that knows only what it is called and what it takes.
struct Double {
    name: &'static str,
    scalar: Option<&'static str>,
    params: &'static [ParamDoc],
}

#[async_trait]
impl ActionKind for Double {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        ""
    }

    fn doc(&self) -> &'static str {
        ""
    }

    fn example(&self) -> &'static str {
        ""
    }

    fn params(&self) -> &'static [ParamDoc] {
        self.params
    }

    fn scalar(&self) -> Option<&'static str> {
        self.scalar
    }

    fn replay(&self) -> Replay {
        Replay::Safe
    }

    fn within(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn prepare(&self, _: Value) -> Result<Box<dyn Prepared>, ParamsError> {
        Err(ParamsError { action: self.name, reason: "a double does nothing".to_owned() })
    }

    async fn apply(&self, _: &Value, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        Err(StepFailure::new(FailureClass::Bug, "a double does nothing"))
    }

    fn record(&self, _: &Value) -> Result<(ChangeRecord, Cost), StepFailure> {
        Err(StepFailure::new(FailureClass::Bug, "a double does nothing"))
    }
}

const fn param(name: &'static str, kind: ParamKind, required: bool, doc: &'static str) -> ParamDoc {
    ParamDoc { name, kind, required, doc }
}

const ROLES: ParamKind =
    ParamKind::OneOf(&["ps_delivery", "ps_status", "ps_policies", "ns_snapshots"]);
const EXPECT: ParamKind =
    ParamKind::Map(&[param("max", ParamKind::Count, true, "The most files that may match.")]);

/// The doubles, and the real verbs that act on no host.
pub(super) fn actions() -> Vec<&'static dyn ActionKind> {
    let real = action::registry().iter().filter(|action| !action.needs_host());
    DOUBLES.iter().chain(real).copied().collect()
}

pub(super) const DOUBLES: &[&dyn ActionKind] = &[
    &Double {
        name: "acl",
        scalar: None,
        params: &[
            param("role", ROLES, true, "The root."),
            param("account", ParamKind::Text, true, "The account."),
            param(
                "rights",
                ParamKind::OneOf(&["full_control", "modify", "read"]),
                true,
                "The rights.",
            ),
        ],
    },
    &Double {
        name: "agent",
        scalar: Some("do"),
        params: &[param(
            "do",
            ParamKind::OneOf(&["update_configuration", "resend_package_status"]),
            true,
            "What the agent does.",
        )],
    },
    &Double {
        name: "quarantine_files",
        scalar: None,
        params: &[
            param("role", ROLES, true, "The root."),
            param("files", ParamKind::Texts, true, "The files, with `{package}` for the GUID."),
            param("packages", ParamKind::Guids, true, "The packages whose files are moved."),
            param("expect", EXPECT, true, "How many matches are no surprise."),
        ],
    },
    &Double {
        name: "scheduled_task",
        scalar: None,
        params: &[param("run", ParamKind::Text, true, "The beginning of the task's name.")],
    },
    &Double {
        name: "wait_until",
        scalar: None,
        params: &[
            param("files", ParamKind::Guids, true, "The packages to wait for."),
            param("role", ROLES, true, "The root."),
            param("newer_than", ParamKind::OneOf(&["quarantined", "start"]), false, "How new."),
            param("within", ParamKind::Span, true, "How long to wait."),
        ],
    },
];
