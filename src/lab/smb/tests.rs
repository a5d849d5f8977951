//! Conversations with the `smb2` crate's client over loopback, damaged ones without a socket,
//! and, on request, with Samba's programs.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smb2::client::tree::RenameOptions;
use smb2::{ClientConfig, ErrorKind, SmbClient};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::lab::front::{
    Account, Accounts, ConnectionFault, Faults, NoFaults, Protocol, RequestFault,
};
use crate::lab::tree::Tree;
use crate::protocol::auth::Names;
use crate::protocol::security_descriptor::{AceFlags, FileRights, SecurityDescriptor, Sid};
use crate::secret::Secret;

/// 2026-11-21 as a FILETIME.
const NOW: u64 = 134_080_992_000_000_000;
const PASSWORD: &str = "Pa$$w0rd, long";

fn account(user: &str, sid: &str, groups: &[&str]) -> Account {
    Account {
        domain: "CORP".to_owned(),
        user: user.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        sid: sid.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

fn machine() -> SmbMachine {
    let tree = Tree::new(NOW);
    tree.write(r"C:\data\Snapshot.xml", "<snapshot/>", NOW).unwrap();
    tree.create_dir_all(r"C:\drop", NOW).unwrap();
    let open = SecurityDescriptor::machine_default()
        .with_allow_ace(&Sid::users(), FileRights::MODIFY, AceFlags::THIS_FOLDER_AND_BELOW)
        .unwrap();
    tree.set_descriptor(r"C:\drop", &open.encode()).unwrap();
    let shares = Shares::default();
    let share = |name: &str, path: &str| NamedShare {
        name: name.to_owned(),
        path: path.to_owned(),
        comment: "for tests".to_owned(),
    };
    shares.add(share("Everything", r"C:\"));
    shares.add(share("Drop", r"C:\drop"));
    SmbMachine {
        names: Names {
            computer: "PS001".to_owned(),
            domain: "CORP".to_owned(),
            dns_computer: "ps001.corp.example".to_owned(),
            dns_domain: "corp.example".to_owned(),
        },
        accounts: Accounts::new(vec![
            account("deploy", "S-1-5-21-1-2-3-1104", &["S-1-5-32-544"]),
            account("plain", "S-1-5-21-1-2-3-1105", &[]),
        ]),
        tree,
        shares,
        faults: Arc::new(NoFaults),
        require_encryption: false,
        clock: Arc::new(|| NOW),
    }
}

/// A listening machine; it stops when this is dropped.
struct Server {
    address: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

async fn start(machine: SmbMachine) -> Server {
    start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), machine)
}

fn start_on(listener: TcpListener, machine: SmbMachine) -> Server {
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, machine, stopped));
    Server { address, stop, task }
}

async fn log_on(server: &Server, user: &str, password: &str) -> Result<SmbClient, smb2::Error> {
    let mut config = ClientConfig::default();
    config.addr.clone_from(&server.address);
    config.username = user.to_owned();
    config.password = password.to_owned();
    config.domain = "CORP".to_owned();
    config.timeout = Duration::from_secs(5);
    config.auto_reconnect = false;
    config.compression = false;
    config.dfs_enabled = false;
    SmbClient::connect(config).await
}

#[tokio::test]
async fn files_are_listed_read_written_renamed_and_deleted() {
    let machine = machine();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let mut share = client.connect_share("C$").await.unwrap();

    assert_eq!(client.read_file(&mut share, "data/SNAPSHOT.XML").await.unwrap(), b"<snapshot/>");
    let large: Vec<u8> = (0..1_500_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_file(&share, "data/large.bin", &large).await.unwrap();
    assert_eq!(tree.read(r"C:\data\large.bin").unwrap(), large);
    assert_eq!(client.read_file_pipelined(&mut share, "data/large.bin").await.unwrap(), large);
    client.create_directory(&share, "data/new").await.unwrap();
    client.rename(&share, "data/large.bin", "data/new/moved.bin").await.unwrap();
    let names = client.list_directory(&mut share, "data").await.unwrap();
    let mut names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| !name.starts_with('.'));
    assert_eq!(names, ["new", "Snapshot.xml"]);
    let refused = client.delete_directory(&share, "data/new").await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.0), Some(0xC000_0101));
    client.delete_file(&share, "data/new/moved.bin").await.unwrap();
    client.delete_directory(&share, "data/new").await.unwrap();
    assert!(!tree.exists(r"C:\data\new"));
}

