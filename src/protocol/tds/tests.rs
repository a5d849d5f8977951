use proptest::prelude::*;

use super::*;

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn with_headers(body: &[u8]) -> Vec<u8> {
    let mut out = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
    out.extend([0; 8]);
    out.extend([1, 0, 0, 0]);
    out.extend(body);
    out
}

/// A login as drivers lay it out: nine fields of text after 94 bytes.
fn login(user: &str, password: &str, database: &str) -> Vec<u8> {
    let mut fixed = Vec::new();
    fixed.extend(0x7400_0004_u32.to_le_bytes());
    fixed.extend(4096_u32.to_le_bytes());
    fixed.extend([0; 24]);
    let (mut table, mut data) = (Vec::new(), Vec::new());
    let scrambled: Vec<u8> =
        utf16le(password).iter().map(|byte| byte.rotate_left(4) ^ 0xa5).collect();
    let texts = [
        utf16le("laptop"),
        utf16le(user),
        scrambled,
        utf16le("app"),
        utf16le("sql01"),
        Vec::new(),
        utf16le("lib"),
        Vec::new(),
        utf16le(database),
    ];
    for text in texts {
        table.extend(u16::try_from(94 + data.len()).unwrap().to_le_bytes());
        table.extend(u16::try_from(text.len() / 2).unwrap().to_le_bytes());
        data.extend(text);
    }
    table.extend([0; 22]);
    let mut out = u32::try_from(94 + data.len()).unwrap().to_le_bytes().to_vec();
    out.extend(fixed);
    out.extend(table);
    out.extend(data);
    out
}

#[test]
fn a_login_is_read_with_its_password_unscrambled() {
    let read = Login7::parse(&login("cmdb-reader", "pässword", "Symantec_CMDB")).unwrap();

    assert_eq!((read.user.as_str(), read.database.as_str()), ("cmdb-reader", "Symantec_CMDB"));
    assert_eq!(read.password.expose(), "pässword");
    assert!(!read.integrated);
    assert!(!format!("{read:?}").contains("pässword"));
}

#[test]
fn a_call_of_sp_executesql_gives_its_statement_and_named_parameters() {
    let mut body = vec![0xff, 0xff, 10, 0, 0, 0];
    let nvarchar = |text: &str| {
        let text = utf16le(text);
        let mut out = vec![0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0];
        out.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text);
        out
    };
    body.extend([0, 0]);
    body.extend(nvarchar("SELECT [Name] FROM [vItem] WHERE [Guid] = @P1"));
    body.extend([0, 0]);
    body.extend(nvarchar("@P1 bigint"));
    body.extend([0, 0, 0x26, 8, 8, 5, 0, 0, 0, 0, 0, 0, 0]);

    let call = read_rpc(&with_headers(&body)).unwrap();

    assert_eq!(call.text, "SELECT [Name] FROM [vItem] WHERE [Guid] = @P1");
    assert_eq!(call.parameters, [("@P1".to_owned(), Value::Int(5))]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_a_reader(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        kind in proptest::sample::select(vec![1_u8, 3, 6, 0x0e, 0x10, 0x12]),
    ) {
        let mut assembler = Assembler::new(200);
        assembler.feed(&bytes);
        while let Ok(Some(_)) = assembler.next_message() {}

        let mut framed = bytes.clone();
        if framed.len() >= 4 {
            framed[0] = kind;
            framed[1] = 1;
            framed[2] = 0;
        }
        let mut assembler = Assembler::new(200);
        assembler.feed(&framed);
        while let Ok(Some(_)) = assembler.next_message() {}

        for payload in [bytes.clone(), with_headers(&bytes)] {
            let _ = read_prelogin(&payload);
            let _ = Login7::parse(&payload);
            let _ = read_batch(&payload);
            let _ = read_rpc(&payload);
            let _ = read_transaction(&payload);
        }
        let mut call = vec![0xff, 0xff, 10, 0, 0, 0, 0, 0];
        call.extend(&bytes);
        let _ = read_rpc(&with_headers(&call));
    }

    #[test]
    fn a_mutated_login_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = login("user", "password", "db");
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let _ = Login7::parse(&message);
        let _ = Login7::parse(&message[..cut.index(message.len())]);
    }
}
