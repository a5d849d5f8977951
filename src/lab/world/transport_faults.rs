//! Faults of connections and requests: counted rules behind the fronts' own questions.

use std::sync::{Mutex, PoisonError};

use crate::lab::front::{ConnectionFault, Faults, Protocol, RequestFault};

/// One fault of a machine's connections or requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) effect: Effect,
    /// Which protocol it is about; every one when missing.
    pub(super) protocol: Option<Protocol>,
    /// What the front's word for the operation holds, without regard to case.
    pub(super) needle: &'static str,
    /// How many more requests go well before it begins.
    pub(super) after: u32,
    /// How many more meet it; for ever when missing.
    pub(super) left: Option<u32>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Connection(ConnectionFault),
    Request(RequestFault),
}

impl Rule {
    fn meets(&mut self, protocol: Protocol, operation: &str) -> bool {
        let is_about = self.protocol.is_none_or(|about| about == protocol)
            && operation.to_ascii_lowercase().contains(&self.needle.to_ascii_lowercase());
        if !is_about || self.left == Some(0) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }
}

/// The faults of one machine. They are used up as they happen.
#[derive(Debug)]
pub struct TransportFaults(Mutex<Vec<Rule>>);

impl TransportFaults {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(Mutex::new(rules))
    }

    fn first<T>(
        &self,
        protocol: Protocol,
        operation: &str,
        pick: impl Fn(Effect) -> Option<T>,
    ) -> Option<T> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter_mut().find_map(|rule| {
            let effect = pick(rule.effect)?;
            rule.meets(protocol, operation).then_some(effect)
        })
    }
}

impl Faults for TransportFaults {
    fn on_connect(&self, protocol: Protocol) -> Option<ConnectionFault> {
        self.first(protocol, "", |effect| match effect {
            Effect::Connection(fault) => Some(fault),
            Effect::Request(_) => None,
        })
    }

    fn on_request(&self, protocol: Protocol, operation: &str) -> Option<RequestFault> {
        self.first(protocol, operation, |effect| match effect {
            Effect::Request(fault) => Some(fault),
            Effect::Connection(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_begins_late_ends_after_its_times_and_minds_only_its_own_requests() {
        let faults = TransportFaults::new(vec![Rule {
            effect: Effect::Request(RequestFault::SharingViolation),
            protocol: Some(Protocol::Smb),
            needle: "snapshot.xml",
            after: 1,
            left: Some(2),
        }]);
        let ask = |operation| faults.on_request(Protocol::Smb, operation).is_some();

        assert_eq!(faults.on_request(Protocol::WinRm, "Create"), None);
        assert_eq!(faults.on_connect(Protocol::Smb), None);
        let met =
            [r"SET_INFO C:\x\Snapshot.xml", "READ", "snapshot.xml", "snapshot.xml", "snapshot.xml"]
                .map(ask);

        assert_eq!(met, [false, false, true, true, false]);
    }
}
