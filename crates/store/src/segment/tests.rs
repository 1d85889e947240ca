use super::disk::read_to_end_at;
use super::files::INDEX;
use super::*;
use crate::log::{Event, Metadata, NewEvent};
use bytes::Bytes;
use tenon_core::retention::Retention;
use tenon_core::{Actor, Code, EventId, EventType, Namespace, StreamName, Tag, Timestamp};

const GOLDEN: &str = include_str!("../../fixtures/segment-v1.hex");

fn options(segment_bytes: u64) -> SegmentOptions {
    SegmentOptions { segment_bytes, ..SegmentOptions::default() }
}

fn open(disk: &SimDisk, segment_bytes: u64) -> Result<(SegmentLog, OpenReport), OpenError> {
    SegmentLog::open_with(Arc::new(disk.clone()), options(segment_bytes))
}

fn event(stream: &str, bytes: usize) -> NewEvent {
    NewEvent::new(
        Namespace::default(),
        StreamName::new(stream).unwrap(),
        EventType::new("test.Happened.v1").unwrap(),
        Bytes::from(vec![7; bytes]),
    )
}

async fn read(log: &SegmentLog, query: Query) -> Vec<Event> {
    let page = log.read(query, Position::START, Direction::Forward, 1_000).await.unwrap();
    assert!(page.at_end);
    page.events
}

/// The log whose first segment is the committed fixture.
fn golden_options() -> SegmentOptions {
    let clock: Clock = Arc::new(|| Timestamp::from_micros(1_772_366_400_000_250));
    SegmentOptions { id: Some(LogId::from_bytes([0x1d; 16])), clock, ..options(1_536) }
}

