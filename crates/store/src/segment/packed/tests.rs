use super::*;
use crate::log::{Direction, Event, Log, NewEvent, Query};
use crate::segment::disk::Disk;
use crate::segment::offline::Archive;
use crate::segment::{SegmentLog, SegmentOptions, SimDisk, backup, files, upkeep};
use bytes::Bytes;
use std::sync::atomic::AtomicBool;
use tenon_core::{EventType, Namespace, Position, StreamName};

fn open(disk: &SimDisk, compress_sealed: bool) -> SegmentLog {
    let options = SegmentOptions { segment_bytes: 40_000, compress_sealed, ..SegmentOptions::default() };
    SegmentLog::open_with(Arc::new(disk.clone()), options).unwrap().0
}

async fn fill(log: &SegmentLog, count: usize) {
    for number in 0..count {
        let stream = StreamName::new(["a", "b"][number % 2]).unwrap();
        let data = Bytes::from(format!(r#"{{"order":{number},"note":"{}"}}"#, "as always ".repeat(40)));
        let event_type = EventType::new("test.Done.v1").unwrap();
        log.append(vec![NewEvent::new(Namespace::default(), stream, event_type, data)], None).await.unwrap();
    }
}

async fn all(log: &SegmentLog) -> Vec<Event> {
    log.read(Query::everything(), Position::START, Direction::Forward, 1_000).await.unwrap().events
}

fn keep_up(log: &SegmentLog) {
    while upkeep::step(&log.inner.segments, &AtomicBool::new(false)).unwrap() {}
}

fn packed(disk: &SimDisk) -> Vec<String> {
    let mut names: Vec<_> = disk.list().unwrap().into_iter().filter(|name| name.ends_with(PACKED)).collect();
    names.sort();
    names
}

fn bytes_of(disk: &SimDisk) -> u64 {
    let names = disk.list().unwrap().into_iter().filter(|name| files::form(name).is_some());
    names.map(|name| disk.open(&name).unwrap().size().unwrap()).sum()
}

#[test]
fn any_part_of_a_packed_file_is_what_it_was() {
    let mut rng = fastrand::Rng::with_seed(3);
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 77] {
        // Some blocks that can be made smaller, and some that cannot.
        let bytes: Vec<u8> = (0..size)
            .map(|at| if (at / BLOCK).is_multiple_of(2) { (at / 64) as u8 } else { rng.u8(..) })
            .collect();
        let disk = SimDisk::new(1);
        let file = disk.create("x").unwrap();
        file.write_at(&pack(&bytes).unwrap(), 0).unwrap();
        let opened = PackedFile::open(file).unwrap();
        assert_eq!(opened.size().unwrap(), size as u64);
        for _ in 0..50 {
            let (from, len) = (rng.usize(..=size), rng.usize(..3 * BLOCK));
            let mut buffer = vec![0xee; len];
            let read = opened.read_at(&mut buffer, from as u64).unwrap();
            assert_eq!(buffer[..read], bytes[from..size.min(from + len)]);
        }
    }
}

#[tokio::test]
async fn a_log_whose_segments_are_compressed_is_the_same() {
    let disk = SimDisk::new(1);
    let log = open(&disk, false);
    fill(&log, 400).await;
    let expected = all(&log).await;
    let before = bytes_of(&disk);
    log.close().await;
    let log = open(&disk, true);
    keep_up(&log);
    assert!(!packed(&disk).is_empty());
    assert!(bytes_of(&disk) < before / 2, "{} of {before} bytes", bytes_of(&disk));
    assert_eq!(all(&log).await, expected);
    let of_a = Query::stream(Namespace::default(), StreamName::new("a").unwrap());
    let page = log.read(of_a, Position(300), Direction::Backward, 20).await.unwrap();
    assert_eq!(page.events.first().map(|event| event.position), Some(Position(299)));
    log.close().await;
    disk.crash();
    // Whoever opens it need not compress.
    let log = open(&disk, false);
    assert_eq!(all(&log).await, expected);
    let archive = Archive::open(Arc::new(disk.clone())).unwrap().unwrap();
    let verified = archive.verify().unwrap();
    assert_eq!((verified.events, verified.damage.len()), (400, 0));
}

#[tokio::test]
async fn a_copy_of_compressed_segments_is_a_log() {
    let (disk, copy) = (SimDisk::new(1), SimDisk::new(2));
    let archive = |disk: &SimDisk| Archive::open(Arc::new(disk.clone())).unwrap().unwrap();
    let log = open(&disk, true);
    fill(&log, 200).await;
    backup::back_up(&archive(&disk), &copy).unwrap();
    fill(&log, 100).await;
    keep_up(&log);
    let copied = backup::back_up(&archive(&disk), &copy).unwrap();
    assert!(copied.present > 0, "what was copied before it was compressed is not copied again");
    let expected = all(&log).await;
    let log = open(&copy, true);
    assert_eq!(all(&log).await, expected);
}

#[tokio::test]
async fn events_are_taken_out_of_compressed_segments_and_they_are_compressed_again() {
    let disk = SimDisk::new(1);
    let log = open(&disk, true);
    fill(&log, 200).await;
    keep_up(&log);
    let port = log.clone().into_log();
    port.delete_stream(Namespace::default(), StreamName::new("a").unwrap(), None).await.unwrap();
    fill(&log, 150).await;
    let expected = all(&log).await;
    assert!(crate::segment::compact::pass(&log.inner.segments, &AtomicBool::new(false)).unwrap());
    keep_up(&log);
    let names = packed(&disk);
    assert!(names.iter().any(|name| name.contains(files::LESS)), "{names:?}");
    assert_eq!(all(&log).await, expected);
    log.close().await;
    assert_eq!(all(&open(&disk, true)).await, expected);
}

#[tokio::test]
async fn damage_to_a_compressed_segment_is_found() {
    let mut rng = fastrand::Rng::with_seed(5);
    let disk = SimDisk::new(1);
    let log = open(&disk, true);
    fill(&log, 200).await;
    keep_up(&log);
    log.close().await;
    for name in packed(&disk) {
        let file = disk.open(&name).unwrap();
        let whole = read_exact_at(&*file, 0, file.size().unwrap() as usize).unwrap();
        let unpacked = || {
            let opened = PackedFile::open(disk.open(&name).unwrap()).unwrap();
            read_exact_at(&opened, 0, opened.size().unwrap() as usize).unwrap()
        };
        let expected = unpacked();
        for _ in 0..40 {
            let at = rng.usize(..whole.len());
            file.write_at(&[whole[at] ^ (1 << rng.u8(..8))], at as u64).unwrap();
            let found =
                Archive::open(Arc::new(disk.clone())).map(|archive| archive.unwrap().verify().unwrap());
            let noticed = found.is_err() || !found.unwrap().damage.is_empty();
            // Where a text repeats itself, there is more than one way to say what is copied from where.
            assert!(noticed || unpacked() == expected, "byte {at} of {name}");
            file.write_at(&whole, 0).unwrap();
        }
    }
}
