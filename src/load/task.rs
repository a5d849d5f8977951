//! One task: its action, and the few words around it.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use super::fields::{self, Keys};
use super::source::{Source, nearest};
use super::tasks::{Inherited, Reading};
use super::templates::{self, Known};
use super::yaml::{Entry, Kind, Node};
use super::{LoadedInventory, flow, handlers, params, scalar};
use crate::action::ActionKind;
use crate::expression::{RESERVED, is_template};
use crate::model::{ActionCall, Causes, Cost, Draw, HandlerSet, LimitName, Task, TaskFlow, TaskId};

/// How late load may fall due.
const LATEST: Duration = Duration::from_secs(7 * 86_400);

pub(super) const TASK: Keys = Keys {
    what: "a task",
    known: &[
        "name",
        "when",
        "register",
        "tags",
        "ignore_errors",
        "loop",
        "until",
        "retries",
        "delay",
        "run_once",
        "delegate_to",
        "check",
        "notify",
        "uses",
        "causes",
        "within",
    ],
    later: &[
        ("check_mode", "write `check: true` at the task, or run the playbook with `--check`"),
        ("vars", "put the variables into the `vars` of the play, or into a `set_fact` before"),
        ("throttle", "the play has a `throttle`, and limits hold for all hosts together"),
        ("loop_control", "the item is known as `item`"),
    ],
    foreign: &[
        ("timeout", "write `within: 15 min`"),
        ("listen", "it is a key of a handler: those stand under `handlers` of the play"),
        ("changed_when", "an action knows itself whether it changed something"),
        ("failed_when", "write an `assert` after it, over what it registers"),
        ("with_items", "write `loop`"),
        ("import_tasks", "write `include_tasks`: it is read when the playbook is loaded"),
        ("any_errors_fatal", "write `max_fail_percentage: 0` at the play"),
        ("become", "the credential says as whom fleetmend logs on"),
        ("no_log", "secrets are never shown"),
        ("async", "steps of different hosts run side by side already"),
        ("poll", "steps of different hosts run side by side already"),
    ],
};

/// What a task is read against.
pub(super) struct Surroundings<'c> {
    pub(super) registry: &'c [&'c dyn ActionKind],
    pub(super) limits: Vec<String>,
    pub(super) inventory: Option<&'c LoadedInventory>,
}

