//! What `tenon up` says when Tenon itself cannot start.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const MANIFEST: &str = "
name: one
services:
  clock:
    command: [sleep, '1000']
    health: {heartbeat: {ttl: 1h}}
    interfaces: [{name: api, endpoints: [{path: /}]}]
";

/// A folder with a manifest, and a segment of the log that is none.
fn with_a_damaged_log() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tenon.yaml"), MANIFEST).unwrap();
    fs::create_dir_all(folder.path().join(".tenon/log")).unwrap();
    fs::write(folder.path().join(".tenon/log/00000000000000000001.seg"), [0x55; 4096]).unwrap();
    folder
}

fn up(folder: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenon"));
    // Far longer than a test may take: what is tested is that nobody waits for it.
    command.args(["up", "--wait", "3600", "--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args(options).current_dir(folder).output().unwrap()
}

fn assert_says_what_is_damaged(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("the server does not start"), "{said}");
    assert!(said.contains("00000000000000000001.seg is damaged at byte 0"), "{said}");
}

#[test]
fn a_damaged_log_ends_up_with_the_place_of_the_damage() {
    let folder = with_a_damaged_log();
    assert_says_what_is_damaged(&up(folder.path(), &[]));
}

#[test]
fn a_detached_up_says_it_too() {
    let folder = with_a_damaged_log();
    assert_says_what_is_damaged(&up(folder.path(), &["--detach"]));
}
