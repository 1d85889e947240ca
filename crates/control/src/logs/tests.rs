use super::*;
use std::io::Write;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&self, instance: &str) {
        let path = self.0.path().join(format!("{instance}.log"));
        fs::rename(&path, rotated(&path)).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::new(self.0.path().to_owned())
    }
}

fn ids(names: &[&str]) -> BTreeSet<InstanceId> {
    names.iter().map(|name| InstanceId::new(name).unwrap()).collect()
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_tail_merges_instances_by_time_and_gives_the_last_lines() {
    let folder = Folder::new();
    folder.append("a.log", "2026-01-01T00:00:01Z out one\n2026-01-01T00:00:03Z err three\n");
    folder.append("b.log", "2026-01-01T00:00:02Z out two\n");
    let lines = folder.reader().tail(&ids(&["a", "b", "none"]), 2).unwrap();
    assert_eq!(texts(&lines), ["two", "three"]);
    assert_eq!(lines[1].stream, "err");
    assert_eq!(lines[1].instance.as_str(), "a");
}

#[test]
fn a_tail_reaches_into_the_rotated_file() {
    let folder = Folder::new();
    folder.append("a.log", "1 out one\n2 out two\n");
    folder.rotate("a");
    folder.append("a.log", "3 out three\n");
    assert_eq!(texts(&folder.reader().tail(&ids(&["a"]), 2).unwrap()), ["two", "three"]);
}

#[test]
fn a_poll_gives_what_came_since_and_nothing_twice() {
    let folder = Folder::new();
    folder.append("a.log", "1 out one\n");
    let mut reader = folder.reader();
    assert_eq!(texts(&reader.tail(&ids(&["a"]), 10).unwrap()), ["one"]);
    assert_eq!(reader.poll(&ids(&["a"])).unwrap(), []);
    folder.append("a.log", "2 out two\n3 out th");
    assert_eq!(texts(&reader.poll(&ids(&["a"])).unwrap()), ["two"]);
    folder.append("a.log", "ree\n");
    assert_eq!(texts(&reader.poll(&ids(&["a"])).unwrap()), ["three"]);
}

#[test]
fn following_goes_on_through_a_rotation_and_finds_new_instances() {
    let folder = Folder::new();
    folder.append("a.log", "1 out one\n");
    let mut reader = folder.reader();
    reader.tail(&ids(&["a"]), 0).unwrap();
    folder.append("a.log", "2 out two\n");
    folder.rotate("a");
    folder.append("a.log", "3 out three\n");
    folder.append("b.log", "4 out four\n");
    let mut seen = reader.poll(&ids(&["a", "b"])).unwrap();
    seen.extend(reader.poll(&ids(&["a", "b"])).unwrap());
    seen.sort();
    assert_eq!(texts(&seen), ["two", "three", "four"]);
}

#[test]
fn a_line_of_64_kib_comes_whole_and_an_endless_one_in_parts() {
    let folder = Folder::new();
    let long = "x".repeat(64 << 10);
    folder.append("a.log", &format!("2026-01-01T00:00:00.000000Z out {long}\n"));
    folder.append("a.log", &"y".repeat(70 << 10));
    let lines = folder.reader().tail(&ids(&["a"]), 10).unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].text == long);
    assert_eq!(lines[1].text.len(), MAX_LINE_BYTES);
}

#[test]
fn a_tail_reads_only_the_end_of_a_large_file() {
    let folder = Folder::new();
    let line = format!("1 out {}\n", "z".repeat(1_017));
    folder.append("a.log", &line.repeat(5 << 10));
    let lines = folder.reader().tail(&ids(&["a"]), MAX_TAIL_LINES).unwrap();
    assert_eq!(lines.len(), (4 << 10) - 1);
    assert!(lines.iter().all(|line| line.text.len() == 1_017));
}

#[test]
fn a_services_files_are_told_from_those_of_services_with_similar_names() {
    let folder = Folder::new();
    let mine = ["pay-1-0000000a", "pay-12-7f3a09c1"];
    let others = ["pay-ment-1-0000000b", "pay", "pay-x-0000000c", "pay-1-a", "order-1-0000000d"];
    for name in mine.iter().chain(&others) {
        folder.append(&format!("{name}.log"), "1 out x\n");
        folder.append(&format!("{name}.log.1"), "0 out w\n");
    }
    let found = files_of(folder.0.path(), &ServiceName::new("pay").unwrap()).unwrap();
    assert_eq!(found, ids(&mine));
    let nowhere = folder.0.path().join("none");
    assert_eq!(files_of(&nowhere, &ServiceName::new("pay").unwrap()).unwrap(), BTreeSet::new());
}

#[test]
fn only_the_newest_of_many_files_are_read() {
    let folder = Folder::new();
    for number in 0..MAX_FILES + 5 {
        folder.append(&format!("pay-1-{number:08x}.log"), "1 out x\n");
    }
    assert_eq!(files_of(folder.0.path(), &ServiceName::new("pay").unwrap()).unwrap().len(), MAX_FILES);
}
