//! Lists of tasks: of a play, of a block, of an included file. They become one flat list; what was
//! said about a block holds for each of its tasks.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::fields::{self, Keys};
use super::flow;
use super::handlers::Handler;
use super::source::Source;
use super::task::{self, Surroundings, TASK};
use super::templates::Known;
use super::yaml::{self, Entry, Node, Span};
use crate::model::{Block, PlayNo, Task, TaskId};

/// How deep files may include files.
const MAX_DEPTH: usize = 16;
/// How many files a playbook may include, each time counted.
const MAX_INCLUDES: usize = 1000;
/// How many tasks a play may have.
const MAX_TASKS: usize = 10_000;

const BLOCK: Keys = Keys {
    what: "a block",
    known: &["name", "block", "rescue", "always", "when", "tags", "ignore_errors", "delegate_to"],
    later: &[
        ("vars", "put the variables into the `vars` of the play, or into a `set_fact` before"),
        ("throttle", "the play has a `throttle`, and limits hold for all hosts together"),
    ],
    foreign: &[
        ("notify", "write it at each task whose change is meant"),
        ("loop", "write it at each task: a block is not repeated"),
        ("until", "write it at the task that is to be repeated"),
        ("retries", "write it at the task that is to be repeated"),
        ("delay", "write it at the task that is to be repeated"),
        ("register", "write it at the task whose result is meant"),
        ("run_once", "write it at each task"),
        ("within", "write it at each task"),
        ("uses", "write it at each task"),
        ("any_errors_fatal", "write `max_fail_percentage: 0` at the play"),
        ("become", "the credential says as whom fleetmend logs on"),
    ],
};

const INCLUDE: Keys = Keys {
    what: "an include",
    known: &["name", "include_tasks", "when", "tags", "ignore_errors", "delegate_to"],
    later: &[("vars", "use `set_fact` before it")],
    foreign: &[
        ("loop", "the file is read once, when the playbook is loaded: write `loop` in it"),
        ("register", "write it at the task whose result is meant"),
        ("run_once", "write it at each task of the file"),
    ],
};

/// Reads the text of an included file; the error is one phrase.
pub(super) type ReadText<'f> = &'f dyn Fn(&Path) -> Result<String, String>;

/// What the plays of one playbook share while they are read.
pub(super) struct Shared<'f> {
    /// The folder of the playbook.
    pub(super) folder: PathBuf,
    pub(super) read_text: ReadText<'f>,
    /// Every included file, each time: as it is named, and its text.
    pub(super) included: Vec<(String, String)>,
    /// The files that are being read now, outer ones first.
    pub(super) open: Vec<PathBuf>,
    /// The names of confirmations so far.
    pub(super) confirms: HashSet<String>,
    /// The names of gates so far.
    pub(super) gates: HashSet<String>,
    /// The names that `set_fact` gives values to so far.
    pub(super) facts: HashSet<String>,
}

/// A play's tasks as far as they are read.
pub(super) struct Reading<'c> {
    pub(super) play: PlayNo,
    pub(super) around: &'c Surroundings<'c>,
    pub(super) known: Known<'c>,
    pub(super) tasks: Vec<Task>,
    pub(super) blocks: Vec<Block>,
    /// The handlers of the play, by the names that `notify` may use.
    pub(super) handlers: Vec<Handler>,
    /// Whether the tasks that are read now are handlers.
    pub(super) is_in_handlers: bool,
}

/// What the play, blocks and includes around a task say about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub(super) when: Vec<String>,
    pub(super) tags: BTreeSet<String>,
    pub(super) ignore_errors: bool,
    pub(super) delegate_to: Option<String>,
    pub(super) file: Option<String>,
    /// Whether a failure would be rescued.
    pub(super) is_rescued: bool,
}

impl Inherited {
    /// All conditions that must hold.
    pub(super) fn condition(&self, own: Option<String>) -> Option<String> {
        let mut all: Vec<String> = self.when.iter().cloned().chain(own).collect();
        match all.len() {
            0 | 1 => all.pop(),
            _ => Some(all.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" and ")),
        }
    }

    pub(super) fn tags_with(
        &self,
        own: Option<&Node<'_>>,
        source: &mut Source<'_>,
    ) -> BTreeSet<String> {
        let mut tags = self.tags.clone();
        tags.extend(own.into_iter().flat_map(|node| flow::tags(node, source)));
        tags
    }

    /// What holds inside of something with these keys.
    fn under(&self, entries: &[Entry<'_>], reading: &Reading<'_>, source: &mut Source<'_>) -> Self {
        let get = |key| fields::get(entries, key);
        let mut inner = self.clone();
        let when = get("when").and_then(|node| task::condition(node, &reading.known, source));
        inner.when.extend(when);
        inner.tags = self.tags_with(get("tags"), source);
        if let Some(flag) = get("ignore_errors").and_then(|node| fields::flag(node, source)) {
            inner.ignore_errors = flag;
        }
        let inventory = reading.around.inventory;
        let delegate = get("delegate_to")
            .and_then(|node| flow::delegate(node, &reading.known, inventory, source));
        inner.delegate_to = delegate.or(inner.delegate_to);
        inner
    }
}

/// Reads a list of tasks; `whose` names it in messages.
pub(super) fn list(
    node: &Node<'_>,
    inherited: &Inherited,
    reading: &mut Reading<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    let Some(items) = fields::items(node, "a list of tasks, each after `- `", source) else {
        return;
    };
    for item in items {
        let Some(entries) = fields::entries(item, "a task", source) else { continue };
        let has = |key| fields::get(entries, key).is_some();
        if has("include_tasks") {
            include(entries, inherited, reading, shared, source);
        } else if ["block", "rescue", "always"].into_iter().any(has) {
            block(item, entries, inherited, reading, shared, source);
        } else {
            one(item, entries, inherited, reading, shared, source);
        }
    }
}