#[tokio::test]
async fn a_rename_replaces_only_when_told() {
    let machine = machine();
    let tree = machine.tree.clone();
    tree.write(r"C:\data\old.xml", "old", NOW).unwrap();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let share = client.connect_share("C$").await.unwrap();

    let (from, to) = ("data/Snapshot.xml", "data/old.xml");
    let refused = client.rename(&share, from, to).await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.0), Some(0xC000_0035));
    let replace = RenameOptions::new().replace_if_exists(true);
    client.rename_with(&share, from, to, replace).await.unwrap();
    assert_eq!(tree.read(r"C:\data\old.xml").unwrap(), b"<snapshot/>");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let server = start(machine()).await;

    for (user, password) in [("deploy", "wrong"), ("nobody", PASSWORD)] {
        let Err(error) = log_on(&server, user, password).await else { panic!("logged on") };
        assert_eq!(error.status().map(|status| status.0), Some(0xC000_006D), "{error}");
    }
}

#[tokio::test]
async fn a_plain_account_is_denied_what_its_descriptors_do_not_grant() {
    let machine = machine();
    let before = machine.tree.snapshot();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "plain", PASSWORD).await.unwrap();

    let administrative = client.connect_share("C$").await.unwrap_err();
    assert_eq!(administrative.kind(), ErrorKind::AccessDenied);
    let mut share = client.connect_share("Everything").await.unwrap();
    assert_eq!(client.read_file(&mut share, "data/Snapshot.xml").await.unwrap(), b"<snapshot/>");
    let write = client.write_file(&share, "data/Snapshot.xml", b"x").await.unwrap_err();
    let delete = client.delete_file(&share, "data/Snapshot.xml").await.unwrap_err();
    let rename = client.rename(&share, "data/Snapshot.xml", "data/b.xml").await.unwrap_err();
    let create = client.write_file(&share, "data/new.xml", b"x").await.unwrap_err();
    for error in [write, delete, rename, create] {
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    }
    assert_eq!(tree.snapshot(), before);

    client.write_file(&share, "drop/mine.txt", b"x").await.unwrap();
    client.delete_file(&share, "drop/mine.txt").await.unwrap();
}

#[tokio::test]
async fn a_file_in_use_and_a_read_only_file_are_refused_with_their_own_status() {
    let machine = machine();
    let tree = machine.tree.clone();
    let hold = tree.hold_open(r"C:\data\Snapshot.xml").unwrap();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let mut share = client.connect_share("C$").await.unwrap();

    let held = client.read_file(&mut share, "data/Snapshot.xml").await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::SharingViolation);
    drop(hold);
    tree.set_read_only(r"C:\data\Snapshot.xml", true).unwrap();
    let kept = client.delete_file(&share, "data/Snapshot.xml").await.unwrap_err();
    assert_eq!(kept.status().map(|status| status.0), Some(0xC000_0121));
    assert!(tree.exists(r"C:\data\Snapshot.xml"));
}

#[tokio::test]
async fn an_open_file_is_closed_when_its_connection_goes() {
    let machine = machine();
    let tree = machine.tree.clone();
    let server = start(machine).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await.unwrap();
    let share = client.connect_share("C$").await.unwrap();
    share.open_file(client.connection_mut(), "data/Snapshot.xml").await.unwrap();
    assert!(!tree.remove(r"C:\data\Snapshot.xml"));

    drop(share);
    drop(client);

    let deadline = Duration::from_secs(5);
    let removed = async {
        while !tree.remove(r"C:\data\Snapshot.xml") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, removed).await.unwrap();
}

