//! One play: which hosts, in which waves, under which limits, and its tasks.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::fields::{self, Ambiguity, Keys};
use super::settings;
use super::source::Source;
use super::task::{self, Surroundings};
use super::tasks::{self, Inherited, Reading, Shared};
use super::templates::Known;
use super::yaml::{Kind, Node};
use super::{LoadedInventory, budgets, flow, gates, handlers, lint, variables, window};
use crate::action::ActionKind;
use crate::model::{
    Adapt, Batch, LimitName, LimitScope, LimitSpec, Limits, MaxFail, Oracle, Order, Play, PlayNo,
    Safeguards, Selector, TimeScale, Unmet, Vars, WorkQuery, format_span,
};

const PLAY: Keys = Keys {
    what: "a play",
    known: &[
        "name",
        "hosts",
        "work",
        "order",
        "serial",
        "throttle",
        "max_fail_percentage",
        "max_fail",
        "soak",
        "gates",
        "oracle",
        "limits",
        "window",
        "vars",
        "tags",
        "tasks",
        "handlers",
    ],
    later: &[],
    foreign: &[
        ("loop", "it is a key of a task"),
        ("run_once", "it is a key of a task"),
        ("ignore_errors", "it is a key of a task or of a block"),
        ("include_tasks", "it stands under `tasks`"),
        ("block", "it stands under `tasks`"),
        ("gather_facts", "leave it out: what an action must know it reads itself"),
        ("strategy", "leave it out: inside a wave no host waits for the slowest"),
        ("any_errors_fatal", "write `max_fail_percentage: 0`"),
        ("become", "leave it out: the credential says as whom fleetmend logs on"),
        ("roles", "write the tasks into this playbook"),
        ("pre_tasks", "put them first under `tasks`, or into a play before this one"),
        ("post_tasks", "put them last under `tasks`, or into a play after this one"),
        ("vars_files", "put the variables into `vars` or into the inventory"),
        ("connection", "set `ansible_connection` in the inventory"),
        ("remote_user", "the credential says as whom fleetmend logs on"),
        ("collections", "leave it out: the actions are built in"),
    ],
};

/// What a playbook is read against.
pub(super) struct Against<'c> {
    pub(super) registry: &'c [&'c dyn ActionKind],
    pub(super) inventory: Option<&'c LoadedInventory>,
    /// The names of all variables of the inventory.
    pub(super) variables: Option<&'c HashSet<&'c str>>,
}

