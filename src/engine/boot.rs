//! The clock that all processes of a controller share: what limits are measured by.

#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::time::Duration;

use crate::ledger::Moment;

/// The present. On Linux it is counted from the boot of the system, sleep included, and no setting
/// of the clock moves it; a boot has an identity of its own. Elsewhere the wall clock stands in,
/// all in one stretch: set back, it gives back nothing; set forward, it may give back too early, at
/// most one burst.
pub fn boot_moment() -> Moment {
    since_boot().unwrap_or_else(wall)
}

#[cfg(target_os = "linux")]
fn since_boot() -> Option<Moment> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = text.trim();
        (!id.is_empty()).then(|| id.to_owned())
    };
    let stretch = BOOT.get_or_init(read).clone()?;
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(Moment { stretch, at: Duration::new(seconds, nanos) })
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<Moment> {
    None
}

#[expect(clippy::disallowed_methods, reason = "the clock of processes that share limits")]
fn wall() -> Moment {
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Moment { stretch: "wall clock".to_owned(), at: at.unwrap_or_default() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_boot_of_the_system() {
        let (one, other) = (boot_moment(), boot_moment());

        assert_eq!(one.stretch, other.stretch);
        assert_ne!(one.stretch, "wall clock");
        assert!(one.at <= other.at);
    }
}
