use super::*;
use crate::host::memory::{AGENT, MemoryHost, changer, reader};
use crate::transport::Deadline;
use crate::transport::security::SecurityDescriptor;

const STORE: &str = "C:\\ProgramData\\fleetmend\\quarantine";
const PACKAGE: Guid = Guid::from_u128(0xA);

fn snapshot() -> String {
    format!("{AGENT}\\Package Delivery\\{PACKAGE}\\snapshot.xml")
}

/// The relocation that a probe of run 1 plans for the package's snapshot.
async fn planned(host: &std::sync::Arc<MemoryHost>) -> Relocation {
    let session = host.session(1);
    let at = reader(&session);
    let root = at.root(Role::PsDelivery).await.expect("a root");
    let fence = at.fence();
    let file = fence.file(&root, &format!("{PACKAGE}\\snapshot.xml")).await.expect("admitted");
    let planned = at.plan_move(&file, Some(PACKAGE)).await.expect("read").expect("it is there");
    Relocation::new(Role::PsDelivery, at.run(), Direction::Away, vec![planned.0])
}

#[tokio::test]
async fn what_was_moved_away_comes_back_byte_for_byte() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "<snapshot version='7'/>");
    let away = planned(&host).await;
    assert_eq!(away.packages_moved, [PACKAGE]);

    let session = host.session(1);
    let done = changer(&session).relocate(&away).await.expect("moved");
    assert_eq!(done, Relocated { moved: 1, already: 0, displaced: 0 });
    assert_eq!(host.content(&snapshot()), None);
    let kept = host.files_below(STORE);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].ends_with(&format!("ps_delivery\\{PACKAGE}\\snapshot.xml")), "{kept:?}");

    // Resume does it again.
    let again = changer(&session).relocate(&away).await.expect("nothing to do");
    assert_eq!(again, Relocated { moved: 0, already: 1, displaced: 0 });

    let undo = host.session(2);
    let done = changer(&undo).relocate(&away.inverse()).await.expect("moved back");
    assert_eq!(done, Relocated { moved: 1, already: 0, displaced: 0 });
    assert_eq!(host.content(&snapshot()).as_deref(), Some("<snapshot version='7'/>"));
    let again = changer(&undo).relocate(&away.inverse()).await.expect("nothing to do");
    assert_eq!(again, Relocated { moved: 0, already: 1, displaced: 0 });
}

#[tokio::test]
async fn a_file_that_changed_since_the_plan_stays() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "<snapshot version='7'/>");
    let away = planned(&host).await;
    host.write(&snapshot(), "<snapshot version='8'/>");

    let session = host.session(1);
    let failure = changer(&session).relocate(&away).await.expect_err("drift");

    assert_eq!(failure.class, FailureClass::Drifted);
    assert_eq!(host.content(&snapshot()).as_deref(), Some("<snapshot version='8'/>"));
}

#[tokio::test]
async fn undo_keeps_the_file_that_the_agent_wrote_meanwhile() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let away = planned(&host).await;
    let session = host.session(1);
    changer(&session).relocate(&away).await.expect("moved");
    host.write(&snapshot(), "written by the agent");

    let undo = host.session(2);
    let done = changer(&undo).relocate(&away.inverse()).await.expect("moved back");

    assert_eq!(done, Relocated { moved: 1, already: 0, displaced: 1 });
    assert_eq!(host.content(&snapshot()).as_deref(), Some("old"));
    let kept = host.files_below(STORE);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].contains("00000002\\displaced\\"), "{kept:?}");
    assert_eq!(host.content(&kept[0]).as_deref(), Some("written by the agent"));
}

#[tokio::test]
async fn a_copy_that_somebody_exchanged_does_not_come_back() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let away = planned(&host).await;
    let session = host.session(1);
    changer(&session).relocate(&away).await.expect("moved");
    host.write(&host.files_below(STORE)[0], "bad");

    let undo = host.session(2);
    let failure = changer(&undo).relocate(&away.inverse()).await.expect_err("another file");

    assert_eq!(failure.class, FailureClass::Drifted);
    assert_eq!(host.content(&snapshot()), None);
}

#[tokio::test]
async fn a_junction_that_appeared_since_the_plan_is_not_followed() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let away = planned(&host).await;
    host.write("C:\\Windows\\snapshot.xml", "old");
    host.junction(&format!("{AGENT}\\Package Delivery\\{PACKAGE}"), "C:\\Windows");

    let session = host.session(1);
    let failure = changer(&session).relocate(&away).await.expect_err("a link");

    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains("link"), "{failure}");
    assert_eq!(host.content("C:\\Windows\\snapshot.xml").as_deref(), Some("old"));
}