/// Reads a play.
pub(super) fn read(
    node: &Node<'_>,
    number: PlayNo,
    against: &Against<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) -> Option<Play> {
    let entries = fields::entries(node, "a play", source)?;
    let errors_before = source.error_count();
    PLAY.refuse_unknown(entries, source);
    let get = |key| fields::get(entries, key);
    let start = entries.first().map_or(node.span, |entry| entry.key_span);

    let hosts = match get("hosts") {
        Some(node) => hosts(node, against.inventory, source),
        None if fields::is_misspelt(entries, "hosts", PLAY.known) => None,
        None => {
            let help = "name groups or hosts: `hosts: package_servers`";
            fields::missing(start, "this play", "hosts", help, source);
            None
        }
    };
    let work = get("work").and_then(|node| work(node, source));
    let limits = get("limits").map_or_else(IndexMap::new, |node| limits(node, against, source));
    let window = get("window")
        .and_then(|node| window::read(node, hosts.as_ref(), against.inventory, source));
    let vars = get("vars").map_or_else(Vars::new, |node| vars(node, source));

    let mut known = Known {
        has_work: get("work").is_some(),
        own: vars.keys().cloned().collect(),
        late: HashSet::new(),
        has_item: false,
        hosts: against.variables,
    };
    known.registers(shared.facts.iter().cloned());
    if let Some(node) = get("vars") {
        flow::check_templates(node, &known, source);
    }
    let gates = match get("gates") {
        Some(node) => gates::gates(node, &known, shared, source),
        None => Vec::new(),
    };
    let defaults = Limits::default();
    let declared = against.inventory.map_or(&defaults, |loaded| &loaded.settings.limits);
    let around = Surroundings {
        registry: against.registry,
        limits: task::limit_names(&[&declared.0, &limits]),
        inventory: against.inventory,
    };
    let has_work = known.has_work;
    let named = get("handlers").map_or_else(Vec::new, |node| handlers::named(node, source));
    let mut reading = Reading {
        play: number,
        around: &around,
        known,
        tasks: Vec::new(),
        blocks: Vec::new(),
        handlers: named,
        is_in_handlers: false,
    };
    let inherited = Inherited {
        tags: get("tags").into_iter().flat_map(|node| flow::tags(node, source)).collect(),
        ..Inherited::default()
    };
    match get("tasks") {
        Some(node) => tasks::list(node, &inherited, &mut reading, shared, source),
        None if fields::is_misspelt(entries, "tasks", PLAY.known) => {}
        None => {
            let help = "a play has at least one task: `tasks:` and a list";
            fields::missing(start, "this play", "tasks", help, source);
        }
    }
    if let Some(node) = get("handlers") {
        handlers::read(node, &mut reading, shared, source);
    }
    let Reading { tasks, blocks, .. } = reading;

    let play = Play {
        name: get("name")
            .and_then(|node| fields::text(node, "a text", source))
            .or_else(|| hosts.as_ref().map(ToString::to_string))
            .unwrap_or_default(),
        hosts: hosts?,
        work,
        order: get("order")
            .and_then(|node| fields::policy(node, "an order", source))
            .unwrap_or(Order::Inventory),
        serial: get("serial").map_or_else(Vec::new, |node| serial(node, source)),
        throttle: get("throttle")
            .and_then(|node| fields::whole(node, 1, 10_000, source))
            .unwrap_or(Play::DEFAULT_THROTTLE),
        max_fail_percentage: get("max_fail_percentage").and_then(|node| percentage(node, source)),
        safeguards: Safeguards {
            max_fail: get("max_fail")
                .map_or_else(MaxFail::default, |node| budgets::read(node, source)),
            soak: get("soak").and_then(|node| fields::span_of_time(node, source)),
            gates,
            window,
            ..Safeguards::default()
        },
        limits,
        oracle: get("oracle").and_then(|node| oracle(node, has_work, source)),
        vars,
        tasks,
        blocks,
    };
    if source.error_count() == errors_before {
        lint::play(&play, entries, start, against.inventory, source);
    }
    Some(play)
}

