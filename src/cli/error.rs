//! What the program says when it cannot do what was asked, with advice.

use std::fmt::Write;

use crate::report::{Paint, clean};

/// The known name that is most like what was typed, where one is like it at all.
pub(super) fn nearest<'n>(
    typed: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(name, typed), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, name)| name)
}

/// Why a command ended, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// A file or an argument is wrong: exit code 7.
    Input,
    /// The operator stopped it: exit code 6.
    Stopped,
    /// The change window is closed: exit code 5.
    WindowClosed,
    /// A mistake of this program or of its machine: exit code 70.
    Internal,
}

/// A command could not do what was asked. Library errors become one of these here, and only here
/// is advice added.
#[derive(Debug)]
pub(super) struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// What was attempted on what.
    pub message: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A mistake in a file or an argument.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Input, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// A mistake of ours, or of the machine that we run on.
    pub(super) fn internal(
        message: impl Into<String>,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self {
            kind: FailureKind::Internal,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
        .because(error)
    }

    /// Adds an error and its sources as causes.
    #[must_use]
    pub(super) fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        self.causes.extend(chain.map(ToString::to_string));
        self
    }

    /// Adds advice.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Input => 7,
            FailureKind::Stopped => 6,
            FailureKind::WindowClosed => 5,
            FailureKind::Internal => 70,
        }
    }

    /// The text for standard error.
    pub(super) fn render(&self, paint: Paint) -> String {
        let mut text = format!("{} {}\n", paint.bad("error:"), clean(&self.message));
        for cause in &self.causes {
            let _infallible = writeln!(text, "  caused by: {}", clean(cause));
        }
        if let Some(hint) = &self.hint {
            let _infallible = writeln!(text, "{} {}", paint.strong("hint:"), clean(hint));
        }
        text
    }
}
