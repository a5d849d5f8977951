//! Many sessions under faults at every turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleetmend::lab::front::{ConnectionFault, Faults, Protocol, RequestFault};
use fleetmend::transport::winrm::{CommandLine, WinRmSettings, WinRmShell};
use fleetmend::transport::{Deadline, ReadShell as _, TransportErrorKind};
use tokio::task::JoinSet;

use crate::lab::lab_under;

/// About every ninth request meets a fault, chosen by a counter through a fixed mixing function.
#[derive(Default)]
struct Storm {
    asked: AtomicU64,
}

impl Faults for Storm {
    fn on_connect(&self, _: Protocol) -> Option<ConnectionFault> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (number >> 60 == 0).then_some(ConnectionFault::Refuse)
    }

    fn on_request(&self, _: Protocol, operation: &str) -> Option<RequestFault> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Some(match number >> 58 {
            0 => RequestFault::Delay(Duration::from_millis(20)),
            1 => RequestFault::Drop,
            2 => RequestFault::Truncate,
            3 => RequestFault::Unauthorized,
            4 => RequestFault::Busy,
            5 => RequestFault::ShellQuota,
            // A shell whose deletion hangs is left to its idle timeout: not what is tested here.
            6 if operation != "Delete" && operation != "Signal" => RequestFault::Hang,
            _ => return None,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_any_faults_no_command_runs_twice_and_no_result_is_wrong() {
    let lab = lab_under(Arc::new(Storm::default())).await;
    let settings = WinRmSettings {
        operation_timeout: Duration::from_millis(500),
        answer_margin: Duration::from_millis(500),
        ..lab.settings()
    };

    let mut sessions = JoinSet::new();
    for session in 0..24 {
        let settings = settings.clone();
        sessions.spawn(async move {
            let mut outcomes = Vec::new();
            for command in 0..12 {
                let deadline = Deadline::after(Duration::from_secs(8));
                let shell = match WinRmShell::open(settings.clone(), deadline).await {
                    Ok(shell) => shell,
                    Err(error) => {
                        // The worst kind of a wrong error: it stops a roll-out.
                        assert_ne!(error.kind(), TransportErrorKind::AuthRejected, "{error:?}");
                        continue;
                    }
                };
                let text = format!("{session}-{command}");
                let result = shell.run(CommandLine::new(format!("echo {text}")), deadline).await;
                shell.close().await;
                outcomes.push((text, result));
            }
            outcomes
        });
    }
    let mut outcomes = Vec::new();
    while let Some(session) = sessions.join_next().await {
        outcomes.extend(session.unwrap());
    }

    let mut began: HashMap<String, u32> = HashMap::new();
    for command in lab.machine.began.lock().unwrap().iter() {
        *began.entry(command.clone()).or_default() += 1;
    }
    assert!(began.values().all(|times| *times == 1), "{began:?}");
    let mut done = 0;
    for (text, result) in outcomes {
        let has_begun = began.contains_key(&format!("echo {text}"));
        match result {
            Ok(output) => {
                assert_eq!(output.stdout, format!("{text}\r\n").into_bytes());
                done += 1;
            }
            // What began is never reported as something that did not.
            Err(failure) => {
                assert!(!has_begun || failure.kind() == TransportErrorKind::InDoubt, "{failure:?}");
            }
        }
    }
    assert!(done > 100, "only {done} commands came through");
    lab.until_no_shell_is_open().await;
}
