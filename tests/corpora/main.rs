//! Replays every file of `fuzz/corpus` through the functions that are fuzzed, without libFuzzer.
//!
//! A file whose name begins with `good-` must be understood, one with `bad-` must be refused, and
//! no other may panic: what once did is kept as `crash-…`.

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The entries of a folder, sorted by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry of a folder of ours").file_name())
        .map(|name| name.into_string().expect("our names are text"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_input_of_a_corpus_is_read_or_refused_as_its_name_says() {
    for (target, run) in TARGETS {
        let folder = corpora().join(target);
        for name in names(&folder) {
            let bytes = fs::read(folder.join(&name)).unwrap();

            let understood = run(&bytes);

            assert!(understood || !name.starts_with("good-"), "{target}/{name} is refused");
            assert!(!understood || !name.starts_with("bad-"), "{target}/{name} is understood");
        }
    }
}

#[test]
fn a_good_input_cut_anywhere_is_read_or_refused() {
    for (target, run) in TARGETS {
        let folder = corpora().join(target);
        for name in names(&folder).iter().filter(|name| name.starts_with("good-")) {
            let bytes = fs::read(folder.join(name)).unwrap();

            // Long inputs at some hundred places only: a file of YAML takes a millisecond each time.
            for end in (0..bytes.len()).step_by(bytes.len() / 300 + 1) {
                run(&bytes[..end]);
            }
        }
    }
}

#[test]
fn every_target_has_a_corpus_with_good_and_bad_inputs_and_a_binary() {
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let binaries: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();

    assert_eq!(names(&corpora()), targets);
    assert_eq!(names(&corpora().join("../targets")), binaries);
    for target in targets {
        let inputs = names(&corpora().join(&target));
        for kind in ["good-", "bad-"] {
            assert!(inputs.iter().any(|name| name.starts_with(kind)), "{target} has no {kind}");
        }
    }
}