/// Meets every request whose operation starts with the text.
struct Meets(&'static str, RequestFault);

impl Faults for Meets {
    fn on_connect(&self, _protocol: Protocol) -> Option<ConnectionFault> {
        None
    }

    fn on_request(&self, _protocol: Protocol, operation: &str) -> Option<RequestFault> {
        operation.starts_with(self.0).then_some(self.1)
    }
}

async fn read_under(operation: &'static str, fault: RequestFault) -> Result<Vec<u8>, smb2::Error> {
    let faults = Arc::new(Meets(operation, fault));
    let server = start(SmbMachine { faults, ..machine() }).await;
    let mut client = log_on(&server, "deploy", PASSWORD).await?;
    let mut share = client.connect_share("C$").await?;
    client.read_file(&mut share, "data/Snapshot.xml").await
}

#[tokio::test]
async fn faults_meet_the_requests_they_name() {
    let create = r"CREATE C:\data\Snapshot.xml";

    let busy = read_under(create, RequestFault::SharingViolation).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::SharingViolation);
    let gone = read_under(create, RequestFault::Unauthorized).await.unwrap_err();
    assert_eq!(gone.status().map(|status| status.0), Some(0xC000_0203), "{gone}");
    let dropped = read_under(create, RequestFault::Drop).await.unwrap_err();
    assert_eq!(dropped.kind(), ErrorKind::ConnectionLost);
    let cut = read_under(create, RequestFault::Truncate).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::ConnectionLost);
    let late = read_under(create, RequestFault::Delay(Duration::from_millis(5))).await;
    assert_eq!(late.unwrap(), b"<snapshot/>");
    let elsewhere = read_under(r"CREATE C:\other", RequestFault::Drop).await;
    assert_eq!(elsewhere.unwrap(), b"<snapshot/>");
}

/// A negotiation for 3.1.1 and the start of a logon, as a client would send them.
fn opening() -> Vec<Vec<u8>> {
    use super::wire::Writer;
    let header = |command: u16, message_id: u64| {
        let mut out = Writer::default();
        out.bytes(b"\xFESMB").u16(64).u16(0).u32(0).u16(command).u16(1).u32(0).u32(0);
        out.u64(message_id).u32(0).u32(0).u64(0).bytes(&[0; 16]);
        out
    };
    let mut negotiate = header(0, 0);
    negotiate.u16(36).u16(1).u16(1).u16(0).u32(0x7F).bytes(&[7; 16]).u32(104).u16(2).u16(0);
    negotiate.u16(0x0311).align(8);
    negotiate.u16(1).u16(38).u32(0).u16(1).u16(32).u16(1).bytes(&[9; 32]).align(8);
    negotiate.u16(2).u16(6).u32(0).u16(2).u16(2).u16(1);
    let mut token = b"NTLMSSP\0".to_vec();
    token.extend(1_u32.to_le_bytes());
    token.extend(0xE208_8297_u32.to_le_bytes());
    token.extend([0; 24]);
    let mut setup = header(1, 1);
    setup.u16(25).u8(0).u8(1).u32(0).u32(0).u16(88).len16(token.len()).u64(0).bytes(&token);
    vec![negotiate.take(), setup.take()]
}

#[test]
fn the_opening_of_a_conversation_is_answered() {
    let mut connection = Connection::new(machine());

    let answers: Vec<Reply> = opening().iter().map(|frame| connection.receive(frame)).collect();

    let negotiated = answers[0].frame.as_deref().unwrap();
    assert_eq!((&negotiated[8..12], &negotiated[68..70]), (&[0; 4][..], &[0x11, 0x03][..]));
    let challenged = answers[1].frame.as_deref().unwrap();
    assert_eq!(challenged[8..12], 0xC000_0016_u32.to_le_bytes());
}

