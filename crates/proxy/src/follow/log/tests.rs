use super::*;
use crate::explain::tests::{id, record};

#[test]
fn a_line_is_json_in_the_names_of_the_field() {
    let entry = Entry { request: id(7), record: record(1_772_366_400_000_250, 200), path: "/quote".into() };
    let text = line(&entry);
    assert!(text.ends_with("}\n") && text.lines().count() == 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["@timestamp"], "2026-03-01T12:00:00.000250Z");
    assert_eq!((&json["http.request.method"], &json["url.path"]), (&"GET".into(), &"/quote".into()));
    assert_eq!((&json["http.response.status_code"], &json["tenon.attempts"]), (&200.into(), &1.into()));
    assert_eq!(json["tenon.instance"], "payment-1");
    assert!(json.get("error.code").is_none());
}

#[test]
fn a_full_file_is_rotated_and_one_of_before_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut file = AccessFile::with_limit(&path, 10).unwrap();
    for text in ["one line\n", "two lines\n", "three lines\n", "four lines\n"] {
        file.write(text).unwrap();
    }
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("access.log").as_str(), read("access.log.1").as_str()),
        ("four lines\n", "three lines\n")
    );
    drop(file);
    AccessFile::with_limit(&path, 100).unwrap().write("five lines\n").unwrap();
    assert_eq!(read("access.log"), "four lines\nfive lines\n");
}
