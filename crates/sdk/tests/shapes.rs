//! Sagas of wrong shapes do not compile: each file of `shapes/` is compiled against the crate as it was built for the tests,
//! and yields the errors that its lines say, no others.
//!
//! A line that says so ends with `//~ CODE MESSAGE`: the code of the error and a part of its message.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What there is before the lines of each file.
const PRELUDE: &str = include_str!("shapes/prelude.rs");

/// An error: its line in the file, its code and its message.
type Error = (usize, String, String);

#[test]
fn wrong_shapes_do_not_compile() {
    let library = library();
    let mut files: Vec<PathBuf> = cases().collect();
    files.sort();
    assert!(files.len() > 8, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let expected: Vec<Error> = expected(&source).collect();
        let found = compile(&source, &library);
        let fits = |(at, code, message): &Error, other: &Error| {
            (at, code) == (&other.0, &other.1) && other.2.contains(message.as_str())
        };
        let as_expected =
            expected.len() == found.len() && expected.iter().zip(&found).all(|(a, b)| fits(a, b));
        if !as_expected {
            wrong.push(format!("{}: expected {expected:#?}, found {found:#?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases() -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shapes");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| !path.ends_with("prelude.rs"))
}

fn expected(source: &str) -> impl Iterator<Item = Error> {
    let noted =
        source.lines().enumerate().filter_map(|(at, line)| Some((at + 1, line.split_once("//~ ")?.1)));
    noted.map(|(at, note)| {
        let (code, message) = note.split_once(' ').unwrap();
        (at, code.to_owned(), message.to_owned())
    })
}

/// The crate that this test was linked with: of those in its folder the last that was built.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let files = std::fs::read_dir(test.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libtenon_sdk-") && name.ends_with(".rlib")
    };
    let built =
        |path: &PathBuf| path.metadata().and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    files.filter(is_it).max_by_key(built).expect("the crate was built for this test")
}

/// The errors of a file, in the order of its lines.
fn compile(source: &str, library: &Path) -> Vec<Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.rs");
    // On one line, so that the numbers of lines stay.
    std::fs::write(&file, format!("{} {source}", PRELUDE.replace('\n', " "))).unwrap();
    let compiled = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--cap-lints", "allow"])
        .args(["--error-format", "json", "--crate-name", "case", "--out-dir"])
        .arg(folder.path())
        .arg(format!("--extern=tenon_sdk={}", library.display()))
        .arg(format!("-Ldependency={}", library.parent().unwrap().display()))
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8(compiled.stderr).unwrap();
    let mut errors: Vec<Error> = told.lines().filter_map(error).collect();
    assert_eq!(errors.is_empty(), compiled.status.success(), "{told}");
    errors.sort();
    // One mistake may be told from both of its sides.
    errors.dedup_by(|(at, code, _), other| (&*at, &*code) == (&other.0, &other.1));
    errors
}

fn error(line: &str) -> Option<Error> {
    let told: Value = serde_json::from_str(line).ok()?;
    if told["level"] != "error" {
        return None;
    }
    let spans = told["spans"].as_array()?;
    let at = spans.iter().find(|span| span["is_primary"] == true)?["line_start"].as_u64()?;
    let labels = spans.iter().filter_map(|span| span["label"].as_str());
    // What is shown besides is the source itself, and help.
    let text: Vec<&str> = told["message"].as_str().into_iter().chain(labels).collect();
    let code = told["code"]["code"].as_str().unwrap_or_default().to_owned();
    Some((usize::try_from(at).ok()?, code, text.join("; ")))
}
