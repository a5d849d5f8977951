//! The keys of a task that say how it runs: for which items, how often, where, and for which tags.

use std::time::Duration;

use serde_json::Value;

use super::LoadedInventory;
use super::fields::{self, Ambiguity};
use super::source::Source;
use super::task;
use super::tasks::{Inherited, Reading, Shared};
use super::templates::{self, Known};
use super::yaml::{Entry, Kind, Node, Span};
use crate::action::{ActionKind, Replay};
use crate::expression::{check_template, is_template};
use crate::model::{HostName, Retry, Task, parse_span};

/// The most often that a task may be repeated.
const MAX_RETRIES: u32 = 10_000;
/// What a `pause` may take beyond the time that it is for, in the world's time.
const PAUSE_MARGIN: Duration = Duration::from_secs(60);
/// Names whose values are only known while the run goes on.
const LATE: &[&str] = &["work", "item", "failure"];

/// One tag or several.
pub(super) fn tags(node: &Node<'_>, source: &mut Source<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for item in fields::one_or_more(node) {
        let Some(tag) = fields::text(item, "a tag, or a list of them", source) else { continue };
        let is_word = tag.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if is_word {
            tags.push(tag);
        } else {
            source
                .error("bad-name", item.span, format!("`{tag}` cannot be a tag"))
                .expected("letters, digits, `_`, `-` and `.`; several tags are a list");
        }
    }
    tags
}

/// The items of a loop: a list, or a template that makes one.
pub(super) fn each(node: &Node<'_>, known: &Known<'_>, source: &mut Source<'_>) -> Option<Value> {
    match &node.kind {
        Kind::Scalar(scalar) if templates::template(node, &scalar.text, known, source) => {
            Some(Value::String(scalar.text.clone().into_owned()))
        }
        Kind::List(items) if !items.is_empty() => {
            items.iter().for_each(|item| check_templates(item, known, source));
            Some(fields::value(node, Ambiguity::Refuse, source))
        }
        _ => {
            fields::mismatch(node, "a list, or a template that makes one", source);
            None
        }
    }
}

/// Checks the templates in all texts below a node.
pub(super) fn check_templates(node: &Node<'_>, known: &Known<'_>, source: &mut Source<'_>) {
    match &node.kind {
        Kind::Scalar(scalar) => {
            templates::template(node, &scalar.text, known, source);
        }
        Kind::Broken => {}
        Kind::List(items) => items.iter().for_each(|item| check_templates(item, known, source)),
        Kind::Map(entries) => {
            entries.iter().for_each(|entry| check_templates(&entry.value, known, source));
        }
    }
}

