//! The law of layers: each imports only what its row says, external crates included.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a layer may import of this crate. All may import `secret`.
const LAYERS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("model", &[]),
    ("event", &["model"]),
    ("protocol", &[]),
    ("itms", &["model"]),
    ("expression", &["model"]),
    ("ledger", &["model"]),
    ("plan", &["model", "event", "expression"]),
    ("scheduler", &["model", "event", "plan", "ledger"]),
    ("transport", &["model", "protocol"]),
    ("host", &["model", "event", "itms", "transport", "expression"]),
    ("action", &["model", "event", "itms", "host", "transport", "expression"]),
    ("store", &["model", "event", "ledger"]),
    ("report", &["model", "event", "itms"]),
    ("lab", &["model", "protocol"]),
    ("load", &["model", "action", "expression"]),
    (
        "engine",
        &[
            "model",
            "event",
            "plan",
            "ledger",
            "scheduler",
            "action",
            "host",
            "transport",
            "expression",
        ],
    ),
    ("cli", &EVERYTHING),
];
const EVERYTHING: [&str; 16] = [
    "model",
    "event",
    "ledger",
    "protocol",
    "itms",
    "expression",
    "plan",
    "scheduler",
    "transport",
    "host",
    "action",
    "store",
    "report",
    "lab",
    "load",
    "engine",
];

/// The real clients below `transport`. Others see its capabilities, their data and their errors;
/// only `cli` puts the real ones in.
const CLIENTS: &[&str] = &["smb", "sql", "winrm", "real", "NetworkConnector"];

/// Layers that know no socket, no file and no clock, and the crates that they may use.
const PURE: &[(&str, &[&str])] = &[
    ("secret", &["zeroize", "serde"]),
    ("model", &["serde", "serde_json", "indexmap", "thiserror", "jiff", "uuid"]),
    ("event", &["serde", "serde_json", "indexmap", "thiserror", "jiff", "futures"]),
    ("itms", &["quick_xml", "thiserror", "jiff", "indexmap", "serde", "sha2", "base64"]),
    ("expression", &["minijinja", "serde", "serde_json", "indexmap", "thiserror"]),
    ("ledger", &["serde", "indexmap", "thiserror", "futures"]),
    ("plan", &["serde_json", "indexmap", "thiserror", "rand_chacha", "rand_core", "sha2"]),
    ("scheduler", &["serde_json", "indexmap", "jiff"]),
];

/// Crates that only some places may use, by the beginning of the path below `src`.
const HOMES: &[(&str, &[&str])] = &[
    ("smb2", &["transport/smb", "lab/smb"]),
    ("sspi", &["protocol/auth"]),
    ("tiberius", &["transport/sql"]),
    ("rusqlite", &["store/", "lab/"]),
    ("minijinja", &["expression/"]),
    ("serde_saphyr", &["load/", "lab/"]),
    ("clap", &["cli/"]),
    ("miette", &["cli/", "load/"]),
    ("rpassword", &["cli/"]),
    ("rlimit", &["cli/", "lab/"]),
    ("rustix", &["cli/", "engine/"]),
    ("tracing_subscriber", &["cli/"]),
    ("indicatif", &["report/", "cli/"]),
    ("console", &["report/", "cli/"]),
];

#[test]
fn each_layer_imports_only_what_its_row_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = external_crates(root);
    let mut broken = Vec::new();
    for path in production_files(&root.join("src")) {
        let below = path.strip_prefix(root.join("src")).expect("it is below").to_path_buf();
        let Some(layer) = layer_of(&below) else { continue };
        let text = fs::read_to_string(&path).expect("a source file");
        for (line, root) in roots(&production(&text), &crates) {
            if let Some(why) = breach(layer, &below, &root) {
                broken.push(format!("src/{}:{line}: {why}", below.display()));
            }
        }
    }

    assert!(broken.is_empty(), "{} imports break a row:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn the_law_knows_every_layer() {
    let library = include_str!("../../src/lib.rs");
    let named = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let known: BTreeSet<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();

    assert_eq!(named.collect::<BTreeSet<&str>>(), known);
}

#[test]
fn the_law_sees_what_it_must_and_nothing_in_tests() {
    let text = "use crate::{\n    lab::World,\n    model::{self, Host},\n};\n\
        // use crate::cli;\n\
        fn f() { crate::store::read(\"crate::host\"); tokio::spawn(g()); }\n\
        #[cfg(test)]\nmod tests {\n    use crate::engine::X;\n}\nuse fleetmend::report::R;\n";
    let crates = BTreeSet::from(["tokio".to_owned()]);

    let found = roots(&production(text), &crates);

    let expected = [(1, "lab"), (1, "model"), (6, "store"), (11, "report")];
    let mut expected: Vec<_> =
        expected.map(|(line, name)| (line, Root::Layer(name.to_owned()))).into_iter().collect();
    expected.insert(3, (6, Root::Crate("tokio".to_owned())));
    assert_eq!(found, expected);
}

/// Where a path begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    Layer(String),
    /// A name of `transport`.
    Transport(String),
    Crate(String),
}

