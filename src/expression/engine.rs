//! The one configuration of the template engine, and the two forms a text can have.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, Expression, Template, UndefinedBehavior};

/// Instructions that one evaluation may execute.
const FUEL: u64 = 200_000;
/// How deep calls may nest while evaluating.
const DEPTH: usize = 64;

/// The longest text that is read as an expression or template, in bytes.
pub(super) const MAX_TEXT: usize = 64 * 1024;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    // Errors then carry the place in the text.
    environment.set_debug(true);
    environment
});

/// A text of a playbook, compiled.
pub(super) enum Form<'t> {
    /// Exactly one `{{ expression }}`: its value keeps its type. The expression begins this many
    /// bytes into the text.
    Single(Expression<'t, 't>, usize),
    /// Text with templates in it: its value is a text.
    Mixed(Template<'t, 't>),
}

/// Compiles a bare expression.
pub(super) fn expression(text: &str) -> Result<Expression<'_, '_>, Error> {
    environment().compile_expression(text)
}

/// Compiles a text that has templates in it.
pub(super) fn form(text: &str) -> Result<Form<'_>, Error> {
    if let Some((inner, shift)) = single(text)
        && let Ok(expression) = expression(inner)
    {
        return Ok(Form::Single(expression, shift));
    }
    environment().template_from_str(text).map(Form::Mixed)
}

/// What stands between the braces when they enclose the whole text, and where it begins.
fn single(text: &str) -> Option<(&str, usize)> {
    let start = text.len() - text.trim_start().len();
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let trimmed = inner.strip_prefix('-').unwrap_or(inner);
    let shift = start + 2 + (inner.len() - trimmed.len());
    Some((trimmed.strip_suffix('-').unwrap_or(trimmed), shift))
}

fn environment<'t>() -> &'t Environment<'t> {
    &ENVIRONMENT
}