/// Reads a task; what it registers is known to the tasks after it.
pub(super) fn read(
    entries: &[Entry<'_>],
    node: &Node<'_>,
    id: TaskId,
    inherited: &Inherited,
    reading: &mut Reading<'_>,
    source: &mut Source<'_>,
) -> Option<Task> {
    let around = reading.around;
    let call = action_of(entries, node, around, source)?;
    let get = |key| fields::get(entries, key);
    let known = &mut reading.known;
    let each = get("loop").and_then(|node| flow::each(node, known, source));
    known.has_item = get("loop").is_some();
    let when = get("when").and_then(|node| condition(node, known, source));
    let params = params::read(call.0, call.1, known, source);
    let uses = get("uses").map_or_else(Cost::none, |node| uses(node, around, source));
    let causes = get("causes").and_then(|node| causes(node, around, known, source));
    let within = get("within").and_then(|node| fields::span_of_time(node, source));
    let name = get("name").and_then(|node| fields::text(node, "a text", source));
    let register = get("register").and_then(|node| variable_name(node, source));
    known.registers(register.iter().cloned());
    let retry = flow::retry(entries, known, source);
    known.has_item = false;
    let own_delegate =
        get("delegate_to").and_then(|node| flow::delegate(node, known, around.inventory, source));
    let task = Task {
        id,
        name: name.unwrap_or_else(|| call.1.name().to_owned()),
        within: within.or_else(|| flow::patience(&params, call.1)),
        action: ActionCall { action: call.1.name().to_owned(), params },
        when: inherited.condition(when),
        register,
        uses,
        causes,
        line: source.line(node.span),
        flow: TaskFlow {
            file: inherited.file.clone(),
            tags: inherited.tags_with(get("tags"), source),
            ignore_errors: get("ignore_errors")
                .and_then(|node| fields::flag(node, source))
                .unwrap_or(inherited.ignore_errors),
            run_once: get("run_once").and_then(|node| fields::flag(node, source)).unwrap_or(false),
            delegate_to: own_delegate
                .or_else(|| inherited.delegate_to.clone().filter(|_| call.1.needs_host())),
            each,
            retry,
            only_checks: get("check")
                .and_then(|node| fields::flag(node, source))
                .unwrap_or_default(),
            notify: get("notify").map_or_else(HandlerSet::default, |node| {
                handlers::notified(node, &reading.handlers, source)
            }),
            is_handler: reading.is_in_handlers,
        },
    };
    flow::check(&task, call.1, entries, inherited, reading, source);
    Some(task)
}

/// The one entry of a task that is its action.
fn action_of<'n, 't, 'c>(
    entries: &'n [Entry<'t>],
    task: &Node<'_>,
    around: &Surroundings<'c>,
    source: &mut Source<'_>,
) -> Option<(&'n Entry<'t>, &'c dyn ActionKind)> {
    let mut found: Option<(&Entry<'_>, &dyn ActionKind)> = None;
    let mut refused = false;
    for entry in entries.iter().filter(|entry| !TASK.known.contains(&&*entry.key)) {
        let Some(action) = around.registry.iter().find(|action| action.name() == entry.key) else {
            refused = true;
            refuse_key(entry, around, source);
            continue;
        };
        if let Some((first, _)) = found {
            let message = format!("a second action: the task has `{}` already", first.key);
            source
                .error("two-actions", entry.key_span, message)
                .help("a task has one action: begin another task with `- name:`");
            continue;
        }
        found = Some((entry, *action));
    }
    if found.is_none() && !refused {
        let names: Vec<&str> = around.registry.iter().map(|action| action.name()).collect();
        let at = entries.first().map_or(task.span, |entry| entry.key_span);
        source
            .error("no-action", at, "this task has no action")
            .help(format!("the actions are {}", names.join(", ")));
    }
    found
}

pub(super) fn refuse_key(entry: &Entry<'_>, around: &Surroundings<'_>, source: &mut Source<'_>) {
    let key = &*entry.key;
    let actions: Vec<&str> = around.registry.iter().map(|action| action.name()).collect();
    let is_listed = TASK.later.iter().chain(TASK.foreign).any(|(name, _)| *name == key);
    if is_listed || nearest(key, TASK.known.iter().copied()).is_some() {
        TASK.refuse(entry, &[], source);
        return;
    }
    source
        .error(
            "unknown-action",
            entry.key_span,
            format!("`{key}` is no action and no key of a task"),
        )
        .nearest(key, actions.iter().copied())
        .help(format!(
            "the actions are {}\na task also has {}",
            actions.join(", "),
            TASK.known.join(", ")
        ));
}

/// A condition; a list of conditions must all hold.
pub(super) fn condition(
    node: &Node<'_>,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Option<String> {
    let mut parts = Vec::new();
    for item in fields::one_or_more(node) {
        if let Kind::Scalar(scalar) = &item.kind
            && scalar.plain
            && let scalar::Reading::Clear(Value::Bool(flag)) = scalar::read_plain(&scalar.text)
        {
            parts.push(flag.to_string());
            continue;
        }
        let text = fields::text(item, "an expression, as in `acc_account is defined`", source)?;
        if text.trim_start().starts_with("{{") {
            source
                .error("braces-in-when", item.span, "`when` is an expression already")
                .help("leave out the `{{` and `}}`");
            continue;
        }
        templates::expression(item, &text, known, source);
        parts.push(text);
    }
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" and ")),
    }
}

