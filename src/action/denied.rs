//! Programs and calls that no text of a playbook may name.

/// What would destroy an agent's identity, tell its secrets, or forge what it reports, in lower
/// case. `AeXAgentUtil /Clean` and `/ResetGuid` make an agent a stranger to its server, SMATool and
/// SMAODJoin open the agent's secure storage (KB 181777), and `PostQueuedEvent` posts any event in
/// the agent's name.
const DENIED: &[&str] = &["aexagentutil", "smatool", "smaodjoin", "postqueuedevent"];

/// What is denied in a text, as it is written there or hidden behind the characters by which shells
/// join and escape.
///
/// This keeps an accident from happening. Whoever writes a playbook may run any program as an
/// administrator, and can hide a name well enough.
pub(super) fn denied_in(text: &str) -> Option<&'static str> {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !"^`\"'+(){}%!".contains(*c))
        .flat_map(char::to_lowercase)
        .collect();
    DENIED.iter().copied().find(|name| plain.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_name_is_found_however_it_is_spelt() {
        for text in [
            "& 'C:\\Program Files\\Altiris\\Altiris Agent\\AeXAgentUtil.exe' /Clean",
            "aex^agent^util /resetguid",
            "& ('AeX' + 'AgentUtil')",
            "$a.Post`QueuedEvent($g, $x)",
            "SMATOOL.EXE",
        ] {
            assert!(denied_in(text).is_some(), "{text}");
        }
        assert_eq!(denied_in("Get-Service AeXNSClient"), None);
    }
}
