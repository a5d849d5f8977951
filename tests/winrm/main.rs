//! The WinRM client against the WinRM front of the lab, over loopback sockets.

mod chaos;
mod hostile;
mod lab;
mod later_logons;
mod secrets;

use std::io;
use std::time::Duration;

use fleetmend::lab::front::{ConnectionFault, RequestFault};
use fleetmend::lab::winrm::Quotas;
use fleetmend::secret::Secret;
use fleetmend::transport::winrm::{
    Authentication, CommandLine, OutputLimits, WinRmError, WinRmSettings, WinRmShell, identify,
};
use fleetmend::transport::{
    ChangeScript, ChangeShell as _, Deadline, ReadScript, ReadShell as _, TransportErrorKind,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use lab::{Lab, lab, lab_with, soon};

const ECHO: ReadScript = ReadScript { name: "echo", text: "# echo the input" };

#[tokio::test]
async fn both_mechanisms_and_all_forms_of_a_user_run_sealed_commands() {
    let lab = lab().await;

    for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
        for user in [r"CORP\fleet", r"corp\FLEET", "fleet@corp.example", "fleet"] {
            let mut settings = WinRmSettings { authentication, ..lab.settings() };
            settings.credential.user = user.to_owned();
            let shell = WinRmShell::open(settings, soon()).await.unwrap();
            let output = shell.run(CommandLine::new("echo <a> & \"b\" ü"), soon()).await.unwrap();
            shell.close().await;

            assert_eq!(output.stdout, "<a> & \"b\" ü\r\n".as_bytes());
            assert_eq!(output.exit_code, Some(0));
        }
    }
    let counters = lab.front.counters();
    assert_eq!((counters.logons, counters.rejected, counters.refused_plain), (8, 0, 0));
    assert_eq!(lab.front.open_shells(), 0);
}

#[tokio::test]
async fn two_hundred_fresh_sessions_have_no_failure_and_one_connection_each() {
    let lab = lab().await;

    let mut running = JoinSet::new();
    for number in 0..200 {
        let mut settings = lab.settings();
        settings.authentication =
            if number % 2 == 0 { Authentication::Negotiate } else { Authentication::Ntlm };
        settings.answer_margin = Duration::from_secs(20);
        running.spawn(async move {
            let shell =
                WinRmShell::open(settings, Deadline::after(Duration::from_secs(60))).await?;
            let echo = shell.read(&ECHO, &json!({ "n": number }), soon()).await.unwrap();
            shell.close().await;
            assert_eq!(echo["echo"]["n"], json!(number));
            Ok::<_, WinRmError>(())
        });
        // A user may have 30 shells at a time.
        if running.len() >= 25 {
            running.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(result) = running.join_next().await {
        result.unwrap().unwrap();
    }

    let counters = lab.front.counters();
    assert_eq!((counters.connections, counters.logons, counters.rejected), (200, 200, 0));
    assert_eq!(lab.front.open_shells(), 0);
}

#[tokio::test]
async fn a_script_gets_its_input_and_returns_its_result() {
    let lab = lab().await;
    let shell = lab.shell().await;
    let large: Value = json!({ "text": "ü".repeat(300_000) });

    let read = shell.read(&ECHO, &large, soon()).await.unwrap();
    let change = ChangeScript { name: "change", text: "# change" };
    let changed = shell.change(&change, &json!([1, null]), soon()).await.unwrap();

    assert_eq!(read["echo"], large);
    assert_eq!(changed["echo"], json!([1, null]));
    assert_eq!(changed["user"], json!(r"CORP\fleet"));
    shell.close().await;
}

#[tokio::test]
async fn three_megabytes_arrive_whole_though_pieces_end_inside_characters() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let output = shell.run(CommandLine::new("much 3000006"), soon()).await.unwrap();

    assert_eq!(output.stdout.len(), 3_000_006);
    assert!(std::str::from_utf8(&output.stdout).is_ok());
    assert_eq!(
        (output.stderr.as_slice(), output.exit_code, output.is_cut),
        (&b"some"[..], Some(3), false)
    );
    shell.close().await;
}

#[tokio::test]
async fn too_much_output_is_cut_and_far_too_much_ends_the_command() {
    let lab = lab().await;
    let output = OutputLimits { kept: 100_000, ended: 500_000 };
    let settings = WinRmSettings { output, ..lab.settings() };
    let shell = WinRmShell::open(settings, soon()).await.unwrap();

    let cut = shell.run(CommandLine::new("much 400000"), soon()).await.unwrap();
    let ended = shell.run(CommandLine::new("much 700000"), soon()).await.unwrap_err();

    assert_eq!((cut.stdout.len(), cut.is_cut), (100_000, true));
    assert!(matches!(ended.error, WinRmError::OutputLimit { .. }), "{ended}");
    assert_eq!(ended.kind(), TransportErrorKind::Fault);
    assert_eq!(lab.front.open_shells(), 0);
    shell.close().await;
}

#[tokio::test]
async fn a_command_may_be_quiet_for_longer_than_an_operation_may_take() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let output = shell.run(CommandLine::new("quiet 2.5"), soon()).await.unwrap();

    assert_eq!(output.stdout, b"done");
    shell.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_rejected_as_such_and_tried_once() {
    let lab = lab().await;

    for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
        let mut settings = WinRmSettings { authentication, ..lab.settings() };
        settings.credential.password = Secret::new("wrong".to_owned());
        let error = WinRmShell::open(settings, soon()).await.unwrap_err();

        assert!(matches!(error, WinRmError::AuthenticationRejected { .. }), "{error}");
    }
    let counters = lab.front.counters();
    assert_eq!((counters.connections, counters.logons, counters.rejected), (2, 0, 2));
}

