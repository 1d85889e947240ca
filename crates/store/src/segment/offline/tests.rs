use super::*;
use crate::log::{Direction, Log, NewEvent, Query};
use crate::segment::backup::{back_up, restore};
use crate::segment::{SegmentLog, SegmentOptions, SimDisk};
use std::collections::BTreeMap;
use tenon_core::{EventType, Namespace, StreamName};

fn event(stream: &str) -> NewEvent {
    let (stream, event_type) = (StreamName::new(stream).unwrap(), EventType::new("test.Done.v1").unwrap());
    NewEvent::new(Namespace::default(), stream, event_type, Bytes::from(vec![7; 200]))
}

fn open(disk: &SimDisk) -> SegmentLog {
    let options = SegmentOptions { segment_bytes: 2_048, ..SegmentOptions::default() };
    SegmentLog::open_with(Arc::new(disk.clone()), options).unwrap().0
}

async fn append(log: &SegmentLog, count: usize) {
    for number in 0..count {
        log.append(vec![event(["a", "$tenon/b"][number % 2])], None).await.unwrap();
    }
}

fn archive(disk: &SimDisk) -> Archive {
    Archive::open(Arc::new(disk.clone())).unwrap().unwrap()
}

async fn all(log: &SegmentLog) -> Vec<Event> {
    log.read(Query::everything(), Position::START, Direction::Forward, 1_000).await.unwrap().events
}

#[tokio::test]
async fn a_log_in_use_is_verified_and_its_events_are_visited() {
    let disk = SimDisk::new(1);
    assert!(Archive::open(Arc::new(disk.clone())).unwrap().is_none());
    let log = open(&disk);
    append(&log, 40).await;
    let found = archive(&disk).verify().unwrap();
    assert_eq!(
        (found.events, found.head, found.damage.as_slice(), found.torn),
        (40, Position(40), [].as_slice(), 0)
    );
    let stat = archive(&disk).stat().unwrap();
    assert_eq!((stat.log, stat.segments), (log.id(), found.segments));
    let mut visited = Vec::new();
    archive(&disk)
        .events(Position(10), |event| {
            visited.push(event);
            visited.len() < 20
        })
        .unwrap();
    assert_eq!(visited, all(&log).await[10..30]);
}

#[tokio::test]
async fn damage_is_found_with_its_place_and_what_is_before_it_is_visited() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 40).await;
    log.close().await;
    let name = "00000000000000000003.seg";
    let mut bytes = read_to_end_at(&*disk.open(name).unwrap(), 0).unwrap();
    bytes[500] ^= 1;
    disk.create(name).unwrap().write_at(&bytes, 0).unwrap();
    let found = archive(&disk).verify().unwrap();
    let [damage] = found.damage.as_slice() else { panic!("{found:?}") };
    assert_eq!(damage.file, name);
    assert!(damage.offset <= 500 && damage.after > Position::START, "{damage}");
    let mut last = Position::START;
    let error = archive(&disk).events(Position::START, |event| {
        last = event.position;
        true
    });
    assert!(matches!(error, Err(OpenError::Corrupt(found)) if found == *damage));
    assert_eq!(last, damage.after);
}

#[tokio::test]
async fn a_copy_is_brought_up_to_date_and_a_log_is_made_of_it() {
    let (disk, copy) = (SimDisk::new(1), SimDisk::new(2));
    let log = open(&disk);
    let mut done = 0;
    for (appended, scavenge) in [(1, false), (30, false), (30, true), (3, false)] {
        append(&log, appended).await;
        done += appended as u64;
        if scavenge {
            log.truncate_before(Position(21)).await.unwrap();
        }
        let copied = back_up(&archive(&disk), &copy).unwrap();
        assert_eq!(copied.head, Position(done));
        assert!(copied.segments >= 1 && copied.segments + copied.present == archive(&disk).segments.len());
        assert_eq!(archive(&copy).verify().unwrap().head, Position(done));
    }
    let before = back_up(&archive(&disk), &copy).unwrap();
    assert_eq!(before.segments, 1, "only the last one is copied again");
    let expected = log.read(Query::user(), Position(20), Direction::Forward, 1_000).await.unwrap().events;
    let tenons =
        log.read(Query::reserved(), Position::START, Direction::Forward, 1_000).await.unwrap().events;
    let restored = SimDisk::new(3);
    let id = crate::log::new_log_id();
    restore(&archive(&copy), &restored, id).unwrap();
    assert!(restore(&archive(&copy), &restored, id).is_err(), "there is a log already");
    restored.crash();
    let again = open(&restored);
    assert_eq!((again.id(), again.head(), again.first()), (id, log.head(), Position(21)));
    let read = again.read(Query::user(), Position(20), Direction::Forward, 1_000).await.unwrap().events;
    assert_eq!(read, expected);
    let read =
        again.read(Query::reserved(), Position::START, Direction::Forward, 1_000).await.unwrap().events;
    assert_eq!(read, tenons);
    append(&again, 10).await;
    assert_eq!(again.head(), Position(done + 10));
}

