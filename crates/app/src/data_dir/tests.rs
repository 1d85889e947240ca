use super::*;

#[test]
fn a_second_supervisor_is_told_who_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&folder.path().join(".tenon")).unwrap();
    assert_eq!(dir.supervisor_pid(), None);
    let held = dir.lock().unwrap();
    let refused = dir.lock().unwrap_err();
    assert_eq!(refused.code(), Code::ServerLocked);
    assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
    assert_eq!(dir.supervisor_pid(), Some(std::process::id()));
    drop(held);
    assert_eq!(dir.supervisor_pid(), None);
    dir.lock().unwrap();
}

#[test]
fn a_lock_whose_holder_was_killed_means_that_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&folder.path().join(".tenon")).unwrap();
    assert!(!dir.is_supervised());
    let _held = dir.lock().unwrap();
    assert!(dir.is_supervised());
    // Linux gives no process such an id. (A process of our own would do, but while it is being forked it holds the locks
    // of the tests beside this one.)
    fs::write(dir.root().join("LOCK"), format!("{}\n", i32::MAX)).unwrap();
    assert!(!dir.is_supervised());
}

#[test]
fn a_folder_of_another_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("VERSION"), "2\n").unwrap();
    let refused = DataDir::open(folder.path()).unwrap_err();
    assert_eq!(refused.code(), Code::DataNewerVersion);
    assert!(!folder.path().join("log").exists());
}

#[test]
fn keys_can_be_read_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path()).unwrap();
    assert_eq!(fs::metadata(dir.keys()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_may_not_be_written_is_no_fault_of_tenon() {
    let refused =
        |kind: io::ErrorKind| DataDirError::Io { what: "make", path: "x".into(), source: kind.into() };
    assert_eq!(refused(io::ErrorKind::PermissionDenied).code(), Code::AccessForbidden);
    assert_eq!(refused(io::ErrorKind::ReadOnlyFilesystem).code(), Code::AccessForbidden);
}