fn hosts(
    node: &Node<'_>,
    inventory: Option<&LoadedInventory>,
    source: &mut Source<'_>,
) -> Option<Selector> {
    let mut parts = Vec::new();
    for item in fields::one_or_more(node) {
        parts.push(fields::text(item, "groups or hosts, as in `package_servers:&london`", source)?);
    }
    let text = parts.join(":");
    let selector: Selector = match text.parse() {
        Ok(selector) => selector,
        Err(error) => {
            let error: crate::model::ParseSelectorError = error;
            source
                .error(
                    "bad-pattern",
                    node.span,
                    format!("`{text}` is not a host pattern: {}", error.reason),
                )
                .help("a pattern is written `package_servers:&london:!ps-lon-07*`");
            return None;
        }
    };
    if let Some(loaded) = inventory {
        let inventory = &loaded.inventory;
        let unknown: Vec<&str> = selector.unknown_names(inventory).collect();
        // Who is a host is only known when the source is asked: then it is looked at again.
        let may_come = !loaded.sources.is_empty() && loaded.inventory.is_unresolved();
        for name in unknown.iter().filter(|_| may_come) {
            source
                .warning(
                    "hosts-from-a-source",
                    node.span,
                    format!("`{name}` is not in the file; it may be a host of the source"),
                )
                .help("hosts of `sources` are known when the CMDB is asked: `fleetmend inventory`");
        }
        for name in unknown.iter().filter(|_| !may_come) {
            let groups = inventory.groups().map(|(group, _)| group);
            let known = groups.chain(inventory.host_names().map(|host| host.as_str()));
            source
                .error(
                    "unknown-hosts",
                    node.span,
                    format!("the inventory has no group or host `{name}`"),
                )
                .nearest(name, known)
                .help(format!(
                    "the groups are {}",
                    inventory
                        .groups()
                        .map(|(group, _)| group)
                        .take(20)
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
        }
        if unknown.is_empty() && selector.select(inventory).is_empty() && !may_come {
            source
                .warning(
                    "no-hosts",
                    node.span,
                    format!("`{text}` matches no host of the inventory"),
                )
                .help("see what a pattern matches with `fleetmend inventory -i INVENTORY PATTERN`");
        }
    }
    Some(selector)
}

fn work(node: &Node<'_>, source: &mut Source<'_>) -> Option<WorkQuery> {
    let names: Vec<&str> = WorkQuery::ALL.iter().map(|query| query.name()).collect();
    let written = fields::written(node, "the name of a query", source)?;
    let found = WorkQuery::ALL.iter().find(|query| query.name() == written).copied();
    if found.is_none() {
        source
            .error("wrong-value", node.span, format!("there is no query `{written}`"))
            .nearest(written, names.iter().copied())
            .expected(format!("one of {}", names.join(", ")));
    }
    found
}

fn serial(node: &Node<'_>, source: &mut Source<'_>) -> Vec<Batch> {
    fields::one_or_more(node)
        .iter()
        .filter_map(|item| fields::policy(item, "a number of hosts or a share (`5%`)", source))
        .collect()
}

fn percentage(node: &Node<'_>, source: &mut Source<'_>) -> Option<f64> {
    let written = fields::written(node, "a percentage, from 0 to 100", source)?;
    let number: Option<f64> = written.trim_end_matches('%').trim_end().parse().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    if number.is_none() {
        source
            .error("wrong-value", node.span, format!("`{written}` is not a percentage"))
            .expected("a number from 0 to 100");
    }
    number
}

fn oracle(node: &Node<'_>, has_work: bool, source: &mut Source<'_>) -> Option<Oracle> {
    const ORACLE: Keys =
        Keys { what: "an oracle", known: &["ready", "within", "unmet"], later: &[], foreign: &[] };
    const EXAMPLE: &str = "it is written `oracle: { ready: work, within: 45 min }`";
    let entries = fields::entries(node, "an oracle", source)?;
    ORACLE.refuse_unknown(entries, source);
    match fields::get(entries, "ready") {
        Some(node) => {
            let written = fields::written(node, "`work`", source)?;
            if written != "work" {
                source
                    .error(
                        "wrong-value",
                        node.span,
                        format!("an oracle cannot ask about `{written}`"),
                    )
                    .expected("`work`: every row of the play's work is Ready");
            }
        }
        None => fields::missing(node.span, "this oracle", "ready", EXAMPLE, source),
    }
    if !has_work {
        source
            .error("no-work", node.span, "the oracle asks about `work`, and the play has none")
            .help("add `work: not_ready_packages` to the play");
    }
    let unmet = match fields::get(entries, "unmet") {
        Some(node) => unmet(node, source)?,
        None => Unmet::Fail,
    };
    match fields::get(entries, "within") {
        Some(node) => fields::span_of_time(node, source).map(|within| Oracle { within, unmet }),
        None => {
            fields::missing(node.span, "this oracle", "within", EXAMPLE, source);
            None
        }
    }
}

/// Reports the last oracle of a playbook that leaves the judgement to a later one.
pub(super) fn refuse_unjudged(play: &Node<'_>, source: &mut Source<'_>) {
    let oracle = match &play.kind {
        Kind::Map(entries) => fields::get(entries, "oracle"),
        Kind::Scalar(_) | Kind::List(_) | Kind::Broken => None,
    };
    let at = oracle.map_or(play.span, |oracle| oracle.span);
    source
        .error("nobody-judges", at, "no later play has an oracle that could judge what is left")
        .help("leave out `unmet: go_on` here: the last oracle says how the run ends");
}

fn unmet(node: &Node<'_>, source: &mut Source<'_>) -> Option<Unmet> {
    let written = fields::written(node, "`fail` or `go_on`", source)?;
    let found = Unmet::ALL.iter().find(|(word, _)| *word == written);
    if found.is_none() {
        source
            .error(
                "wrong-value",
                node.span,
                format!("an oracle that is not met cannot `{written}`"),
            )
            .nearest(written, Unmet::ALL.iter().map(|(word, _)| *word))
            .expected(
                "`fail`: the run does not end well; or `go_on`: a later play's oracle judges",
            );
    }
    found.map(|(_, unmet)| *unmet)
}

fn limits(
    node: &Node<'_>,
    against: &Against<'_>,
    source: &mut Source<'_>,
) -> IndexMap<LimitName, LimitSpec> {
    let errors_before = source.error_count();
    let value = fields::value(node, Ambiguity::Refuse, source);
    if source.error_count() > errors_before {
        return IndexMap::new();
    }
    variables::check("limits", &value, node, source);
    let Ok(declared) = settings::limits(&value) else { return IndexMap::new() };
    let defaults = Limits::default();
    let allowed = against.inventory.map_or(&defaults, |loaded| &loaded.settings.limits);
    let mut limits = IndexMap::new();
    for (name, limit) in declared {
        let base = allowed.0.get(&name);
        let spec = limit.over(base);
        if let Some(base) = base.filter(|_| against.inventory.is_some()) {
            refuse_looser(&name, &spec, base, node, source);
        }
        limits.insert(name, spec);
    }
    limits
}

fn refuse_looser(
    name: &LimitName,
    play: &LimitSpec,
    inventory: &LimitSpec,
    node: &Node<'_>,
    source: &mut Source<'_>,
) {
    let place = |part: &str| {
        let Kind::Map(limits) = &node.kind else { return node.span };
        let Some(limit) = fields::get(limits, name.as_str()) else { return node.span };
        let Kind::Map(parts) = &limit.kind else { return limit.span };
        fields::get(parts, part).map_or(limit.span, |node| node.span)
    };
    let mut looser = Vec::new();
    if let (Some(own), Some(allowed)) = (play.rate, inventory.rate)
        && own.per_second(TimeScale::REAL) > allowed.per_second(TimeScale::REAL)
    {
        looser.push(("rate", own.to_string(), allowed.to_string()));
    }
    if play.burst > inventory.burst {
        looser.push(("burst", play.burst.to_string(), inventory.burst.to_string()));
    }
    if let (Some(own), Some(allowed)) = (play.in_flight, inventory.in_flight)
        && own > allowed
    {
        looser.push(("in_flight", own.to_string(), allowed.to_string()));
    }
    match (play.adapt, inventory.adapt) {
        (None, Some(_)) => {
            looser.push(("adapt", "false".to_owned(), "only one that adapts".to_owned()));
        }
        (Some(own), Some(allowed)) if own.stricter(allowed) != own => {
            let say =
                |adapt: Adapt| format!("slow: {}, queue: {}", format_span(adapt.slow), adapt.queue);
            looser.push(("adapt", say(own), say(allowed)));
        }
        (_, None) | (Some(_), Some(_)) => {}
    }
    if play.scope == LimitScope::Run && inventory.scope == LimitScope::Controller {
        looser.push(("scope", "run".to_owned(), "controller".to_owned()));
    }
    for (part, own, allowed) in looser {
        let message = format!("`{name}.{part}` is {own} here, and the inventory allows {allowed}");
        source.error("looser-limit", place(part), message).help(
            "a play may only be tighter: the server's owner says in the inventory what it can take",
        );
    }
}

fn vars(node: &Node<'_>, source: &mut Source<'_>) -> Vars {
    let mut vars = Vars::new();
    for entry in fields::entries(node, "`vars`", source).unwrap_or(&[]) {
        let key = Node { span: entry.key_span, kind: Kind::Broken };
        if task::is_variable_name(&entry.key, &key, source)
            && !variables::refuse_secret(&entry.key, entry.key_span, &entry.value, source)
        {
            let value = fields::value(&entry.value, Ambiguity::Refuse, source);
            vars.insert(entry.key.clone().into_owned(), value);
        }
    }
    vars
}
