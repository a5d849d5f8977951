//! What is fed with arbitrary bytes: the functions that libFuzzer and the replay of the corpora share.
//!
//! Each takes the bytes of one input and says whether they were understood. Whatever they are, it
//! may not panic, hang or hold a value that does not survive being written and read again.

use std::sync::LazyLock;

use fleetmend::action;
use fleetmend::itms::{agent_log, core_settings as settings, policy, snapshot, urgent_list};
use fleetmend::load::{Diagnostic, LoadedInventory, load_inventory, load_playbook, render};
use fleetmend::model::Selector;
use fleetmend::protocol::auth::{Acceptor, Names, Step, nt_hash};
use fleetmend::protocol::security_descriptor::{SecurityDescriptor, Sid};
use fleetmend::protocol::tds::{
    Assembler, Login7, MessageKind, packets, read_batch, read_prelogin, read_rpc, read_transaction,
};
use fleetmend::protocol::wsman::{RequestEnvelope, ResponseEnvelope};
use fleetmend::protocol::{clixml, sealed};

/// A function of this module.
pub(crate) type Target = fn(&[u8]) -> bool;

/// All of them, by the name of their corpus and of their binary.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("agent_log", agent_log),
    ("clixml", clixml),
    ("core_settings", core_settings),
    ("inventory_yaml", inventory_yaml),
    ("ntlm_token", ntlm_token),
    ("playbook_yaml", playbook_yaml),
    ("policy_xml", policy_xml),
    ("sealed_frame", sealed_frame),
    ("security_descriptor", security_descriptor),
    ("selector", selector),
    ("snapshot_xml", snapshot_xml),
    ("soap_envelope", soap_envelope),
    ("tds_message", tds_message),
    ("urgent_list_xml", urgent_list_xml),
];

/// The tokens of one logon, each after its length as a big-endian `u16`. What follows the last
/// token of the handshake is taken for sealed messages: a signature of 16 bytes and the ciphertext.
///
/// Challenge, clock and password never change, so a recorded handshake stays good.
pub(crate) fn ntlm_token(bytes: &[u8]) -> bool {
    let names = Names {
        computer: "PS-LON-01".into(),
        domain: "CORP".into(),
        dns_computer: "ps-lon-01.corp.example".into(),
        dns_domain: "corp.example".into(),
    };
    let mut acceptor = Acceptor::new(names, *b"8 bytes!", 133_800_000_000_000_000);
    let mut rest = bytes;
    let mut next = || {
        let (length, after) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (token, after) = after.split_at(length.min(after.len()));
        rest = after;
        Some(token)
    };
    while let Some(token) = next() {
        match acceptor.step(token, |_, _| Some(nt_hash("right password"))) {
            Ok(Step::Continue(_)) => {}
            Ok(Step::Done { mut session, .. }) => {
                while let Some(message) = next() {
                    let (signature, ciphertext) = message.split_at(message.len().min(16));
                    if session.unseal(signature, ciphertext).is_err() {
                        return false;
                    }
                }
                return true;
            }
            Err(refused) => {
                let _ = refused.to_string();
                return false;
            }
        }
    }
    false
}

/// A SOAP message, read as a server and as a client does.
pub(crate) fn soap_envelope(bytes: &[u8]) -> bool {
    let request = RequestEnvelope::parse(bytes);
    if let Ok(request) = &request {
        let written = request.to_xml();
        let again = RequestEnvelope::parse(written.as_bytes()).expect("what is written is read");
        // What XML cannot carry is replaced by the first writing, so that is what is compared.
        assert_eq!(again.to_xml(), written);
    }
    let answer = ResponseEnvelope::parse(bytes);
    if let Ok(answer) = &answer {
        let written = answer.to_xml("PS-LON-01");
        let again = ResponseEnvelope::parse(written.as_bytes()).expect("what is written is read");
        assert_eq!(again.to_xml("PS-LON-01"), written);
    }
    request.is_ok() || answer.is_ok()
}

/// The body of a sealed message.
pub(crate) fn sealed_frame(bytes: &[u8]) -> bool {
    let Ok(frame) = sealed::read(bytes) else {
        return false;
    };
    let written = sealed::write(frame.signature, frame.ciphertext, frame.plain_length);
    assert_eq!(sealed::read(&written).as_ref(), Ok(&frame));
    true
}

/// Standard error of PowerShell; understood if it holds more than plain text.
pub(crate) fn clixml(bytes: &[u8]) -> bool {
    let stderr = String::from_utf8_lossy(bytes);
    let text = clixml::readable(&stderr);
    assert!(text.len() <= stderr.len(), "text that was not there");
    text != stderr
}

