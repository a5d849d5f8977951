//! Handlers: tasks of a play that run on a host once another task that names them changed it.

use super::fields;
use super::source::Source;
use super::tasks::{self, Inherited, Reading, Shared};
use super::yaml::{Entry, Kind, Node, Span};
use crate::model::HandlerSet;

/// A handler, as far as `notify` names it.
pub(super) struct Handler {
    name: String,
    /// Other words under which it is notified, together with others perhaps.
    listens: Vec<String>,
    at: Span,
}

/// The names of a play's handlers, in order, before its tasks are read.
pub(super) fn named(node: &Node<'_>, source: &mut Source<'_>) -> Vec<Handler> {
    let Kind::List(items) = &node.kind else { return Vec::new() };
    let mut handlers: Vec<Handler> = Vec::new();
    for item in items {
        // What is no mapping is told when the handlers themselves are read.
        let Kind::Map(entries) = &item.kind else { continue };
        let at = entries.first().map_or(item.span, |entry| entry.key_span);
        let Some(node) = fields::get(entries, "name") else {
            let help = "it is the name that `notify` of a task gives";
            fields::missing(at, "this handler", "name", help, source);
            continue;
        };
        // A wrong name is told when the handler is read as a task.
        let Kind::Scalar(scalar) = &node.kind else { continue };
        let name = scalar.text.trim().to_owned();
        if handlers.iter().any(|handler| handler.name == name) {
            source
                .error("handler-twice", node.span, format!("there is a handler `{name}` already"))
                .help("give each a name of its own; several can `listen` to one word");
        }
        let listens =
            fields::get(entries, "listen").map_or_else(Vec::new, |node| words(node, source));
        handlers.push(Handler { name, listens, at: node.span });
    }
    if handlers.len() > HandlerSet::MAX {
        source
            .error("too-many-handlers", node.span, "the play has more than 64 handlers")
            .help("write them into several plays");
    }
    handlers
}

/// The handlers that a task names.
pub(super) fn notified(
    node: &Node<'_>,
    handlers: &[Handler],
    source: &mut Source<'_>,
) -> HandlerSet {
    let mut set = HandlerSet::default();
    for item in fields::one_or_more(node) {
        let expected = "the name of a handler, or a list of them";
        let Some(name) = fields::text(item, expected, source) else { continue };
        let is_meant = |handler: &Handler| {
            handler.name == name.trim() || handler.listens.iter().any(|word| word == name.trim())
        };
        let meant: HandlerSet =
            (0..).zip(handlers).filter(|(_, handler)| is_meant(handler)).map(|(n, _)| n).collect();
        if meant.is_empty() {
            let words = handlers.iter().flat_map(|handler| {
                std::iter::once(&handler.name).chain(&handler.listens).map(String::as_str)
            });
            let known: Vec<&str> = words.collect();
            let finding = source
                .error("unknown-handler", item.span, format!("the play has no handler `{name}`"))
                .nearest(&name, known.iter().copied());
            if known.is_empty() {
                finding.help("write it under `handlers` of the play, as a task with this name");
            } else {
                finding.help(format!("its handlers are {}", known.join(", ")));
            }
        }
        set.extend(meant);
    }
    set
}

/// Reads the handlers as the last tasks of the play, and says which ones nobody notifies.
pub(super) fn read(
    node: &Node<'_>,
    reading: &mut Reading<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    let Some(items) = fields::items(node, "a list of handlers, each after `- `", source) else {
        return;
    };
    let mut notified = HandlerSet::default();
    reading.tasks.iter().for_each(|task| notified.extend(task.flow.notify));
    reading.is_in_handlers = true;
    for item in items {
        let Some(entries) = fields::entries(item, "a handler", source) else { continue };
        let is_list = |entry: &&Entry<'_>| {
            matches!(&*entry.key, "block" | "rescue" | "always" | "include_tasks")
        };
        if let Some(entry) = entries.iter().find(is_list) {
            source
                .error("not-in-a-handler", entry.key_span, "a handler is one task")
                .help("several handlers can `listen` to one word, and run in their order");
            continue;
        }
        let own: Vec<Entry<'_>> =
            entries.iter().filter(|entry| entry.key != "listen").cloned().collect();
        tasks::one(item, &own, &Inherited::default(), reading, shared, source);
    }
    reading.is_in_handlers = false;
    for (number, handler) in reading.handlers.iter().enumerate() {
        if !notified.contains(number) {
            let message = format!("no task notifies the handler `{}`", handler.name);
            source
                .warning("handler-not-notified", handler.at, message)
                .help("it never runs: write `notify` at the tasks whose change it follows");
        }
    }
}

fn words(node: &Node<'_>, source: &mut Source<'_>) -> Vec<String> {
    fields::one_or_more(node)
        .iter()
        .filter_map(|item| fields::text(item, "a word, or a list of them", source))
        .collect()
}
