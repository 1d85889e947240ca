use super::merge::merge;
use super::write::write;
use super::*;
use crate::segment::disk::{Disk, SimDisk};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use tenon_core::LogId;

type Model = BTreeMap<Key, Vec<u64>>;

fn subject(first: u64, last: u64) -> Subject {
    Subject { log: LogId::from_bytes([7; 16]), first, last, form: 1 }
}

/// The index of a segment that begins at a place, and what it holds.
fn index(rng: &mut fastrand::Rng, base: u64) -> (TailIndex, Model) {
    let (mut index, mut model) = (TailIndex::new(base), Model::new());
    for at in (100..100_000_u32).step_by(37) {
        // One key is everywhere, some are here and there, most occur once.
        let keys = [Key(77 << 32), Key(rng.u64(..50) << 33), Key(rng.u64(..1 << KEY_BITS))];
        for key in keys {
            index.push_key(key, at);
            let places = model.entry(key).or_default();
            if places.last() != Some(&(base + u64::from(at))) {
                places.push(base + u64::from(at));
            }
        }
    }
    (index, model)
}

fn check(run: &RunFile, model: &Model, rng: &mut fastrand::Rng) {
    let reads = Reads::blocking();
    let reading = Reading { run, reads: &reads };
    let absent = (0..200).map(|_| Key(rng.u64(..1 << KEY_BITS))).filter(|key| !model.contains_key(key));
    for key in absent.collect::<Vec<Key>>() {
        assert_eq!(reading.count(key).unwrap(), 0);
    }
    for (key, places) in model {
        assert_eq!(reading.count(*key).unwrap(), places.len() as u64);
        assert_eq!(
            reading.places(*key, &(0..u64::MAX), Direction::Forward, usize::MAX >> 1).unwrap(),
            *places
        );
        let (one, other) = (places[rng.usize(..places.len())], places[rng.usize(..places.len())]);
        let range = one.min(other)..one.max(other);
        let within: Vec<u64> = places.iter().copied().filter(|place| range.contains(place)).collect();
        let found = reading.places(*key, &range, Direction::Forward, 5).unwrap();
        assert_eq!(found, within[..within.len().min(5)]);
        let found = reading.places(*key, &range, Direction::Backward, 5).unwrap();
        assert_eq!(found, within[within.len().saturating_sub(5)..]);
    }
}

#[test]
fn a_run_finds_what_its_index_holds_and_so_does_a_merged_one() {
    let mut rng = fastrand::Rng::with_seed(3);
    let files = Arc::new(Files::new(Arc::new(SimDisk::new(1))));
    let (mut runs, mut whole) = (Vec::new(), Model::new());
    for number in 1..=5 {
        let (index, model) = index(&mut rng, number * 1_000_000);
        let run = write(&files, subject(number, number), &index).unwrap();
        check(&run, &model, &mut rng);
        for (key, places) in model {
            whole.entry(key).or_default().extend(places);
        }
        runs.push(run);
    }
    let inputs: Vec<&RunFile> = runs.iter().collect();
    assert!(merge(files.disk(), &inputs, subject(1, 5), &AtomicBool::new(false)).unwrap());
    let merged = RunFile::open(&files, subject(1, 5)).unwrap();
    check(&merged, &whole, &mut rng);
}

#[test]
fn keys_that_crowd_on_a_page_run_over_into_the_next() {
    let mut rng = fastrand::Rng::with_seed(3);
    let files = Arc::new(Files::new(Arc::new(SimDisk::new(1))));
    let (mut index, mut model) = (TailIndex::new(0), Model::new());
    for at in 0..20_000_u32 {
        // In the middle, a thousand that belong on one page.
        let key = if at < 1_000 { Key((1 << 39) + u64::from(at)) } else { Key(rng.u64(..1 << KEY_BITS)) };
        index.push_key(key, at);
        model.entry(key).or_default().push(u64::from(at));
    }
    let run = write(&files, subject(1, 1), &index).unwrap();
    check(&run, &model, &mut rng);
}

#[test]
fn what_is_damaged_or_of_another_form_is_not_believed() {
    let mut rng = fastrand::Rng::with_seed(3);
    let disk = SimDisk::new(1);
    let files = Arc::new(Files::new(Arc::new(disk.clone())));
    let (index, model) = index(&mut rng, 0);
    write(&files, subject(1, 1), &index).unwrap();
    let other = Subject { form: 2, ..subject(1, 1) };
    assert!(matches!(RunFile::open(&files, other), Err(SegmentError::Index)));
    let size = disk.open(&name(1, 1)).unwrap().size().unwrap();
    assert!(size > 40_000, "{size}");
    for _ in 0..100 {
        disk.flip_bit(KEYS).unwrap();
    }
    let Ok(run) = RunFile::open(&Arc::new(Files::new(Arc::new(disk))), subject(1, 1)) else { return };
    let reads = Reads::blocking();
    let found = model
        .keys()
        .any(|key| matches!(Reading { run: &run, reads: &reads }.count(*key), Err(SegmentError::Index)));
    assert!(found, "no look-up noticed the damage");
}
