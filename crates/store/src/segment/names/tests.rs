use super::*;
use crate::log::{Log, NewEvent, Scope, StreamRef, StreamsQuery};
use crate::segment::disk::{Disk, read_to_end_at};
use crate::segment::{SegmentLog, SegmentOptions, SimDisk, upkeep};
use bytes::Bytes;
use std::collections::BTreeMap;
use tenon_core::{EventType, Namespace, StreamName};

/// A log of small segments, and what its list should be.
struct Fixture {
    disk: SimDisk,
    log: SegmentLog,
    expected: BTreeMap<StreamRef, Position>,
}

fn open(disk: &SimDisk) -> SegmentLog {
    let options = SegmentOptions { segment_bytes: 4_096, ..SegmentOptions::default() };
    SegmentLog::open_with(Arc::new(disk.clone()), options).unwrap().0
}

fn everything() -> StreamsQuery {
    StreamsQuery { scope: Scope::All, namespace: None, prefix: None, after: None }
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        Self { log: open(&disk), disk, expected: BTreeMap::new() }
    }

    async fn fill(&mut self, rng: &mut fastrand::Rng, count: u32) {
        for _ in 0..count {
            let namespace = Namespace::new(["a", "a-b", "b"][rng.usize(..3)]).unwrap();
            let stream = StreamName::new(&format!("order/{}", rng.u32(..200))).unwrap();
            let name = StreamRef { namespace: namespace.clone(), stream: stream.clone() };
            let event = if rng.u32(..10) == 0 {
                NewEvent::deletion(namespace, stream)
            } else {
                let event_type = EventType::new("test.Done.v1").unwrap();
                NewEvent::new(namespace, stream, event_type, Bytes::from(vec![7; 100]))
            };
            let deleted = event.is_deletion();
            let at = self.log.append(vec![event], None).await.unwrap().last();
            self.expected.insert(name.clone(), at);
            if deleted {
                self.expected.remove(&name);
            }
        }
    }

    /// Writes and merges lists until nothing is due.
    fn keep_up(&self) {
        while upkeep::step(&self.log.inner.segments, &AtomicBool::new(false)).unwrap() {}
    }

    async fn check(&self, query: StreamsQuery, limit: usize) {
        let mut query = query;
        let wanted = |name: &StreamRef| query.covers(name.namespace.as_str(), &name.stream);
        let expected: Vec<_> = self
            .expected
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, at)| (name.clone(), *at))
            .collect();
        let mut found = Vec::new();
        loop {
            let page = self.log.streams(query.clone(), limit).await.unwrap();
            found.extend(page.streams.into_iter().map(|listed| (listed.name, listed.last)));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    }

    async fn check_all(&self) {
        self.check(everything(), 1_000).await;
        self.check(everything(), 7).await;
        let some = StreamsQuery::within(Namespace::new("a").unwrap());
        self.check(some.clone(), 10).await;
        self.check(StreamsQuery { prefix: Some(StreamName::new("order/1").unwrap()), ..some }, 3).await;
    }

    fn lists(&self) -> Vec<String> {
        self.disk.list().unwrap().into_iter().filter(|name| name.ends_with(NAMES)).collect()
    }
}

#[tokio::test]
async fn lists_are_the_same_with_files_and_without() {
    let (mut fixture, mut rng) = (Fixture::new(), fastrand::Rng::with_seed(7));
    for _ in 0..4 {
        fixture.fill(&mut rng, 300).await;
        fixture.check_all().await;
        fixture.keep_up();
        fixture.check_all().await;
        fixture.log.close().await;
        fixture.log = open(&fixture.disk);
        fixture.check_all().await;
    }
    let segments = fixture.log.inner.segments.view().sealed.len();
    let lists = fixture.lists().len();
    assert!(segments > 64 && lists < 24, "{lists} lists of {segments} segments");
}

#[tokio::test]
async fn a_damaged_list_is_made_anew() {
    let (mut fixture, mut rng) = (Fixture::new(), fastrand::Rng::with_seed(8));
    fixture.fill(&mut rng, 500).await;
    fixture.keep_up();
    for name in fixture.lists() {
        let file = fixture.disk.open(&name).unwrap();
        let len = read_to_end_at(&*file, 0).unwrap().len() as u64;
        file.write_at(&[0xff], rng.u64(..len)).unwrap();
    }
    fixture.log.close().await;
    fixture.log = open(&fixture.disk);
    fixture.check_all().await;
    fixture.keep_up();
    fixture.check_all().await;
}

#[tokio::test]
async fn what_has_no_list_yet_is_looked_through_within_bounds() {
    let (mut fixture, mut rng) = (Fixture::new(), fastrand::Rng::with_seed(9));
    fixture.fill(&mut rng, 400).await;
    let segments = &fixture.log.inner.segments;
    // Files of a view may be merged and gone before they are read; then it is looked at anew, as a reader does.
    let page = loop {
        let view = segments.view();
        let bare = View { names: Arc::default(), ..view.clone() };
        match list::list_of(segments, &bare, &everything(), 5, 3) {
            Err(_) if !view.is(&segments.view()) => {}
            page => break page.unwrap(),
        }
    };
    let expected: Vec<_> = fixture.expected.keys().take(page.streams.len()).cloned().collect();
    assert_eq!(page.streams.iter().map(|listed| listed.name.clone()).collect::<Vec<_>>(), expected);
    assert!(page.next.is_some() && page.streams.len() <= 5);
}