/// `until`, `retries` and `delay`.
pub(super) fn retry(
    entries: &[Entry<'_>],
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Option<Retry> {
    let get = |key| fields::get(entries, key);
    if ["until", "retries", "delay"].into_iter().all(|key| get(key).is_none()) {
        return None;
    }
    if let Some(node) = get("until").filter(|_| get("register").is_none()) {
        source
            .error("until-without-register", node.span, "`until` has no result to look at")
            .help("write `register: result` beside it, and use `result` in the expression");
    }
    let until = get("until").and_then(|node| task::condition(node, known, source));
    let retries = get("retries").and_then(|node| fields::whole(node, 1, MAX_RETRIES, source));
    let delay = get("delay").and_then(|node| fields::span_of_time(node, source));
    Some(Retry {
        until,
        retries: retries.unwrap_or(Retry::DEFAULT_RETRIES),
        delay: delay.unwrap_or(Retry::DEFAULT_DELAY),
    })
}

/// The host that a task acts on.
pub(super) fn delegate(
    node: &Node<'_>,
    known: &Known<'_>,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) -> Option<String> {
    let text = fields::text(node, "a host of the inventory", source)?;
    if is_template(&text) {
        templates::template(node, &text, &Known { has_work: true, ..known.clone() }, source);
        let names = check_template(&text).ok()?;
        for root in names.roots() {
            if LATE.contains(&root) || known.late.contains(root) {
                let at = templates::name_place(node, root, source);
                source
                    .error(
                        "late-name",
                        at,
                        format!("`{root}` is not known before the run begins"),
                    )
                    .help(
                        "the hosts that a run may touch are held before it begins: use variables of\n\
                         the inventory, of the play or of `-e`",
                    );
            }
        }
        return Some(text);
    }
    if let Some(loaded) = inventory
        && loaded.inventory.host(&HostName::new(text.as_str())).is_none()
    {
        let hosts: Vec<HostName> = loaded.inventory.host_names().cloned().collect();
        source
            .error("unknown-hosts", node.span, format!("the inventory has no host `{text}`"))
            .nearest(&text, hosts.iter().map(HostName::as_str))
            .help("a task is delegated to one host, which must be in the inventory");
    }
    Some(text)
}

/// How long a call may take by what its parameters say, when its task has no `within`.
pub(super) fn patience(params: &Value, action: &dyn ActionKind) -> Option<Duration> {
    let span = params.get("for").filter(|_| action.is_idle())?;
    parse_span(span.as_str()?).ok().map(|span| span + PAUSE_MARGIN)
}

/// Refuses what does not go together.
pub(super) fn check(
    task: &Task,
    action: &dyn ActionKind,
    entries: &[Entry<'_>],
    inherited: &Inherited,
    reading: &Reading<'_>,
    source: &mut Source<'_>,
) {
    let place = |key: &str| entries.iter().find(|entry| entry.key == key).map(|e| e.key_span);
    let name = action.name();
    let is_plain_verb = action.is_once() || action.is_idle() || action.is_open();
    if is_plain_verb {
        for key in ["loop", "until", "retries", "delay"] {
            if let Some(at) = place(key) {
                source
                    .error("not-repeated", at, format!("`{name}` is not repeated"))
                    .help(format!("leave out `{key}`"));
            }
        }
    }
    if let Some(at) = place("ignore_errors").filter(|_| action.is_once()) {
        source
            .error("not-ignored", at, format!("that `{name}` is not answered cannot be ignored"))
            .help("leave out `ignore_errors`; use `when` to ask only where it is needed");
    }
    if let Some(at) = place("delegate_to").filter(|_| !action.needs_host()) {
        source
            .error("nothing-to-delegate", at, format!("`{name}` acts on no host"))
            .help("leave out `delegate_to`");
    }
    if let Some(at) = place("check").filter(|_| task.flow.only_checks && !action.needs_host()) {
        source
            .error("nothing-to-check", at, format!("`{name}` changes no host"))
            .help("leave out `check`");
    }
    if let Some(at) = place("run_once").filter(|_| task.flow.run_once && inherited.is_rescued) {
        source
            .error("run-once-in-rescue", at, "a task that runs once cannot be rescued")
            .help("when it fails for one host it fails for all: write it before the block");
    }
    if let Some(at) = place("retries").or_else(|| place("until"))
        && action.replay() == Replay::Ask
    {
        source
            .warning(
                "retries-before-change",
                at,
                format!("`{name}` is not safe to repeat once it has changed something"),
            )
            .help("Ansible repeats whatever failed; here only attempts that changed nothing are");
    }
    if let Some(at) = place("notify").filter(|_| !action.needs_host() || task.flow.only_checks) {
        let verb = format!("`{name}`");
        let what = if action.needs_host() { "a task that only reads" } else { &verb };
        source
            .error("nothing-to-notify", at, format!("{what} never changes a host"))
            .help("a handler runs where a task changed something: leave out `notify`");
    }
    if reading.is_in_handlers {
        refuse_in_handler(action, &place, source);
    }
}

/// Refuses what a handler cannot say.
fn refuse_in_handler(
    action: &dyn ActionKind,
    place: &dyn Fn(&str) -> Option<Span>,
    source: &mut Source<'_>,
) {
    let reasons = [
        (
            "notify",
            "handlers run in the order in which they are written: write the other one after it",
        ),
        ("tags", "a handler runs wherever a task that notifies it changed something"),
        (
            "run_once",
            "each host runs the handlers that it owes: write the task into a play after this",
        ),
    ];
    for (key, why) in reasons {
        if let Some(at) = place(key) {
            source
                .error("not-in-a-handler", at, format!("`{key}` has no meaning at a handler"))
                .help(why);
        }
    }
    if let Some(at) = place(action.name()).filter(|_| action.is_once()) {
        source
            .error("not-in-a-handler", at, format!("`{}` cannot be a handler", action.name()))
            .help("write it among the tasks");
    }
}

/// Checks a confirmation's name: a plain word, given once.
pub(super) fn confirm(
    question: &Node<'_>,
    task: &Task,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    let Kind::Map(entries) = &question.kind else { return };
    let Some(node) = fields::get(entries, "name") else { return };
    let Some(name) = task.action.params.get("name").and_then(Value::as_str) else { return };
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !is_word {
        source
            .error("bad-name", node.span, format!("`{name}` cannot name a confirmation"))
            .expected("a word that `--approve` can name: letters, digits, `_`, `-` and `.`");
    } else if !shared.confirms.insert(name.to_owned()) {
        source
            .error("confirm-twice", node.span, format!("there is a confirmation `{name}` already"))
            .help("give each a name of its own: `--approve` names one");
    } else if shared.gates.contains(name) {
        source
            .error("confirm-twice", node.span, format!("there is a gate `{name}` already"))
            .help("give each a name of its own: `--approve` names one");
    }
}
