//! python-tds and FreeTDS against the SQL front of the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::time::Duration;

use fleetmend::lab::cmdb::{Cmdb, ServerRecord};
use fleetmend::lab::front::{Account, Accounts, NoFaults};
use fleetmend::lab::tds::{TdsFront, TdsSettings};
use fleetmend::model::Guid;
use fleetmend::secret::Secret;
use tokio::process::Command;

use crate::room::{Room, Said, run};

const USER: &str = "cmdb-reader";
const PASSWORD: &str = "Lock-Ring 7 é";
const WITHIN: Duration = Duration::from_secs(30);

/// A server of databases with one package server and one package that is not ready there.
async fn front() -> TdsFront {
    let cmdb = Cmdb::new().unwrap();
    let server = Guid::from_u128(0x0562_094a_ecbe_4617_9253_5e7f_fb5e_00c4);
    let package = Guid::from_u128(0xB1);
    cmdb.set_this_server(Guid::from_u128(1), "smp01").unwrap();
    cmdb.add_server(&ServerRecord {
        guid: server,
        name: "PS-ZÜRICH-01".into(),
        fqdn: "ps-zuerich-01.corp.example".into(),
        agent_version: "8.6.3268.0".into(),
        site: "ZRH".into(),
    })
    .unwrap();
    cmdb.set_last_inventory(server, "2026-11-20T08:30:00.123Z".parse().unwrap()).unwrap();
    cmdb.upsert_package(package, "7-Zip", "4").unwrap();
    cmdb.upsert_package_server_row(server, package, "Invalid", Some("3")).unwrap();
    let account = Account {
        domain: "SQL01".into(),
        user: USER.into(),
        password: Secret::new(PASSWORD.into()),
        sid: "S-1-5-21-1-2-3-1001".into(),
        groups: Vec::new(),
    };
    let settings = TdsSettings {
        server: "SQL01".into(),
        database: "Symantec_CMDB".into(),
        cmdb,
        accounts: Accounts::new(vec![account]),
        faults: Arc::new(NoFaults),
    };
    TdsFront::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

#[tokio::test]
async fn python_tds_reads_typed_rows_and_is_refused_what_it_should_be() {
    let Some(room) = Room::enter() else { return };
    let front = front().await;
    let mut client = room.python("tds_client.py");
    client
        .args([&front.address().ip().to_string(), &front.address().port().to_string(), USER])
        .env("PEER_PASSWORD", PASSWORD);

    let said = run(&mut client, "", WITHIN).await;

    assert!(said.is_success, "{}", said.text);
    assert!(said.text.contains("after the error: [(1,)]"), "{}", said.text);
    front.stop().await;
}

/// What FreeTDS's tsql says to these batches.
async fn tsql(front: &TdsFront, version: &str, password: &str, batches: &str) -> Said {
    let mut client = Command::new("tsql");
    client
        .args(["-H", &front.address().ip().to_string()])
        .args(["-p", &front.address().port().to_string()])
        .args(["-U", USER, "-P", password, "-D", "Symantec_CMDB", "-o", "q", "-t", "|"])
        .env("TDSVER", version)
        .env("LC_ALL", "C.UTF-8");
    run(&mut client, batches, WITHIN).await
}

#[tokio::test]
async fn freetds_reads_tables_and_survives_a_refused_statement() {
    if Room::enter().is_none() {
        return;
    }
    let front = front().await;

    for version in ["7.3", "7.4"] {
        let said = tsql(
            &front,
            version,
            PASSWORD,
            "SELECT * FROM SWDPackageServer\nGO\n\
             UPDATE SWDPackageServer SET Status = 'Ready'\nGO\n\
             SELECT Name FROM vItem WHERE Guid = '0562094A-ECBE-4617-9253-5E7FFB5E00C4'\nGO\n\
             SELECT _Latest FROM SWDPackage\nGO\n\
             SELECT COUNT(*) FROM SWDPackageServer\nGO\n",
        )
        .await;
        assert!(said.is_success, "{}", said.text);
        let lines: Vec<&str> = said.text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let tables = [
            "PkgSvrId|PackageId|Status|Version",
            "0562094A-ECBE-4617-9253-5E7FFB5E00C4|00000000-0000-0000-0000-0000000000B1|Invalid|3",
            "Name",
            "PS-ZÜRICH-01",
            "_Latest",
            "1",
            "1",
        ];
        assert!(lines.starts_with(&tables), "TDS {version}: {}", said.text);
        let refused = "not simulated: a statement with 'Ready' here";
        assert!(said.text.contains(refused), "TDS {version}: {}", said.text);
    }
    front.stop().await;
}

#[tokio::test]
async fn freetds_is_refused_with_a_wrong_password() {
    if Room::enter().is_none() {
        return;
    }
    let front = front().await;

    let said = tsql(&front, "7.4", "wrong", "SELECT * FROM SWDPackageServer\nGO\n").await;

    assert!(!said.is_success, "{}", said.text);
    assert!(said.text.contains("Msg 18456"), "{}", said.text);
    front.stop().await;
}
