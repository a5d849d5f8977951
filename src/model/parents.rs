//! The parents of a Notification Server, as far as the operator names them: nothing in a CMDB says
//! whether a server that packages come from is a parent that still lives.

use serde_json::Value;

use super::Host;

/// The variable that names them.
const VARIABLE: &str = "parent_servers";

/// What the inventory says of a Notification Server's parents, `parent_servers`: a name or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parents {
    names: Vec<String>,
    /// Whether those are all of them.
    is_complete: bool,
}

impl Parents {
    /// Those of a host. Where the variable is absent or not made of texts, there may be more.
    pub fn of(host: &Host) -> Self {
        let told = match host.vars.get(VARIABLE) {
            Some(Value::Array(names)) => names.as_slice(),
            Some(name) => std::slice::from_ref(name),
            None => return Self::default(),
        };
        let names: Vec<String> = told
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !name.trim().is_empty())
            .map(str::to_owned)
            .collect();
        Self { is_complete: names.len() == told.len(), names }
    }

    /// Exactly these.
    pub fn named(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { names, is_complete: true }
    }

    /// Whether a server is one of them; none when nobody said.
    pub fn hold(&self, server: Option<&str>) -> Option<bool> {
        let server = server.map(str::trim).filter(|name| !name.is_empty());
        match server {
            Some(server) if self.names.iter().any(|name| is_same_server(name, server)) => {
                Some(true)
            }
            // A server without a name could be any of those that are named.
            None if !self.names.is_empty() => None,
            Some(_) | None => self.is_complete.then_some(false),
        }
    }
}

/// Whether two names can be of one server, without regard to case: the same name, or a short one and
/// the first label of a fully qualified one. Two fully qualified names have to be the same.
pub fn is_same_server(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.trim().trim_end_matches('.').to_lowercase();
    let (one, other) = (plain(one), plain(other));
    let is_label_of = |short: &str, long: &str| {
        !short.contains('.') && long.split_once('.').is_some_and(|(label, _)| label == short)
    };
    one == other || is_label_of(&one, &other) || is_label_of(&other, &one)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::model::{HostName, Vars};

    fn parents(told: Option<Value>) -> Parents {
        let vars: Vars = told.into_iter().map(|value| (VARIABLE.to_owned(), value)).collect();
        Parents::of(&Host {
            name: HostName::new("smp01"),
            groups: Arc::from([]),
            vars: Arc::new(vars),
        })
    }

    #[test]
    fn a_parent_is_known_by_its_short_and_by_its_full_name() {
        for (one, other, is_same) in [
            ("smp-hq", "SMP-HQ.corp.example", true),
            ("SMP-HQ.corp.example", "smp-hq", true),
            ("smp-hq.corp.example.", "smp-hq.CORP.example", true),
            ("smp-hq.corp.example", "smp-hq.old.example", false),
            ("smp-hq", "smp-hq2", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(is_same_server(one, other), is_same, "{one} {other}");
        }
    }

    #[test]
    fn what_nobody_said_of_parents_is_not_that_there_are_none() {
        assert_eq!(parents(None).hold(Some("smp-hq")), None);
        assert_eq!(parents(Some(Value::Null)).hold(Some("smp-hq")), None);
        assert_eq!(parents(Some(json!(["smp-a", 7]))).hold(Some("smp-hq")), None);
        assert_eq!(parents(Some(json!(["smp-a", 7]))).hold(Some("SMP-A.corp")), Some(true));

        assert_eq!(parents(Some(json!([]))).hold(Some("smp-hq")), Some(false));
        assert_eq!(parents(Some(json!([]))).hold(None), Some(false));
        assert_eq!(parents(Some(json!("smp-a"))).hold(Some("smp-hq")), Some(false));
        assert_eq!(parents(Some(json!("smp-a"))).hold(None), None, "it could be smp-a");
    }
}
