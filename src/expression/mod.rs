//! Jinja expressions in playbooks: `when`, and `{{ … }}` in parameters.
//!
//! Everything is strict and bounded: an undefined variable is an error that names it, and an
//! expression has a fixed amount of work, depth and output.

mod check;
mod engine;
mod error;
mod evaluate;
mod scope;
mod value;

#[cfg(test)]
mod tests;

pub use check::{Names, check_expression, check_template, is_template};
pub use error::{ExpressionError, Problem};
pub use evaluate::{render, truth};
pub use scope::{RESERVED, Scope};
