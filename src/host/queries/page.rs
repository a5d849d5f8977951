//! The queries as text: a list for a terminal, and the page `docs/queries.md`.

use std::fmt::Write;

use super::{NamedQuery, REGISTRY};

/// One line for each query, with its parameters.
pub fn listing() -> String {
    let mut text = String::new();
    for query in REGISTRY {
        let _infallible = writeln!(text, "{:<27} {}", query.name(), query.summary);
        for parameter in query.parameters {
            let _infallible = writeln!(
                text,
                "{:<27}   {}: {}; {}.",
                "",
                parameter.name,
                parameter.kind.expected(),
                lower_first(parameter.doc)
            );
        }
    }
    text
}

/// The page that documents every query, in Markdown.
pub fn page() -> String {
    let mut text = String::from(HEAD);
    for query in REGISTRY {
        one(&mut text, query);
    }
    text
}

const HEAD: &str = "\
# The named queries

What fleetmend reads from the CMDB, it reads by these. The action `cmdb_query` runs one and keeps its rows:

```yaml
- name: The local identifier must be one
  cmdb_query: { query: local_server_id, expect: { rows: 1 } }
- name: Read where clients are sent for 7-Zip
  cmdb_query: { query: codebases, parameters: { package: 7-Zip } }
  register: locations
```

The value has `rows`, mappings by column, at most 10,000 of them, and `complete`, whether these are all. `expect` takes
`rows`, or `min` and `max`; otherwise the step fails. A package may be given by its name where only one has it.
`not_ready_packages`, `drift`, `duplicates` and `ready_without_codebase` can be the `work` of a play.

No statement changes anything, and all values travel as parameters. Before a query is first used on a connection, the
live schema is asked for the columns that it needs (`INFORMATION_SCHEMA.COLUMNS`). A query that lacks some is refused with
their names; the others work on. No installation of the product has confirmed the tables yet.
";

fn one(text: &mut String, query: &NamedQuery) {
    let _infallible = write!(text, "\n## {}\n\n{}\n\n{}\n", query.name(), query.summary, query.doc);
    let _infallible = write!(text, "\nSource: {}.\n", query.source);
    if !query.parameters.is_empty() {
        text.push_str("\n| parameter | takes | |\n|---|---|---|\n");
        for parameter in query.parameters {
            let _infallible = writeln!(
                text,
                "| `{}` | {} | {}. |",
                parameter.name,
                parameter.kind.expected(),
                parameter.doc
            );
        }
    }
    text.push_str("\n| column | holds |\n|---|---|\n");
    for column in query.columns {
        let _infallible = writeln!(text, "| `{}` | {} |", column.name, column.doc);
    }
    let needs: Vec<String> = query
        .needs
        .iter()
        .map(|need| format!("`{}` ({})", need.table, need.columns.join(", ")))
        .collect();
    let _infallible = write!(text, "\nNeeds {}.\n", needs.join("; "));
    let _infallible = write!(text, "\n```sql\n{}\n```\n", query.statement.text);
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
