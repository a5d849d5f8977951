use proptest::prelude::*;

use super::*;
use crate::model::Guid;
use crate::protocol::tds::{Column, SqlType, Statement, Value};

const SERVER: Guid = Guid::from_u128(0xA1);
const PACKAGE: Guid = Guid::from_u128(0xB1);

/// Keeps every row as text, columns joined by `|`.
#[derive(Default)]
struct Seen {
    columns: Vec<Column>,
    rows: Vec<String>,
}

impl Results for Seen {
    fn columns(&mut self, columns: &[Column]) {
        self.columns = columns.to_vec();
    }
    fn row(&mut self, _: &[Column], values: &[Value]) -> Result<(), SqlError> {
        let cell = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Guid(guid) => format!("{:x}", guid.as_u128()),
            Value::Text(text) => text.clone(),
            Value::Int(number) | Value::DateTime(number) => number.to_string(),
            Value::Bit(bit) => bit.to_string(),
            Value::Float(number) => number.to_string(),
        };
        self.rows.push(values.iter().map(cell).collect::<Vec<_>>().join("|"));
        Ok(())
    }
    fn done(&mut self, _: Option<u64>) {}
    fn database_changed(&mut self, _: &str, _: &str) {}
    fn transaction_began(&mut self, _: u64) {}
    fn transaction_ended(&mut self, _: bool, _: u64) {}
}

fn session() -> SqlSession {
    SqlSession::new("Symantec_CMDB", "cmdb-reader", "SQL01", 51, false)
}

fn run(cmdb: &Cmdb, text: &str, parameters: &[(&str, Value)]) -> Result<Seen, SqlError> {
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut seen = Seen::default();
    cmdb.run(&session(), &Statement { text: text.to_owned(), parameters }, &mut seen)?;
    Ok(seen)
}

fn filled() -> Cmdb {
    let cmdb = Cmdb::new().unwrap();
    cmdb.set_this_server(Guid::from_u128(1), "smp01").unwrap();
    cmdb.add_server(&ServerRecord {
        guid: SERVER,
        name: "PS-LON-01".into(),
        fqdn: "ps-lon-01.corp.example".into(),
        agent_version: "8.6.3268.0".into(),
        site: "LON".into(),
    })
    .unwrap();
    cmdb.upsert_package(PACKAGE, "7-Zip", "3").unwrap();
    cmdb
}

#[test]
fn a_plain_select_gives_rows_by_literal_and_by_parameter_in_any_case() {
    let cmdb = filled();
    let by_literal = format!("SELECT [Name] FROM dbo.vItem WITH (NOLOCK) WHERE Guid = '{SERVER}'");

    assert_eq!(run(&cmdb, &by_literal, &[]).unwrap().rows, ["PS-LON-01"]);
    let guid = Value::Guid(uuid::Uuid::from_u128(SERVER.as_u128()));
    let by_parameter = "select top 5 * from VITEM where guid = @P1 and name = 'ps-lon-01'";
    let seen = run(&cmdb, by_parameter, &[("@P1", guid)]).unwrap();
    assert_eq!(seen.rows, ["a1|PS-LON-01"]);
    assert_eq!(seen.columns[0].kind, SqlType::Guid);
    let count = "SELECT COUNT(*) FROM SWDPackage WHERE [_Latest] = 1";
    assert_eq!(run(&cmdb, count, &[]).unwrap().rows, ["1"]);
}

#[test]
fn what_is_not_simulated_is_an_error_and_never_an_empty_success() {
    let cmdb = filled();
    for text in [
        "DELETE FROM SWDPackageServer",
        "UPDATE ItemNSSource SET OriginNSSourceNSId = 1",
        "SELECT * INTO #x FROM vItem",
        "SELECT * FROM sys.tables",
        "SELECT Name FROM vItem JOIN vThisNS ON 1 = 1",
        "SELECT Nme FROM vItem",
        "SELECT Name FROM vItem WHERE Name LIKE 'x%'",
        "SELECT Name FROM vItem WHERE Guid = 'no guid'",
        "SELECT Name FROM vItem WHERE Guid = @P1",
        "EXEC sp_who",
        "SET FMTONLY ON",
        "SELECT 1; DROP TABLE vItem",
        "SELECT",
        "wait",
        "USE master",
        "COMMIT",
    ] {
        assert!(run(&cmdb, text, &[]).is_err(), "{text}");
    }
    let error = run(&cmdb, "TRUNCATE TABLE vItem", &[]).err().unwrap();
    assert_eq!((error.number, error.class), (50_000, 16));
    assert!(error.text.starts_with("not simulated: "), "{error}");
}