/// What a client of SQL Server sends, from its first byte on; understood if all its messages are.
pub(crate) fn tds_message(bytes: &[u8]) -> bool {
    let mut assembler = Assembler::new(1 << 16);
    let mut understood = 0;
    for piece in bytes.chunks(97) {
        assembler.feed(piece);
        loop {
            let message = match assembler.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(_) => return false,
            };
            let payload = &message.payload;
            let read = match message.kind {
                MessageKind::Prelogin => read_prelogin(payload).is_ok(),
                MessageKind::Login7 => Login7::parse(payload).is_ok(),
                MessageKind::Batch => read_batch(payload).is_ok(),
                MessageKind::Rpc => read_rpc(payload).is_ok(),
                MessageKind::TransactionManager => read_transaction(payload).is_ok(),
                MessageKind::Attention => true,
                MessageKind::TabularResult => false,
            };
            if !read {
                return false;
            }
            let mut again = Assembler::new(1 << 16);
            again.feed(&packets(message.kind, payload, 512));
            assert_eq!(again.next_message(), Ok(Some(message)));
            understood += 1;
        }
    }
    understood > 0
}

/// A self-relative security descriptor.
pub(crate) fn security_descriptor(bytes: &[u8]) -> bool {
    let Ok(descriptor) = SecurityDescriptor::parse(bytes) else {
        return false;
    };
    let written = descriptor.encode();
    assert_eq!(SecurityDescriptor::parse(&written).as_ref(), Ok(&descriptor));
    let identities = [Sid::administrators(), Sid::everyone()];
    let _ = descriptor.granted_to(&identities);
    let child = descriptor.with_owner(None);
    assert_eq!(SecurityDescriptor::parse(&child.encode()), Ok(child));
    true
}

/// A playbook, alone and against an inventory, with the text of its diagnostics.
pub(crate) fn playbook_yaml(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let alone = load_playbook("fuzz.yml", text, action::registry(), None);
    let against = load_playbook("fuzz.yml", text, action::registry(), Some(&EXAMPLE));
    let (alone, against) = (alone.map(|it| it.notes), against.map(|it| it.notes));
    show(&alone);
    show(&against);
    alone.is_ok()
}

/// An inventory, with the text of its diagnostics.
pub(crate) fn inventory_yaml(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let loaded = load_inventory("fuzz.yml", text);
    if let Ok(loaded) = &loaded {
        assert_eq!(every().select(&loaded.inventory).len(), loaded.inventory.host_names().count());
    }
    let notes = loaded.map(|it| it.notes);
    show(&notes);
    notes.is_ok()
}

/// A host pattern, applied to an inventory.
pub(crate) fn selector(bytes: &[u8]) -> bool {
    let Some(selector) =
        std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Selector>().ok())
    else {
        return false;
    };
    assert_eq!(selector.to_string().parse().as_ref(), Ok(&selector));
    let inventory = &EXAMPLE.inventory;
    let chosen = selector.select(inventory);
    assert!(chosen.iter().all(|host| inventory.groups_of(host).is_some()));
    let _ = selector.unknown_names(inventory).count();
    true
}

/// A piece of the agent's log; understood if it holds an event.
pub(crate) fn agent_log(bytes: &[u8]) -> bool {
    let piece = agent_log::read_events(bytes);
    assert!(piece.complete <= bytes.len(), "more was read than there is");
    assert_eq!(piece.complete == 0, piece.events.is_empty());
    let mut mark = agent_log::LogMark::at_end(0);
    assert_eq!(mark.take(0, bytes, usize::MAX), piece.events);
    assert_eq!(mark.offset(u64::MAX), piece.complete as u64);
    !piece.events.is_empty()
}

/// A package's snapshot; understood if its files are.
pub(crate) fn snapshot_xml(bytes: &[u8]) -> bool {
    let snapshot = snapshot::read_snapshot(bytes);
    assert_eq!(snapshot.sha256.len(), 64);
    let Ok(manifest) = &snapshot.manifest else {
        return false;
    };
    for file in &manifest.files {
        let leads_out = |part: &str| part.is_empty() || part == ".." || part.contains([':', '/']);
        assert!(!file.name.split('\\').any(leads_out), "{}", file.name);
    }
    let nothing = manifest.compare(&[]);
    assert_eq!(nothing.content.missing.len(), manifest.files.len());
    assert_eq!(snapshot.seen().files as usize, manifest.files.len());
    true
}

/// The list of urgent packages; understood if it lists one.
pub(crate) fn urgent_list_xml(bytes: &[u8]) -> bool {
    urgent_list::read_urgent_list(bytes).is_ok_and(|packages| !packages.is_empty())
}

/// The settings of a Notification Server; understood if they say who it is.
pub(crate) fn core_settings(bytes: &[u8]) -> bool {
    settings::read_setting(bytes, "OwnerNSGuid").is_ok_and(|value| value.is_some())
}

/// An agent's policies; understood if they say what the package server has.
pub(crate) fn policy_xml(bytes: &[u8]) -> bool {
    policy::read_policy(bytes).is_ok_and(|policy| policy.packages.is_some())
}

/// An inventory to check against; the one that operators begin with.
static EXAMPLE: LazyLock<LoadedInventory> = LazyLock::new(|| {
    load_inventory("example.yml", include_str!("../../inventory/example.yml"))
        .expect("the example loads")
});

fn every() -> Selector {
    "all".parse().expect("a group that every inventory has")
}

fn show(notes: &Result<Vec<Diagnostic>, Vec<Diagnostic>>) {
    let (Ok(notes) | Err(notes)) = notes;
    let _ = render(notes, false);
}
