//! A password reaches no output, no journal and no file of the state directory, in no spelling.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{SmallLab, World, resync};

#[test]
fn no_password_is_in_any_output_or_any_file_that_a_run_leaves() {
    let lab = SmallLab::start(6, 31, 400.0, "faults: [{ kind: stale, hosts: 2 }]", 5);
    let world = World::new();
    let playbook = resync().display().to_string();
    let secrets: Vec<String> =
        lab.lab().credentials().iter().map(|(_, c)| c.password.expose().clone()).collect();
    assert_eq!(secrets.len(), 3, "the fleet, the reader and the writer of the CMDB");

    let ended = Printed::of(&world, &["run", "--yes", "--json", &playbook, "-i", &lab.inventory()]);
    let shown = Printed::of(&world, &["runs"]);

    let mut seen = vec![("output".to_owned(), [ended.0, shown.0].concat())];
    collect(&world.path().join("state"), &mut seen);
    assert!(seen.len() >= 3, "the state directory holds a journal and an index");
    for secret in &secrets {
        for (place, bytes) in &seen {
            for spelling in spellings(secret) {
                let found = bytes.windows(spelling.len()).any(|window| window == spelling);
                assert!(!found, "a password is in {place}");
            }
        }
    }
}

/// Both outputs of one command.
struct Printed(Vec<u8>);

impl Printed {
    fn of(world: &World, args: &[&str]) -> Self {
        let ended = world.run(args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Self([ended.stdout, ended.stderr].concat().into_bytes())
    }
}

/// As it is, in UTF-16, in Base64 and in hexadecimal.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let utf16: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    vec![
        secret.as_bytes().to_vec(),
        utf16.clone(),
        STANDARD.encode(secret).into_bytes(),
        STANDARD.encode(&utf16).into_bytes(),
        hex(secret.as_bytes()).into_bytes(),
    ]
}

fn collect(folder: &Path, seen: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, seen);
        } else {
            seen.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
}