#[tokio::test]
async fn nothing_is_kept_in_a_folder_that_others_can_use() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let away = planned(&host).await;
    host.folder(STORE);
    for folder in ["C:\\ProgramData\\fleetmend", STORE] {
        host.describe(folder, &SecurityDescriptor::administrators_only());
    }
    let run = format!("{STORE}\\{}", away.run.full());
    host.folder(&run);

    let session = host.session(1);
    let failure = changer(&session).relocate(&away).await.expect_err("open to the users");

    assert_eq!(failure.class, FailureClass::Refused);
    assert!(failure.message.contains(&run), "{failure}");
    assert_eq!(host.content(&snapshot()).as_deref(), Some("old"));
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_tried_for_a_while_and_then_named() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let away = planned(&host).await;
    host.hold(&snapshot());

    let session = host.session(1);
    let shortly = Deadline::after(Duration::from_millis(500));
    let at = session.changer(shortly, std::sync::Arc::from([]));
    let failure = at.relocate(&away).await.expect_err("held");

    assert_eq!(failure.class, FailureClass::RemoteFault);
    assert!(failure.message.contains("keeps it open"), "{failure}");
}

#[tokio::test]
async fn a_second_file_of_the_same_name_gets_a_place_of_its_own() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "old");
    let first = planned(&host).await;
    let session = host.session(1);
    changer(&session).relocate(&first).await.expect("moved");
    host.write(&snapshot(), "newer");

    let second = planned(&host).await;
    changer(&session).relocate(&second).await.expect("moved");

    assert_eq!(host.files_below(STORE).len(), 2);
    assert!(second.moves[0].to.ends_with("snapshot.xml.2"));
}

#[tokio::test]
async fn one_file_that_cannot_come_back_keeps_no_other_away() {
    let host = MemoryHost::package_server();
    let mut moves = Vec::new();
    for number in 1..=20 {
        let package = Guid::from_u128(number);
        let name = format!("{package}\\snapshot.xml");
        host.write(&format!("{AGENT}\\Package Delivery\\{name}"), &format!("<old n='{number}'/>"));
        let session = host.session(1);
        let at = reader(&session);
        let root = at.root(Role::PsDelivery).await.expect("a root");
        let fence = at.fence();
        let file = fence.file(&root, &name).await.expect("admitted");
        moves.extend(at.plan_move(&file, Some(package)).await.expect("read").map(|it| it.0));
    }
    let away = Relocation::new(
        Role::PsDelivery,
        RunId::new(uuid::Uuid::from_u128(1)),
        Direction::Away,
        moves,
    );
    let session = host.session(1);
    changer(&session).relocate(&away).await.expect("moved");
    // Somebody exchanged the first one.
    let kept = host.files_below(STORE);
    let first = kept.iter().find(|it| it.contains(&Guid::from_u128(1).to_string())).expect("kept");
    host.write(first, "<exchanged/>");

    let undo = host.session(2);
    let failure = changer(&undo).relocate(&away.inverse()).await.expect_err("one is refused");

    assert!(failure.message.contains("19 of 20 files are back"), "{failure}");
    for number in 2..=20 {
        let path = format!("{AGENT}\\Package Delivery\\{}\\snapshot.xml", Guid::from_u128(number));
        assert_eq!(host.content(&path), Some(format!("<old n='{number}'/>")));
    }
}

#[tokio::test]
async fn a_file_that_made_way_for_nothing_goes_back() {
    let host = MemoryHost::package_server();
    host.write(&snapshot(), "<snapshot version='7'/>");
    let away = planned(&host).await;
    let session = host.session(1);
    changer(&session).relocate(&away).await.expect("moved");
    host.write(&snapshot(), "<snapshot version='8'/>");
    let kept = host.files_below(STORE);
    host.hold(&kept[0]);

    let undo = host.session(2);
    let at = undo.changer(Deadline::after(Duration::from_millis(600)), Vec::new().into());
    at.relocate(&away.inverse()).await.expect_err("another program holds the old one");

    assert_eq!(host.content(&snapshot()).as_deref(), Some("<snapshot version='8'/>"));
    assert_eq!(host.files_below(STORE), kept);
}
