use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::action::{Decision, find};
use crate::host::memory::{AGENT, MemoryHost, reader};

const TRUST: &str =
    "The trust relationship between this workstation and the primary domain failed (1789)";
const BUSY: &str = "Server is busy. Package sources request is backing off (-2147467259)";

fn log(name: &str) -> String {
    format!("{AGENT}\\Logs\\{name}")
}

fn event(minute: u32, text: &str) -> String {
    format!(
        "<event date='May 16 11:{minute:02}:05' severity='2' hostName='xx100' source='PackageServer' module='a.dll' process='AeXNSAgent.exe' pid='724' thread='1740' tickCount='495844828' >\r\n  <![CDATA[{text}]]></event>\r\n"
    )
}

async fn scan(host: &Arc<MemoryHost>, params: Value) -> Result<(String, Value), StepFailure> {
    let session = host.session(1);
    let at = reader(&session);
    let prepared = find("scan_log").expect("scan_log").prepare(params).expect("parameters");
    match prepared.decide(&at).await? {
        Decision::Unchanged { note, value } => Ok((note, value)),
        other => panic!("it changes: {other:?}"),
    }
}

fn counts(value: &Value) -> Vec<(String, u64)> {
    let findings = value["findings"].as_array().expect("findings");
    findings
        .iter()
        .map(|it| (it["signature"].as_str().unwrap().to_owned(), it["count"].as_u64().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_end_of_a_log_is_summed_up_and_a_torn_event_is_left_for_the_next_time() {
    let host = MemoryHost::package_server();
    let torn = event(9, TRUST);
    let whole = [event(1, BUSY), event(2, "all is well"), event(3, BUSY)].concat();
    host.write(&log("agent.log"), &format!("{whole}{}", &torn[..torn.len() / 2]));

    let (note, value) = scan(&host, json!({})).await.expect("scanned");

    assert_eq!(note, "server_busy 2 times in 3 events");
    assert_eq!(counts(&value), [("server_busy".to_owned(), 2)]);
    assert_eq!(value["mark"]["offset"], json!(whole.trim_end().len()));

    host.write(&log("agent.log"), &format!("{whole}{torn}"));
    let (note, value) = scan(&host, json!({ "since": value })).await.expect("scanned");
    assert_eq!(note, "trust_1789 once in 1 event");
    assert_eq!(value["findings"][0]["last"], "May 16 11:09:05");
}

#[tokio::test]
async fn what_was_there_before_the_mark_is_no_finding_and_what_came_after_fails_the_step() {
    let host = MemoryHost::package_server();
    host.write(&log("agent.log"), &event(1, TRUST));
    let (note, before) = scan(&host, json!({ "only_mark": true })).await.expect("marked");
    assert_eq!(note, "agent.log is marked");
    let since = json!({ "since": before["mark"], "refuse": ["trust_1789"] });

    let (note, _) = scan(&host, since.clone()).await.expect("nothing new");
    assert_eq!(note, "nothing in 0 events");

    host.write(&log("agent.log"), &[event(1, TRUST), event(2, BUSY)].concat());
    let (note, _) = scan(&host, since.clone()).await.expect("another trouble");
    assert_eq!(note, "server_busy once in 1 event");

    host.write(&log("agent.log"), &[event(1, TRUST), event(2, TRUST)].concat());
    let failure = scan(&host, since).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::RemoteFault);
    assert!(failure.message.contains("trust_1789 once, the last on May 16 11:02:05"), "{failure}");
}

#[tokio::test]
async fn a_log_that_was_started_anew_is_followed_through_its_older_names() {
    let host = MemoryHost::package_server();
    let old = event(1, "first of the old log");
    host.write(&log("agent.log"), &old);
    let (_, before) = scan(&host, json!({ "only_mark": true })).await.expect("marked");

    host.write(&log("agent.log.2"), &event(0, TRUST));
    host.write(&log("agent.log.1"), &format!("{old}{}", event(2, BUSY)));
    // The new log is longer than the mark: its length alone would not tell it from the old one.
    host.write(&log("agent.log"), &[event(3, TRUST), event(4, BUSY), event(5, BUSY)].concat());
    host.write(&log("agentsetup.log"), &event(0, TRUST));
    let (note, value) = scan(&host, json!({ "since": before })).await.expect("scanned");

    assert_eq!(note, "server_busy 3 times, trust_1789 once in 4 events");
    assert_eq!((&value["older_logs"], &value["complete"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn a_part_that_is_gone_is_said_and_nobody_calls_the_log_clean() {
    let host = MemoryHost::package_server();
    host.write(&log("agent.log"), &event(1, "old"));
    let (_, before) = scan(&host, json!({ "only_mark": true })).await.expect("marked");
    host.write(&log("agent.log"), &event(7, "new"));

    let (note, value) = scan(&host, json!({ "since": before })).await.expect("scanned");
    assert!(note.contains("started anew"), "{note}");
    assert_eq!(value["complete"], json!(false));
    let params = json!({ "since": before, "refuse": ["server_busy"] });
    let failure = scan(&host, params).await.expect_err("not all was seen");
    assert_eq!(failure.class, FailureClass::Refused);
}

#[tokio::test]
async fn only_the_signatures_that_are_asked_for_are_listed() {
    let host = MemoryHost::package_server();
    host.write(&log("agent.log"), &[event(1, TRUST), event(2, BUSY)].concat());

    let (_, value) = scan(&host, json!({ "signatures": ["server_busy"] })).await.expect("scanned");

    assert_eq!(counts(&value), [("server_busy".to_owned(), 1)]);
    assert_eq!(value["findings"][0]["seconds_ago"], json!(0));
}

#[tokio::test]
async fn a_log_that_is_not_there_is_not_a_clean_one() {
    let host = MemoryHost::package_server();
    host.folder(&format!("{AGENT}\\Logs"));

    let failure = scan(&host, json!({ "refuse": ["trust_1789"] })).await.expect_err("no log");

    assert!(failure.message.contains("agent.log: it is not there"), "{failure}");
}

#[test]
fn a_signature_that_does_not_exist_is_refused_with_those_that_do() {
    let refused = find("scan_log").expect("it is there").prepare(json!({ "refuse": ["busy"] }));

    let Err(error) = refused else { panic!("it was taken") };
    assert!(error.reason.contains("there is no signature `busy`: they are server_busy"), "{error}");
}

#[test]
fn older_names_are_told_from_the_logs_of_others() {
    for name in ["agent.log.1", "Agent1.log", "agent_2.log", "agent.log.bak"] {
        assert!(LogRole::AgentLog.is_older(name), "{name}");
    }
    for name in ["agent.log", "AGENT.LOG", "agentsetup.log", "agent.txt", "other.log"] {
        assert!(!LogRole::AgentLog.is_older(name), "{name}");
    }
    assert!(!LogRole::NsLog.is_older("agent.log.1"));
}