#[tokio::test]
async fn basic_needs_permission_on_both_sides() {
    let strict = lab().await;
    let lenient = lab_with(Quotas::default(), true).await;
    let basic = |lab: &Lab, allow_clear_text| WinRmSettings {
        authentication: Authentication::Basic,
        allow_clear_text,
        ..lab.settings()
    };

    let forbidden = WinRmShell::open(basic(&lenient, false), soon()).await.unwrap_err();
    let refused = WinRmShell::open(basic(&strict, true), soon()).await.unwrap_err();
    let shell = WinRmShell::open(basic(&lenient, true), soon()).await.unwrap();
    let output = shell.run(CommandLine::new("echo x"), soon()).await.unwrap();
    shell.close().await;

    assert!(matches!(forbidden, WinRmError::Settings(_)));
    assert!(matches!(refused, WinRmError::AuthenticationRejected { .. }));
    assert_eq!(output.stdout, b"x\r\n");
    assert_eq!(lenient.front.open_shells(), 0);
}

#[tokio::test]
async fn every_fault_of_a_request_has_its_own_error() {
    type Expected = fn(&WinRmError) -> bool;
    let expected: [(RequestFault, Expected, TransportErrorKind); 6] = [
        (
            RequestFault::Hang,
            |e| matches!(e, WinRmError::TimedOut { request: "Command", sent: true }),
            TransportErrorKind::InDoubt,
        ),
        (
            RequestFault::Drop,
            |e| matches!(e, WinRmError::Lost { request: "Command", sent: true, .. }),
            TransportErrorKind::InDoubt,
        ),
        (
            RequestFault::Truncate,
            |e| matches!(e, WinRmError::AnswerCut { request: "Command", .. }),
            TransportErrorKind::InDoubt,
        ),
        (
            RequestFault::Unauthorized,
            |e| matches!(e, WinRmError::SessionLost { request: "Command" }),
            TransportErrorKind::InDoubt,
        ),
        (
            RequestFault::Busy,
            |e| matches!(e, WinRmError::Busy { request: "Command" }),
            TransportErrorKind::InDoubt,
        ),
        (
            RequestFault::ShellQuota,
            |e| matches!(e, WinRmError::ShellQuota { request: "Command", .. }),
            TransportErrorKind::Throttled,
        ),
    ];
    for (fault, is_expected, kind) in expected {
        let lab = lab().await;
        let shell = lab.shell().await;
        lab.plan("Command", fault);

        let failure = shell.run(CommandLine::new("echo x"), soon()).await.unwrap_err();

        assert!(is_expected(&failure.error), "{fault:?}: {:?}", failure.error);
        assert_eq!(failure.kind(), kind, "{fault:?}");
        // A command is never sent twice.
        assert!(lab.machine.began.lock().unwrap().is_empty());
        assert_eq!(lab.front.open_shells(), 0, "{fault:?}");
        // The session recovers by itself.
        let output = shell.run(CommandLine::new("echo again"), soon()).await.unwrap();
        assert_eq!(output.stdout, b"again\r\n");
        shell.close().await;
        assert_eq!(lab.front.open_shells(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_fault_while_the_shell_is_made_leaves_no_shell_behind() {
    for fault in [RequestFault::Drop, RequestFault::Truncate, RequestFault::ShellQuota] {
        let lab = lab().await;
        lab.plan("Create", fault);

        let error = WinRmShell::open(lab.settings(), soon()).await.unwrap_err();

        assert_eq!(
            matches!(error, WinRmError::ShellQuota { request: "Create", .. }),
            fault == RequestFault::ShellQuota
        );
        assert_eq!(lab.front.open_shells(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_to_receive_is_asked_for_again_and_loses_no_output() {
    let lab = lab().await;
    let shell = lab.shell().await;
    lab.plan("Receive", RequestFault::Drop);
    lab.plan("Receive", RequestFault::Truncate);

    let output = shell.run(CommandLine::new("much 300000"), soon()).await.unwrap();

    assert_eq!(output.stdout.len(), 300_000);
    assert_eq!(lab.machine.began.lock().unwrap().len(), 1);
    shell.close().await;
}

#[tokio::test]
async fn a_slow_answer_is_an_answer_and_faults_of_other_protocols_do_nothing() {
    let lab = lab().await;
    let shell = lab.shell().await;
    lab.plan("Command", RequestFault::Delay(Duration::from_millis(300)));
    lab.plan("Receive", RequestFault::SharingViolation);
    lab.plan("Signal", RequestFault::Deadlock);

    let output = shell.run(CommandLine::new("echo slow"), soon()).await.unwrap();

    assert_eq!(output.stdout, b"slow\r\n");
    shell.close().await;
}

#[tokio::test]
async fn no_connection_and_no_answer_to_a_connection_are_unreachable() {
    let lab = lab().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = WinRmSettings { port: free.local_addr().unwrap().port(), ..lab.settings() };
    drop(free);
    lab.faults.connections.lock().unwrap().extend([ConnectionFault::Refuse, ConnectionFault::Hang]);

    let nobody = WinRmShell::open(closed, soon()).await.unwrap_err();
    let reset = WinRmShell::open(lab.settings(), soon()).await.unwrap_err();
    let hung = WinRmShell::open(lab.settings(), Deadline::after(Duration::from_millis(300)))
        .await
        .unwrap_err();

    assert!(
        matches!(&nobody, WinRmError::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused),
        "{nobody:?}"
    );
    // The reset may come before or after the client has written its first request.
    assert!(
        matches!(reset, WinRmError::Connect { .. } | WinRmError::Lost { request: "logon", .. }),
        "{reset:?}"
    );
    assert!(matches!(hung, WinRmError::TimedOut { request: "logon", .. }), "{hung:?}");
}

#[tokio::test]
async fn dropping_a_command_ends_it_and_deletes_its_shell() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let run = shell.run(CommandLine::new("quiet 600"), Deadline::after(Duration::from_secs(900)));
    let cancelled = tokio::time::timeout(Duration::from_millis(300), run).await;

    assert!(cancelled.is_err());
    lab.until_no_shell_is_open().await;
    let output = shell.run(CommandLine::new("echo after"), soon()).await.unwrap();
    assert_eq!(output.stdout, b"after\r\n");
    drop(shell);
    lab.until_no_shell_is_open().await;
}

#[tokio::test]
async fn the_deadline_of_a_command_ends_it() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let failure = shell
        .run(CommandLine::new("quiet 600"), Deadline::after(Duration::from_millis(1_200)))
        .await
        .unwrap_err();

    assert_eq!(failure.kind(), TransportErrorKind::InDoubt);
    assert_eq!(lab.front.open_shells(), 0);
    shell.close().await;
}

#[tokio::test]
async fn a_shell_is_replaced_before_its_operations_are_used_up() {
    let quotas = Quotas { operations_per_user: 12, ..Quotas::default() };
    let lab = lab_with(quotas, false).await;
    let planned = WinRmSettings { commands_per_shell: 10, ..lab.settings() };
    let unplanned = WinRmSettings { commands_per_shell: 1_000, ..lab.settings() };

    for settings in [planned, unplanned] {
        let shell = WinRmShell::open(settings, soon()).await.unwrap();
        for _ in 0..30 {
            shell.run(CommandLine::new("echo x"), soon()).await.unwrap();
        }
        shell.close().await;
    }

    assert_eq!(lab.machine.began.lock().unwrap().len(), 60);
    assert_eq!(lab.front.open_shells(), 0);
}

#[tokio::test]
async fn shells_beyond_the_quota_are_refused_with_its_own_error() {
    let lab = lab_with(Quotas { shells_per_user: 1, ..Quotas::default() }, false).await;
    let first = lab.shell().await;

    let second = WinRmShell::open(lab.settings(), soon()).await.unwrap_err();

    assert!(matches!(second, WinRmError::ShellQuota { .. }), "{second}");
    first.close().await;
    lab.shell().await.close().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_the_server_and_replaced_by_the_client() {
    let quotas = Quotas { connection_idle: Duration::from_millis(200), ..Quotas::default() };
    let lab = lab_with(quotas, false).await;
    let shell = lab.shell().await;
    tokio::time::sleep(Duration::from_millis(600)).await;

    let output = shell.run(CommandLine::new("echo x"), soon()).await.unwrap();

    assert_eq!(output.stdout, b"x\r\n");
    assert_eq!(lab.front.counters().connections, 2);
    shell.close().await;
}

#[tokio::test]
async fn a_script_without_a_result_is_a_fault_with_its_standard_error() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let output = shell.run(CommandLine::new("format c:"), soon()).await.unwrap();

    assert_eq!(output.exit_code, Some(9009));
    assert_eq!(output.stderr, b"not simulated: format");
    shell.close().await;
}

#[tokio::test]
async fn a_command_that_was_given_up_while_it_waited_does_not_begin() {
    let lab = lab().await;
    let shell = lab.shell().await;

    let first = shell.run(CommandLine::new("quiet 0.3"), soon());
    let second = tokio::time::timeout(
        Duration::from_millis(100),
        shell.run(CommandLine::new("echo never"), soon()),
    );
    let (first, second) = tokio::join!(first, second);
    let third = shell.run(CommandLine::new("echo third"), soon()).await.unwrap();
    let late = shell.run(CommandLine::new("echo late"), Deadline::after(Duration::ZERO)).await;

    assert_eq!(first.unwrap().stdout, b"done");
    assert!(second.is_err());
    assert_eq!(third.stdout, b"third\r\n");
    assert_eq!(late.unwrap_err().kind(), TransportErrorKind::TimedOut);
    let began = lab.machine.began.lock().unwrap().clone();
    assert_eq!(began, ["quiet 0.3", "echo third"]);
    shell.close().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_request_does_not_use_up_the_connections() {
    let quotas = Quotas { connections: 3, ..Quotas::default() };
    let lab = lab_with(quotas, false).await;

    for _ in 0..5 {
        lab.plan("Create", RequestFault::Hang);
        let error =
            WinRmShell::open(lab.settings(), Deadline::after(Duration::from_millis(300))).await;
        assert!(matches!(error, Err(WinRmError::TimedOut { request: "Create", sent: true })));
    }

    lab.shell().await.close().await;
}

#[tokio::test]
async fn a_server_tells_what_it_is_without_a_logon() {
    let lab = lab().await;
    let mut settings = lab.settings();
    settings.credential.password = Secret::new("wrong".to_owned());

    let identity = identify(&settings, soon()).await.unwrap();

    assert_eq!(identity.vendor, "fleetmend simulation");
    assert_eq!((lab.front.counters().logons, lab.front.counters().rejected), (0, 0));
}
