use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde_json::{Value, json};

use super::super::DriveError;
use super::super::tests::{SOON, Says, confirm, refused, run_of};
use super::*;
use crate::engine::NobodyThere;
use crate::event::{Ack, Event, Gauge, Journal, Observer, Reply, RunState};
use crate::model::{ActionCall, Now, TaskFlow};
use crate::transport::{
    ChangeFiles, ChangeScript, ChangeShell, Connector, Deadline, ReadScript, ReadShell, ReadSql,
    Target, TransportError,
};

/// Takes events until one, and none from it on.
struct Breaks {
    at: u64,
    on_disk: Arc<Mutex<Vec<Event>>>,
}

impl Journal for Breaks {
    fn append(&self, event: Event) -> Ack {
        let (breaks, on_disk) = (event.seq >= self.at, Arc::clone(&self.on_disk));
        async move {
            // The disk takes its time, so that steps go on meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if breaks {
                return Err(JournalError { reason: "disk full".to_owned() });
            }
            on_disk.lock().unwrap().push(event);
            Ok(())
        }
        .boxed()
    }
}

/// Remembers what it was shown.
struct Shown {
    on_disk: Arc<Mutex<Vec<Event>>>,
    events: Arc<Mutex<Vec<Event>>>,
    failed: Arc<AtomicUsize>,
}

impl Observer for Shown {
    fn observe(&mut self, event: &Event, _: &RunState) {
        assert!(self.on_disk.lock().unwrap().contains(event), "shown and not on disk: {event:?}");
        self.events.lock().unwrap().push(event.clone());
    }

    fn tick(&mut self, _: Now, _: &Gauge, _: &RunState) {}

