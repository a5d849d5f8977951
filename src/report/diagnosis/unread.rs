//! What an examination could not read: a diagnosis is only as good as what was seen.

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;
use serde_json::Value;

use crate::itms::evidence::FleetEvidence;
use crate::report::{clean_line, fold_hosts};

/// A part that could not be read, for one reason, on some hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Unread {
    /// The part, in words.
    pub(super) part: String,
    /// Why, without the host's own name.
    pub(super) why: String,
    /// The hosts, folded for people.
    #[serde(skip)]
    pub(super) hosts: String,
    /// The hosts by their names.
    #[serde(rename = "hosts")]
    pub(super) names: Vec<String>,
}

/// Everything that was not readable, the most widespread first.
pub(super) fn unread(evidence: &FleetEvidence) -> Vec<Unread> {
    let servers = evidence
        .servers
        .iter()
        .map(|server| (server.host.as_str(), serde_json::to_value(server).unwrap_or_default()));
    let notification_servers = evidence
        .notification_servers
        .iter()
        .map(|server| (server.host.as_str(), serde_json::to_value(server).unwrap_or_default()));
    let mut found: IndexMap<(String, String), IndexSet<String>> = IndexMap::new();
    for (host, value) in notification_servers.chain(servers) {
        walk(&value, "", &mut |part, why| {
            let key = (part.replace('_', " "), clean_line(&why.replace(host, "the host"), 200));
            found.entry(key).or_default().insert(host.to_owned());
        });
    }
    let mut unread: Vec<Unread> = found
        .into_iter()
        .map(|((part, why), hosts)| Unread {
            part,
            why,
            hosts: fold_hosts(hosts.iter().map(String::as_str)),
            names: hosts.into_iter().collect(),
        })
        .collect();
    unread.sort_by_key(|part| std::cmp::Reverse(part.names.len()));
    unread
}

/// Calls for every `{"unreadable": why}` with the name of the field that it is in.
fn walk(value: &Value, field: &str, found: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(map) => {
            if let (1, Some(why)) = (map.len(), map.get("unreadable").and_then(Value::as_str)) {
                found(field, why);
                return;
            }
            for (name, inner) in map {
                let is_wrapping = name == "known";
                walk(inner, if is_wrapping { field } else { name }, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| walk(inner, field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itms::evidence::{Seen, ServerEvidence};
    use crate::model::HostName;

    #[test]
    fn the_same_reason_on_many_servers_is_told_once() {
        let server = |name: &str| ServerEvidence {
            host: HostName::new(name),
            shares: Seen::Unreadable(format!("could not ask {name}: access denied")),
            ..ServerEvidence::default()
        };
        let evidence = FleetEvidence {
            taken: jiff::Timestamp::UNIX_EPOCH,
            notification_servers: Vec::new(),
            servers: vec![server("ps-1"), server("ps-2")],
        };

        let unread = unread(&evidence);

        let expected = Unread {
            part: "shares".to_owned(),
            why: "could not ask the host: access denied".to_owned(),
            hosts: "ps-[1,2]".to_owned(),
            names: vec!["ps-1".to_owned(), "ps-2".to_owned()],
        };
        assert_eq!(unread, [expected]);
    }
}
