use super::*;
use crate::log::{Direction, NewEvent, Query};
use crate::memory::MemoryLog;
use crate::segment::offline::Archive;
use crate::segment::{SegmentLog, SimDisk};
use bytes::Bytes;
use tenon_core::{EventType, Namespace, StreamName};

fn event(stream: &str) -> NewEvent {
    let (stream, event_type) = (StreamName::new(stream).unwrap(), EventType::new("test.Done.v1").unwrap());
    NewEvent::new(Namespace::default(), stream, event_type, Bytes::from(vec![7; 200]))
}

fn open(disk: &SimDisk) -> Arc<dyn Log> {
    SegmentLog::open_with(Arc::new(disk.clone()), SegmentOptions::default()).unwrap().0.into_log()
}

async fn all(log: &Arc<dyn Log>) -> Vec<Event> {
    let mut whole = Whole::new(Arc::clone(log));
    let mut events = Vec::new();
    while let Some(more) = whole.next().await.unwrap() {
        events.extend(more);
    }
    events
}

#[tokio::test]
async fn a_log_is_the_same_in_segment_files() {
    let source = MemoryLog::default().into_log();
    for number in 0..600 {
        source.append(vec![event(["a", "b", "$tenon/c"][number % 3]), event("d")], None).await.unwrap();
    }
    source.truncate_before(Position(101)).await.unwrap();
    source.delete_stream(Namespace::default(), StreamName::new("d").unwrap(), None).await.unwrap();
    let (disk, expected) = (SimDisk::new(1), all(&source).await);
    let imported = import(&source, &disk).await.unwrap();
    assert_eq!((imported.events, imported.head), (expected.len() as u64, source.head()));
    disk.crash();
    assert!(Archive::open(Arc::new(disk.clone())).unwrap().unwrap().verify().unwrap().damage.is_empty());
    let log = open(&disk);
    assert_eq!((log.id(), log.head(), log.first()), (source.id(), source.head(), source.first()));
    assert_eq!(all(&log).await, expected);
    let of_a = Query::stream(Namespace::default(), StreamName::new("a").unwrap());
    let read = |log: Arc<dyn Log>| {
        let of_a = of_a.clone();
        async move { log.read(of_a, crate::log::END, Direction::Backward, 7).await.unwrap() }
    };
    assert_eq!(read(Arc::clone(&log)).await.events, read(source).await.events);
    let appended = log.append(vec![event("a")], None).await.unwrap();
    assert_eq!(appended.last(), Position(imported.head.0 + 1));
    // There is a log now.
    assert!(matches!(import(&log, &disk).await, Err(ImportError::Write(_))));
}

#[tokio::test]
async fn an_empty_log_is_one_too() {
    let (disk, source) = (SimDisk::new(1), MemoryLog::default().into_log());
    import(&source, &disk).await.unwrap();
    let log = open(&disk);
    assert_eq!((log.id(), log.head()), (source.id(), Position::START));
    assert_eq!(log.append(vec![event("a")], None).await.unwrap().last(), Position(1));
}