#[test]
fn what_drivers_send_on_connecting_is_understood() {
    let cmdb = filled();
    for text in [
        "SET LOCK_TIMEOUT 5000; SET XACT_ABORT ON; SET NOCOUNT ON",
        "SET QUOTED_IDENTIFIER, ANSI_NULLS ON SET TEXTSIZE 2147483647",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET IMPLICIT_TRANSACTIONS OFF",
        "USE [Symantec_CMDB]",
        "",
    ] {
        run(&cmdb, text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let seen = run(&cmdb, "SELECT @@SPID, DB_NAME() AS db, @@TRANCOUNT, 1", &[]).unwrap();
    assert_eq!(seen.rows, ["51|Symantec_CMDB|0|1"]);
}

/// A session that may change rows, in a transaction that any error takes back.
fn writer(cmdb: &Cmdb) -> SqlSession {
    let session = SqlSession::new("Symantec_CMDB", "cmdb-writer", "SQL01", 52, true);
    send(cmdb, &session, "SET XACT_ABORT ON; BEGIN TRANSACTION").unwrap();
    session
}

/// Runs a batch whose parameters are the package and the number 1.
fn send(cmdb: &Cmdb, session: &SqlSession, text: &str) -> Result<Vec<String>, SqlError> {
    let package = Value::Guid(uuid::Uuid::from_u128(PACKAGE.as_u128()));
    let parameters = vec![("@P1".to_owned(), package), ("@P2".to_owned(), Value::Int(1))];
    let mut seen = Seen::default();
    cmdb.run(session, &Statement { text: text.to_owned(), parameters }, &mut seen)?;
    Ok(seen.rows)
}

const BACK_UP: &str = "SELECT [PkgSvrId], [PackageId], [Status], [Version] INTO [fleetmend].[b]
    FROM [dbo].[SWDPackageServer] WHERE [PackageId] IN (@P1);
    IF @@ROWCOUNT <> @P2 THROW 50001, N'other', 1;";
const DELETE: &str = "DELETE FROM [dbo].[SWDPackageServer] WHERE [PackageId] IN (@P1);
    IF @@ROWCOUNT <> @P2 THROW 50001, N'other', 1;";
const COUNT: &str = "SELECT COUNT(*) FROM SWDPackageServer";

fn with_a_row() -> Cmdb {
    let cmdb = filled();
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Ready", Some("3")).unwrap();
    cmdb
}

#[test]
fn what_a_transaction_did_is_seen_by_itself_and_by_others_after_its_commit() {
    let cmdb = with_a_row();
    let session = writer(&cmdb);
    send(&cmdb, &session, BACK_UP).unwrap();
    send(&cmdb, &session, DELETE).unwrap();

    assert_eq!(send(&cmdb, &session, COUNT).unwrap(), ["0"]);
    assert_eq!(run(&cmdb, COUNT, &[]).unwrap().rows, ["1"]);
    assert!(cmdb.made_tables().unwrap().is_empty() && cmdb.take_changed_rows().unwrap().is_none());

    send(&cmdb, &session, "COMMIT TRANSACTION").unwrap();
    assert_eq!(run(&cmdb, COUNT, &[]).unwrap().rows, ["0"]);
    assert_eq!(run(&cmdb, "SELECT Version FROM fleetmend.b", &[]).unwrap().rows, ["3"]);
    assert_eq!(cmdb.made_tables().unwrap(), ["b"]);
    assert_eq!(cmdb.take_changed_rows().unwrap(), Some(Vec::new()));
    assert!(send(&cmdb, &session, "COMMIT").is_err(), "it is over");

    let session = writer(&cmdb);
    let back = "INSERT INTO [dbo].[SWDPackageServer] ([PkgSvrId], [PackageId], [Status], [Version])
        SELECT [PkgSvrId], [PackageId], [Status], [Version] FROM [fleetmend].[b]; COMMIT";
    send(&cmdb, &session, back).unwrap();
    let session = writer(&cmdb);
    send(&cmdb, &session, "DROP TABLE [fleetmend].[b]; COMMIT TRAN").unwrap();
    assert_eq!(run(&cmdb, COUNT, &[]).unwrap().rows, ["1"]);
    assert!(cmdb.made_tables().unwrap().is_empty());
}

#[test]
fn an_error_a_rollback_or_a_lost_session_takes_everything_back() {
    let cmdb = with_a_row();
    let cases: [(&str, i32); 4] = [
        ("DELETE FROM [dbo].[SWDPackageServer]; SELECT nothing FROM vItem", 50_000),
        (BACK_UP, 2714),
        (
            "IF @@ROWCOUNT <> @P2 THROW 50001, N'why', 1; IF @@ROWCOUNT <> @P1 THROW 1, N'', 1",
            50_000,
        ),
        ("UPDATE ItemNSSource SET OriginNSSourceNSId = @P2 WHERE ItemGuid IN (@P2)", 50_000),
    ];
    for (bad, number) in cases {
        let session = writer(&cmdb);
        send(&cmdb, &session, BACK_UP).unwrap();
        let error = send(&cmdb, &session, bad).unwrap_err();
        assert_eq!(error.number, number, "{bad}: {error}");
        assert!(!session.is_in_transaction(), "{bad}");
    }
    let session = writer(&cmdb);
    send(&cmdb, &session, BACK_UP).unwrap();
    send(&cmdb, &session, "ROLLBACK TRANSACTION").unwrap();
    let session = writer(&cmdb);
    send(&cmdb, &session, DELETE).unwrap();
    drop(session);

    assert_eq!(run(&cmdb, COUNT, &[]).unwrap().rows, ["1"]);
    assert!(cmdb.made_tables().unwrap().is_empty());
}

#[test]
fn the_world_is_not_blocked_and_a_client_whose_rows_it_changed_is_the_victim() {
    let cmdb = with_a_row();
    let session = writer(&cmdb);
    let hold =
        "SELECT Version FROM SWDPackageServer WITH (UPDLOCK, HOLDLOCK) WHERE PackageId IN (@P1)";
    assert_eq!(send(&cmdb, &session, hold).unwrap(), ["3"]);
    send(&cmdb, &session, DELETE).unwrap();
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Ready", Some("4")).unwrap();

    let error = send(&cmdb, &session, "COMMIT TRANSACTION").unwrap_err();

    assert_eq!(error.number, 1205);
    assert!(!session.is_in_transaction());
    assert_eq!(cmdb.package_server_rows(SERVER).unwrap()[0].version.as_deref(), Some("4"));
}

#[test]
fn changes_need_rights_a_transaction_and_xact_abort_and_reach_no_table_but_those_meant() {
    let cmdb = with_a_row();
    let reader = session();
    send(&cmdb, &reader, "SET XACT_ABORT ON; BEGIN TRAN").unwrap();
    assert_eq!(send(&cmdb, &reader, DELETE).unwrap_err().number, 229);
    let session = SqlSession::new("Symantec_CMDB", "cmdb-writer", "SQL01", 52, true);
    assert_eq!(send(&cmdb, &session, DELETE).unwrap_err().number, 50_000);
    send(&cmdb, &session, "BEGIN TRAN").unwrap();
    assert_eq!(send(&cmdb, &session, DELETE).unwrap_err().number, 50_000);
    for text in [
        "DROP TABLE SWDPackageServer",
        "SELECT * INTO [fleetmend].[b] FROM SWDPackageServer",
        "SELECT [Guid], [Name] INTO [dbo].[b] FROM vItem",
        "SELECT [Name] INTO [fleetmend].[b] FROM vItem",
        "INSERT INTO vItem ([Guid], [Name]) SELECT [Guid], [Name] FROM vItem",
        "UPDATE SWDPackageServer SET Status = Version",
        "DELETE TOP (1) FROM SWDPackageServer",
        "DELETE FROM [fleetmend].[b]",
        "IF @@ROWCOUNT <> @P2 DROP TABLE x",
        "BEGIN TRANSACTION named",
        "MERGE vItem",
    ] {
        let session = writer(&cmdb);
        assert!(send(&cmdb, &session, text).is_err(), "{text}");
    }
    assert_eq!(run(&cmdb, COUNT, &[]).unwrap().rows, ["1"]);
}

fn named(name: &str) -> &'static str {
    named::text(name)
}

#[test]
fn stale_drifted_and_orphaned_rows_are_work_and_well_ones_are_not() {
    let cmdb = filled();
    let not_ready = || run(&cmdb, named("not_ready_packages"), &[]).unwrap().rows;
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Ready", Some("3")).unwrap();
    assert!(not_ready().is_empty());

    cmdb.upsert_package(PACKAGE, "7-Zip", "4").unwrap();
    assert_eq!(
        not_ready(),
        ["a1|PS-LON-01|ps-lon-01.corp.example|b1|7-Zip|smp01|Ready|4|3"],
        "Ready, but with an older version"
    );

    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Invalid", Some("Error 1789")).unwrap();
    cmdb.set_origin(PACKAGE, Guid::from_u128(2), "parent").unwrap();
    assert_eq!(
        not_ready(),
        ["a1|PS-LON-01|ps-lon-01.corp.example|b1|7-Zip|parent|Invalid|4|Error 1789"]
    );

    cmdb.delete_package_server_row(SERVER, PACKAGE).unwrap();
    cmdb.upsert_package_server_row(SERVER, Guid::from_u128(9), "Not Ready", None).unwrap();
    assert_eq!(
        not_ready(),
        ["a1|PS-LON-01|ps-lon-01.corp.example|9|NULL|NULL|Not Ready|NULL|NULL"],
        "a package that is not there any more"
    );
}

#[test]
fn readiness_gives_every_row_of_one_server_with_both_versions() {
    let cmdb = filled();
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Ready", Some("3")).unwrap();
    cmdb.upsert_package_server_row(Guid::from_u128(7), PACKAGE, "Ready", Some("2")).unwrap();

    let server = Value::Text(SERVER.to_string());
    let seen = run(&cmdb, named("readiness"), &[("@P1", server)]).unwrap();

    assert_eq!(seen.rows, ["a1|b1|Ready|3|3"]);
    assert_eq!(cmdb.package_server_rows(SERVER).unwrap()[0].version.as_deref(), Some("3"));
    assert_eq!(cmdb.package_version(PACKAGE).unwrap().as_deref(), Some("3"));
    assert!(run(&cmdb, named("readiness"), &[]).is_err(), "without its parameter");
}

#[test]
fn servers_this_server_and_the_queue_are_told() {
    let cmdb = filled();
    cmdb.upsert_package_server_row(SERVER, PACKAGE, "Ready", Some("3")).unwrap();
    cmdb.set_last_inventory(SERVER, "2026-11-20T08:30:00Z".parse().unwrap()).unwrap();
    assert_eq!(
        run(&cmdb, named("package_servers"), &[]).unwrap().rows,
        ["a1|PS-LON-01|ps-lon-01.corp.example|8.6.3268.0|1795163400000"]
    );
    assert_eq!(run(&cmdb, named("this_server"), &[]).unwrap().rows, ["1|smp01|1"]);

    cmdb.set_event_queue_len(500).unwrap();
    cmdb.set_event_queue_len(200).unwrap();
    assert_eq!(cmdb.event_queue_len().unwrap(), 200);
    assert_eq!(run(&cmdb, named("event_queue"), &[]).unwrap().rows, ["200|301"]);
    cmdb.set_event_queue_len(0).unwrap();
    assert_eq!(run(&cmdb, named("event_queue"), &[]).unwrap().rows, ["0|NULL"]);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_and_never_writes(
        text in "(SELECT|SET|IF|USE|BEGIN|DELETE)?[ a-zA-Z0-9@*',.;()=<>\\[\\]/-]{0,60}",
    ) {
        let cmdb = filled();
        let _ = run(&cmdb, &text, &[]);
        let count = "SELECT COUNT(*) FROM vItem";
        prop_assert_eq!(run(&cmdb, count, &[]).unwrap().rows, ["1"]);
    }
}

#[test]
fn the_queue_keeps_the_identifiers_of_its_entries() {
    let cmdb = Cmdb::new().unwrap();
    let look = |cmdb: &Cmdb| run(cmdb, named::text("event_queue"), &[]).unwrap().rows[0].clone();

    let seen: Vec<String> = [(100, 3), (102, 4), (500, 2), (501, 0)]
        .into_iter()
        .map(|(oldest, length)| {
            cmdb.set_event_queue(oldest, length).unwrap();
            look(&cmdb)
        })
        .collect();

    assert_eq!(seen, ["3|100", "4|102", "2|500", "0|NULL"]);
}

#[test]
fn a_pair_may_have_a_second_row_and_a_server_two_versions_and_no_site() {
    let cmdb = filled();
    let rows = |text: &str| run(&cmdb, text, &[]).unwrap().rows.len();

    let before = rows("SELECT PkgSvrId FROM SWDPackageServer");
    cmdb.add_second_row(SERVER, PACKAGE, "Invalid", "1").unwrap();
    cmdb.set_versions(SERVER, "8.8", "8.6").unwrap();
    cmdb.set_versions(SERVER, "8.8", "8.7").unwrap();
    cmdb.set_site(SERVER, Some("LON")).unwrap();
    let sites = rows("SELECT ServerGuid FROM LabServerSite");
    cmdb.set_site(SERVER, None).unwrap();

    assert_eq!(rows("SELECT PkgSvrId FROM SWDPackageServer"), before + 1);
    assert_eq!(rows("SELECT [Product Version] FROM Inv_AeX_AC_Client_Agent"), 2);
    assert_eq!((sites, rows("SELECT ServerGuid FROM LabServerSite")), (1, 0));
}
