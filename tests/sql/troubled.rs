//! A CMDB in which everything is wrong once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use fleetmend::lab::cmdb::{Cmdb, ServerRecord};
use fleetmend::model::Guid;

pub(crate) const SERVER: Guid = Guid::from_u128(0x0562_094a_ecbe_4617_9253_5e7f_fb5e_00c4);
pub(crate) const PACKAGE: Guid = Guid::from_u128(0xB1);
pub(crate) const GONE: Guid = Guid::from_u128(0xDEAD);
const SECOND: Guid = Guid::from_u128(0xA2);
const RETIRED: Guid = Guid::from_u128(0xB2);
pub(crate) const FOREIGN: Guid = Guid::from_u128(0xB3);

/// One server and one package that is not ready there.
pub(crate) fn filled() -> Cmdb {
    let cmdb = Cmdb::new().unwrap();
    cmdb.set_this_server(Guid::from_u128(1), "smp01").unwrap();
    cmdb.add_server(&ServerRecord {
        guid: SERVER,
        name: "PS-ZÜRICH-01".into(),
        fqdn: "ps-zuerich-01.corp.example".into(),
        agent_version: "8.6.3268.0".into(),
        site: "ZRH".into(),
    })
    .unwrap();
    cmdb.set_last_inventory(SERVER, "2026-11-20T08:30:00.123Z".parse().unwrap()).unwrap();
    cmdb.upsert_package(PACKAGE, "7-Zip", "4").unwrap();
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Invalid", Some("3")).unwrap();
    cmdb
}

/// Two servers and three packages: drift, a duplicate, orphans, a foreign origin, stale codebases.
pub(crate) fn troubled() -> Cmdb {
    let cmdb = filled();
    cmdb.add_server(&ServerRecord {
        guid: SECOND,
        name: "PS-OSL-01".into(),
        fqdn: "ps-osl-01.corp.example".into(),
        agent_version: "8.5.0.0".into(),
        site: "OSL".into(),
    })
    .unwrap();
    cmdb.upsert_package(FOREIGN, "Reader", "9").unwrap();
    cmdb.set_origin(FOREIGN, Guid::from_u128(0x77), "parent").unwrap();
    // 7-Zip: drifted on the second server, where it says Ready.
    cmdb.upsert_package_server_row(SECOND, PACKAGE, "Ready", Some("3")).unwrap();
    // Reader: twice on the first server, and well on the second.
    cmdb.upsert_package_server_row(SERVER, FOREIGN, "Ready", Some("9")).unwrap();
    cmdb.insert_package_server_row(SERVER, FOREIGN, "Invalid", Some("9")).unwrap();
    cmdb.upsert_package_server_row(SECOND, FOREIGN, "Ready", Some("9")).unwrap();
    // A package that is gone, and a server that is.
    cmdb.upsert_package_server_row(SERVER, RETIRED, "Ready", Some("1")).unwrap();
    cmdb.upsert_package_server_row(GONE, PACKAGE, "Ready", Some("4")).unwrap();
    for (package, url) in [
        (PACKAGE, "http://smp01.corp.example/Altiris/NS/Packages/b1/"),
        (PACKAGE, "http://PS-OSL-01.corp.example:80/Altiris/PS/b1/"),
        (PACKAGE, r"\\ps-old-07\PkgSvrHost\b1\"),
        (FOREIGN, "file://PS-OSL-01/PkgSvrHost/b3/"),
        (RETIRED, r"file:\\ps-osl-01.corp.example\PkgSvrHost\b2\"),
    ] {
        cmdb.upsert_codebase(package, url, "source", "snapshot").unwrap();
    }
    cmdb
}
