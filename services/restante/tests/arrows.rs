//! The arrows between the crates, as ARCHITECTURE.md draws them: what a crate may use, and who knows SQL, object storage, HTTP.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

/// For each crate the crates of ours it may use besides `mail-types`, which all may.
const ARROWS: [(&str, &[&str]); 15] = [
    ("mail-types", &[]),
    ("wire", &[]),
    ("sasl", &[]),
    ("pop3-proto", &["wire", "sasl"]),
    ("lmtp-proto", &["wire", "sasl"]),
    ("runtime", &[]),
    ("net", &["runtime"]),
    ("directory", &["runtime", "sasl"]),
    ("mailstore", &["runtime"]),
    ("pop3d", &["pop3-proto", "sasl", "net", "directory", "mailstore", "runtime"]),
    ("lmtpd", &["lmtp-proto", "net", "directory", "mailstore", "runtime"]),
    ("admin-api", &["directory", "mailstore", "net", "runtime"]),
    // `wire`: the POP3 client of migrations, which `restante import` uses too.
    ("worker", &["wire", "directory", "mailstore", "net", "runtime"]),
    ("restante", &["pop3d", "lmtpd", "admin-api", "worker", "directory", "mailstore", "net", "runtime"]),
    ("testkit", &["runtime"]),
];

/// Who alone may use what comes from outside. `testkit` is in no program, and is left out.
const KNOWN_BY: [(&str, &[&str]); 7] = [
    ("sqlx", &["directory", "mailstore", "runtime"]),
    ("object_store", &["mailstore"]),
    ("axum", &["admin-api", "runtime"]),
    // `directory` asks it one question: whether a client's certificate leads to the tenant's authority.
    ("rustls", &["net", "directory"]),
    ("hyper", &["net"]),
    ("hickory-resolver", &["net"]),
    ("argon2", &["directory"]),
];

/// State machines and values do no I/O: they have nothing to do it with.
const NO_IO: [&str; 5] = ["mail-types", "wire", "sasl", "pop3-proto", "lmtp-proto"];
const IO: [&str; 8] = ["tokio", "tokio-util", "socket2", "chrono", "sqlx", "object_store", "axum", "nix"];

#[derive(Debug, Default)]
struct Crate {
    uses: BTreeSet<String>,
    tests_use: BTreeSet<String>,
}

fn crates() -> BTreeMap<String, Crate> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let of = crates.entry(package["name"].as_str().unwrap().to_owned()).or_insert_with(Crate::default);
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_owned();
            if dependency["kind"].as_str() == Some("dev") {
                of.tests_use.insert(name)
            } else {
                of.uses.insert(name)
            };
        }
    }
    crates
}

#[test]
fn every_arrow_is_one_of_the_design() {
    let crates = crates();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, crates.keys().map(String::as_str).collect(), "every crate has its line in ARROWS");
    let mut wrong = Vec::new();
    for (name, allowed) in ARROWS {
        let found = &crates[name];
        let may = |used: &str| used == "mail-types" || allowed.contains(&used);
        for used in found.uses.iter().filter(|used| ours.contains(used.as_str())) {
            if !may(used) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
        for used in found.tests_use.iter().filter(|used| ours.contains(used.as_str())) {
            if !may(used) && used != "testkit" && used != name {
                wrong.push(format!("the tests of {name} use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_comes_from_outside_is_known_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for (name, found) in crates().iter().filter(|(name, _)| *name != "testkit") {
        for (outside, known_by) in KNOWN_BY {
            if found.uses.contains(outside) && !known_by.contains(&name.as_str()) {
                wrong.push(format!("{name} uses {outside}"));
            }
        }
        for outside in IO {
            if NO_IO.contains(&name.as_str()) && found.uses.contains(outside) {
                wrong.push(format!("{name} does no I/O, and uses {outside}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