fn breach(layer: &str, file: &Path, root: &Root) -> Option<String> {
    let row = |rows: &'static [(&str, &[&str])], name: &str| {
        rows.iter().find(|(known, _)| *known == name).map(|(_, allowed)| *allowed)
    };
    match root {
        Root::Layer(name) => {
            let allowed = row(LAYERS, layer).unwrap_or_default();
            let is_allowed = name == layer || name == "secret" || allowed.contains(&name.as_str());
            // The contracts of the layer's own top (`crate::Something`) are no layer.
            let is_layer = LAYERS.iter().any(|(known, _)| known == name);
            (is_layer && !is_allowed)
                .then(|| format!("row `{layer}` may import {allowed:?} and `secret`, not `{name}`"))
        }
        Root::Transport(name) => {
            let is_breach =
                CLIENTS.contains(&name.as_str()) && layer != "transport" && layer != "cli";
            is_breach.then(|| format!("row `{layer}` may not use the real client `{name}`"))
        }
        Root::Crate(name) => {
            let pure = row(PURE, layer);
            if pure.is_some_and(|allowed| !allowed.contains(&name.as_str())) {
                return Some(format!("row `{layer}` is pure and may not use the crate `{name}`"));
            }
            let homes = row(HOMES, name)?;
            let file = file.to_string_lossy().replace('\\', "/");
            let is_home = homes.iter().any(|home| file.starts_with(home));
            (!is_home).then(|| format!("the crate `{name}` may be used in {homes:?} only"))
        }
    }
}

fn layer_of(below: &Path) -> Option<&str> {
    let first = below.iter().next()?.to_str()?;
    let layer = first.strip_suffix(".rs").unwrap_or(first);
    (layer != "lib" && layer != "main").then_some(layer)
}

/// All source files but those of modules that only tests have.
fn production_files(src: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    collect(src, &mut all);
    let mut test_only = Vec::new();
    for path in &all {
        let text = fs::read_to_string(path).expect("a source file");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let folder = path.parent().expect("a folder");
        let own = if matches!(stem, "mod" | "lib" | "main") {
            folder.to_path_buf()
        } else {
            folder.join(stem)
        };
        for name in test_modules(&text) {
            test_only.push(own.join(&name));
            test_only.push(own.join(format!("{name}.rs")));
        }
    }
    all.retain(|path| !test_only.iter().any(|test| path.starts_with(test)));
    all
}

fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// The names of `#[cfg(test)] mod name;`.
fn test_modules(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") || line.starts_with("//") {
            is_test |= line.starts_with("#[cfg(test)]");
            continue;
        }
        let name = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        names.extend(name.filter(|_| is_test).map(str::to_owned));
        is_test = false;
    }
    names
}

/// The text without comments, string contents and what only tests have; lines keep their numbers.
fn production(text: &str) -> String {
    let mut out = String::new();
    let mut skip_to_depth: Option<usize> = None;
    let (mut depth, mut is_test) = (0_usize, false);
    for line in text.lines() {
        let code = code_of(line);
        let trimmed = code.trim();
        if skip_to_depth.is_none() && is_test && !trimmed.starts_with("#[") && !trimmed.is_empty() {
            // An item without a body ends on its own line.
            if trimmed.contains('{') || !trimmed.ends_with(';') {
                skip_to_depth = Some(depth);
            } else {
                is_test = false;
                out.push('\n');
                continue;
            }
            is_test = false;
        }
        is_test |= trimmed.starts_with("#[cfg(test)]");
        let before = depth;
        depth += code.matches('{').count();
        depth = depth.saturating_sub(code.matches('}').count());
        match skip_to_depth {
            Some(end) if depth <= end && (code.contains('}') || trimmed.ends_with(';')) => {
                skip_to_depth = None;
            }
            Some(_) => {}
            None if is_test && before == depth => {}
            None => out.push_str(&code),
        }
        out.push('\n');
    }
    out
}

/// A line without its comment and the contents of its strings.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut is_text = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if is_text => {
                chars.next();
            }
            '"' => is_text = !is_text,
            '\'' if !is_text => {
                // A character, not a lifetime: `'{'`, `'"'`, `'\\'`.
                let rest: Vec<char> = chars.clone().take(3).collect();
                let length = match rest[..] {
                    ['\\', _, '\''] => 3,
                    [_, '\'', ..] => 2,
                    _ => 0,
                };
                (0..length).for_each(|_| {
                    chars.next();
                });
            }
            '/' if !is_text && chars.peek() == Some(&'/') => break,
            _ if is_text => {}
            _ => code.push(c),
        }
    }
    code
}

/// Every path that begins at this crate or at an external one, with its line.
fn roots(text: &str, crates: &BTreeSet<String>) -> Vec<(usize, Root)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    for (at, _) in text.match_indices("::") {
        let start = bytes[..at].iter().rposition(|byte| !is_word(*byte)).map_or(0, |p| p + 1);
        // Not the root: something precedes the word.
        if start >= 2 && &text[start - 2..start] == "::" {
            continue;
        }
        let line = 1 + text[..at].matches('\n').count();
        let word = &text[start..at];
        if word == "crate" || word == "fleetmend" {
            let rest = &text[at + 2..];
            found.extend(heads(rest).into_iter().map(|name| (line, Root::Layer(name))));
            let transport = rest.strip_prefix("transport::").map(heads).unwrap_or_default();
            found.extend(transport.into_iter().map(|name| (line, Root::Transport(name))));
        } else if crates.contains(word) && !text.contains(&format!("mod {word};")) {
            found.push((line, Root::Crate(word.to_owned())));
        }
    }
    found
}

/// The first names after `crate::`: one, or those of a group.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut names = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(word(std::mem::take(&mut item).trim())),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names.push(word(item.trim()));
    names.retain(|name| !name.is_empty());
    names
}

/// The dependencies of the manifest, as paths name them.
fn external_crates(root: &Path) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let is_list = |section: &&str| {
        let (title, _) = section.split_once(']').unwrap_or_default();
        title == "dependencies"
            || (title.starts_with("target.") && title.ends_with(".dependencies"))
    };
    let sections = manifest.split("\n[").filter(is_list);
    let lines = sections.flat_map(str::lines);
    let names = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim());
    let crates: BTreeSet<String> =
        names.filter(|name| !name.starts_with('#')).map(|name| name.replace('-', "_")).collect();
    assert!(crates.contains("tokio"), "the manifest is not read as it is written");
    crates
}
