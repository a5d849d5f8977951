//! From what a playbook gives to the parameters of a statement.

use serde_json::{Map, Value};
use thiserror::Error;

use super::{NamedQuery, QueryParameter, QueryParameterKind};
use crate::model::Guid;

/// What a playbook gives for a query cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BindError {
    /// The query has no such parameter.
    #[error("`{query}` has no parameter `{name}`{}", parameters_of(.known))]
    Unknown {
        /// The query.
        query: &'static str,
        /// The parameter.
        name: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// A parameter was not given.
    #[error("`{query}` needs the parameter `{name}`")]
    Missing {
        /// The query.
        query: &'static str,
        /// The parameter.
        name: &'static str,
    },
    /// A value is none of its parameter.
    #[error("the parameter `{name}` of `{query}` is {expected}, not {found}")]
    Wrong {
        /// The query.
        query: &'static str,
        /// The parameter.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given, as JSON.
        found: String,
    },
}

fn parameters_of(names: &[&'static str]) -> String {
    match names {
        [] => ": it has none".to_owned(),
        names => format!(": it has {}", names.join(", ")),
    }
}

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A GUID.
    Guid(Guid),
    /// A text.
    Text(String),
    /// The name of a package whose GUID must be looked up.
    PackageName(String),
    /// The GUID of the host itself.
    OwnGuid,
}

/// The longest text that is taken: the width of a name in the product.
const LONGEST: usize = 255;

/// Gives each parameter of a query its value, in the order of `@P1`, `@P2`, …
///
/// # Errors
///
/// The first that is unknown, missing or none of its kind.
pub fn arguments(
    query: &NamedQuery,
    given: &Map<String, Value>,
) -> Result<Vec<Argument>, BindError> {
    let name = query.name();
    let is_known = |key: &str| query.parameters.iter().any(|parameter| parameter.name == key);
    if let Some(unknown) = given.keys().find(|key| !is_known(key)) {
        return Err(BindError::Unknown {
            query: name,
            name: unknown.clone(),
            known: query.parameters.iter().map(|parameter| parameter.name).collect(),
        });
    }
    query
        .parameters
        .iter()
        .map(|parameter| {
            let value = given.get(parameter.name).filter(|value| !value.is_null());
            match value {
                Some(value) => argument(name, parameter, value),
                None if parameter.is_required() => {
                    Err(BindError::Missing { query: name, name: parameter.name })
                }
                None => Ok(Argument::OwnGuid),
            }
        })
        .collect()
}

fn argument(
    query: &'static str,
    parameter: &QueryParameter,
    value: &Value,
) -> Result<Argument, BindError> {
    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
    let text = text.filter(|text| text.chars().count() <= LONGEST);
    let guid = || text.and_then(|text| text.parse().ok()).map(Argument::Guid);
    let found = match parameter.kind {
        QueryParameterKind::Guid | QueryParameterKind::Server => guid(),
        QueryParameterKind::Package => {
            guid().or_else(|| text.map(|text| Argument::PackageName(text.to_owned())))
        }
        QueryParameterKind::Text => text.map(|text| Argument::Text(text.to_owned())),
    };
    found.ok_or_else(|| BindError::Wrong {
        query,
        name: parameter.name,
        expected: parameter.kind.expected(),
        found: value.to_string().chars().take(80).collect(),
    })
}

impl QueryParameterKind {
    /// What should be there, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Guid => "a GUID",
            Self::Package => "the GUID or the name of a package",
            Self::Server => "the GUID of a package server",
            Self::Text => "a text of at most 255 characters",
        }
    }
}