/// Logs on without a socket: the test's own session, with known keys, put in place.
fn logged_on() -> Connection {
    use super::negotiate::agree;
    use super::protect::Protection;
    use super::session::{Logon, Session};
    use super::share::{Connected, Root};
    use super::wire::Message;

    let mut connection = Connection::new(machine());
    let frame = &opening()[0];
    connection.agreement = agree(Message(frame)).ok().map(|(agreement, _)| agreement);
    let agreement = connection.agreement.clone().unwrap();
    let account = connection.machine.account("CORP", "deploy").unwrap();
    let caller = connection.machine.caller(account).unwrap();
    let protection =
        Protection::new(&[5; 16], agreement.dialect, agreement.cipher, &connection.preauth);
    let connected = |root| Connected { root, maximal_access: FileRights::FULL_CONTROL };
    let trees = [(1, connected(Root::Disk("C:".to_owned()))), (2, connected(Root::Pipes))];
    let logon = Logon {
        caller,
        protection,
        trees: trees.into_iter().collect(),
        opens: std::collections::HashMap::new(),
        next_tree: 3,
        next_open: 1,
    };
    connection.sessions.insert(1, Session::Valid(Box::new(logon)));
    connection
}

/// A request of session 1, in the share `C$` (tree 1), not signed yet.
fn request(command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut out = wire::Writer::default();
    out.bytes(b"\xFESMB").u16(64).u16(0).u32(0).u16(command).u16(1).u32(flags).u32(0);
    out.u64(0).u32(0).u32(1).u64(1).bytes(&[0; 16]).bytes(body);
    out.take()
}

fn create(name: &str, access: u32, options: u32) -> Vec<u8> {
    let name = wire::utf16(name);
    let mut body = wire::Writer::default();
    body.u16(57).u16(0).u32(0).u64(0).u64(0).u32(access).u32(0).u32(7).u32(1).u32(options);
    body.u16(120).len16(name.len()).u32(0).u32(0).bytes(&name);
    body.take()
}

fn query(file: u64, class: u8) -> Vec<u8> {
    let mut body = wire::Writer::default();
    body.u16(41).u8(1).u8(class).u32(4096).u32(0).u32(0).u32(0).u32(0).u64(file).u64(file);
    body.take()
}

/// The status and the body of each answer of a frame.
fn answers(frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut rest = frame;
    let mut answers = Vec::new();
    loop {
        let message = wire::Message(rest);
        let next = message.u32(20).unwrap() as usize;
        let one = if next == 0 { rest } else { &rest[..next] };
        answers.push((message.u32(8).unwrap(), one[64..].to_vec()));
        if next == 0 {
            return answers;
        }
        rest = &rest[next..];
    }
}

fn one_answer(connection: &mut Connection, frame: Vec<u8>) -> (u32, Vec<u8>) {
    let reply = connection.receive_signed(frame);
    answers(&reply.frame.unwrap()).remove(0)
}

/// The name in the answer to a query for one.
fn name_of(connection: &mut Connection, file: u64) -> String {
    const NORMALIZED_NAME: u8 = 48;
    let (status, body) = one_answer(connection, request(16, 0, &query(file, NORMALIZED_NAME)));
    assert_eq!(status, 0);
    wire::text(&body[12..]).unwrap()
}

const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

#[test]
fn a_handle_tells_the_path_that_it_really_leads_to() {
    let mut connection = logged_on();
    let tree = connection.machine.tree.clone();
    tree.add_junction(r"C:\link", r"C:\data", NOW).unwrap();
    let read = FileRights::READ;

    let frames = [
        create(r"DATA\snapshot.XML", read, 0),
        create(r"link\snapshot.xml", read, 0),
        create("link", read, OPEN_REPARSE_POINT),
        create("link", read, 0),
    ];
    for frame in frames {
        assert_eq!(one_answer(&mut connection, request(5, 0, &frame)).0, 0);
    }

    assert_eq!(name_of(&mut connection, 1), r"data\Snapshot.xml");
    assert_eq!(name_of(&mut connection, 2), r"data\Snapshot.xml");
    assert_eq!(name_of(&mut connection, 3), "link");
    assert_eq!(name_of(&mut connection, 4), "data");
    // FileAttributeTagInformation: a folder and reparse point, with the tag of mount points.
    let (_, body) = one_answer(&mut connection, request(16, 0, &query(3, 35)));
    assert_eq!(body[8..16], [0x10, 0x04, 0, 0, 0x03, 0, 0, 0xA0]);
}

