//! Tenon's log, in process.

use crate::Outcome;
use crate::events::{self, Random};
use crate::report::{self, Latencies, Report};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tenon_core::{EventType, Namespace, Position, StreamName};
use tenon_store::{Condition, Direction, DirectoryDisk, Log, NewEvent, Query, SegmentLog, SegmentOptions};

/// Makes events of the usual form.
struct Maker {
    namespace: Namespace,
    event_type: EventType,
    streams: u64,
}

impl Maker {
    fn new(streams: u64) -> Outcome<Self> {
        Ok(Self { namespace: Namespace::default(), event_type: EventType::new(events::TYPE)?, streams })
    }

    fn event(&self, number: u64, random: &mut Random) -> Outcome<NewEvent> {
        let stream = StreamName::new(&events::stream_of(number, self.streams))?;
        let data = Bytes::from(events::data(random));
        let mut event = NewEvent::new(self.namespace.clone(), stream, self.event_type.clone(), data);
        event.metadata.correlation = Some(events::correlation(random).into());
        Ok(event)
    }
}

/// So many callers, each of which appends one event after the other.
pub(crate) async fn append(
    folder: &Path,
    callers: usize,
    span: Duration,
    streams: u64,
    if_new: bool,
) -> Outcome<Report> {
    let (log, _) = SegmentLog::open(folder)?;
    let report = append_if(&log.clone().into_log(), callers, span, streams, if_new).await;
    log.close().await;
    report
}

/// The same on any log.
pub(crate) async fn append_to(
    log: &Arc<dyn Log>,
    callers: usize,
    span: Duration,
    streams: u64,
) -> Outcome<Report> {
    append_if(log, callers, span, streams, false).await
}

