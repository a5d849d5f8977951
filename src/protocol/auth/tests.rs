use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

const FILETIME: u64 = 133_800_000_000_000_000;

fn names() -> Names {
    Names {
        computer: "PS-LON-01".into(),
        domain: "CORP".into(),
        dns_computer: "ps-lon-01.corp.example".into(),
        dns_domain: "corp.example".into(),
    }
}

fn acceptor() -> Acceptor {
    Acceptor::new(names(), *b"8 bytes!", FILETIME)
}

fn initiator(mechanism: Mechanism, password: &str) -> Initiator {
    let password = Secret::new(password.to_owned());
    Initiator::new(mechanism, "Svc_Ops", "CORP", &password, "HTTP/ps-lon-01.corp.example").unwrap()
}

fn accounts(domain: &str, user: &str) -> Option<NtHash> {
    (domain.eq_ignore_ascii_case("corp") && user.eq_ignore_ascii_case("svc_ops"))
        .then(|| nt_hash("right password"))
}

fn log_on(client: &mut Initiator) -> Result<NtlmSession, AcceptError> {
    let mut server = acceptor();
    let mut token = client.step(None).unwrap();
    loop {
        let sent = token.take().expect("the client has a token to send");
        match server.step(&sent, accounts)? {
            Step::Continue(answer) => token = client.step(Some(&answer)).unwrap(),
            Step::Done { reply, session } => {
                if let Some(reply) = reply {
                    assert_eq!(client.step(Some(&reply)).unwrap(), None);
                }
                assert!(client.is_done());
                return Ok(session);
            }
        }
    }
}

