//! The named queries: what may be read from the CMDB, each with its documentation, its parameters,
//! its columns, and the tables and columns that it needs.
//!
//! Tables and columns are those of the vendor's articles and published scripts. No installation of
//! the product has confirmed them, so each query is checked against the live schema before it is
//! first used on a connection: see [`Schema`].

mod bind;
mod codebases;
mod origins;
mod page;
mod preflight;
mod servers;
mod shared;
mod status;

use crate::transport::Statement;

pub use bind::{Argument, BindError, arguments};
pub use codebases::READY_WITHOUT_CODEBASE;
pub use page::{listing, page};
#[cfg(test)]
pub(crate) use preflight::whole_schema;
pub use preflight::{SCHEMA, Schema};
pub use servers::{PACKAGE_SERVER_COUNTS, PACKAGE_SERVERS};
pub use status::{DRIFT, DUPLICATES, NOT_READY_PACKAGES, PACKAGES_BY_NAME, READINESS};

/// What a query takes for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryParameterKind {
    /// A GUID, with or without braces.
    Guid,
    /// The GUID of a package, or its name when only one package has it.
    Package,
    /// The GUID of a package server; the host's own when not given.
    Server,
    /// A text, compared as the database compares texts: commonly without regard to case.
    Text,
}

/// A parameter of a query: `@P1` is the first one, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: QueryParameterKind,
    /// What it means: one sentence.
    pub doc: &'static str,
}

impl QueryParameter {
    /// Whether it must be given.
    pub fn is_required(&self) -> bool {
        self.kind != QueryParameterKind::Server
    }
}

/// A column of a query's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub doc: &'static str,
}

/// A table or view with the columns of it that a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// The table's name.
    pub table: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
}

/// A query that playbooks can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedQuery {
    /// What is sent. Its name is the query's.
    pub statement: Statement<'static>,
    /// What its rows are: one sentence.
    pub summary: &'static str,
    /// What one should know of it; Markdown, wrapped at 90.
    pub doc: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Its parameters, in the order of `@P1`, `@P2`, …
    pub parameters: &'static [QueryParameter],
    /// Its columns, in order.
    pub columns: &'static [QueryColumn],
    /// What it reads.
    pub needs: &'static [Needed],
}

impl NamedQuery {
    /// The name that playbooks use.
    pub fn name(&self) -> &'static str {
        self.statement.name
    }

    /// Whether it always gives exactly one row, because it only counts.
    pub fn is_one_row(&self) -> bool {
        self.name() == servers::EVENT_QUEUE.name()
    }
}

/// Every query, by name in alphabetical order.
pub const REGISTRY: [&NamedQuery; 24] = [
    &servers::AGENT_VERSIONS,
    &codebases::CODEBASES,
    &codebases::CODEBASES_OF_UNKNOWN_HOSTS,
    &DRIFT,
    &DUPLICATES,
    &servers::EVENT_QUEUE,
    &origins::LOCAL_SERVER_ID,
    &origins::LOCAL_SERVER_ID_BY_OWNER,
    &status::NOT_READY_AS_IN_ARTICLE,
    &NOT_READY_PACKAGES,
    &status::NOT_READY_WITH_ORPHANS,
    &origins::OFFERED_PACKAGES,
    &origins::ORIGINS,
    &status::ORPHANS,
    &status::PACKAGE_ROW_HISTORY,
    &status::PACKAGE_ROWS,
    &PACKAGE_SERVER_COUNTS,
    &PACKAGE_SERVERS,
    &status::PACKAGE_STATUS_ROWS,
    &PACKAGES_BY_NAME,
    &READINESS,
    &READY_WITHOUT_CODEBASE,
    &servers::SERVER_AGENT_VERSIONS,
    &origins::THIS_SERVER,
];

/// The names of all queries, in alphabetical order.
pub const NAMES: [&str; REGISTRY.len()] = {
    let mut names = [""; REGISTRY.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = REGISTRY[at].statement.name;
        at += 1;
    }
    names
};

/// The query of that name.
pub fn find(name: &str) -> Option<&'static NamedQuery> {
    REGISTRY.iter().copied().find(|query| query.name() == name)
}

/// Every statement that this program sends of itself.
pub fn statements() -> impl Iterator<Item = &'static Statement<'static>> {
    REGISTRY.iter().map(|query| &query.statement).chain([&SCHEMA])
}

#[cfg(test)]
mod tests;
