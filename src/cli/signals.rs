//! Ctrl-C: the first drains, the second cancels, the third leaves at once. A polite request to end
//! (SIGTERM) counts like it; a terminal that has gone away drains.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::event::StopStage;

/// What the process is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// To end.
    ToEnd,
    /// That its terminal has gone away: nobody is there to say more.
    NobodyIsThere,
}

/// Whether a command listens to what the process is told.
static IS_HEARD: AtomicBool = AtomicBool::new(false);

/// Resolves when the operator wants to leave at once; what he wanted before goes to `stops`.
pub(super) async fn listen(stops: mpsc::Sender<StopStage>) {
    IS_HEARD.store(true, Ordering::Relaxed);
    let mut interrupts = Interrupts::new();
    let mut asked = 0;
    loop {
        let told = interrupts.next().await;
        // A session that ends sends both signals, some of them twice: those of the terminal do not
        // add up.
        asked += usize::from(told == Told::ToEnd);
        let stage = match (told, asked) {
            (Told::NobodyIsThere, _) | (Told::ToEnd, 1) => StopStage::Drain,
            (Told::ToEnd, 2) => StopStage::Cancel,
            (Told::ToEnd, _) => return,
        };
        // A run that has just ended hears nothing more.
        let _ended = stops.send(stage).await;
    }
}

/// Ctrl-C, a polite request to end, or the end of the terminal, from this call on. Who waits in several
/// turns keeps it over all of them: what comes while nobody listens is lost.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    IS_HEARD.store(true, Ordering::Relaxed);
    let mut interrupts = Interrupts::new();
    async move {
        interrupts.next().await;
    }
}

/// Resolves when the process is told to end; whether no command had listened before.
#[cfg(unix)]
pub(super) async fn asked_to_end_unheard() -> bool {
    Interrupts::new().next().await;
    !IS_HEARD.load(Ordering::Relaxed)
}

#[cfg(unix)]
use unix::Interrupts;

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Told;

    /// The signals, from now on: one that comes while nobody waits is not lost.
    pub(super) struct Interrupts {
        interrupt: Option<Signal>,
        terminate: Option<Signal>,
        hangup: Option<Signal>,
    }

    impl Interrupts {
        pub(super) fn new() -> Self {
            // Under `nohup` the run goes on without its terminal, as was asked for.
            let hangup = (!is_hangup_ignored()).then(|| signal(SignalKind::hangup()).ok());
            Self {
                interrupt: signal(SignalKind::interrupt()).ok(),
                terminate: signal(SignalKind::terminate()).ok(),
                hangup: hangup.flatten(),
            }
        }

        pub(super) async fn next(&mut self) -> Told {
            tokio::select! {
                () = received(&mut self.interrupt) => Told::ToEnd,
                () = received(&mut self.terminate) => Told::ToEnd,
                () = received(&mut self.hangup) => Told::NobodyIsThere,
            }
        }
    }

    /// Never resolves for a signal that cannot be listened to.
    async fn received(signal: &mut Option<Signal>) {
        if let Some(signal) = signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }

    /// Whether the process was started so that it ignores SIGHUP, where the system tells that.
    fn is_hangup_ignored() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        ignores_hangup(&status)
    }

    /// Reads it from the text of `/proc/PID/status`, where SIGHUP is the lowest bit of `SigIgn`.
    fn ignores_hangup(status: &str) -> bool {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & 1 == 1)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn nohup_is_seen_in_the_mask_of_ignored_signals() {
            assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
            assert!(!ignores_hangup("SigIgn:\t0000000000001006\n"));
            assert!(!ignores_hangup(""));
        }
    }
}

/// Ctrl-C, from now on.
#[cfg(not(unix))]
struct Interrupts;

#[cfg(not(unix))]
impl Interrupts {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> Told {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Told::ToEnd
    }
}
