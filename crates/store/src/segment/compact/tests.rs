use super::*;
use crate::log::{Event, Log, NewEvent};
use crate::segment::offline::Archive;
use crate::segment::run::Source;
use crate::segment::{Disk, SegmentLog, SegmentOptions, SimDisk, backup};
use bytes::Bytes;
use tenon_core::{EventType, Namespace, StreamName};

static NEVER: AtomicBool = AtomicBool::new(false);

fn event(stream: &str) -> NewEvent {
    let (stream, event_type) = (name(stream), EventType::new("test.Done.v1").unwrap());
    NewEvent::new(Namespace::default(), stream, event_type, Bytes::from(vec![7; 200]))
}

fn name(stream: &str) -> StreamName {
    StreamName::new(stream).unwrap()
}

fn open(disk: &SimDisk) -> SegmentLog {
    let options = SegmentOptions { segment_bytes: 4_096, ..SegmentOptions::default() };
    SegmentLog::open_with(Arc::new(disk.clone()), options).unwrap().0
}

async fn append(log: &SegmentLog, count: usize) {
    for number in 0..count {
        log.append(vec![event(["a", "b"][number % 2])], None).await.unwrap();
    }
}

async fn delete(log: &SegmentLog, stream: &str) {
    log.append(vec![NewEvent::deletion(Namespace::default(), name(stream))], None).await.unwrap();
}

async fn all(log: &SegmentLog) -> Vec<Event> {
    log.read(Query::everything(), Position::START, Direction::Forward, 1_000).await.unwrap().events
}

fn waiting(log: &SegmentLog) -> usize {
    log.inner.segments.view().deleted.len()
}

#[tokio::test]
async fn the_space_of_a_deleted_stream_is_given_back_and_the_rest_stays() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 200).await;
    delete(&log, "a").await;
    append(&log, 40).await;
    let before = all(&log).await;
    // The upkeep thread may have begun; whoever does it, it is done then.
    assert!(pass(&log.inner.segments, &NEVER).unwrap());
    assert_eq!(all(&log).await, before);
    let left = Archive::open(Arc::new(disk.clone())).unwrap().unwrap().verify().unwrap();
    assert_eq!((left.events, left.damage.len()), (before.len() as u64, 0), "nothing else is on disk");
    assert_eq!(waiting(&log), 0);
    let of_a = Query::stream(Namespace::default(), name("a"));
    let page = log.read(of_a, Position::START, Direction::Forward, 100).await.unwrap();
    assert!(page.events[0].is_deletion());
    assert_eq!(page.events.len(), 21);
    log.close().await;
    disk.crash();
    let log = open(&disk);
    assert_eq!((all(&log).await, waiting(&log)), (before, 0));
}

#[tokio::test]
async fn a_segment_may_be_compacted_again_and_scavenged_at_last() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    append(&log, 100).await;
    for stream in ["a", "b", "a"] {
        delete(&log, stream).await;
        append(&log, 40).await;
        pass(&log.inner.segments, &NEVER).unwrap();
    }
    let names = disk.list().unwrap();
    let numbers: Vec<_> =
        names.iter().filter_map(|name| files::form(name)).map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each segment is there once");
    assert!(names.iter().any(|name| name.ends_with(files::LESS)));
    log.truncate_before(Position(200)).await.unwrap();
    let left = log.read(Query::user(), Position(199), Direction::Forward, 100).await.unwrap().events;
    log.close().await;
    let log = open(&disk);
    assert_eq!(log.read(Query::user(), Position(199), Direction::Forward, 100).await.unwrap().events, left);
    assert_eq!(log.first(), Position(200));
}

#[tokio::test]
async fn a_note_of_other_segments_is_not_believed() {
    let (disk, copy) = (SimDisk::new(1), SimDisk::new(2));
    let log = open(&disk);
    append(&log, 100).await;
    let archive = |disk: &SimDisk| Archive::open(Arc::new(disk.clone())).unwrap().unwrap();
    backup::back_up(&archive(&disk), &copy).unwrap();
    delete(&log, "a").await;
    append(&log, 40).await;
    pass(&log.inner.segments, &NEVER).unwrap();
    let expected = all(&log).await;
    let less = disk.list().unwrap().into_iter().find(|name| name.ends_with(files::LESS)).unwrap();
    log.close().await;
    // Somebody puts a segment back as it was.
    let (number, _) = files::form(&less).unwrap();
    let whole = files::segment(number, files::SEGMENT);
    let bytes = crate::segment::disk::read_to_end_at(&*copy.open(&whole).unwrap(), 0).unwrap();
    disk.remove(&less).unwrap();
    disk.create(&whole).unwrap().write_at(&bytes, 0).unwrap();
    let log = open(&disk);
    assert_eq!(all(&log).await, expected);
}

#[tokio::test]
async fn a_copy_of_a_compacted_log_is_brought_up_to_date() {
    let (disk, copy, restored) = (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    let archive = |disk: &SimDisk| Archive::open(Arc::new(disk.clone())).unwrap().unwrap();
    let log = open(&disk);
    append(&log, 100).await;
    backup::back_up(&archive(&disk), &copy).unwrap();
    delete(&log, "a").await;
    append(&log, 40).await;
    pass(&log.inner.segments, &NEVER).unwrap();
    backup::back_up(&archive(&disk), &copy).unwrap();
    let expected = all(&log).await;
    assert!(archive(&copy).verify().unwrap().damage.is_empty());
    backup::restore(&archive(&copy), &restored, crate::log::new_log_id()).unwrap();
    let log = open(&restored);
    assert_eq!(all(&log).await, expected);
}

/// Whether the keys of each segment whose index is in memory are those of that index.
fn is_of_one_piece(view: &View) -> bool {
    view.sealed.iter().zip(1..).all(|(sealed, sequence)| {
        let Some(index) = sealed.in_memory() else { return true };
        let run = view.runs.iter().find(|run| (run.first..=run.last).contains(&sequence)).unwrap();
        matches!(&run.source, Source::Memory(keys) if Arc::ptr_eq(keys, &index))
    })
}

#[tokio::test]
async fn no_reader_sees_the_keys_of_one_file_beside_another() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let (stop, segments) = (Arc::new(AtomicBool::new(false)), Arc::clone(&log.inner.segments));
    let stopped = Arc::clone(&stop);
    let reader = std::thread::spawn(move || {
        let mut odd = 0;
        while !stopped.load(Ordering::Relaxed) {
            odd += u32::from(!is_of_one_piece(&segments.view()));
        }
        odd
    });
    for _ in 0..20 {
        append(&log, 20).await;
        delete(&log, "a").await;
        append(&log, 20).await;
        pass(&log.inner.segments, &NEVER).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(reader.join().unwrap(), 0);
}
