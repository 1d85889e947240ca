//! A log goes from files to a database and back.

use super::{event, name, open};
use crate::postgres::migrate::{MigrateError, migrate};
use crate::testing;
use std::sync::Arc;
use tenon_core::{Namespace, Position};
use tenon_store::log::whole::Whole;
use tenon_store::segment::import;
use tenon_store::{DirectoryDisk, Event, Log, SegmentLog};

async fn all(log: &Arc<dyn Log>) -> Vec<Event> {
    let mut whole = Whole::new(Arc::clone(log));
    let mut events = Vec::new();
    while let Some(more) = whole.next().await.unwrap() {
        events.extend(more);
    }
    events
}

#[tokio::test]
async fn a_log_is_the_same_in_a_database_and_in_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let (source, _) = SegmentLog::open(&folder.path().join("source")).unwrap();
    let source = source.into_log();
    for number in 0..1_500 {
        let streams = [["a", "b", "$tenon/c"][number % 3], "d"];
        source.append(streams.map(event).to_vec(), None).await.unwrap();
    }
    source.truncate_before(Position(101)).await.unwrap();
    source.delete_stream(Namespace::default(), name("d"), None).await.unwrap();
    let (url, expected) = (testing::shared().database(), all(&source).await);
    let imported = migrate(&source, &url).await.unwrap();
    assert_eq!((imported.events, imported.head), (expected.len() as u64, source.head()));
    let database = open(&url).await.into_log();
    let ends = |log: &Arc<dyn Log>| (log.id(), log.head(), log.first());
    assert_eq!(ends(&database), ends(&source));
    assert_eq!(all(&database).await, expected);
    let error = migrate(&source, &url).await.unwrap_err();
    assert!(matches!(error, MigrateError::NotEmpty(_)), "{error}");
    assert_eq!(all(&database).await, expected);
    let disk = DirectoryDisk::open(&folder.path().join("again")).unwrap();
    import::import(&database, &disk).await.unwrap();
    drop(disk);
    let again = SegmentLog::open(&folder.path().join("again")).unwrap().0.into_log();
    assert_eq!(ends(&again), ends(&source));
    assert_eq!(all(&again).await, expected);
}
