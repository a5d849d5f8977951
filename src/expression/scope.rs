//! The variables that an expression sees, strongest first.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, Value as JinjaValue};
use serde_json::{Value, json};

use super::{ExpressionError, Problem, evaluate, is_template, value};
use crate::model::{Host, Vars, WorkRow};

/// Names that a playbook cannot give to its own variables.
pub const RESERVED: &[&str] =
    &["work", "item", "failure", "inventory_hostname", "inventory_hostname_short", "group_names"];

/// How deep a variable may refer to other variables.
const MAX_DEPTH: u8 = 16;

/// What a step's expressions see on one host.
///
/// A name is looked up in this order: the names of [`RESERVED`], the variables of the command line,
/// results that were registered, the play's variables, the host's variables. The play's variables
/// may be templates themselves; they are filled in when they are used, not before.
#[derive(Debug, Clone)]
pub struct Scope(Arc<Layers>);

#[derive(Debug, Clone)]
struct Layers {
    host: Host,
    play: Arc<Vars>,
    extra: Arc<Vars>,
    work: Option<Arc<[WorkRow]>>,
    registered: IndexMap<String, Value>,
    item: Option<Value>,
    failure: Option<Value>,
}

impl Scope {
    /// The scope of a host: its own variables, the play's and those of the command line.
    pub fn new(host: Host, play: Arc<Vars>, extra: Arc<Vars>) -> Self {
        Self(Arc::new(Layers {
            host,
            play,
            extra,
            work: None,
            registered: IndexMap::new(),
            item: None,
            failure: None,
        }))
    }

    /// Adds the rows of the play's work query as `work`: `package_ids` (each once, in braces),
    /// `packages` (`id` and `name` of each), `rows`, and `count`, the number of rows.
    #[must_use]
    pub fn with_work(mut self, rows: Arc<[WorkRow]>) -> Self {
        Arc::make_mut(&mut self.0).work = Some(rows);
        self
    }

    /// Keeps the result of a step under the name that its task registers.
    pub fn register(&mut self, name: &str, value: Value) {
        Arc::make_mut(&mut self.0).registered.insert(name.to_owned(), value);
    }

    /// Makes an item of a loop known as `item`.
    #[must_use]
    pub fn with_item(mut self, item: Value) -> Self {
        Arc::make_mut(&mut self.0).item = Some(item);
        self
    }

    /// Makes the latest failure of the host that the playbook went on after known as `failure`:
    /// `task`, `class` and `message`.
    pub fn set_failure(&mut self, failure: Value) {
        Arc::make_mut(&mut self.0).failure = Some(failure);
    }

    /// The context of one evaluation.
    pub(super) fn context(&self, depth: u8) -> Arc<Context> {
        Arc::new(Context { scope: self.clone(), depth, failure: Mutex::new(None) })
    }
}

impl Layers {
    fn reserved(&self, name: &str) -> Option<Value> {
        match name {
            "inventory_hostname" => Some(json!(self.host.name.as_str())),
            "inventory_hostname_short" => Some(json!(self.host.name.short())),
            "group_names" => Some(json!(self.host.groups.as_ref())),
            "item" => self.item.clone(),
            "failure" => self.failure.clone(),
            "work" => self.work.as_deref().map(describe_work),
            _ => None,
        }
    }
}

fn describe_work(rows: &[WorkRow]) -> Value {
    let packages: IndexMap<String, Option<&str>> =
        rows.iter().map(|row| (row.package.to_string(), row.package_name.as_deref())).collect();
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "package": row.package.to_string(),
                "package_name": row.package_name,
                "server": row.server.guid.to_string(),
                "server_name": row.server.name,
                "status": row.status,
                "current_version": row.current_version,
                "reported_version": row.reported_version,
            })
        })
        .collect();
    json!({
        "package_ids": packages.keys().collect::<Vec<_>>(),
        "packages": packages.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect::<Vec<_>>(),
        "count": rows.len(),
        "rows": rows,
    })
}

/// The scope as the template engine asks it, for one evaluation.
pub(super) struct Context {
    scope: Scope,
    depth: u8,
    /// The first variable that was asked for and could not be filled in: the engine can only be
    /// told that it is undefined, the operator is told why.
    failure: Mutex<Option<ExpressionError>>,
}

impl Context {
    /// The reason why a variable looked undefined, if there was one.
    pub(super) fn take_failure(&self) -> Option<ExpressionError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fill_in(&self, template: &Value) -> Option<JinjaValue> {
        let filled = if self.depth < MAX_DEPTH {
            evaluate::render_at(template, &self.scope, self.depth + 1)
        } else {
            let text = template.as_str().unwrap_or_default();
            Err(ExpressionError::whole(text, Problem::TooMuch))
        };
        match filled {
            Ok(value) => Some(value::to_jinja(&value)),
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
                None
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &JinjaValue) -> Option<JinjaValue> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<JinjaValue> {
        let layers = &*self.scope.0;
        if RESERVED.contains(&name) {
            return layers.reserved(name).as_ref().map(value::to_jinja);
        }
        if let Some(found) = layers.extra.get(name).or_else(|| layers.registered.get(name)) {
            return Some(value::to_jinja(found));
        }
        if let Some(found) = layers.play.get(name) {
            return if has_template(found) {
                self.fill_in(found)
            } else {
                Some(value::to_jinja(found))
            };
        }
        layers.host.vars.get(name).map(value::to_jinja)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(entries) => entries.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