#[tokio::test]
async fn a_copy_of_another_log_is_not_written_over() {
    let (one, other, copy) = (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    for disk in [&one, &other] {
        let log = open(disk);
        append(&log, 20).await;
        log.close().await;
    }
    back_up(&archive(&one), &copy).unwrap();
    let error = back_up(&archive(&other), &copy).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    let files = |disk: &SimDisk| -> BTreeMap<String, Vec<u8>> {
        let read = |name: &String| read_to_end_at(&*disk.open(name).unwrap(), 0).unwrap();
        disk.list().unwrap().into_iter().map(|name| (name.clone(), read(&name))).collect()
    };
    let before = files(&copy);
    let _ = back_up(&archive(&other), &copy);
    assert_eq!(files(&copy), before);
}

#[tokio::test]
async fn what_an_interrupted_restore_left_is_no_log() {
    let (disk, copy, broken, target) = (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3), SimDisk::new(4));
    let log = open(&disk);
    append(&log, 40).await;
    log.close().await;
    for copy in [&copy, &broken] {
        back_up(&archive(&disk), copy).unwrap();
    }
    let name = "00000000000000000003.seg";
    let mut bytes = read_to_end_at(&*broken.open(name).unwrap(), 0).unwrap();
    bytes[500] ^= 1;
    broken.create(name).unwrap().write_at(&bytes, 0).unwrap();
    let id = crate::log::new_log_id();
    // It ends after two segments, as if it had been killed there.
    assert!(matches!(restore(&archive(&broken), &target, id), Err(OpenError::Corrupt(_))));
    for _ in 0..2 {
        let opened = SegmentLog::open_with(Arc::new(target.clone()), SegmentOptions::default()).map(|_| ());
        assert!(matches!(opened, Err(OpenError::Unfinished { .. })), "{opened:?}");
        let looked_at = Archive::open(Arc::new(target.clone())).map(|_| ());
        assert!(matches!(looked_at, Err(OpenError::Unfinished { .. })), "{looked_at:?}");
        target.crash();
    }
    restore(&archive(&copy), &target, id).unwrap();
    target.crash();
    assert_eq!(open(&target).head(), Position(40));
    assert!(restore(&archive(&copy), &target, id).is_err(), "there is a log already");
}

#[tokio::test]
async fn a_segment_that_is_written_anew_meanwhile_is_read_as_it_is_then() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 60).await;
    let before = archive(&disk);
    let segments = before.stat().unwrap().segments;
    log.truncate_before(Position(41)).await.unwrap();
    // Of more files than are kept open.
    before.segments.iter().for_each(|(name, _)| before.files.forget(name));
    let now = archive(&disk);
    assert!((now.stat().unwrap().scavenged, before.stat().unwrap().segments) > (0, segments - 1));
    assert_eq!(before.stat().unwrap().segment_bytes, now.stat().unwrap().segment_bytes);
    assert_eq!(before.verify().unwrap(), now.verify().unwrap());
    let visited = |archive: &Archive| {
        let mut events = Vec::new();
        archive.events(Position::START, |event| {
            events.push(event);
            true
        })?;
        Ok::<_, OpenError>(events)
    };
    assert_eq!(visited(&before).unwrap(), visited(&now).unwrap());
    // The copy is of what is there, and goes on from a copy of what was.
    let copy = SimDisk::new(2);
    back_up(&before, &copy).unwrap();
    assert_eq!(archive(&copy).verify().unwrap(), now.verify().unwrap());
    assert_eq!(back_up(&now, &copy).unwrap().segments, 1, "only the last one is copied again");
}
