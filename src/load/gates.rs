//! `gates`: what must be well before each wave of a play, and while one is under way.

use std::time::Duration;

use serde_json::{Map, Value};

use super::fields::{self, Keys};
use super::params;
use super::source::Source;
use super::tasks::Shared;
use super::templates::{self, Known};
use super::yaml::{Entry, Kind, Node, Span};
use crate::action::{QueryShape, query_shapes, refused_parameters};
use crate::expression::{ExpressionError, Names, check_expression, check_template};
use crate::model::{Gate, GateAsk, GateQuery, NsBounds};

/// The names by which an expression knows what a query gave.
const ROWS: &[&str] = &["rows", "row", "all"];
/// The most answers that a limit may tolerate.
const MOST_TOLERATED: u32 = 1000;
/// The shortest time between two questions: they are load as well.
const SHORTEST: Duration = Duration::from_secs(5);

const OWN: Keys = Keys {
    what: "a gate",
    known: &[
        "name",
        "query",
        "parameters",
        "pass",
        "fail",
        "every",
        "fail_limit",
        "error_limit",
        "watch",
        "within",
    ],
    later: &[
        ("sql", "name one of the queries that `fleetmend actions cmdb_query` lists"),
        ("sql_file", "name one of the queries that `fleetmend actions cmdb_query` lists"),
    ],
    foreign: &[],
};
const HEALTH: Keys = Keys {
    what: "`ns_healthy`",
    known: &[
        "latency",
        "slower",
        "queue",
        "growing",
        "stalled",
        "every",
        "fail_limit",
        "error_limit",
        "watch",
        "within",
    ],
    later: &[],
    foreign: &[],
};
const READY: Keys = Keys {
    what: "`wave_ready`",
    known: &["within", "every", "error_limit"],
    later: &[],
    foreign: &[],
};
/// Keys of other gates that mean nothing to `wave_ready`.
const NOT_READY: [(&str, &str); 2] = [
    ("watch", "a wave is Ready when it is through, not before"),
    ("fail_limit", "it is asked until the wave is Ready or `within` has passed"),
];

/// Reads the gates of a play.
pub(super) fn gates(
    node: &Node<'_>,
    known: &Known<'_>,
    shared: &mut Shared<'_>,
    source: &mut Source<'_>,
) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for item in fields::one_or_more(node) {
        let Some((gate, at)) = gate(item, known, source) else { continue };
        if gates.iter().any(|other| other.name == gate.name) {
            source
                .error("gate-twice", at, format!("this play has a gate `{}` already", gate.name))
                .help("give each a name of its own: `--approve` names one");
            continue;
        }
        if shared.confirms.contains(&gate.name) {
            source
                .error("gate-twice", at, format!("there is a confirmation `{}` already", gate.name))
                .help("give each a name of its own: `--approve` names one");
        }
        shared.gates.insert(gate.name.clone());
        gates.push(gate);
    }
    gates
}

/// One gate, and where its name stands.
fn gate(node: &Node<'_>, known: &Known<'_>, source: &mut Source<'_>) -> Option<(Gate, Span)> {
    match &node.kind {
        Kind::Scalar(_) => {
            let name = fields::text(node, "the name of a gate, or a mapping", source)?;
            match built_in(&name) {
                Some(ask) => {
                    needs_work(&ask, node.span, known, source);
                    Some((Gate::new(&name, ask), node.span))
                }
                None => {
                    unknown(&name, node.span, source);
                    None
                }
            }
        }
        Kind::Map(entries) => match entries.as_slice() {
            [Entry { key, key_span, value }] if !OWN.known.contains(&&**key) => {
                let Some(ask) = built_in(key) else {
                    unknown(key, *key_span, source);
                    return None;
                };
                needs_work(&ask, *key_span, known, source);
                Some((tuned(&Gate::new(key, ask), value, source)?, *key_span))
            }
            entries => own(node, entries, known, source),
        },
        Kind::List(_) | Kind::Broken => {
            fields::mismatch(node, "the name of a gate, or a mapping", source);
            None
        }
    }
}

