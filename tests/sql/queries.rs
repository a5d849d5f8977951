//! The named queries over the wire: what each says of a CMDB in which everything is wrong once.

use fleetmend::host::queries::{NamedQuery, find};
use fleetmend::host::{Session, SessionConfig};
use fleetmend::model::{FailureClass, Host, RunId, TimeScale};
use fleetmend::transport::NetworkConnector;

use super::*;

const GONE: Guid = Guid::from_u128(0xDEAD);
const SECOND: Guid = Guid::from_u128(0xA2);
const RETIRED: Guid = Guid::from_u128(0xB2);
const FOREIGN: Guid = Guid::from_u128(0xB3);

/// Two servers and three packages: drift, a duplicate, orphans, a foreign origin, stale codebases.
fn troubled() -> Cmdb {
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

/// The rows of a query, each as its cells joined by `|`.
async fn rows(client: &SqlClient, name: &str, parameters: &[SqlParameter]) -> Vec<String> {
    let query = find(name).unwrap();
    let rows = client.query(&query.statement, parameters, soon()).await.unwrap();
    for row in &rows {
        let names: Vec<&str> = row.0.iter().map(|(name, _)| name.as_str()).collect();
        let said: Vec<&str> = query.columns.iter().map(|column| column.name).collect();
        assert_eq!(names, said, "{name}");
    }
    let cell = |value: &SqlValue| match value {
        SqlValue::Null => "-".to_owned(),
        SqlValue::Guid(guid) => match *guid {
            SERVER => "S1".to_owned(),
            other => format!("{:X}", other.as_u128()),
        },
        SqlValue::Text(text) => text.clone(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Bool(flag) => flag.to_string(),
        SqlValue::Float(number) => number.to_string(),
        SqlValue::Timestamp(at) => at.to_string(),
    };
    rows.iter()
        .map(|row| row.0.iter().map(|(_, value)| cell(value)).collect::<Vec<_>>().join("|"))
        .collect()
}

#[tokio::test]
async fn each_query_about_pairs_finds_what_it_is_for_and_nothing_else() {
    let front = front(&troubled(), Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();
    let osl = "A2|PS-OSL-01|ps-osl-01.corp.example";
    let zrh = "S1|PS-ZÜRICH-01|ps-zuerich-01.corp.example";

    assert_eq!(
        rows(&client, "drift", &[]).await,
        [format!("{osl}|B1|7-Zip|smp01|Ready|4|3")],
        "Ready with an older version; orphans are no drift"
    );
    assert_eq!(
        rows(&client, "duplicates", &[]).await,
        [format!("{zrh}|B3|Reader|Invalid|9|9|2|2|1")],
        "two rows with different statuses and the same version"
    );
    assert_eq!(
        rows(&client, "orphans", &[]).await,
        [
            "SWDPackageCodebase|no package|-|-|B2|-|file:\\\\ps-osl-01.corp.example\\PkgSvrHost\\b2\\"
                .to_owned(),
            "SWDPackageServer|no server|DEAD|-|B1|7-Zip|Ready".to_owned(),
            "SWDPackageServer|no package|S1|PS-ZÜRICH-01|B2|-|Ready".to_owned(),
        ]
    );
    let mut not_ready = rows(&client, "not_ready_packages", &[]).await;
    let mut with_orphans = rows(&client, "not_ready_with_orphans", &[]).await;
    assert_eq!((not_ready.len(), with_orphans.len()), (3, 5), "{not_ready:?} {with_orphans:?}");
    assert!(with_orphans.iter().any(|row| row.ends_with("|no server")), "{with_orphans:?}");
    assert!(with_orphans.iter().any(|row| row.ends_with("|no package")), "{with_orphans:?}");
    with_orphans.retain(|row| row.ends_with("|-"));
    for row in &mut not_ready {
        row.push_str("|-");
    }
    assert_eq!(with_orphans, not_ready, "the others are the same");
    assert_eq!(
        rows(&client, "not_ready_as_in_article", &[]).await,
        ["PS-ZÜRICH-01|7-Zip|smp01|Invalid|4|3|B1", "PS-ZÜRICH-01|Reader|parent|Invalid|9|9|B3",],
        "the article's filter hides the drifted row"
    );
    client.close().await;
    front.stop().await;
}

#[tokio::test]
async fn each_query_about_places_and_origins_finds_what_it_is_for() {
    let front = front(&troubled(), Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();
    let package = |guid| [SqlParameter::Guid(guid)];

    assert_eq!(
        rows(&client, "codebases", &package(FOREIGN)).await,
        ["B3|Reader|file://PS-OSL-01/PkgSvrHost/b3/|source|snapshot"]
    );
    assert_eq!(
        rows(&client, "codebases_of_unknown_hosts", &[]).await,
        ["B1|7-Zip|\\\\ps-old-07\\PkgSvrHost\\b1\\|ps-old-07"],
        "the retired server; ports, backslashes and the Notification Server are understood"
    );
    assert_eq!(
        rows(&client, "ready_without_codebase", &[]).await,
        [
            "DEAD|-|-|B1|7-Zip|Ready|4|4",
            "S1|PS-ZÜRICH-01|ps-zuerich-01.corp.example|B3|Reader|Ready|9|9",
        ],
        "the second server has one for each of its packages"
    );
    assert_eq!(
        rows(&client, "origins", &[]).await,
        ["B1|7-Zip|1|smp01|1|1|1", "B3|Reader|2|parent|77|77|0"]
    );
    assert_eq!(rows(&client, "local_server_id", &[]).await, ["1"]);
    assert_eq!(
        rows(&client, "local_server_id_by_owner", &package(Guid::from_u128(1))).await,
        ["1|smp01|1|1"]
    );
    assert!(rows(&client, "local_server_id_by_owner", &package(GONE)).await.is_empty());
    client.close().await;
    front.stop().await;
}

#[tokio::test]
async fn each_query_about_one_package_and_about_servers_finds_what_it_is_for() {
    let cmdb = troubled();
    cmdb.upsert_package(PACKAGE, "7-Zip", "5").unwrap();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let client = connect(&front).await.unwrap();
    let package = [SqlParameter::Guid(PACKAGE)];

    assert_eq!(
        rows(&client, "packages_by_name", &[SqlParameter::Text("7-zip".into())]).await,
        ["B1|7-Zip|5"]
    );
    assert_eq!(
        rows(&client, "package_rows", &package).await,
        [
            "DEAD|-|-|B1|7-Zip|Ready|5|4",
            "A2|PS-OSL-01|ps-osl-01.corp.example|B1|7-Zip|Ready|5|3",
            "S1|PS-ZÜRICH-01|ps-zuerich-01.corp.example|B1|7-Zip|Invalid|5|3",
        ]
    );
    assert_eq!(
        rows(&client, "package_row_history", &package).await,
        ["B1|7-Zip|5|true|0|0", "B1|7-Zip|4|false|1|1"],
        "the versions that were, and who still reports them"
    );
    assert_eq!(
        rows(&client, "package_server_counts", &[]).await,
        ["B1|3", "B2|1", "B3|2"],
        "a duplicate counts once"
    );
    assert_eq!(
        rows(&client, "server_agent_versions", &[]).await,
        [
            "A2|PS-OSL-01|ps-osl-01.corp.example|Altiris Agent|8.5.0.0",
            "S1|PS-ZÜRICH-01|ps-zuerich-01.corp.example|Altiris Agent|8.6.3268.0",
        ]
    );
    client.close().await;
    front.stop().await;
}

/// A session of a Notification Server whose CMDB this front is.
fn session(front: &TdsFront) -> Session {
    let name = HostName::new("smp01.corp.example");
    Session::new(SessionConfig {
        run: RunId::new(uuid::Uuid::nil()),
        host: Host { name, groups: Arc::from([]), vars: Arc::default() },
        work: Arc::from([]),
        scale: TimeScale::REAL,
        winrm: None,
        smb: None,
        cmdb: Some(target(front, "cmdb-reader", PASSWORD, "Symantec_CMDB")),
        connector: Arc::new(NetworkConnector),
    })
}

#[tokio::test]
async fn a_query_that_this_cmdb_cannot_answer_is_refused_and_the_others_work() {
    let cmdb = troubled();
    cmdb.rename_column("SWDPackage", "_Latest", "_IsLatest").unwrap();
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let session = session(&front);
    let ask = async |query: &NamedQuery| {
        let reader = session.reader(soon(), Arc::from([]));
        reader.query(&query.statement, &[]).await
    };

    let refused = ask(find("drift").unwrap()).await.unwrap_err();

    assert_eq!(refused.kind, TransportErrorKind::Refused);
    assert_eq!(
        refused.to_string(),
        "could not ask the CMDB of smp01.corp.example for `drift`: it has no \
         [SWDPackage].[_Latest], or the login may not read it"
    );
    assert_eq!(ask(find("local_server_id").unwrap()).await.unwrap().len(), 1);
    assert_eq!(ask(find("package_servers").unwrap()).await.unwrap().len(), 3);
    let reader = session.reader(soon(), Arc::from([]));
    let failure = fleetmend::host::not_ready_packages(&reader).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Refused, "the work is not taken for none");
    session.close().await;
    front.stop().await;
}

#[tokio::test]
async fn the_schema_is_asked_for_once_per_connection() {
    let faults = requests(&[
        ("schema", RequestFault::Deadlock),
        ("schema", RequestFault::Delay(Duration::ZERO)),
        ("schema", RequestFault::Busy),
    ]);
    let front = front(&troubled(), faults).await;
    let session = session(&front);
    let ask = async || {
        let reader = session.reader(soon(), Arc::from([]));
        reader.query(&EVENT_QUEUE, &[]).await
    };

    assert_eq!(kind(ask().await), TransportErrorKind::Conflict, "not known yet: nothing was asked");
    for _ in 0..3 {
        assert_eq!(ask().await.unwrap().len(), 1, "a third question would meet the third fault");
    }
    session.close().await;
    assert_eq!(kind(ask().await), TransportErrorKind::Throttled, "a new connection asks again");
    front.stop().await;
}
