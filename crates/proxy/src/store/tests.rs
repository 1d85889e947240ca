use super::*;
use crate::view::tests::revision;
use std::os::unix::fs::PermissionsExt as _;
use tenon_core::snapshot::Endpoints;

fn save_stored(path: &Path, stored: &Stored) -> io::Result<()> {
    save(path, std::iter::once(stored.to_bytes()))
}

fn stored(position: u64) -> Stored {
    let endpoints = Endpoints { revision: revision(position), services: Default::default() };
    Stored { endpoints: Some(endpoints), ..Stored::default() }
}

#[test]
fn what_is_saved_is_loaded_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    assert_eq!(load(&path).unwrap(), None);
    for position in [1, 2] {
        save_stored(&path, &stored(position)).unwrap();
        assert_eq!(load(&path).unwrap(), Some(stored(position)));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_an_error_and_not_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    fs::write(&path, b"\xff\xff\xff").unwrap();
    assert!(matches!(load(&path), Err(LoadError::Unusable(_))));
}

#[test]
fn a_save_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    save_stored(&path, &stored(1)).unwrap();
    // Where the new file would be written there is a folder.
    fs::create_dir(folder.path().join("snapshot.new")).unwrap();
    assert!(save_stored(&path, &stored(2)).is_err());
    assert_eq!(load(&path).unwrap(), Some(stored(1)));
}