fn built_in(name: &str) -> Option<GateAsk> {
    match name {
        Gate::NS_HEALTHY => Some(GateAsk::NsHealthy(NsBounds::default())),
        Gate::WAVE_READY => Some(GateAsk::WaveReady),
        _ => None,
    }
}

fn unknown(name: &str, at: Span, source: &mut Source<'_>) {
    source
        .error("unknown-gate", at, format!("there is no built-in gate `{name}`"))
        .nearest(name, Gate::BUILT_IN)
        .expected(format!("{}, or one of your own", Gate::BUILT_IN.join(", ")))
        .help("your own is written `{ name: queue_low, query: event_queue, pass: row.Entries < 2000 }`");
}

fn needs_work(ask: &GateAsk, at: Span, known: &Known<'_>, source: &mut Source<'_>) {
    if *ask == GateAsk::WaveReady && !known.has_work {
        source
            .error("no-work", at, "`wave_ready` asks about `work`, and the play has none")
            .help("add `work: not_ready_packages` to the play");
    }
}

/// A built-in gate with what is declared of it.
fn tuned(gate: &Gate, node: &Node<'_>, source: &mut Source<'_>) -> Option<Gate> {
    let mut gate = gate.clone();
    let keys = if gate.ask == GateAsk::WaveReady { &READY } else { &HEALTH };
    let entries = fields::entries(node, keys.what, source)?;
    for entry in entries.iter().filter(|entry| !keys.known.contains(&&*entry.key)) {
        let own = NOT_READY.iter().find(|(key, _)| *key == entry.key);
        match own.filter(|_| gate.ask == GateAsk::WaveReady) {
            Some((key, why)) => {
                let message = format!("`wave_ready` has no `{key}`");
                source.error("unknown-key", entry.key_span, message).help(*why);
            }
            None => keys.refuse(entry, &[], source),
        }
    }
    common(&mut gate, entries, source);
    let GateAsk::NsHealthy(bounds) = &mut gate.ask else { return Some(gate) };
    let get = |key| fields::get(entries, key);
    let whole = |key, source: &mut Source<'_>| {
        get(key).and_then(|node| fields::whole(node, 1, 100_000_000, source)).map(u64::from)
    };
    if let Some(latency) = get("latency").and_then(|node| fields::span_of_time(node, source)) {
        bounds.latency = latency;
    }
    if let Some(slower) = get("slower").and_then(|node| times(node, source)) {
        bounds.slower = slower;
    }
    if let Some(queue) = whole("queue", source) {
        bounds.queue = queue;
    }
    if let Some(growing) = whole("growing", source) {
        bounds.growing = growing;
    }
    if let Some(stalled) = get("stalled").and_then(|node| fields::span_of_time(node, source)) {
        bounds.stalled = stalled;
    }
    Some(gate)
}

/// `10` or `10x`.
fn times(node: &Node<'_>, source: &mut Source<'_>) -> Option<f64> {
    let written = fields::written(node, "how many times slower, as in `10x`", source)?;
    let number = written.trim_end_matches(['x', 'X']).trim_end().parse::<f64>().ok();
    let number = number.filter(|number| (1.0..=1000.0).contains(number));
    if number.is_none() {
        source
            .error("wrong-value", node.span, format!("`{written}` does not say how many times"))
            .expected("a number from 1 to 1000, as in `10x`");
    }
    number
}

