//! `fleetmend actions`: the registry's own documentation.

use std::fmt::Write;

use super::args::ActionsArgs;
use super::environment;
use super::error::Failure;
use super::output;
use crate::action::{self, ActionKind, ParamDoc, ParamKind, Replay};
use crate::event::RunResult;

/// Lists the actions, or describes one.
pub(super) fn actions(args: &ActionsArgs) -> Result<RunResult, Failure> {
    let text = match &args.name {
        None => list(),
        Some(name) => match action::find(name) {
            Some(action) => describe(action),
            None => return Err(unknown(name)),
        },
    };
    output::result(&text);
    Ok(RunResult::Done)
}

fn list() -> String {
    let paint = environment::paint_stdout();
    let mut text = String::new();
    for action in action::registry() {
        let name = format!("{:<20}", action.name());
        let _infallible = writeln!(text, "{} {}", paint.strong(&name), action.summary());
    }
    text.push_str("\nOne in full:  fleetmend actions NAME\n");
    text
}

fn describe(action: &dyn ActionKind) -> String {
    let paint = environment::paint_stdout();
    let mut text = format!("{}  {}\n\n", paint.strong(action.name()), action.summary());
    let _infallible = write!(text, "{}\n\n{}\n", action.doc().trim(), paint.strong("parameters"));
    params(&mut text, action.params(), 2);
    if let Some(scalar) = action.scalar() {
        let _infallible = writeln!(text, "  A plain value stands for `{scalar}`.");
    }
    if let Some((heading, lines)) = action.topics().split_once('\n') {
        let _infallible = write!(text, "\n{}\n", paint.strong(heading));
        for line in lines.lines() {
            let _infallible = writeln!(text, "  {line}");
        }
    }
    let _infallible = write!(text, "\n{}\n", paint.strong("example"));
    for line in action.example().trim_end().lines() {
        let _infallible = writeln!(text, "  {line}");
    }
    let after_crash = match action.replay() {
        Replay::Safe => "the host is read again and the action decides anew",
        Replay::Ask => {
            "the step is marked unknown, and the operator says: resume --retry or --accept"
        }
    };
    let _infallible = writeln!(text, "\n{}  {after_crash}", paint.strong("after a crash"));
    text
}

fn params(text: &mut String, docs: &[ParamDoc], indent: usize) {
    if docs.is_empty() {
        let _infallible = writeln!(text, "{:indent$}none", "");
    }
    for doc in docs {
        let required = if doc.required { "required" } else { "optional" };
        let _infallible = writeln!(
            text,
            "{:indent$}{:<14} {required}; {}. {}",
            "",
            doc.name,
            doc.kind.expected(),
            doc.doc
        );
        if let ParamKind::Map(keys) = doc.kind {
            params(text, keys, indent + 4);
        }
    }
}

fn unknown(name: &str) -> Failure {
    let nearest = action::registry()
        .iter()
        .map(|action| (strsim::jaro_winkler(action.name(), name), action.name()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7);
    let failure = Failure::input(format!("there is no action `{name}`"));
    match nearest {
        Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure.hint("`fleetmend actions` lists them all"),
    }
}
