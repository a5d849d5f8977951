use std::sync::Arc;

use super::*;
use crate::action::{Decision, find};
use crate::host::memory::{AGENT, MemoryHost, reader};

const A: Guid = Guid::from_u128(0xA);
const B: Guid = Guid::from_u128(0xB);

fn below(package: Guid, name: &str) -> String {
    format!("{AGENT}\\Package Delivery\\{package}\\{name}")
}

/// A package with two files, as its snapshot lists them.
fn place(host: &MemoryHost, package: Guid, version: u32) {
    host.write(&below(package, "snapshot.xml"), &snapshot(version, "Y"));
    host.write(&below(package, "cache\\setup.exe"), "X");
    host.write(&below(package, "cache\\lang\\de.mst"), "Y");
}

fn snapshot(version: u32, de: &str) -> String {
    let hash = |text: &str| {
        use sha2::Digest;
        sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    format!(
        "<s version='{version}'><f name='setup.exe' size='1' sha256='{}'/><f name='lang/de.mst' size='1' sha256='{}'/></s>",
        hash("X"),
        hash(de)
    )
}

async fn audit(host: &Arc<MemoryHost>, params: Value) -> Result<(String, Value), StepFailure> {
    let session = host.session(1);
    let at = reader(&session);
    let prepared = find("audit_packages").expect("it is there").prepare(params);
    match prepared.expect("parameters").decide(&at).await? {
        Decision::Unchanged { note, value } => Ok((note, value)),
        other => panic!("it changes: {other:?}"),
    }
}

async fn conclusion(host: &Arc<MemoryHost>, before: &Value) -> String {
    let (_, value) = audit(host, json!({ "against": before })).await.expect("audited");
    value["packages"][0]["conclusion"].as_str().expect("a conclusion").to_owned()
}

#[tokio::test]
async fn files_that_are_missing_or_damaged_are_found_in_the_whole_store() {
    let host = MemoryHost::package_server();
    place(&host, A, 1);
    place(&host, B, 1);
    host.folder(&format!("{AGENT}\\Package Delivery\\Other"));
    host.write(&below(B, "cache\\lang\\de.mst"), "Z");
    host.write(&below(B, "cache\\virus.txt"), "?");

    let (note, value) = audit(&host, json!({})).await.expect("audited");
    assert_eq!(note, "2 packages: 2 whole");
    assert_eq!(value["packages"][1]["files"]["extra"], json!(["virus.txt"]));

    let (note, value) = audit(&host, json!({ "hash_up_to": 1 })).await.expect("audited");
    assert_eq!(note, "2 packages: 1 whole, 1 damaged");
    assert_eq!(value["damaged"], json!([B]));
    assert_eq!(value["packages"][1]["files"]["wrong_hash"], json!(["lang\\de.mst"]));
    assert_eq!(value["packages"][0]["hashed"], json!(2));
}

#[tokio::test]
async fn a_deletion_by_others_is_told_from_a_refresh_and_from_a_real_change() {
    let host = MemoryHost::package_server();
    place(&host, A, 1);
    let (_, before) = audit(&host, json!({})).await.expect("audited");
    assert_eq!(conclusion(&host, &before).await, "whole");

    host.remove(&below(A, "cache\\lang\\de.mst"));
    assert_eq!(conclusion(&host, &before).await, "external_deletion");
    let (_, since) = audit(&host, json!({})).await.expect("audited");
    assert_eq!(conclusion(&host, &since).await, "damaged", "it was missing before");

    let status = format!("{AGENT}\\Package Server Agent\\PackageStatus\\{A}\\PackageStatus.xml");
    host.write(&status, "<PackageStatus Status='Deleted'/>");
    assert_eq!(conclusion(&host, &before).await, "being_removed");

    place(&host, A, 2);
    assert_eq!(conclusion(&host, &before).await, "refresh_churn");
    host.write(&below(A, "snapshot.xml"), &snapshot(2, "N"));
    assert_eq!(conclusion(&host, &before).await, "real_change");
}

#[tokio::test]
async fn what_is_not_understood_or_not_there_is_no_damage() {
    let host = MemoryHost::package_server();
    host.write(&below(A, "snapshot.xml"), "<Manifest><Blob/></Manifest>");
    host.folder(&below(B, "cache"));

    let (note, value) = audit(&host, json!({})).await.expect("audited");

    assert_eq!(note, "2 packages: 1 unknown, 1 no_snapshot");
    assert_eq!(value["damaged"], json!([]));
    let unknown = &value["packages"][0];
    assert_eq!(unknown["snapshot"]["sha256"].as_str().map(str::len), Some(64));
    assert!(unknown["why_unknown"].as_str().expect("a reason").contains("name and a size"));
}

#[tokio::test]
async fn a_package_kept_elsewhere_is_looked_at_where_its_snapshot_says() {
    let host = MemoryHost::package_server();
    let text = snapshot(1, "Y").replace("<s ", "<s path='E:\\Images\\A' ");
    host.write(&below(A, "snapshot.xml"), &text);
    host.answer(
        "agent-packages",
        json!({ "package_server": true, "packages": [
            { "id": A, "name": "a", "status": "Ready", "version": "1", "custom_location": true },
        ] }),
    );

    let (note, _) = audit(&host, json!({})).await.expect("audited");
    assert_eq!(note, "1 package: 1 unknown", "E: is not there");

    host.write("E:\\Images\\A\\setup.exe", "X");
    let (_, value) = audit(&host, json!({})).await.expect("audited");
    assert_eq!(value["packages"][0]["files"]["missing"], json!(["lang\\de.mst"]));
}

#[tokio::test]
async fn a_package_behind_a_link_is_not_followed() {
    let host = MemoryHost::package_server();
    host.write("D:\\Elsewhere\\snapshot.xml", &snapshot(1, "Y"));
    host.junction(&format!("{AGENT}\\Package Delivery\\{A}"), "D:\\Elsewhere");

    let (note, value) = audit(&host, json!({ "packages": [A] })).await.expect("audited");

    assert_eq!(note, "1 package: 1 unknown");
    let reason = value["packages"][0]["why_unknown"].as_str().expect("a reason");
    assert!(reason.contains("it is a link"), "{reason}");
}