/// The appends of the fixture; they use every field.
fn golden_appends() -> [Vec<NewEvent>; 2] {
    let id = |n| EventId::from_time(1_772_366_400_000, [n; 10]);
    let full = NewEvent {
        id: id(1),
        namespace: Namespace::new("shop").unwrap(),
        stream: StreamName::new("order-1").unwrap(),
        event_type: EventType::new("shop.orders.OrderPlaced.v1").unwrap(),
        tags: [Tag::new("order:1").unwrap(), Tag::new("customer:2").unwrap()].into(),
        data: Bytes::from_static(br#"{"total":"12.50"}"#),
        metadata: Metadata {
            actor: Some(Actor::new("cli:ada").unwrap()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            causation: Some(id(9)),
            correlation: Some("checkout-7".into()),
            other: [("region".into(), "eu".into()), ("app".into(), "web".into())].into(),
        },
    };
    let plain = |n, stream| NewEvent { id: id(n), ..event(stream, 3) };
    [vec![full, plain(2, "order-2")], vec![plain(3, "$tenon/registry")]]
}

async fn write_golden(disk: &SimDisk) {
    let (log, _) = SegmentLog::open_with(Arc::new(disk.clone()), golden_options()).unwrap();
    for events in golden_appends() {
        log.append(events, None).await.unwrap();
    }
    log.close().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn file(disk: &SimDisk, name: &str) -> Vec<u8> {
    read_to_end_at(&*disk.open(name).unwrap(), 0).unwrap()
}

fn put(disk: &SimDisk, name: &str, bytes: &[u8]) {
    disk.create(name).unwrap().write_at(bytes, 0).unwrap();
}

fn disk_with(name: &str, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    put(&disk, name, bytes);
    disk
}

const FIRST: &str = "00000000000000000001.seg";

#[tokio::test]
async fn a_log_of_version_1_is_read() {
    let disk = disk_with(FIRST, &unhex(GOLDEN));
    let (log, report) = open(&disk, 1_536).unwrap();
    assert_eq!((report.log, report.head, report.cut), (LogId::from_bytes([0x1d; 16]), Position(3), None));
    let events = read(&log, Query::everything()).await;
    let expected: Vec<Event> = golden_appends()
        .into_iter()
        .flatten()
        .zip(1..)
        .map(|(new, position)| {
            new.into_event(Position(position), Timestamp::from_micros(1_772_366_400_000_250))
        })
        .collect();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn version_1_is_written_to_the_byte() {
    let disk = SimDisk::new(1);
    write_golden(&disk).await;
    let written = hex(&file(&disk, FIRST));
    assert_eq!(written, GOLDEN, "the format has changed: old logs would not be readable");
}

#[tokio::test]
async fn a_newer_version_is_refused() {
    let disk = SimDisk::new(1);
    write_golden(&disk).await;
    let mut bytes = file(&disk, FIRST);
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..92]);
    bytes[92..96].copy_from_slice(&checksum.to_le_bytes());
    let error = open(&disk_with(FIRST, &bytes), 1_536).unwrap_err();
    assert!(matches!(error, OpenError::NewerVersion { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(error.code(), Code::DataNewerVersion);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_reported() {
    let disk = SimDisk::new(1);
    write_golden(&disk).await;
    let whole = file(&disk, FIRST);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    // What a crash may leave of another group: its beginning, with a hole.
    let mut torn = whole.clone();
    torn.copy_within(160..400, end + 64);
    let disk = disk_with(FIRST, &torn);
    let (log, report) = open(&disk, 1_536).unwrap();
    let cut = report.cut.unwrap();
    assert_eq!((cut.file.as_str(), cut.after), (FIRST, Position(3)));
    assert!(cut.offset as usize <= end + 64 && cut.bytes >= 240, "{cut:?}");
    assert_eq!(read(&log, Query::everything()).await.len(), 3);
    // Nothing of it may come back when later batches happen to end where one of its batches begins.
    let behind_mark = cut.offset as usize + format::BATCH_HEADER;
    assert!(file(&disk, FIRST)[behind_mark..].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn damage_to_what_was_durable_is_refused_with_its_position() {
    let disk = SimDisk::new(1);
    write_golden(&disk).await;
    let mut bytes = file(&disk, FIRST);
    // In the payload of the first append, which the batch after it says was durable.
    bytes[300] ^= 1;
    let error = open(&disk_with(FIRST, &bytes), 1_536).unwrap_err();
    assert!(matches!(&error, OpenError::Corrupt(damage) if damage.after == Position::START), "{error:?}");
    assert_eq!(error.code(), Code::LogCorrupt);
}

#[tokio::test]
async fn a_missing_segment_is_noticed() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for _ in 0..10 {
        log.append(vec![event("a", 300)], None).await.unwrap();
    }
    log.close().await;
    drop(log);
    for missing in ["00000000000000000002.seg", FIRST] {
        let bytes = file(&disk, missing);
        disk.remove(missing).unwrap();
        assert!(matches!(open(&disk, 1_024), Err(OpenError::Corrupt(damage)) if damage.file == missing));
        put(&disk, missing, &bytes);
    }
    open(&disk, 1_024).unwrap();
}

#[tokio::test]
async fn damage_to_a_sealed_segment_is_found_when_it_is_read_or_at_once_if_asked_for() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for _ in 0..10 {
        log.append(vec![event("a", 300)], None).await.unwrap();
    }
    log.close().await;
    let mut bytes = file(&disk, FIRST);
    bytes[400] ^= 1;
    put(&disk, FIRST, &bytes);
    let (log, _) = open(&disk, 1_024).unwrap();
    let error = log.read(Query::user(), Position::START, Direction::Forward, 10).await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt(damage) if damage.file == FIRST));
    log.close().await;
    let verify = SegmentOptions { verify: true, ..options(1_024) };
    let error = SegmentLog::open_with(Arc::new(disk), verify).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn an_index_that_is_lost_or_damaged_is_made_anew() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for n in 0..20 {
        log.append(vec![event(["a", "b", "c"][n % 3], 200)], None).await.unwrap();
    }
    let of_b = read(&log, Query::stream(Namespace::default(), StreamName::new("b").unwrap())).await;
    while upkeep::step(&log.inner.segments, &AtomicBool::new(false)).unwrap() {}
    log.close().await;
    let indexes: Vec<String> =
        disk.list().unwrap().into_iter().filter(|name| name.ends_with(INDEX)).collect();
    assert!(indexes.len() > 3, "{indexes:?}");
    disk.remove(&indexes[0]).unwrap();
    put(&disk, &indexes[1], b"not an index");
    let mut flipped = file(&disk, &indexes[2]);
    flipped[100] ^= 1;
    put(&disk, &indexes[2], &flipped);
    for keys in disk.list().unwrap().iter().filter(|name| name.ends_with(files::KEYS)) {
        let mut flipped = file(&disk, keys);
        let at = flipped.len() / 2;
        flipped[at] ^= 1;
        put(&disk, keys, &flipped);
    }
    let (log, _) = open(&disk, 1_024).unwrap();
    let query = Query::stream(Namespace::default(), StreamName::new("b").unwrap());
    assert_eq!(read(&log, query).await, of_b);
}

#[tokio::test]
async fn a_full_disk_refuses_appends_and_the_log_goes_on_when_there_is_room() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 2_048).unwrap();
    log.append(vec![event("a", 100)], None).await.unwrap();
    disk.set_faults(SimFaults { capacity: disk.used(), ..SimFaults::default() });
    let mut kept = 1;
    let error = loop {
        match log.append(vec![event("a", 100)], None).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Full), "{error}");
    assert_eq!(read(&log, Query::user()).await.len(), kept);
    disk.set_faults(SimFaults::default());
    log.append(vec![event("a", 100)], None).await.unwrap();
    log.close().await;
    drop(log);
    disk.crash();
    let (log, _) = open(&disk, 2_048).unwrap();
    assert_eq!(read(&log, Query::user()).await.len(), kept + 1);
}

#[tokio::test]
async fn a_full_disk_does_not_keep_a_log_from_being_opened_and_read() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for _ in 0..10 {
        log.append(vec![event("a", 300)], None).await.unwrap();
    }
    log.close().await;
    drop(log);
    disk.set_faults(SimFaults { capacity: disk.used(), ..SimFaults::default() });
    let (log, _) = open(&disk, 1_024).unwrap();
    assert_eq!(read(&log, Query::user()).await.len(), 10);
}