#[test]
fn a_request_that_is_not_signed_or_was_changed_is_denied() {
    const ACCESS_DENIED: u32 = 0xC000_0022;
    let mut connection = logged_on();
    let frame = request(5, 0, &create(r"data\Snapshot.xml", FileRights::READ, 0));

    let unsigned = connection.receive(&frame).frame.unwrap();
    assert_eq!(answers(&unsigned)[0].0, ACCESS_DENIED);

    let mut changed = connection.signed(frame);
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let changed = connection.receive(&changed).frame.unwrap();
    assert_eq!(answers(&changed)[0].0, ACCESS_DENIED);
}

#[test]
fn requests_after_a_failed_create_fail_as_it_did() {
    const RELATED: u32 = 4;
    const NOT_FOUND: u32 = 0xC000_0034;
    let mut connection = logged_on();
    let close = |file: u64| {
        let mut body = wire::Writer::default();
        body.u16(24).u16(0).u32(0).u64(file).u64(file);
        body.take()
    };
    let chain = |connection: &Connection, name: &str| {
        let parts = [
            request(5, 0, &create(name, FileRights::READ, 0)),
            request(16, RELATED, &query(u64::MAX, 5)),
            request(6, RELATED, &close(u64::MAX)),
        ];
        let mut frame = Vec::new();
        for (position, mut part) in parts.into_iter().enumerate() {
            if position < 2 {
                part.resize(part.len().next_multiple_of(8), 0);
                let next = u32::try_from(part.len()).unwrap();
                part[20..24].copy_from_slice(&next.to_le_bytes());
            }
            frame.extend(connection.signed(part));
        }
        frame
    };
    let statuses = |reply: Reply| -> Vec<u32> {
        answers(&reply.frame.unwrap()).into_iter().map(|(status, _)| status).collect()
    };

    let missing = chain(&connection, "missing");
    assert_eq!(statuses(connection.receive(&missing)), [NOT_FOUND; 3]);
    let there = chain(&connection, r"data\Snapshot.xml");
    assert_eq!(statuses(connection.receive(&there)), [0; 3]);
    let closed = one_answer(&mut connection, request(6, 0, &close(1)));
    assert_eq!(closed.0, 0xC000_0128);
}

#[test]
fn a_handle_opened_to_read_cannot_delete() {
    let mut connection = logged_on();
    let open = create(r"data\Snapshot.xml", FileRights::READ, 0);
    assert_eq!(one_answer(&mut connection, request(5, 0, &open)).0, 0);
    let mut body = wire::Writer::default();
    body.u16(33).u8(1).u8(13).u32(1).u16(96).u16(0).u32(0).u64(1).u64(1).u8(1);

    let (status, _) = one_answer(&mut connection, request(17, 0, &body.take()));

    assert_eq!(status, 0xC000_0022);
    assert!(connection.machine.tree.exists(r"C:\data\Snapshot.xml"));
}

#[test]
fn patterns_match_as_windows_does() {
    use super::directory::matches;

    for pattern in ["*", "", "SNAP*", "*.xml", "s?apshot.xml", "*.*", "snapshot.xml", "<.xml"] {
        assert!(matches(pattern, "Snapshot.xml"), "{pattern}");
    }
    for pattern in ["snap", "*.sig", "?", "snapshot.xml?"] {
        assert!(!matches(pattern, "Snapshot.xml"), "{pattern}");
    }
    assert!(!matches("*a*a*a*a*a*a*a*a*a*a*a*b", &"a".repeat(250)));
}

