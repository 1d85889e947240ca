use super::*;

#[test]
fn a_full_file_is_rotated_and_the_oldest_output_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut log = LogFile::with_limit(&path, 200).unwrap();
    for number in 0..50 {
        log.write_line(Stream::Out, &format!("line {number}")).unwrap();
    }
    let now = std::fs::read_to_string(&path).unwrap();
    let before = std::fs::read_to_string(folder.path().join("a.log.1")).unwrap();
    assert!(now.ends_with(" out line 49\n"));
    assert!(before.len() as u64 <= 250 && now.len() as u64 <= 250);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn only_the_newest_files_of_ended_instances_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for number in 0..MOST_ENDED + 3 {
        let path = file(&format!("a-{number}.log"));
        let made = File::create(&path).unwrap();
        let age = std::time::Duration::from_secs(1_000 - number as u64);
        made.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    for name in ["a-0.log.1", "tenon.server.log", "runs-1.log"] {
        File::create(file(name)).unwrap();
    }
    prune(folder.path(), |instance| instance == "runs-1" || instance == "a-1").unwrap();
    assert!(!file("a-0.log").exists() && !file("a-0.log.1").exists(), "the oldest is gone");
    assert!(file("a-1.log").exists(), "it runs");
    assert!(!file("a-2.log").exists(), "the second oldest is gone");
    assert!(file("a-3.log").exists() && file("runs-1.log").exists() && file("tenon.server.log").exists());
}

#[tokio::test]
async fn a_line_without_end_is_broken_and_bad_utf8_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let log = Rc::new(RefCell::new(LogFile::open(&path).unwrap()));
    let mut text = vec![b'x'; usize::try_from(MAX_LINE).unwrap() + 5];
    text.extend_from_slice(b"\n\xff\n");
    capture(&text[..], Stream::Err, log).await;
    let lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].ends_with(" err xxxxx"));
    assert!(lines[2].ends_with(" err \u{fffd}"));
}
