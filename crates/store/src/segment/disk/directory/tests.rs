use super::*;

#[test]
fn a_second_owner_is_refused_and_told_the_process_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = DirectoryDisk::open(folder.path()).unwrap();
    let error = DirectoryDisk::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { owner, .. } if owner == Some(std::process::id())));
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())));
    drop(first);
    DirectoryDisk::open(folder.path()).unwrap();
}

#[test]
fn a_file_is_read_as_written_and_short_only_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DirectoryDisk::open(&folder.path().join("made/on/the/way")).unwrap();
    let file = disk.create("a").unwrap();
    file.write_at(b"hello", 3).unwrap();
    assert_eq!(file.size().unwrap(), 8);
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 2).unwrap(), 6);
    assert_eq!(&buffer, b"\0hello\x09\x09");
    disk.rename("a", "b").unwrap();
    disk.sync_directory().unwrap();
    let mut names = disk.list().unwrap();
    names.sort();
    assert_eq!(names, ["LOCK", "b"]);
}