#[test]
fn the_right_password_is_accepted_and_a_hundred_sealed_messages_go_both_ways() {
    for mechanism in [Mechanism::Ntlm, Mechanism::Negotiate] {
        let mut client = initiator(mechanism, "right password");

        let mut server = log_on(&mut client).unwrap();

        assert_eq!((server.user(), server.domain()), ("Svc_Ops", "CORP"));
        for number in 0..100 {
            let text = format!("request {number} {}", "x".repeat(number * 7));
            let (token, sealed) = client.wrap(text.as_bytes()).unwrap();
            assert_ne!(sealed, text.as_bytes());
            assert_eq!(server.unseal(&token, &sealed).unwrap(), text.as_bytes());
            let (token, sealed) = server.seal(text.as_bytes());
            assert_eq!(client.unwrap(&token, &sealed).unwrap(), text.as_bytes());
        }
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_refused() {
    for mechanism in [Mechanism::Ntlm, Mechanism::Negotiate] {
        let refused = log_on(&mut initiator(mechanism, "wrong password")).unwrap_err();
        assert!(refused.is_logon_denied(), "{refused}");
    }
    let password = Secret::new("right password".to_owned());
    for user in ["nobody", "nobody@corp.example"] {
        let mut client = Initiator::new(Mechanism::Ntlm, user, "", &password, "cifs/x").unwrap();
        assert!(log_on(&mut client).unwrap_err().is_logon_denied());
    }
}

#[test]
fn a_sealed_message_that_was_altered_or_repeated_is_refused() {
    let mut client = initiator(Mechanism::Negotiate, "right password");
    let mut server = log_on(&mut client).unwrap();
    let (token, mut sealed) = client.wrap(b"delete nothing").unwrap();
    sealed[0] ^= 1;
    assert_eq!(server.unseal(&token, &sealed), Err(BadSignature));

    let mut server = log_on(&mut initiator(Mechanism::Ntlm, "right password")).unwrap();
    let (token, sealed) = server.seal(b"once");
    assert_eq!(server.unseal(&token, &sealed), Err(BadSignature));
}

#[test]
fn a_changed_negotiate_message_is_found_by_the_mic() {
    let mut client = initiator(Mechanism::Ntlm, "right password");
    let mut server = NtlmAcceptor::new(names(), *b"8 bytes!", FILETIME);
    let mut negotiate = client.step(None).unwrap().unwrap();
    // The version field: no one looks at it but the MIC.
    let last = negotiate.len() - 1;
    negotiate[last] ^= 1;
    let challenge = server.challenge(&negotiate).unwrap();
    let authenticate = client.step(Some(&challenge)).unwrap().unwrap();

    let refused = server.authenticate(&authenticate, accounts).unwrap_err();

    assert!(matches!(refused, AcceptError::Altered(_)), "{refused}");
}

#[test]
fn a_client_that_prefers_kerberos_is_led_to_ntlm_and_must_send_a_mic() {
    // NegTokenInit with MS-KRB5, then NTLM, and a Kerberos token that is ignored.
    let init: &[u8] = &[
        0x60, 0x30, 0x06, 0x06, 0x2b, 6, 1, 5, 5, 2, 0xa0, 0x26, 0x30, 0x24, 0xa0, 0x19, 0x30,
        0x17, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2, 0x06, 0x0a, 0x2b, 6, 1, 4,
        1, 0x82, 0x37, 2, 2, 10, 0xa2, 0x07, 0x04, 0x05, 1, 2, 3, 4, 5,
    ];
    let mut server = acceptor();
    let Step::Continue(answer) = server.step(init, accounts).unwrap() else { panic!("too early") };
    let answer = spnego::NegTokenResp::parse(&answer).unwrap();
    assert_eq!((answer.state, answer.mech), (Some(3), Some(spnego::OID_NTLM)));
    assert_eq!(answer.token, None);

    let mut client = initiator(Mechanism::Ntlm, "right password");
    let negotiate = client.step(None).unwrap();
    let wrap = |token: &Option<Vec<u8>>| {
        spnego::NegTokenResp { token: token.as_deref(), ..Default::default() }.encode()
    };
    let Step::Continue(answer) = server.step(&wrap(&negotiate), accounts).unwrap() else {
        panic!("too early")
    };
    let challenge = spnego::NegTokenResp::parse(&answer).unwrap().token.unwrap();
    let authenticate = client.step(Some(challenge)).unwrap();

    let refused = server.step(&wrap(&authenticate), accounts).unwrap_err();

    assert_eq!(refused, AcceptError::Malformed("the MIC of the mechanism list is missing"));
}

#[test]
fn tokens_out_of_order_are_refused() {
    let mut client = initiator(Mechanism::Ntlm, "right password");
    let negotiate = client.step(None).unwrap().unwrap();
    let mut server = acceptor();
    server.step(&negotiate, accounts).unwrap();

    assert!(server.step(&negotiate, accounts).is_err());
    assert!(server.step(&negotiate, accounts).is_err());
    assert!(client.wrap(b"too early").is_err());
}

/// Every message a client sends in a good logon, for mutation.
fn conversation(mechanism: Mechanism) -> Vec<Vec<u8>> {
    let mut client = initiator(mechanism, "right password");
    let mut server = acceptor();
    let mut sent = vec![client.step(None).unwrap().unwrap()];
    while let Step::Continue(answer) = server.step(sent.last().unwrap(), accounts).unwrap() {
        sent.push(client.step(Some(&answer)).unwrap().unwrap());
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_or_cut_tokens_never_panic_and_never_log_on_a_stranger(
        spnego: bool,
        which in 0..2_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mechanism = if spnego { Mechanism::Negotiate } else { Mechanism::Ntlm };
        let mut messages = conversation(mechanism);
        let message = &mut messages[which];
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(cut) = cut {
            let length = cut.index(message.len());
            message.truncate(length);
        }
        let mut server = acceptor();
        for message in &messages {
            match server.step(message, accounts) {
                Ok(Step::Done { session, .. }) => {
                    prop_assert!(session.user().eq_ignore_ascii_case("svc_ops"));
                }
                Ok(Step::Continue(_)) => {}
                Err(_) => break,
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(token in proptest::collection::vec(any::<u8>(), 0..300), head in 0..4) {
        let mut token = token;
        match head {
            0 => { token.splice(..0, b"NTLMSSP\0\x01\0\0\0".iter().copied()); }
            1 => { token.splice(..0, b"NTLMSSP\0\x03\0\0\0".iter().copied()); }
            2 => { token.splice(..0, [0x60, 0x81, 0x80]); }
            _ => {}
        }
        let _ = acceptor().step(&token, accounts);
        let mut server = acceptor();
        server.step(&conversation(Mechanism::Ntlm)[0], accounts).unwrap();
        let _ = server.step(&token, accounts);
        let mut client = initiator(Mechanism::Negotiate, "right password");
        client.step(None).unwrap();
        let _ = client.step(Some(&token));
        let _ = spnego::NegTokenResp::parse(&token);
    }
}