pub(super) fn one(
    item: &Node<'_>,
    entries: &[Entry<'_>],
    inherited: &Inherited,
    reading: &mut Reading<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    if reading.tasks.len() >= MAX_TASKS {
        source
            .error("too-many-tasks", item.span, "the play has more than 10 000 tasks")
            .help("write them into several plays");
        return;
    }
    let id = TaskId { play: reading.play, task: position(reading) };
    let Some(task) = task::read(entries, item, id, inherited, reading, source) else { return };
    if let Some(question) = fields::get(entries, "confirm") {
        flow::confirm(question, &task, shared, source);
    }
    if task.action.action == "set_fact" {
        let names: Vec<String> = task
            .action
            .params
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect();
        shared.facts.extend(names.iter().cloned());
        reading.known.registers(names);
    }
    reading.tasks.push(task);
}

/// The place of the next task.
fn position(reading: &Reading<'_>) -> u16 {
    u16::try_from(reading.tasks.len()).unwrap_or(u16::MAX)
}

fn block(
    item: &Node<'_>,
    entries: &[Entry<'_>],
    inherited: &Inherited,
    reading: &mut Reading<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    let at = entries.first().map_or(item.span, |entry| entry.key_span);
    for entry in entries.iter().filter(|entry| !BLOCK.known.contains(&&*entry.key)) {
        if reading.around.registry.iter().any(|action| action.name() == entry.key) {
            source
                .error("two-actions", entry.key_span, "a block has no action of its own")
                .help("write the task into the block's list: `block:` and a list");
        } else {
            BLOCK.refuse(entry, &[], source);
        }
    }
    let Some(body) = fields::get(entries, "block") else {
        source
            .error("no-block", at, "`rescue` and `always` belong to a `block`, and there is none")
            .help("write `block:` and the tasks that may fail beside it");
        return;
    };
    let inner = inherited.under(entries, reading, source);
    let place = reading.blocks.len();
    let start = position(reading);
    reading.blocks.push(Block { start, rescue: start, always: start, end: start });
    let is_rescued = inherited.is_rescued || fields::get(entries, "rescue").is_some();
    list(body, &Inherited { is_rescued, ..inner.clone() }, reading, shared, source);
    let rescue = position(reading);
    if let Some(node) = fields::get(entries, "rescue") {
        list(node, &inner, reading, shared, source);
    }
    let always = position(reading);
    if let Some(node) = fields::get(entries, "always") {
        list(node, &inner, reading, shared, source);
    }
    reading.blocks[place] = Block { start, rescue, always, end: position(reading) };
}

fn include(
    entries: &[Entry<'_>],
    inherited: &Inherited,
    reading: &mut Reading<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) {
    for entry in entries.iter().filter(|entry| !INCLUDE.known.contains(&&*entry.key)) {
        if TASK.known.contains(&&*entry.key) {
            source
                .error(
                    "unknown-key",
                    entry.key_span,
                    format!("`{}` has no meaning at an include", entry.key),
                )
                .help("write it at the tasks of the file");
        } else {
            INCLUDE.refuse(entry, &[], source);
        }
    }
    let Some(node) = fields::get(entries, "include_tasks") else { return };
    let Some(name) = fields::text(node, "the name of a file", source) else { return };
    if crate::expression::is_template(&name) {
        source
            .error("template-in-include", node.span, "a file is included before anything runs")
            .help("write its name; choose between files with `when`");
        return;
    }
    let mut inner = inherited.under(entries, reading, source);
    inner.file = Some(name.clone());
    let path = shared.folder.join(&name);
    if !may_open(&path, node.span, shared, source) {
        return;
    }
    let text = match (shared.read_text)(&path) {
        Ok(text) => text,
        Err(why) => {
            source
                .error("unreadable-include", node.span, format!("could not read `{name}`: {why}"))
                .help("the name is relative to the folder of the playbook");
            return;
        }
    };
    shared.included.push((name, text.clone()));
    shared.open.push(path.clone());
    let shown = path.display().to_string();
    let mut file = Source::new(&shown, &text);
    match yaml::parse(&mut file) {
        Some(root) => list(&root, &inner, reading, shared, &mut file),
        None if !file.has_errors() => {
            file.error("empty-file", Span::new(0, 0), "the included file is empty")
                .help("it holds a list of tasks, each after `- `");
        }
        None => {}
    }
    shared.open.pop();
    source.adopt(file);
}

/// Whether a file may be read here; if not, that has been reported.
fn may_open(path: &Path, at: Span, shared: &Shared<'_>, source: &mut Source<'_>) -> bool {
    let path = plain(path);
    if shared.open.iter().any(|open| plain(open) == path) {
        let chain: Vec<String> =
            shared.open.iter().map(|open| open.display().to_string()).collect();
        source
            .error("include-circle", at, format!("`{}` includes itself", path.display()))
            .help(format!("it is read by {}", chain.join(", which includes ")));
        return false;
    }
    if shared.open.len() > MAX_DEPTH || shared.included.len() >= MAX_INCLUDES {
        source
            .error("too-many-includes", at, "too many files are included")
            .help("at most 1000 in all, and 16 in each other");
        return false;
    }
    true
}

/// A path without `.` and `x/..`, so that two spellings of a file are one.
fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(parts.components().next_back(), Some(Component::Normal(_))) =>
            {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}