prop_compose! {
    /// A signed request with a plausible header and any body.
    fn any_request()(
        command in 2..20_u16,
        tree in 1..3_u32,
        file in 0..4_u64,
        small in prop::collection::vec(prop_oneof![Just(0_u8), 0..130_u8, any::<u8>()], 2..240),
    ) -> Vec<u8> {
        let mut message = b"\xFESMB".to_vec();
        message.extend(64_u16.to_le_bytes());
        message.resize(12, 0);
        message.extend(command.to_le_bytes());
        message.resize(36, 0);
        message.extend(tree.to_le_bytes());
        message.extend(1_u64.to_le_bytes());
        message.resize(64, 0);
        message.extend(small);
        // A file id that may exist, wherever the command has it.
        for at in [72, 80, 88] {
            if message.len() >= at + 16 && message[at].is_multiple_of(2) {
                message[at..at + 8].copy_from_slice(&file.to_le_bytes());
                message[at + 8..at + 16].copy_from_slice(&file.to_le_bytes());
            }
        }
        message
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_openings_never_panic(
        which in 0..2_usize, at: prop::sample::Index, value: u8, cut: prop::sample::Index,
    ) {
        let mut frames = opening();
        let position = at.index(frames[which].len());
        frames[which][position] = value;
        let length = frames[which].len();
        let kept = if value.is_multiple_of(3) { cut.index(length) } else { length };
        frames[which].truncate(kept);
        let mut connection = Connection::new(machine());
        for frame in frames {
            connection.receive(&frame);
        }
    }

    #[test]
    fn any_bytes_never_panic(frames in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..200), 1..4,
    )) {
        let mut connection = Connection::new(machine());
        for frame in frames {
            connection.receive(&frame);
        }
    }

    #[test]
    fn any_requests_within_a_session_never_panic(
        requests in prop::collection::vec(any_request(), 1..12), open: bool,
    ) {
        use super::session::Session;
        let mut connection = logged_on();
        let open_something = [(r"data\Snapshot.xml", 1_u32), ("data", 1), ("srvsvc", 2)];
        if open {
            for (name, tree) in open_something {
                let mut create = request(5, 0, &create(name, FileRights::MAXIMUM_ALLOWED, 0));
                create[36..40].copy_from_slice(&tree.to_le_bytes());
                connection.receive_signed(create);
            }
            let Some(Session::Valid(logon)) = connection.sessions.get(&1) else { panic!() };
            prop_assert_eq!(logon.opens.len(), 3);
        }
        for request in requests {
            connection.receive_signed(request);
        }
    }
}

impl Connection {
    /// A request as the client of session 1 signs it.
    fn signed(&self, mut frame: Vec<u8>) -> Vec<u8> {
        use super::session::Session;
        frame[16] |= 8;
        if let Some(Session::Valid(logon)) = self.sessions.get(&1) {
            logon.protection.sign(&mut frame, 0);
        }
        frame
    }

    /// Takes a request as if the client of session 1 had signed it.
    fn receive_signed(&mut self, frame: Vec<u8>) -> Reply {
        let frame = self.signed(frame);
        self.receive(&frame)
    }
}

/// Runs `tests/peers/smb_client.sh` against a machine of its own.
async fn with_samba(machine: SmbMachine, protection: &str) {
    // smbcacls knows no other port than 445; without the right to bind it, its part is left out.
    let listener = match TcpListener::bind("127.0.77.1:445").await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let server = start_on(listener, machine);
    let (host, port) = server.address.rsplit_once(':').unwrap();
    let run = tokio::process::Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/smb_client.sh"))
        .args([host, port, r"CORP\deploy"])
        .env("PEER_PASSWORD", PASSWORD)
        .env("PEER_PLAIN_USER", r"CORP\plain")
        .env("PEER_PROTECTION", protection)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(240), run).await.unwrap().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown.contains("smbcacls --add by name"), port == "445");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "needs smbclient, smbcacls and rpcclient; run by tests/run.sh --peers"]
async fn sambas_programs_agree_signed_and_encrypted() {
    with_samba(machine(), "sign").await;
    with_samba(machine(), "encrypt").await;
    with_samba(SmbMachine { require_encryption: true, ..machine() }, "encrypt").await;
}
