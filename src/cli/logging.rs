//! Logs for developers, off unless `FLEETMEND_LOG` asks for them.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::environment;
use crate::protocol::auth::SSPI_TRACING_CAP;

/// Installs the subscriber. Whatever the filter says, the `sspi` target stays at `warn`: at debug
/// it prints what it encrypts.
pub(super) fn install() {
    let Some(wanted) = environment::variable("FLEETMEND_LOG") else { return };
    let Ok(cap) = SSPI_TRACING_CAP.parse() else { return };
    let filter = EnvFilter::new(cap_sspi(&wanted)).add_directive(cap);
    // A terminal that has gone must not end the program, as a complaint about it there would.
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    // A second subscriber would be a mistake of a test; the first one stays.
    let _first_stays = tracing_subscriber::registry().with(layer).with(filter).try_init();
}

/// Takes out every directive that speaks of `sspi`, so that a more specific one cannot win over
/// the cap.
fn cap_sspi(wanted: &str) -> String {
    wanted
        .split(',')
        .filter(|directive| !directive.trim_start_matches(['[', ' ']).starts_with("sspi"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directive_can_lift_the_cap_on_sspi() {
        assert_eq!(
            cap_sspi("debug,sspi=trace,sspi::ntlm=trace,fleetmend=debug"),
            "debug,fleetmend=debug"
        );
    }
}
