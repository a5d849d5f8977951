//! The named queries over the wire: what each says of a CMDB in which everything is wrong once.

use fleetmend::host::queries::{NamedQuery, find};
use fleetmend::host::{Session, SessionConfig, readiness};
use fleetmend::lab::cmdb::PackageServerRow;
use fleetmend::model::{FailureClass, Host, RunId, TimeScale, WorkQuery};
use fleetmend::transport::NetworkConnector;

use super::troubled::{FOREIGN, GONE, troubled};
use super::*;

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

/// What rows of a real CMDB were seen to hold, and worse: status, version, and whether the pair counts
/// as drifted, that is Ready with anything but the current version.
const IRREGULAR: [(Option<&str>, Option<&str>, bool); 8] = [
    (Some("Ready"), Some("The trust relationship failed (1789)"), true),
    (Some("Ready"), Some("{0562094A-ECBE-4617-9253-5E7FFB5E00C4}"), true),
    (Some("0562094a-ecbe-4617-9253-5e7ffb5e00c4"), Some("7"), false),
    (Some("Ready"), None, true),
    (None, Some("7"), false),
    (None, None, false),
    (Some(""), Some(""), false),
    (Some("'; DROP TABLE SWDPackageServer; --"), Some("7"), false),
];

#[tokio::test]
async fn error_texts_guids_in_texts_and_nulls_are_kept_as_they_are_and_no_row_is_lost() {
    let cmdb = filled();
    let package = |number: usize| Guid::from_u128(0xC0 + number as u128);
    for (number, (status, version, _)) in IRREGULAR.into_iter().enumerate() {
        cmdb.upsert_package(package(number), "It's {a} ] -- name", "7").unwrap();
        let row = PackageServerRow {
            server: SERVER,
            package: package(number),
            status: status.map(str::to_owned),
            version: version.map(str::to_owned),
        };
        cmdb.add_package_server_row(&row).unwrap();
    }
    let front = front(&cmdb, Arc::new(NoFaults)).await;
    let session = session(&front);
    let reader = session.reader(soon(), Arc::from([]));

    let work = fleetmend::host::not_ready_packages(&reader).await.unwrap();
    let pairs = readiness(&reader, SERVER).await.unwrap();
    let drift = fleetmend::host::work(&reader, WorkQuery::Drift).await.unwrap();

    assert_eq!((work.len(), pairs.len()), (IRREGULAR.len() + 1, IRREGULAR.len() + 1));
    for (number, (status, version, is_drifted)) in IRREGULAR.into_iter().enumerate() {
        let package = package(number);
        let row = work.iter().find(|row| row.package == package).expect("no row is lost");
        assert_eq!(row.server.guid, SERVER);
        assert_eq!(
            (row.status.as_str(), row.reported_version.as_deref()),
            (status.unwrap_or(""), version)
        );
        assert_eq!(row.package_name.as_deref(), Some("It's {a} ] -- name"));
        let pair = pairs.iter().find(|pair| pair.package == package).expect("no pair is lost");
        assert_eq!((pair.status.as_deref(), pair.reported_version.as_deref()), (status, version));
        assert!(!pair.is_ready(), "{status:?} {version:?}");
        assert_eq!(
            drift.iter().any(|row| row.package == package),
            is_drifted,
            "{status:?} {version:?}"
        );
    }
    session.close().await;
    front.stop().await;
}

#[test]
fn a_guid_in_a_text_column_is_one_in_each_of_its_spellings_and_nothing_else_is() {
    let read = |value: SqlValue| Row(vec![("PackageGuid".to_owned(), value)]).guid("packageguid");
    let text = |text: &str| read(SqlValue::Text(text.to_owned()));

    for spelling in [
        "0562094A-ECBE-4617-9253-5E7FFB5E00C4",
        "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}",
        " {0562094a-ecbe-4617-9253-5e7ffb5e00c4} ",
    ] {
        assert_eq!(text(spelling), Some(SERVER), "{spelling}");
    }
    for other in ["", "{}", "1601954124", "{0562094A-ECBE-4617-9253-5E7FFB5E00C4", "0x80070005"] {
        assert_eq!(text(other), None, "{other}");
    }
    assert_eq!((read(SqlValue::Null), read(SqlValue::Integer(5))), (None, None));
    assert_eq!(read(SqlValue::Guid(SERVER)), Some(SERVER));
}
