//! Checks of expressions before anything runs, and the variables they use.

use super::engine::{self, Form, MAX_TEXT};
use super::{ExpressionError, Problem};

/// The variables that an expression reads, as dotted paths (`work.package_ids`), sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Names {
    /// The variables themselves, without what is read of them.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|path| path.split('.').next().unwrap_or(path))
    }
}

/// Whether a text has anything to fill in.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Reads a bare expression, as `when` has it.
///
/// # Errors
///
/// It is not an expression; the error says where.
pub fn check_expression(text: &str) -> Result<Names, ExpressionError> {
    bounded(text)?;
    let read = engine::expression(text).map_err(|error| ExpressionError::of(text, 0, &error))?;
    Ok(names(read.undeclared_variables(true)))
}

/// Reads a text with templates in it.
///
/// # Errors
///
/// A template in it is not closed, or holds no expression; the error says where.
pub fn check_template(text: &str) -> Result<Names, ExpressionError> {
    bounded(text)?;
    match engine::form(text).map_err(|error| ExpressionError::of(text, 0, &error))? {
        Form::Single(expression, _) => Ok(names(expression.undeclared_variables(true))),
        Form::Mixed(template) => Ok(names(template.undeclared_variables(true))),
    }
}

pub(super) fn bounded(text: &str) -> Result<(), ExpressionError> {
    if text.len() <= MAX_TEXT {
        Ok(())
    } else {
        Err(ExpressionError::whole(text, Problem::TooMuch))
    }
}

fn names(found: impl IntoIterator<Item = String>) -> Names {
    let mut names: Vec<String> = found.into_iter().filter(|name| !is_builtin(name)).collect();
    names.sort();
    Names(names)
}

/// Functions of the template engine.
fn is_builtin(name: &str) -> bool {
    matches!(name, "range" | "dict" | "debug" | "namespace" | "loop")
}
