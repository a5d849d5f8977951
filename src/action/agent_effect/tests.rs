//! Tests of seeing an effect.

use std::sync::Arc;

use super::super::scripted_host::{ScriptedHost, nothing_before, soon};
use super::super::scripts::{AGENT_RESEND_PACKAGE_STATUS, AGENT_UPDATE_CONFIGURATION};
use super::*;

const LOG: &str = "C:\\Logs\\agent.log";
const POLICY: &str = "C:\\Agent\\Client Policies\\smp01.corp.example.xml";

fn places() -> AgentPlaces {
    AgentPlaces {
        log: Some(LOG.parse().expect("a path")),
        policy: Some(POLICY.parse().expect("a path")),
    }
}

fn event(source: &str, module: &str, text: &str) -> String {
    format!(
        "<event date='May 16 11:51:05' severity='4' source='{source}' module='{module}' ><![CDATA[{text}]]></event>\n"
    )
}

fn sent() -> String {
    event("Package Server", "AeXNSCPackageServer.dll", "Package status sent for 3 packages")
}

async fn update(host: &Arc<ScriptedHost>) -> Result<String, StepFailure> {
    let session = host.session(&[]);
    let at = session.changer(soon(), nothing_before());
    ask_and_see(&at, &AGENT_UPDATE_CONFIGURATION, places(), Effect::Configuration).await
}

async fn resend(host: &Arc<ScriptedHost>) -> Result<String, StepFailure> {
    let session = host.session(&[]);
    let at = session.changer(soon(), nothing_before());
    ask_and_see(&at, &AGENT_RESEND_PACKAGE_STATUS, places(), Effect::StatusSent).await
}

#[tokio::test]
async fn a_newer_policy_file_shows_a_new_configuration() {
    let host = ScriptedHost::new(|host, _, _| {
        host.write(POLICY, "<xml/>", 20);
        Ok(json!({ "called": true }))
    });
    host.write(POLICY, "<xml/>", 10);

    assert_eq!(update(&host).await.as_deref(), Ok("the policy file is newer"));
}

#[tokio::test]
async fn a_policy_file_that_was_not_there_shows_it_by_being_there() {
    let host = ScriptedHost::new(|host, _, _| {
        host.write(POLICY, "<xml/>", 20);
        Ok(json!({ "called": true }))
    });

    assert!(update(&host).await.is_ok());
}

#[tokio::test]
async fn an_event_counts_only_when_it_came_after_the_request() {
    let silent = ScriptedHost::new(|_, _, _| Ok(json!({ "package_server": true, "called": true })));
    silent.write(LOG, &sent(), 1);
    let failure = resend(&silent).await.expect_err("only the old event is there");
    assert_eq!(failure.class, FailureClass::InDoubt);
    assert!(failure.message.contains("the event in agent.log"), "{failure}");

    let host = ScriptedHost::new(|host, _, _| {
        host.append(LOG, &sent(), 2);
        Ok(json!({ "package_server": true, "called": true }))
    });
    host.write(LOG, &sent(), 1);
    let seen = resend(&host).await;
    assert_eq!(seen.as_deref(), Ok("agent.log: Package status sent for 3 packages"));
}

#[tokio::test]
async fn a_log_that_was_started_anew_is_read_from_its_start() {
    let host = ScriptedHost::new(|host, _, _| {
        host.write(LOG, &sent(), 2);
        Ok(json!({ "called": true }))
    });
    host.write(LOG, &"old ".repeat(1000), 1);

    assert!(resend(&host).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_made_up_for_by_the_effect() {
    let host = ScriptedHost::new(|host, _, _| {
        host.append(LOG, &sent(), 2);
        Err(TransportErrorKind::InDoubt)
    });
    assert!(resend(&host).await.is_ok());
    assert_eq!(host.ran().len(), 1, "it is never asked twice");

    let silent = ScriptedHost::new(|_, _, _| Err(TransportErrorKind::InDoubt));
    let failure = resend(&silent).await.expect_err("nothing was seen");
    assert_eq!(failure.class, FailureClass::InDoubt);
    assert_eq!(failure.causes, ["could not run agent-resend-package-status"]);
}

#[tokio::test]
async fn a_request_that_was_refused_failed_and_no_plug_in_is_said_so() {
    let refused = ScriptedHost::new(|_, _, _| Err(TransportErrorKind::Fault));
    assert_eq!(resend(&refused).await.expect_err("refused").class, FailureClass::RemoteFault);

    let other =
        ScriptedHost::new(|_, _, _| Ok(json!({ "package_server": false, "called": false })));
    assert_eq!(resend(&other).await, Err(not_a_package_server()));
}

#[test]
fn a_log_can_show_everything_and_a_policy_file_only_a_configuration() {
    let policy_only = AgentPlaces { log: None, ..places() };

    assert!(places().can_show(Effect::StatusSent));
    assert!(policy_only.can_show(Effect::Configuration));
    assert!(!policy_only.can_show(Effect::StatusSent));
    assert!(!AgentPlaces::default().can_show(Effect::Configuration));
}
