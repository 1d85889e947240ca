use super::*;

fn read(disk: &SimDisk, name: &str) -> io::Result<Vec<u8>> {
    super::super::read_to_end_at(&*disk.open(name)?, 0)
}

fn disk_with(seed: u64, data: &[u8]) -> SimDisk {
    let disk = SimDisk::new(seed);
    let file = disk.create("a").unwrap();
    file.write_at(data, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_directory().unwrap();
    disk
}

#[test]
fn what_was_synced_outlives_every_crash() {
    for seed in 0..50 {
        let disk = disk_with(seed, b"kept");
        disk.open("a").unwrap().write_at(b"?", 4).unwrap();
        disk.crash();
        assert!(read(&disk, "a").unwrap().starts_with(b"kept"), "seed {seed}");
    }
}

#[test]
fn what_was_not_synced_is_kept_lost_or_torn() {
    let outcomes: std::collections::BTreeSet<Vec<u8>> = (0..100)
        .map(|seed| {
            let disk = disk_with(seed, &[0; 3 * SECTOR]);
            disk.open("a").unwrap().write_at(&[1; 3 * SECTOR], 0).unwrap();
            disk.crash();
            read(&disk, "a").unwrap().iter().step_by(SECTOR).copied().collect()
        })
        .collect();
    assert_eq!(outcomes.len(), 8, "every combination of three sectors should occur: {outcomes:?}");
}

#[test]
fn a_failed_sync_is_not_made_good_by_a_later_one() {
    let lost = (0..100).any(|seed| {
        let disk = disk_with(seed, b"old");
        let file = disk.open("a").unwrap();
        file.write_at(b"new", 0).unwrap();
        disk.set_faults(SimFaults { failed_syncs: 1_000, ..SimFaults::default() });
        file.sync_data().unwrap_err();
        disk.set_faults(SimFaults::default());
        file.sync_data().unwrap();
        disk.crash();
        read(&disk, "a").unwrap() == b"old"
    });
    assert!(lost);
}

#[test]
fn names_are_durable_after_the_folder_is_synced_only() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = disk_with(seed, b"x");
        disk.rename("a", "b").unwrap();
        disk.crash();
        outcomes.insert(disk.list().unwrap());
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [["a"], ["b"]]);
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let disk = disk_with(1, b"1234");
    disk.set_faults(SimFaults { capacity: 6, ..SimFaults::default() });
    let file = disk.open("a").unwrap();
    let error = file.write_at(b"abcdef", 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&disk, "a").unwrap(), b"12abcd");
}

#[test]
fn a_handle_from_before_a_crash_is_dead() {
    let disk = disk_with(1, b"1234");
    let file = disk.open("a").unwrap();
    disk.crash();
    file.size().unwrap_err();
}

#[test]
fn a_flipped_bit_changes_exactly_one() {
    let disk = disk_with(1, &[0xff; 100]);
    let (name, at) = disk.flip_bit("a").unwrap();
    let after = read(&disk, &name).unwrap();
    assert_eq!(after.iter().map(|byte| byte.count_zeros()).sum::<u32>(), 1);
    assert_ne!(after[at as usize], 0xff);
    assert_eq!(disk.flip_bit("b"), None);
}
