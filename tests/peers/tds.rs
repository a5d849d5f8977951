//! python-tds and FreeTDS against the SQL front of the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::time::Duration;

use fleetmend::host::repair_statements::{
    Bound, back_up, back_up_surplus, delete, delete_surplus, put_back, set,
};
use fleetmend::lab::cmdb::{Cmdb, PackageServerRow, ServerRecord};
use fleetmend::lab::front::{Account, Accounts, NoFaults};
use fleetmend::lab::tds::{CMDB_WRITERS, TdsFront, TdsSettings};
use fleetmend::model::{Credential, Guid, HostName};
use fleetmend::secret::Secret;
use fleetmend::transport::sql::{Protection, SqlTransaction};
use fleetmend::transport::{
    AnyOf, ChangeSql, Conditions, Deadline, SqlName, SqlParameter, TableName, Target,
};
use tokio::process::Command;

use crate::room::{Room, Said, run};

pub(crate) const USER: &str = "cmdb-reader";
pub(crate) const PASSWORD: &str = "Lock-Ring 7 é";
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

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
    front_of(cmdb).await
}

/// A server of databases with this one.
pub(crate) async fn front_of(cmdb: Cmdb) -> TdsFront {
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

/// Whether tsql was refused something. What the lab says of itself when a client logs on has no severity.
pub(crate) fn is_refused(said: &Said) -> bool {
    said.text.lines().any(|line| line.starts_with("Msg ") && !line.contains("(severity 0,"))
}

/// What FreeTDS's tsql says to these batches.
pub(crate) async fn tsql(front: &TdsFront, version: &str, password: &str, batches: &str) -> Said {
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
        let refused = "The permission to change was denied to 'cmdb-reader'.";
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

const WRITER: &str = "cmdb-writer";

fn name(text: &str) -> SqlName {
    SqlName::new(text).unwrap()
}

fn table(schema: &str, text: &str) -> TableName {
    TableName { schema: name(schema), name: name(text) }
}

/// Two servers, two packages, duplicates, hostile cells, and packages of another server.
fn broken() -> Cmdb {
    let cmdb = Cmdb::new().unwrap();
    cmdb.set_this_server(Guid::from_u128(1), "smp01").unwrap();
    for package in [0xB1, 0xB2] {
        cmdb.upsert_package(Guid::from_u128(package), "It's ] --", "4").unwrap();
        cmdb.set_origin(Guid::from_u128(package), Guid::from_u128(9), "old-parent").unwrap();
        for server in [0xA1, 0xA2] {
            let row = PackageServerRow {
                server: Guid::from_u128(server),
                package: Guid::from_u128(package),
                status: (server == 0xA1).then(|| "'; DROP TABLE x; --".to_owned()),
                version: Some("{0562094A-ECBE-4617-9253-5E7FFB5E00C4} Zürich ]]".to_owned()),
            };
            for _ in 0..=(package - 0xB1) * 2 {
                cmdb.add_package_server_row(&row).unwrap();
            }
        }
    }
    cmdb
}

async fn writing_front(cmdb: &Cmdb) -> TdsFront {
    let account = Account {
        domain: String::new(),
        user: WRITER.into(),
        password: Secret::new(PASSWORD.into()),
        sid: "S-1-9-3-2".into(),
        groups: vec![CMDB_WRITERS.to_owned()],
    };
    let settings = TdsSettings {
        server: "SQL01".into(),
        database: "Symantec_CMDB".into(),
        cmdb: cmdb.clone(),
        accounts: Accounts::new(vec![account]),
        faults: Arc::new(NoFaults),
    };
    TdsFront::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

/// What the controller sends for a deletion, duplicates, an origin, and for putting back.
fn repairs() -> Vec<Bound> {
    let status = table("dbo", "SWDPackageServer");
    let columns = ["PkgSvrId", "PackageId", "Status", "Version"].map(name);
    let keys = ["PkgSvrId", "PackageId"].map(name);
    let of = |column: &str, value: u128| {
        let values = vec![SqlParameter::Guid(Guid::from_u128(value))];
        AnyOf { column: name(column), values }
    };
    let first = Conditions(vec![of("PackageId", 0xB1), of("PkgSvrId", 0xA1)]);
    let second = Conditions(vec![of("PackageId", 0xB2)]);
    let gone = table("fleetmend", "fleetmend_backup_1");
    let surplus = table("fleetmend", "fleetmend_backup_2");
    let origins = table("fleetmend", "fleetmend_backup_3");
    let source = table("dbo", "ItemNSSource");
    let items = Conditions(vec![of("ItemGuid", 0xB1)]);
    let item_columns = ["ItemGuid", "OriginNSSourceNSId"].map(name);
    let local = SqlParameter::Integer(1);
    vec![
        back_up(&columns, &status, &first, &gone, 1),
        delete(&status, &first, 1),
        back_up_surplus(&columns, &keys, &status, &second, &surplus, 4),
        delete_surplus(&keys, &status, &second, 4),
        put_back(&columns, &status, &gone, 1),
        back_up(&item_columns, &source, &items, &origins, 1),
        set(&source, &item_columns[1], local, &items, 1),
    ]
}

fn left_behind(cmdb: &Cmdb) -> Vec<Vec<String>> {
    let product = ["SWDPackageServer", "ItemNSSource"].map(str::to_owned);
    let made = cmdb.made_tables().unwrap();
    assert_eq!(made.len(), 3);
    product.iter().chain(&made).map(|table| cmdb.dump(table).unwrap()).collect()
}

/// A parameter as a literal, for a client that has no parameters.
fn literal(value: &SqlParameter) -> String {
    match value {
        SqlParameter::Guid(guid) => format!("'{}'", guid.bare()),
        SqlParameter::Text(text) => format!("N'{}'", text.replace('\'', "''")),
        SqlParameter::Integer(number) => number.to_string(),
    }
}

#[tokio::test]
async fn python_tds_and_freetds_repair_as_the_controller_does() {
    let Some(room) = Room::enter() else { return };
    let own = broken();
    let own_front = writing_front(&own).await;
    let target = Target {
        host: HostName::new("smp01"),
        address: own_front.address().ip().to_string(),
        port: own_front.address().port(),
        credential: Credential { user: WRITER.into(), password: Secret::new(PASSWORD.into()) },
        option: Some("Symantec_CMDB".into()),
    };
    let deadline = Deadline::after(WITHIN);
    let begun = SqlTransaction::begin(&target, Protection::LoopbackOnly, deadline).await;
    let mut transaction = Box::new(begun.unwrap());
    for (statement, parameters) in repairs() {
        transaction.execute(&statement, &parameters, deadline).await.unwrap();
    }
    transaction.commit(deadline).await.unwrap();

    let by_python = broken();
    let python_front = writing_front(&by_python).await;
    let at = python_front.address();
    let mut client = room.python("tds_repair.py");
    client
        .args([&at.ip().to_string(), &at.port().to_string(), WRITER])
        .env("PEER_PASSWORD", PASSWORD);
    let said = run(&mut client, &serde_json::to_string(&repairs()).unwrap(), WITHIN).await;
    assert!(said.is_success && said.text.contains("committed"), "{}", said.text);

    let by_tsql = broken();
    let tsql_front = writing_front(&by_tsql).await;
    let mut batches = "SET XACT_ABORT ON; BEGIN TRANSACTION\nGO\n".to_owned();
    for (statement, parameters) in repairs() {
        let mut text = statement.text;
        // From the last one on: @P1 is the beginning of @P10.
        for (number, value) in parameters.iter().enumerate().rev() {
            text = text.replace(&format!("@P{}", number + 1), &literal(value));
        }
        batches.push_str(&format!("{text}\nGO\n"));
    }
    batches.push_str("COMMIT TRANSACTION\nGO\n");
    let at = tsql_front.address();
    let mut client = Command::new("tsql");
    client
        .args(["-H", &at.ip().to_string(), "-p", &at.port().to_string()])
        .args(["-U", WRITER, "-P", PASSWORD, "-D", "Symantec_CMDB", "-o", "q", "-t", "|"])
        .env("TDSVER", "7.4")
        .env("LC_ALL", "C.UTF-8");
    let said = run(&mut client, &batches, WITHIN).await;
    assert!(said.is_success && !is_refused(&said), "{}", said.text);

    let expected = left_behind(&own);
    assert_ne!(expected[0], broken().dump("SWDPackageServer").unwrap());
    assert_eq!(left_behind(&by_python), expected);
    assert_eq!(left_behind(&by_tsql), expected);
}
