//! Expressions in playbooks: compiled before anything runs, and their names looked up.

use std::collections::HashSet;

use super::source::Source;
use super::yaml::{Node, Span};
use crate::expression::{
    ExpressionError, Names, Problem, RESERVED, check_expression, check_template, is_template,
};

/// What can be read of `work`.
const WORK: &[&str] = &["package_ids", "packages", "rows", "count"];

/// The names that expressions of a play may use.
#[derive(Debug, Clone)]
pub(super) struct Known<'v> {
    /// Whether the play has `work`.
    pub(super) has_work: bool,
    /// Variables of the play and results that earlier tasks register.
    pub(super) own: HashSet<String>,
    /// Those of `own` that only have a value when the task before was done.
    pub(super) late: HashSet<String>,
    /// Whether the task has a `loop`, and so an `item`.
    pub(super) has_item: bool,
    /// Variables of any host; none when there is no inventory to ask.
    pub(super) hosts: Option<&'v HashSet<&'v str>>,
}

impl Known<'_> {
    /// Adds names that a task gives values to.
    pub(super) fn registers(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.late.insert(name.clone());
            self.own.insert(name);
        }
    }
}

/// Checks a bare expression, as `when` has it.
pub(super) fn expression(node: &Node<'_>, text: &str, known: &Known<'_>, source: &mut Source<'_>) {
    match check_expression(text) {
        Ok(names) => look_up(&names, node, text, known, source),
        Err(error) => report(&error, node, "an expression", source),
    }
}

/// Checks the templates in a text, if it has any; the answer says whether it has.
pub(super) fn template(
    node: &Node<'_>,
    text: &str,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> bool {
    if !is_template(text) {
        return false;
    }
    match check_template(text) {
        Ok(names) => look_up(&names, node, text, known, source),
        Err(error) => report(&error, node, "a template", source),
    }
    true
}

fn report(error: &ExpressionError, node: &Node<'_>, what: &str, source: &mut Source<'_>) {
    let (place, is_exact) = place(node, error, source);
    let at = match error.position() {
        Some((line, column)) if !is_exact => format!(" (line {line}, column {column} of the text)"),
        _ => String::new(),
    };
    let message = match &error.problem {
        Problem::TooMuch => "this text is too long for a template".to_owned(),
        problem => format!("this is not {what}: {problem}{at}"),
    };
    let help = match what {
        "an expression" => "expressions are Jinja's: `site == 'LON' and work.count > 0`",
        _ => "a template is Jinja's: `{{ name }}`; `{package}` with single braces is no template",
    };
    source.error("bad-expression", place, message).help(help);
}

/// Where in the file an error of an expression lies, and whether that is exact.
fn place(node: &Node<'_>, error: &ExpressionError, source: &Source<'_>) -> (Span, bool) {
    let whole = node.span;
    let exact = || {
        let range = error.at.as_ref()?;
        let raw = source.text().get(whole.start()..whole.end())?;
        let inside = match raw.find(&error.text) {
            Some(at) => at + range.start,
            // A text over several lines is indented in the file: its line is looked for alone.
            None => {
                let begin = error.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
                let line = error.text[begin..].lines().next().filter(|line| !line.is_empty())?;
                raw.find(line)? + (range.start - begin)
            }
        };
        let start = whole.start() + inside;
        Some(Span::new(start, start + range.len().max(1)))
    };
    exact().map_or((whole, false), |span| (span, true))
}

/// Reports names that are known to be nothing.
fn look_up(names: &Names, node: &Node<'_>, text: &str, known: &Known<'_>, source: &mut Source<'_>) {
    let guarded = ["is defined", "is not defined", "is undefined", "default("]
        .iter()
        .any(|words| text.contains(words));
    for path in &names.0 {
        let mut parts = path.split('.');
        let root = parts.next().unwrap_or(path);
        let span = name_place(node, root, source);
        if root == "work" {
            if !known.has_work {
                source
                    .error("no-work", span, "`work` is used in a play that has none")
                    .help("add `work: not_ready_packages` to the play");
            } else if let Some(part) = parts.next().filter(|part| !WORK.contains(part)) {
                source
                    .error("unknown-name", span, format!("`work` has no `{part}`"))
                    .nearest(part, WORK.iter().copied())
                    .expected(format!("one of {}", WORK.join(", ")));
            }
            continue;
        }
        if root == "item" && !known.has_item {
            source
                .error("no-item", span, "`item` is used in a task that has no `loop`")
                .help("write `loop: [a, b]` at the task, or give the variable another name");
            continue;
        }
        let Some(hosts) = known.hosts else { continue };
        if guarded || RESERVED.contains(&root) || known.own.contains(root) || hosts.contains(root) {
            continue;
        }
        let candidates = known.own.iter().map(String::as_str).chain(hosts.iter().copied());
        let mut candidates: Vec<&str> = candidates.chain(RESERVED.iter().copied()).collect();
        candidates.sort_unstable();
        source
            .warning(
                "unknown-variable",
                span,
                format!("no host and no play has a variable `{root}`"),
            )
            .nearest(root, candidates)
            .help(
                "set it in the inventory, in `vars` or with `-e`, or ask whether it `is defined`",
            );
    }
}

pub(super) fn name_place(node: &Node<'_>, name: &str, source: &Source<'_>) -> Span {
    let whole = node.span;
    let raw = source.text().get(whole.start()..whole.end()).unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let found = raw.match_indices(name).find(|(at, _)| {
        !raw[..*at].ends_with(is_part)
            && !raw[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    found.map_or(whole, |(at, _)| {
        let start = whole.start() + at;
        let rest = &raw[at..];
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        Span::new(start, start + length)
    })
}
