//! A part of an examination: what came of it, or why it could not be read.

use crate::itms::evidence::{Contact, Seen};
use crate::model::{FailureClass, HostName, StepFailure};

/// The longest reason that is kept, in characters.
const LONGEST: usize = 300;

/// A part that failed is data. A rejected logon alone ends the examination: trying again would
/// lock the account.
pub(super) fn seen<T>(result: Result<T, impl Into<StepFailure>>) -> Result<Seen<T>, StepFailure> {
    match result.map_err(Into::into) {
        Ok(value) => Ok(Seen::Known(value)),
        Err(failure) if failure.class == FailureClass::AuthRejected => Err(failure),
        Err(failure) => Ok(Seen::Unreadable(reason(&failure))),
    }
}

/// A part that was read, and may turn out to make no sense.
pub(super) fn understood<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Seen<T> {
    match result {
        Ok(value) => Seen::Known(value),
        Err(error) => Seen::Unreadable(cut(&format!("could not understand {what}: {error}"))),
    }
}

/// Goes on with what was read.
pub(super) fn then<T, U>(seen: Seen<T>, next: impl FnOnce(T) -> Seen<U>) -> Seen<U> {
    match seen {
        Seen::Known(value) => next(value),
        Seen::Unreadable(why) => Seen::Unreadable(why),
        Seen::NotAsked => Seen::NotAsked,
    }
}

/// Whether a transport could be used, by what became of its first use. A host that refuses one
/// thing has answered.
pub(super) fn contact<T>(result: &Result<T, StepFailure>) -> Contact {
    match result {
        Ok(_) => Contact::Answered,
        Err(failure) if failure.class == FailureClass::RemoteFault => Contact::Answered,
        Err(failure) => Contact::Failed { class: failure.class, why: reason(failure) },
    }
}

/// The end of an examination of a host that answers on none of its transports.
pub(super) fn out_of_reach(host: &HostName, contacts: &[(&str, &Contact)]) -> StepFailure {
    let failed: Vec<(&str, FailureClass, &str)> = contacts
        .iter()
        .filter_map(|(what, contact)| match contact {
            Contact::Failed { class, why } => Some((*what, *class, why.as_str())),
            Contact::NotTried | Contact::Answered => None,
        })
        .collect();
    let class = match failed.as_slice() {
        [] => FailureClass::Refused,
        list if list.iter().any(|(_, class, _)| *class == FailureClass::Unreachable) => {
            FailureClass::Unreachable
        }
        [(_, class, _), ..] => *class,
    };
    let message = match failed.as_slice() {
        [] => format!("the inventory does not say how {host} is reached"),
        list => {
            let names: Vec<&str> = list.iter().map(|(what, _, _)| *what).collect();
            format!("could not reach {host} over {}", names.join(" or "))
        }
    };
    let mut failure = StepFailure::new(class, message);
    failure.causes = failed.iter().map(|(what, _, why)| format!("{what}: {why}")).collect();
    failure
}

fn reason(failure: &StepFailure) -> String {
    cut(&failure.to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_part_is_data_and_a_rejected_logon_is_not() {
        let failed = |class| seen::<u8>(Err(StepFailure::new(class, "could not read it")));

        assert_eq!(
            failed(FailureClass::RemoteFault),
            Ok(Seen::Unreadable("could not read it".to_owned()))
        );
        assert!(failed(FailureClass::AuthRejected).is_err());
    }

    #[test]
    fn a_host_out_of_reach_is_unreachable_and_says_why_for_each_transport() {
        let failed = |class, why: &str| Contact::Failed { class, why: why.to_owned() };
        let host = HostName::new("ps-01");
        let failure = out_of_reach(
            &host,
            &[
                ("WinRM", &failed(FailureClass::TimedOut, "no answer")),
                ("SMB", &failed(FailureClass::Unreachable, "no route")),
            ],
        );

        assert_eq!(failure.class, FailureClass::Unreachable);
        assert_eq!(failure.causes, ["WinRM: no answer", "SMB: no route"]);
        assert_eq!(
            out_of_reach(&host, &[("SMB", &Contact::NotTried)]).class,
            FailureClass::Refused
        );
    }

    #[test]
    fn a_host_that_refuses_one_thing_has_answered() {
        let refused = Err::<(), _>(StepFailure::new(FailureClass::RemoteFault, "access denied"));

        assert_eq!(contact(&refused), Contact::Answered);
        assert_eq!(contact(&Ok::<_, StepFailure>(1)), Contact::Answered);
    }
}
