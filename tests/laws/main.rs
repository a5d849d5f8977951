//! Laws: what must hold for every playbook, fleet and timing, on a virtual clock.

/// Laws over random cases, 10,000 each, in four parts that run side by side.
macro_rules! laws {
    ($($(#[$meta:meta])* fn $law:ident($($arg:ident in $strategy:expr),+ $(,)?) $body:block)+) => {$(
        mod $law {
            use super::*;

            proptest! {
                #![proptest_config($crate::quarter())]

                $(#[$meta])*
                fn first_quarter($($arg in $strategy),+) $body

                $(#[$meta])*
                fn second_quarter($($arg in $strategy),+) $body

                $(#[$meta])*
                fn third_quarter($($arg in $strategy),+) $body

                $(#[$meta])*
                fn fourth_quarter($($arg in $strategy),+) $body
            }
        }
    )+};
}

mod adaptive;
mod budgets;
mod case;
mod dependencies;
mod formats;
mod journal;
mod layering;
mod links;
mod playbooks;
mod procedures;
mod resuming;
mod scheduling;
mod sharing;
mod tables;
mod windows;
mod world;

/// A quarter of the cases of a law: 2,500, the same ones each time, so that it says of a change
/// whether it broke something. `FLEETMEND_LAW_CASES` asks for so many fresh ones.
fn quarter() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    #[expect(clippy::disallowed_methods, reason = "the long form asks for fresh cases")]
    let asked = std::env::var("FLEETMEND_LAW_CASES").ok().and_then(|text| text.parse().ok());
    match asked {
        Some(cases) => Config { cases, ..Config::default() },
        None => Config { cases: 2500, rng_seed: RngSeed::Fixed(7), ..Config::default() },
    }
}
