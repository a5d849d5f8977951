//! Evaluation on one host.

use std::io;
use std::sync::Arc;

use minijinja::value::{Value as JinjaValue, ValueKind};
use serde_json::Value;

use super::check::bounded;
use super::engine::{self, Form};
use super::scope::Context;
use super::value::{Unfit, from_jinja};
use super::{ExpressionError, Problem, Scope, is_template};

/// The longest text that a template may make, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// The most items that a parameter may hold after it was filled in.
const MAX_ITEMS: usize = 200_000;

/// Evaluates a condition. Empty texts, lists and mappings, zero and null are false.
///
/// # Errors
///
/// It is no expression, or a variable of it is not defined and it does not ask for that.
pub fn truth(expression: &str, scope: &Scope) -> Result<bool, ExpressionError> {
    bounded(expression)?;
    let fail = |error| ExpressionError::of(expression, 0, &error);
    let compiled = engine::expression(expression).map_err(fail)?;
    let context = scope.context(0);
    let value = compiled
        .eval(JinjaValue::from_dyn_object(Arc::clone(&context)))
        .map_err(|error| explain(expression, 0, &error, &context))?;
    if value.kind() == ValueKind::Undefined {
        let reason = context.take_failure();
        return Err(reason.unwrap_or_else(|| undefined(expression)));
    }
    Ok(value.is_true())
}

/// Fills in the templates of a parameter tree.
///
/// A text that is exactly one `{{ expression }}` becomes the expression's value, whatever its type;
/// a template inside a longer text becomes text. Keys are left as they are.
///
/// # Errors
///
/// A template is wrong, uses an undefined variable, or makes more than a parameter may hold.
pub fn render(params: &Value, scope: &Scope) -> Result<Value, ExpressionError> {
    render_at(params, scope, 0)
}

/// [`render`], so many variables deep.
pub(super) fn render_at(
    params: &Value,
    scope: &Scope,
    depth: u8,
) -> Result<Value, ExpressionError> {
    match params {
        Value::String(text) if is_template(text) => fill_in(text, scope, depth),
        Value::Array(items) => items.iter().map(|item| render_at(item, scope, depth)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), render_at(value, scope, depth)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(params.clone()),
    }
}

fn fill_in(text: &str, scope: &Scope, depth: u8) -> Result<Value, ExpressionError> {
    bounded(text)?;
    let context = scope.context(depth);
    let root = JinjaValue::from_dyn_object(Arc::clone(&context));
    match engine::form(text).map_err(|error| ExpressionError::of(text, 0, &error))? {
        Form::Single(expression, shift) => {
            let value =
                expression.eval(root).map_err(|error| explain(text, shift, &error, &context))?;
            from_jinja(&value, &mut { MAX_ITEMS }).map_err(|unfit| match unfit {
                Unfit::Undefined => context.take_failure().unwrap_or_else(|| {
                    let end = shift + text[shift..].rfind("}}").unwrap_or(text.len() - shift);
                    undefined(text[shift..end].trim_end_matches('-'))
                }),
                Unfit::TooLarge => ExpressionError::whole(text, Problem::TooMuch),
                Unfit::NoValue(what) => ExpressionError::whole(
                    text,
                    Problem::Operation(format!("{what} cannot be a parameter")),
                ),
            })
        }
        Form::Mixed(template) => {
            let mut output = Bounded(Vec::new());
            template
                .render_captured_to(root, &mut output)
                .map_err(|error| explain(text, 0, &error, &context))?;
            Ok(Value::String(String::from_utf8_lossy(&output.0).into_owned()))
        }
    }
}

/// The reason behind an undefined variable comes before the fact that it looked undefined.
fn explain(
    text: &str,
    shift: usize,
    error: &minijinja::Error,
    context: &Context,
) -> ExpressionError {
    context.take_failure().unwrap_or_else(|| ExpressionError::of(text, shift, error))
}

fn undefined(expression: &str) -> ExpressionError {
    let name = expression.trim().to_owned();
    ExpressionError::whole(expression, Problem::Undefined(name))
}

/// Collects output up to its bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.0.len() + part.len() > MAX_OUTPUT {
            return Err(io::Error::other("the text is too long"));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