async fn append_if(
    log: &Arc<dyn Log>,
    callers: usize,
    span: Duration,
    streams: u64,
    if_new: bool,
) -> Outcome<Report> {
    let before = log.head().0;
    let (maker, next) = (Arc::new(Maker::new(streams)?), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let callers: Vec<_> = (0..callers as u64)
        .map(|caller| {
            let (log, maker, next) = (Arc::clone(log), Arc::clone(&maker), Arc::clone(&next));
            tokio::spawn(async move {
                let mut random = Random::new(7_777_777 + caller);
                let mut latencies = Latencies::default();
                while begun.elapsed() < span {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut event = maker.event(number, &mut random)?;
                    let mut condition = None;
                    if if_new {
                        event.stream = StreamName::new(&format!("new-{before}-{number}"))?;
                        let (namespace, stream) = (event.namespace.clone(), event.stream.clone());
                        condition = Some(Condition::stream_is_new(namespace, stream));
                    }
                    let at = Instant::now();
                    log.append(vec![event], condition).await?;
                    latencies.add(at.elapsed());
                }
                Outcome::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::default();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    Ok(Report::appended(log.head().0 - before, begun.elapsed(), latencies))
}

/// Appends so many events, `each` in one append, with a few appends in flight, and tells what was written.
pub(crate) async fn fill(
    folder: &Path,
    count: u64,
    each: u64,
    streams: u64,
    in_flight: usize,
) -> Outcome<Report> {
    let (log, _) = SegmentLog::open(folder)?;
    let (maker, next) = (Arc::new(Maker::new(streams)?), Arc::new(AtomicU64::new(0)));
    let (begun, before) = (Instant::now(), report::written());
    let writers: Vec<_> = (0..in_flight as u64)
        .map(|writer| {
            let (log, maker, next) = (log.clone(), Arc::clone(&maker), Arc::clone(&next));
            tokio::spawn(async move {
                let mut random = Random::new(7_777_777 + writer);
                loop {
                    let first = next.fetch_add(each, Ordering::Relaxed);
                    if first >= count {
                        return Outcome::Ok(());
                    }
                    let last = count.min(first + each);
                    let events = (first..last).map(|number| maker.event(number, &mut random));
                    log.append(events.collect::<Outcome<Vec<_>>>()?, None).await?;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    let took = begun.elapsed();
    log.close().await;
    drop(log);
    let mut report = Report::of(count, took);
    report.written = report::written() - before;
    let (sizes, stored) = segments(folder)?;
    report.zeros = sizes;
    report.stored = stored;
    Ok(report)
}

/// The sizes of all segments together, each of which was filled with zeros once; and of what they hold, up to the last
/// byte that is no zero.
fn segments(folder: &Path) -> Outcome<(u64, u64)> {
    let (mut sizes, mut stored) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy().into_owned();
        if name.ends_with(".tmp") {
            sizes += path.metadata()?.len();
        } else if name.ends_with(".seg") {
            let bytes = std::fs::read(&path)?;
            sizes += bytes.len() as u64;
            stored += bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        }
    }
    Ok((sizes, stored))
}

/// Reads everything, page by page.
pub(crate) async fn replay(folder: &Path) -> Outcome<Report> {
    let (log, _) = SegmentLog::open(folder)?;
    let report = replay_of(&log.clone().into_log()).await;
    log.close().await;
    report
}

/// The same of any log.
pub(crate) async fn replay_of(log: &Arc<dyn Log>) -> Outcome<Report> {
    let begun = Instant::now();
    let (mut count, mut bytes, mut from) = (0, 0, Position::START);
    loop {
        let page = log.read(Query::user(), from, Direction::Forward, usize::MAX).await?;
        count += page.events.len() as u64;
        bytes += page.events.iter().map(|event| event.data.len() as u64).sum::<u64>();
        from = page.next;
        if page.at_end {
            break;
        }
    }
    Ok(Report { stored: bytes, ..Report::of(count, begun.elapsed()) })
}

/// Compresses the sealed segments of a log; tells the bytes of all segments before and after.
pub(crate) async fn compress(folder: &Path) -> Outcome<Report> {
    let bytes = |ending: &str| -> Outcome<(usize, u64)> {
        let names = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?.into_iter();
        let sizes = names.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending));
        let sizes = sizes.map(|entry| Ok(entry.metadata()?.len())).collect::<Outcome<Vec<u64>>>()?;
        Ok((sizes.len(), sizes.iter().sum()))
    };
    let (begun, before) = (Instant::now(), bytes(".seg")?.1);
    let options = SegmentOptions { compress_sealed: true, ..SegmentOptions::default() };
    let (log, report) = SegmentLog::open_with(Arc::new(DirectoryDisk::open(folder)?), options)?;
    while bytes(".seg")?.0 > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    log.close().await;
    let mut compressed = Report::of(report.head.0, took);
    (compressed.stored, compressed.written) = (before, bytes(".seg")?.1 + bytes(".lz4")?.1);
    Ok(compressed)
}

/// Opens a log, and tells the time that took and the memory then.
pub(crate) async fn open(folder: &Path) -> Outcome<Report> {
    let begun = Instant::now();
    let (log, report) = SegmentLog::open(folder)?;
    let opened = Report::of(report.head.0, begun.elapsed());
    log.close().await;
    Ok(opened)
}

/// Reads single streams. Cold: each once, soon after opening, so that nothing of it has been read; warm: a hundred streams
/// again and again.
pub(crate) async fn streams(folder: &Path, streams: u64, warm: bool) -> Outcome<Report> {
    let mut random = Random::new(12_345);
    let mut latencies = Latencies::default();
    let (mut count, begun) = (0, Instant::now());
    let (lives, rounds) = if warm { (1, 20) } else { (5, 1) };
    for _ in 0..lives {
        let (log, _) = SegmentLog::open(folder)?;
        let names: Vec<String> = (0..100).map(|_| events::stream_name(random.next() % streams)).collect();
        for round in 0..rounds {
            for name in &names {
                let at = Instant::now();
                count += read_stream(&log, name).await?;
                if !warm || round > 0 {
                    latencies.add(at.elapsed());
                }
            }
        }
        log.close().await;
    }
    Ok(Report::appended(count, begun.elapsed(), latencies))
}

async fn read_stream(log: &SegmentLog, name: &str) -> Outcome<u64> {
    let query = Query::stream(Namespace::default(), StreamName::new(name)?);
    let page = log.read(query, Position::START, Direction::Forward, 100).await?;
    Ok(page.events.len() as u64)
}
