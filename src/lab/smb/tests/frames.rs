//! Frames without a socket: well-formed, related, unsigned, damaged.

use proptest::prelude::*;

use super::super::directory::matches;
use super::super::negotiate::agree;
use super::super::protect::Protection;
use super::super::session::{Logon, Session};
use super::super::share::{Connected, Root};
use super::super::wire::{self, Message, Writer};
use super::*;

/// A negotiation for 3.1.1 and the start of a logon, as a client would send them.
fn opening() -> Vec<Vec<u8>> {
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
    let mut out = Writer::default();
    out.bytes(b"\xFESMB").u16(64).u16(0).u32(0).u16(command).u16(1).u32(flags).u32(0);
    out.u64(0).u32(0).u32(1).u64(1).bytes(&[0; 16]).bytes(body);
    out.take()
}

fn create(name: &str, access: u32, options: u32) -> Vec<u8> {
    let name = wire::utf16(name);
    let mut body = Writer::default();
    body.u16(57).u16(0).u32(0).u64(0).u64(0).u32(access).u32(0).u32(7).u32(1).u32(options);
    body.u16(120).len16(name.len()).u32(0).u32(0).bytes(&name);
    body.take()
}

fn query(file: u64, class: u8) -> Vec<u8> {
    let mut body = Writer::default();
    body.u16(41).u8(1).u8(class).u32(4096).u32(0).u32(0).u32(0).u32(0).u64(file).u64(file);
    body.take()
}

/// The status and the body of each answer of a frame.
fn answers(frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut rest = frame;
    let mut answers = Vec::new();
    loop {
        let message = Message(rest);
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
        let mut body = Writer::default();
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
    let mut body = Writer::default();
    body.u16(33).u8(1).u8(13).u32(1).u16(96).u16(0).u32(0).u64(1).u64(1).u8(1);

    let (status, _) = one_answer(&mut connection, request(17, 0, &body.take()));

    assert_eq!(status, 0xC000_0022);
    assert!(connection.machine.tree.exists(r"C:\data\Snapshot.xml"));
}

#[test]
fn patterns_match_as_windows_does() {
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
