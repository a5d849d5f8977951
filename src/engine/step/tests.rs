use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use futures::FutureExt;

use super::*;
use crate::action::scripted_host::{ScriptedHost, nothing_before};
use crate::model::{ActionCall, Guid, Host, HostName, PlayNo, TaskFlow, TaskId, Vars};

const A: Guid = Guid::from_u128(0xA);
const LOG: &str = "D:\\Altiris\\Altiris Agent\\Logs\\agent.log";

/// A package server whose package is downloaded at the third look, and that logs what it sends.
fn server() -> Arc<ScriptedHost> {
    let looks = AtomicU32::new(0);
    let host = ScriptedHost::new(move |host, name, _| match name {
        "host-facts" => Ok(json!({
            "computer": "PS-01", "domain": "corp.example", "time_utc": null,
            "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
            "agent": {
                "install_dir": "D:\\Altiris\\Altiris Agent", "version": "8.6",
                "machine_guid": null, "ns": "smp01.corp.example", "plugin_version": "8.6",
                "log_dir": null, "package_delivery": null,
            },
            "notification_server": null,
        })),
        "agent-packages" => {
            let is_there = looks.fetch_add(1, Ordering::SeqCst) >= 3;
            let status = if is_there { "Ready" } else { "Download Pending" };
            Ok(json!({ "package_server": true, "packages": [
                { "id": A, "name": "Firefox", "status": status, "version": "1601867730" },
            ] }))
        }
        "agent-resend-package-status" => {
            host.append(
                LOG,
                "<event date='May 16 11:51:05' severity='4' source='Package Server' module='AeXNSCPackageServer.dll' ><![CDATA[Package status sent for 1 packages]]></event>\n",
                2,
            );
            Ok(json!({ "package_server": true, "called": true }))
        }
        other => panic!("{other}"),
    });
    host.write(LOG, "", 1);
    host
}

fn job(host: &Arc<ScriptedHost>, is_check: bool, inbox: mpsc::Sender<Message>) -> Job {
    let id = TaskId { play: PlayNo(0), task: 0 };
    let task = Task {
        id,
        name: "Send the status".to_owned(),
        action: ActionCall { action: "agent".to_owned(), params: json!("resend_package_status") },
        when: None,
        register: None,
        uses: Cost::none(),
        causes: None,
        within: None,
        line: 1,
        flow: TaskFlow::default(),
    };
    let name = HostName::new("ps-01");
    let scope = Scope::new(
        Host { name: name.clone(), groups: Arc::from([]), vars: Arc::default() },
        Arc::new(Vars::default()),
        Arc::new(Vars::default()),
    );
    Job {
        step: StepId { task: id, host: name },
        errand: Errand::Task { task: Arc::new(task), scope: Box::new(scope) },
        is_check,
        session: Arc::new(host.session(&[A])),
        prior: nothing_before(),
        parts: Arc::from([]),
        within: Duration::from_secs(10),
        inbox,
    }
}

/// Runs the step; what it draws is granted, after `seen` was told how many looks there were.
async fn run_granting(
    host: &Arc<ScriptedHost>,
    is_check: bool,
    seen: &Mutex<Vec<usize>>,
) -> StepEnd {
    let (outbox, mut inbox) = mpsc::channel(4);
    let (_cancel, cancelled) = oneshot::channel();
    let run = run(job(host, is_check, outbox), cancelled);
    let grant = async {
        while let Some(message) = inbox.recv().await {
            let looks = host.ran().iter().filter(|name| *name == "agent-packages").count();
            seen.lock().unwrap().push(looks);
            if let Message::Decided { grant, .. } = message {
                let on_disk: Ack = std::future::ready(Ok(())).boxed();
                let _gone = grant.send(on_disk);
            }
        }
    };
    tokio::join!(run, grant).0
}

#[tokio::test]
async fn what_a_change_needs_is_waited_for_before_anything_is_drawn() {
    let (host, looks) = (server(), Mutex::default());

    let end = run_granting(&host, false, &looks).await;

    assert_eq!(end.outcome, Outcome::Changed, "{end:?}");
    // One to decide, and then until the download has ended.
    assert_eq!(*looks.lock().unwrap(), [4]);
    assert_eq!(host.ran().last().map(String::as_str), Some("agent-resend-package-status"));
}

#[tokio::test]
async fn check_mode_waits_for_nothing() {
    let (host, looks) = (server(), Mutex::default());

    let end = run_granting(&host, true, &looks).await;

    assert_eq!(end.outcome, Outcome::Changed, "{end:?}");
    assert_eq!(*looks.lock().unwrap(), [1], "one look, to decide");
}