    fn journal_failed(&mut self, _: Now, _: &JournalError, _: usize) {
        self.failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Which item of which host was being changed, in order; and what had been.
#[derive(Default)]
struct Changes {
    begun: Vec<(HostName, String)>,
    ended: usize,
}

/// Hosts that run scripts, each for a while; one for ever.
#[derive(Clone)]
struct Hosts {
    hangs: Option<HostName>,
    on_disk: Arc<Mutex<Vec<Event>>>,
    changes: Arc<Mutex<Changes>>,
}

struct Shell(HostName, Hosts);

#[async_trait]
impl ReadShell for Shell {
    async fn read(&self, _: &ReadScript, _: &Value, _: Deadline) -> Result<Value, TransportError> {
        Err(refused())
    }

    async fn close(&self) {}
}

#[async_trait]
impl ChangeShell for Shell {
    async fn change(
        &self,
        _: &ChangeScript,
        input: &Value,
        _: Deadline,
    ) -> Result<Value, TransportError> {
        let Self(host, hosts) = self;
        let text = input["text"].as_str().expect("a text").to_owned();
        let is_intended = |event: &Event| {
            matches!(&event.kind, EventKind::StepDecided { step, change, .. }
                if step.host == *host && change.change["text"] == text.as_str())
        };
        assert!(
            hosts.on_disk.lock().unwrap().iter().any(is_intended),
            "{host} is changed ({text}) and its intent is not on disk"
        );
        hosts.changes.lock().unwrap().begun.push((host.clone(), text));
        if hosts.hangs.as_ref() == Some(host) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
        hosts.changes.lock().unwrap().ended += 1;
        Ok(json!({ "exit_code": 0 }))
    }

    fn as_read(&self) -> &dyn ReadShell {
        self
    }
}

#[async_trait]
impl Connector for Hosts {
    async fn shell(
        &self,
        target: &Target,
        _: Deadline,
    ) -> Result<Box<dyn ChangeShell>, TransportError> {
        Ok(Box::new(Shell(target.host.clone(), self.clone())))
    }

    async fn files(&self, _: &Target, _: Deadline) -> Result<Box<dyn ChangeFiles>, TransportError> {
        Err(refused())
    }

    async fn sql(&self, _: &Target, _: Deadline) -> Result<Box<dyn ReadSql>, TransportError> {
        Err(refused())
    }
}

/// A run of three items on each of three hosts, whose journal breaks at an event.
struct Broken {
    result: Result<RunState, DriveError>,
    on_disk: Vec<Event>,
    shown: Vec<Event>,
    told: usize,
    changes: Changes,
}

fn three_items() -> (ActionCall, TaskFlow) {
    let params = json!({ "script": "item {{ item }}" });
    let action = ActionCall { action: "powershell".to_owned(), params };
    (action, TaskFlow { each: Some(json!([1, 2, 3])), ..TaskFlow::default() })
}

async fn broken_at(at: u64, hangs: Option<HostName>, stop: Option<StopStage>) -> Broken {
    let on_disk = Arc::new(Mutex::new(Vec::new()));
    let changes = Arc::new(Mutex::new(Changes::default()));
    let hosts = Hosts { hangs, on_disk: Arc::clone(&on_disk), changes: Arc::clone(&changes) };
    let (action, flow) = three_items();
    let (mut driver, opening) = run_of(action, flow, Arc::new(NobodyThere), 3, None, hosts);
    driver.journal = Arc::new(Breaks { at, on_disk: Arc::clone(&on_disk) });
    let (events, failed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    driver.observers.push(Box::new(Shown {
        on_disk: Arc::clone(&on_disk),
        events: Arc::clone(&events),
        failed: Arc::clone(&failed),
    }));
    let (stopper, stops) = mpsc::channel(1);
    let stopping = async {
        let Some(stage) = stop else { return };
        // As soon as the operator was told.
        while failed.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stopper.send(stage).await.expect("it listens");
    };
    let driven = async { tokio::join!(driver.drive(opening, stops), stopping).0 };
    let result = tokio::time::timeout(SOON, driven).await.expect("it ends");
    let taken = |events: &Mutex<Vec<Event>>| events.lock().unwrap().clone();
    Broken {
        result,
        on_disk: taken(&on_disk),
        shown: taken(&events),
        told: failed.load(std::sync::atomic::Ordering::SeqCst),
        changes: std::mem::take(&mut changes.lock().unwrap()),
    }
}

/// The changes that begun and whose end is not on disk, as the hosts on which they were.
fn without_an_end(broken: &Broken) -> BTreeSet<HostName> {
    let begun = &broken.changes.begun;
    let of = |host: &HostName| begun.iter().filter(|(name, _)| name == host).count();
    let ended = |host: &HostName| {
        let mut ended = 0;
        for event in &broken.on_disk {
            match &event.kind {
                EventKind::StepWentOn { step, .. } if step.host == *host => ended += 1,
                EventKind::StepFinished { step, .. } if step.host == *host => ended += 1,
                _ => {}
            }
        }
        ended
    };
    let hosts = begun.iter().map(|(host, _)| host);
    hosts.filter(|host| ended(host) < of(host)).cloned().collect()
}

#[tokio::test]
async fn a_journal_that_breaks_at_any_event_begins_nothing_more_and_awaits_what_is_under_way() {
    let whole = broken_at(u64::MAX, None, None).await;
    assert!(whole.result.is_ok(), "{:?}", whole.result);
    assert_eq!((whole.changes.begun.len(), whole.told), (9, 0));
    assert_eq!(whole.shown, whole.on_disk);

    let mut most = 0;
    for at in 0..whole.on_disk.len() as u64 {
        // That each change has its intent on disk, and that only what is there is shown, is proved
        // by the doubles.
        let broken = broken_at(at, None, None).await;

        let Err(DriveError::Journal { source, unrecorded }) = &broken.result else {
            panic!("broken at {at}: {:?}", broken.result)
        };
        assert_eq!(source.reason, "disk full");
        assert_eq!((broken.on_disk.len() as u64, broken.told), (at, 1), "broken at {at}");
        assert_eq!(broken.shown, broken.on_disk, "broken at {at}");
        assert_eq!(broken.changes.begun.len(), broken.changes.ended, "broken at {at}");
        let told: BTreeSet<HostName> = unrecorded.iter().map(|end| end.step.host.clone()).collect();
        assert_eq!(told, without_an_end(&broken), "broken at {at}");
        assert!(unrecorded.iter().all(|end| end.outcome == Outcome::Changed), "{unrecorded:?}");
        most = most.max(unrecorded.len());
    }
    assert!(most >= 2, "changes were under way when it broke");
}

#[tokio::test]
async fn an_operator_need_not_await_what_is_under_way_when_the_journal_breaks() {
    let whole = broken_at(u64::MAX, None, None).await;
    // The last host to begin, beside others that go on.
    let begun = |event: &Event| match &event.kind {
        EventKind::StepDecided { step, change, .. } if change.change["text"] == "item 1" => {
            Some((event.seq, step.host.clone()))
        }
        _ => None,
    };
    let (seq, host) = whole.on_disk.iter().rev().find_map(begun).expect("a change");

    let broken = broken_at(seq + 1, Some(host.clone()), Some(StopStage::Cancel)).await;

    let Err(DriveError::Journal { unrecorded, .. }) = broken.result else { panic!("it breaks") };
    let end = unrecorded.iter().find(|end| end.step.host == host).expect("it is told");
    assert_eq!((end.outcome, end.task.as_str()), (Outcome::Unknown, "Read"));
}

#[tokio::test]
async fn nobody_is_waited_for_whose_answer_cannot_be_recorded() {
    for reply in [Some(Reply::Confirmed), None] {
        for at in 0..9 {
            let hosts = Hosts { hangs: None, on_disk: Arc::default(), changes: Arc::default() };
            let operator = Arc::new(Says(reply, AtomicUsize::new(0)));
            let (mut driver, opening) =
                run_of(confirm(), TaskFlow::default(), operator, 2, None, hosts.clone());
            driver.journal = Arc::new(Breaks { at, on_disk: Arc::clone(&hosts.on_disk) });
            let (stop, stops) = mpsc::channel(1);
            // Where the journal does not break before an answer that never comes.
            let drains = async {
                tokio::time::sleep(Duration::from_millis(60)).await;
                let _ended = stop.send(StopStage::Drain).await;
            };

            let driven = async { tokio::join!(driver.drive(opening, stops), drains).0 };
            let result = tokio::time::timeout(SOON, driven).await.expect("it ends");

            if let Err(error) = result {
                let DriveError::Journal { unrecorded, .. } = error else { panic!("{error}") };
                assert_eq!(unrecorded, [], "nothing was changed");
            }
        }
    }
}