/// What the task draws from limits beyond what its action says.
fn uses(node: &Node<'_>, around: &Surroundings<'_>, source: &mut Source<'_>) -> Cost {
    let mut cost = Cost::none();
    let Some(entries) = fields::entries(node, "`uses`", source) else { return cost };
    for entry in entries {
        let name = &*entry.key;
        if !is_limit(entry, around, source) {
            continue;
        }
        let draw = match &entry.value.kind {
            Kind::Map(parts) => {
                const PARTS: Keys =
                    Keys { what: "a draw", known: &["now", "later"], later: &[], foreign: &[] };
                PARTS.refuse_unknown(parts, source);
                let mut part = |key| {
                    let node = fields::get(parts, key)?;
                    fields::whole(node, 0, 1_000_000, source)
                };
                Draw { now: part("now").unwrap_or(0), later: part("later").unwrap_or(0) }
            }
            _ => {
                let now = fields::whole(&entry.value, 0, 1_000_000, source).unwrap_or(0);
                Draw { now, later: 0 }
            }
        };
        cost = cost.and(LimitName::new(name), draw);
    }
    cost
}

/// What the task sets off that falls due later: limits with units, and `after`.
fn causes(
    node: &Node<'_>,
    around: &Surroundings<'_>,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Option<Causes> {
    let entries = fields::entries(node, "`causes`", source)?;
    let Some(after) = fields::get(entries, "after") else {
        source
            .error("no-after", node.span, "`causes` does not say when it falls due")
            .help("as in `causes: { ns_iis: 40, after: 15 min }`; what is drawn at once is `uses`");
        return None;
    };
    let after = fields::span_of_time(after, source);
    if let Some(span) = after
        && span > LATEST
    {
        let at = fields::get(entries, "after").map_or(node.span, |node| node.span);
        source.error("after-too-late", at, "load falls due after a week at the latest");
    }
    let mut units = IndexMap::new();
    for entry in entries.iter().filter(|entry| &*entry.key != "after") {
        if !is_limit(entry, around, source) {
            continue;
        }
        let value = match &entry.value.kind {
            Kind::Scalar(scalar) if is_template(&scalar.text) => {
                templates::template(&entry.value, &scalar.text, known, source);
                Some(Value::String(scalar.text.clone().into_owned()))
            }
            _ => fields::whole(&entry.value, 0, 1_000_000, source).map(Value::from),
        };
        units.extend(value.map(|value| (LimitName::new(&*entry.key), value)));
    }
    Some(Causes { units, after: after? })
}

/// Whether a key is the name of a limit; if not, it is refused.
fn is_limit(entry: &Entry<'_>, around: &Surroundings<'_>, source: &mut Source<'_>) -> bool {
    let name = &*entry.key;
    let is_limit = around.limits.iter().any(|limit| limit == name);
    if !is_limit {
        source
            .error("unknown-limit", entry.key_span, format!("there is no limit `{name}`"))
            .nearest(name, around.limits.iter().map(String::as_str))
            .help("declare it under `limits` of the play, or of a host in the inventory");
    }
    is_limit
}

/// A name that an expression can use.
pub(super) fn variable_name(node: &Node<'_>, source: &mut Source<'_>) -> Option<String> {
    let name = fields::text(node, "the name of a variable", source)?;
    is_variable_name(&name, node, source).then_some(name)
}

pub(super) fn is_variable_name(name: &str, node: &Node<'_>, source: &mut Source<'_>) -> bool {
    if RESERVED.contains(&name) {
        source
            .error("reserved-name", node.span, format!("`{name}` has a meaning of its own"))
            .help("take another name");
        return false;
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        source
            .error("bad-name", node.span, format!("`{name}` cannot be the name of a variable"))
            .expected("letters, digits and `_`, not beginning with a digit");
    }
    is_name
}

/// The names of limits that `uses` may draw from.
pub(super) fn limit_names<V>(lists: &[&IndexMap<LimitName, V>]) -> Vec<String> {
    lists.iter().flat_map(|list| list.keys()).map(ToString::to_string).collect()
}