fn common(gate: &mut Gate, entries: &[Entry<'_>], source: &mut Source<'_>) {
    let get = |key| fields::get(entries, key);
    if let Some(node) = get("every")
        && let Some(every) = fields::span_of_time(node, source)
    {
        if every < SHORTEST {
            source
                .error("wrong-value", node.span, "a gate cannot be asked so often")
                .expected("at least `5 s`: asking is load as well");
        }
        gate.every = every;
    }
    let limit = |key, source: &mut Source<'_>| {
        get(key).and_then(|node| fields::whole(node, 0, MOST_TOLERATED, source))
    };
    if let Some(limit) = limit("fail_limit", source) {
        gate.fail_limit = limit;
    }
    if let Some(limit) = limit("error_limit", source) {
        gate.error_limit = limit;
    }
    if let Some(watch) = get("watch").and_then(|node| fields::flag(node, source)) {
        gate.watch = watch;
    }
    if let Some(within) = get("within").and_then(|node| fields::span_of_time(node, source)) {
        gate.within = within;
    }
}

/// A gate over the rows of a named query.
fn own(
    node: &Node<'_>,
    entries: &[Entry<'_>],
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Option<(Gate, Span)> {
    const EXAMPLE: &str =
        "a gate is written `{ name: queue_low, query: event_queue, pass: row.Entries < 2000 }`";

    OWN.refuse_unknown(entries, source);
    let get = |key| fields::get(entries, key);
    for key in ["name", "query", "pass"] {
        if get(key).is_none() && !fields::is_misspelt(entries, key, OWN.known) {
            fields::missing(node.span, "this gate", key, EXAMPLE, source);
        }
    }
    let at = get("name").map_or(node.span, |node| node.span);
    let name = get("name").and_then(|node| name(node, source));
    let query = get("query").and_then(|node| query(node, source));
    let parameters =
        query.as_ref().map(|query| parameters(get("parameters"), node.span, query, known, source));
    let pass = get("pass").and_then(|node| verdict(node, query.as_ref(), known, source));
    let fail = get("fail").and_then(|node| verdict(node, query.as_ref(), known, source));
    let ask = GateAsk::Query(GateQuery {
        query: query.map(|query| query.name.to_owned())?,
        parameters: parameters?,
        pass: pass?,
        fail,
    });
    let mut gate = Gate::new(&name?, ask);
    common(&mut gate, entries, source);
    Some((gate, at))
}

fn name(node: &Node<'_>, source: &mut Source<'_>) -> Option<String> {
    let name = fields::text(node, "a name", source)?;
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !is_word {
        source
            .error("bad-name", node.span, format!("`{name}` cannot name a gate"))
            .expected("a word that `--approve` can name: letters, digits, `_`, `-` and `.`");
        return None;
    }
    if Gate::BUILT_IN.contains(&name.as_str()) {
        source
            .error("bad-name", node.span, format!("`{name}` is a built-in gate"))
            .help(format!("write `{name}: {{ … }}`, or give your own another name"));
        return None;
    }
    Some(name)
}

fn query(node: &Node<'_>, source: &mut Source<'_>) -> Option<QueryShape> {
    let written = fields::written(node, "the name of a query", source)?;
    let shapes: Vec<QueryShape> = query_shapes().collect();
    let found = shapes.iter().find(|shape| shape.name == written);
    if found.is_none() {
        let names: Vec<&str> = shapes.iter().map(|shape| shape.name).collect();
        source
            .error("wrong-value", node.span, format!("there is no query `{written}`"))
            .nearest(written, names.iter().copied())
            .expected(format!("one of {}", names.join(", ")));
    }
    found.cloned()
}

/// What a gate gives its query. All of it must be given: a gate asks for all hosts, and so has no
/// server of its own.
fn parameters(
    node: Option<&Node<'_>>,
    at: Span,
    query: &QueryShape,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Map<String, Value> {
    let node = node.filter(|node| !fields::is_nothing(node));
    let (entries, at) = match node.map(|node| (&node.kind, node.span)) {
        None => (&[][..], at),
        Some((Kind::Map(entries), at)) => (entries.as_slice(), at),
        Some(_) => {
            if let Some(node) = node {
                fields::mismatch(node, "a mapping of names and values", source);
            }
            return Map::new();
        }
    };
    let mut asks_work = false;
    for entry in entries {
        asks_work |= refuses_work(&entry.value, check_template, source);
    }
    if asks_work {
        return Map::new();
    }
    let errors_before = source.error_count();
    let read = params::mapping(
        entries,
        at,
        query.name,
        query.parameters,
        &asked_of_servers(known),
        source,
    );
    for doc in query.parameters.iter().filter(|doc| !doc.required) {
        if fields::get(entries, doc.name).is_none() {
            source
                .error(
                    "missing-parameter",
                    at,
                    format!("`{}` needs `{}` in a gate", query.name, doc.name),
                )
                .help("a gate is asked once for all hosts, and has no server of its own");
        }
    }
    let Value::Object(given) = read else { return Map::new() };
    if let Some(why) = refused_parameters(query.name, &given)
        && source.error_count() == errors_before
    {
        source.error("wrong-value", at, why);
    }
    given
}

/// Refuses the work of hosts in what a gate says, whether the play has any or not.
fn refuses_work(
    node: &Node<'_>,
    names: fn(&str) -> Result<Names, ExpressionError>,
    source: &mut Source<'_>,
) -> bool {
    let Kind::Scalar(scalar) = &node.kind else { return false };
    let asks = names(&scalar.text).is_ok_and(|names| names.roots().any(|name| name == "work"));
    if asks {
        let at = templates::name_place(node, "work", source);
        source
            .error("no-work", at, "a gate is asked of Notification Servers, which have no `work`")
            .help("name what is meant, or use a variable of the play or of `-e`");
    }
    asks
}

/// The names that a gate may use: it is asked of Notification Servers, before any host has work.
fn asked_of_servers<'v>(known: &Known<'v>) -> Known<'v> {
    Known { has_work: false, has_item: false, ..known.clone() }
}

/// An expression over the rows of a query.
fn verdict(
    node: &Node<'_>,
    query: Option<&QueryShape>,
    known: &Known<'_>,
    source: &mut Source<'_>,
) -> Option<String> {
    let text = fields::text(node, "an expression, as in `row.Entries < 2000`", source)?;
    if text.trim_start().starts_with("{{") {
        source
            .error("braces-in-gate", node.span, "this is an expression already")
            .help("leave out the `{{` and `}}`");
        return None;
    }
    if refuses_work(node, check_expression, source) {
        return None;
    }
    let errors_before = source.error_count();
    let mut known = asked_of_servers(known);
    known.own.extend(ROWS.iter().map(|name| (*name).to_owned()));
    templates::expression(node, &text, &known, source);
    if source.error_count() > errors_before {
        return None;
    }
    let (names, query) = (check_expression(&text).ok()?, query?);
    let asks = |root: &str| names.roots().any(|name| name == root);
    if !ROWS.iter().any(|name| asks(name)) {
        let at = node.span;
        source
            .error("gate-without-rows", at, "this does not look at what the query gives")
            .expected("`rows`, the number of rows; `row.COLUMN` of the only one; or `all`, a list");
        return None;
    }
    if query.is_one_row && asks("rows") && !asks("row") {
        let at = templates::name_place(node, "rows", source);
        let message = format!("`{}` always gives one row, and `rows` is their number", query.name);
        let columns: Vec<String> = query.columns.iter().map(|name| format!("row.{name}")).collect();
        source
            .error("gate-without-rows", at, message)
            .help(format!("ask for what is in it: {}", columns.join(", ")));
        return None;
    }
    for column in names.0.iter().filter_map(|path| path.strip_prefix("row.")) {
        let column = column.split('.').next().unwrap_or(column);
        if !query.columns.contains(&column) {
            let at = templates::name_place(node, "row", source);
            source
                .error("unknown-name", at, format!("`{}` has no column `{column}`", query.name))
                .nearest(column, query.columns.iter().copied())
                .expected(format!("one of {}", query.columns.join(", ")));
            return None;
        }
    }
    Some(text)
}
