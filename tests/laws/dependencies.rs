//! What this program stands on: free licences, one registry, and no second TLS stack.

use std::process::Command;

use serde_json::Value;

/// Licences that an MIT program may stand on.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// TLS stacks beside rustls with ring.
const OTHER_TLS: &[&str] = &["openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "boring-sys"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let all = metadata["packages"].as_array().expect("packages");
    all.iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(&id)))
        .cloned()
        .collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

/// Whether one of the choices that an SPDX expression offers is made of known licences only.
fn is_free(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" OR ")
        .any(|choice| choice.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn every_dependency_has_a_licence_that_an_mit_program_may_stand_on() {
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_free(licence), "{}: `{licence}`", name(&package));
    }
}

#[test]
fn every_dependency_comes_from_the_one_registry() {
    for package in packages().iter().filter(|package| name(package) != "fleetmend") {
        assert_eq!(package["source"].as_str(), Some(REGISTRY), "{}", name(package));
    }
}

#[test]
fn no_tls_stack_comes_in_beside_rustls() {
    let packages = packages();
    let others: Vec<&str> =
        packages.iter().map(name).filter(|name| OTHER_TLS.contains(name)).collect();

    assert!(others.is_empty(), "{others:?}");
}