#[tokio::test]
async fn a_failed_sync_closes_the_writer_for_good_and_reading_goes_on() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1 << 16).unwrap();
    log.append(vec![event("a", 10)], None).await.unwrap();
    disk.set_faults(SimFaults { failed_syncs: 1_000, ..SimFaults::default() });
    let error = log.append(vec![event("a", 10)], None).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error}");
    disk.set_faults(SimFaults::default());
    for _ in 0..2 {
        let error = log.append(vec![event("a", 10)], None).await.unwrap_err();
        assert!(matches!(error, AppendError::Closed(_)), "{error}");
    }
    assert_eq!(read(&log, Query::user()).await.len(), 1);
    assert_eq!(log.head(), Position(1));
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1 << 16).unwrap();
    log.close().await;
    assert!(matches!(log.append(vec![event("a", 1)], None).await, Err(AppendError::Closed(_))));
    let read = log.read(Query::user(), Position::START, Direction::Forward, 1).await;
    assert!(matches!(read, Err(ReadError::Closed)));
    log.close().await;
}

#[tokio::test]
async fn many_appends_in_flight_share_syncs_and_all_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (log, report) = SegmentLog::open(folder.path()).unwrap();
    assert!(report.created);
    let appends: Vec<_> = (0..2_000)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.append(vec![event("a", 50)], None).await.unwrap().last() })
        })
        .collect();
    let mut positions = std::collections::BTreeSet::new();
    for append in appends {
        positions.insert(append.await.unwrap());
    }
    assert_eq!(
        positions.into_iter().map(|position| position.0).collect::<Vec<_>>(),
        (1..=2_000).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_the_log_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = SegmentLog::open(folder.path()).unwrap();
    let error = SegmentLog::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { owner, .. } if owner == Some(std::process::id())), "{error}");
    assert_eq!(error.code(), Code::LogLocked);
    log.close().await;
    drop(log);
    let (_, report) = SegmentLog::open(folder.path()).unwrap();
    assert!(!report.created);
}

#[tokio::test]
async fn scavenging_gives_space_back() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 65_536).unwrap();
    for n in 0..800 {
        let stream = if n % 10 == 0 { "$tenon/registry" } else { "a" };
        log.append(vec![event(stream, 400)], None).await.unwrap();
    }
    let before = disk.used();
    log.truncate_before(Position(796)).await.unwrap();
    assert!(disk.used() < before / 2, "{} of {before} bytes are left", disk.used());
    assert_eq!(read(&log, Query::reserved()).await.len(), 80);
}

#[tokio::test]
async fn what_is_more_than_is_to_be_kept_is_forgotten_when_a_segment_is_full() {
    let disk = SimDisk::new(1);
    let retention = Retention { age: None, bytes: Some(40_000) };
    let options = SegmentOptions { retention, ..options(16_384) };
    let (log, _) = SegmentLog::open_with(Arc::new(disk.clone()), options).unwrap();
    for n in 0..400 {
        let stream = if n % 10 == 0 { "$tenon/registry" } else { "a" };
        log.append(vec![event(stream, 400)], None).await.unwrap();
    }
    assert!(log.first() > Position(200), "the mark is at {}", log.first());
    assert_eq!(read(&log, Query::reserved()).await.len(), 40);
    scavenge::scavenge(&log.inner.segments).unwrap();
    let kept = disk.list().unwrap().iter().filter(|name| name.ends_with(".seg")).count();
    assert!(kept <= 6, "{kept} segments are left as they were");
}

#[tokio::test]
async fn damage_is_found_while_nobody_asks() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for _ in 0..10 {
        log.append(vec![event("a", 300)], None).await.unwrap();
    }
    let segments = Arc::clone(&log.inner.segments);
    let mut turn = 0;
    (0..10).for_each(|_| segments.scrub(&mut turn).unwrap());
    assert_eq!(log.known_damage(), []);
    let mut bytes = file(&disk, FIRST);
    bytes[400] ^= 1;
    disk.open(FIRST).unwrap().write_at(&bytes, 0).unwrap();
    (0..10).for_each(|_| segments.scrub(&mut turn).unwrap());
    assert!(matches!(log.known_damage().as_slice(), [damage] if damage.file == FIRST));
}

#[tokio::test]
async fn what_has_been_scavenged_stays_before_the_mark_even_if_the_mark_is_lost() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1_024).unwrap();
    for _ in 0..9 {
        log.append(vec![event("a", 300)], None).await.unwrap();
    }
    log.truncate_before(Position(10)).await.unwrap();
    log.close().await;
    let names = disk.list().unwrap();
    let active = names.iter().rfind(|name| name.ends_with(".seg")).unwrap();
    let scavenged = names.iter().filter(|name| name.ends_with(".kept")).count() as u64;
    // All batches of the last segment are lost, and with them those that carry the mark.
    let mut bytes = file(&disk, active);
    bytes[format::SEGMENT_HEADER..].fill(0);
    put(&disk, active, &bytes);
    let (log, report) = open(&disk, 1_024).unwrap();
    assert!(scavenged > 0 && log.first() > Position(scavenged), "{scavenged} segments, mark {}", log.first());
    assert_eq!(log.first(), Position(report.head.0 + 1));
}

#[tokio::test]
async fn a_damaged_snapshot_is_none() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, 1 << 16).unwrap();
    log.append(vec![event("a", 1)], None).await.unwrap();
    let (key, schema) = (SnapshotKey::new("counter").unwrap(), SchemaHash(7));
    let data = Bytes::from_static(b"state");
    let snapshot = Snapshot { key: key.clone(), position: Position(1), schema, data };
    log.put_snapshot(snapshot.clone()).await.unwrap();
    assert_eq!(log.snapshot(key.clone(), schema).await.unwrap(), Some(snapshot));
    disk.flip_bit(".snapshot").unwrap();
    assert_eq!(log.snapshot(key, schema).await.unwrap(), None);
}
