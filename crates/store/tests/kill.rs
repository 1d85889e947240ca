//! A writing process is killed with SIGKILL, 200 times (500 with `TENON_TEST_LONG`) on the same log: every acknowledged event is there,
//! once, in order, after each.
//!
//! This program plays both parts: without a folder in its environment it starts itself as the writer, which
//! reports each acknowledged append over a pipe, kills it at a random moment, opens the log and compares. It
//! has no harness, because the writer must be a process that does nothing else.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tenon_core::{EventId, EventType, Namespace, Position, StreamName};
use tenon_store::segment::DirectoryDisk;
use tenon_store::{Direction, Log, NewEvent, Query, SegmentLog, SegmentOptions};

/// How many appends the writer has in flight.
const IN_FLIGHT: u64 = 16;
const FOLDER: &str = "TENON_KILL_TEST_FOLDER";
const LIFE: &str = "TENON_KILL_TEST_LIFE";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match (std::env::var(FOLDER), std::env::var(LIFE)) {
        (Ok(folder), Ok(life)) => runtime.block_on(write_until_killed(Path::new(&folder), life.parse()?)),
        _ => runtime.block_on(kill_again_and_again()),
    }
}

fn open(folder: &Path) -> Result<SegmentLog> {
    // Small enough that the writer is now and then killed while it rolls over.
    let options = SegmentOptions { segment_bytes: 256 << 10, ..SegmentOptions::default() };
    Ok(SegmentLog::open_with(Arc::new(DirectoryDisk::open(folder)?), options)?.0)
}

/// The event with this number of a life. Its id says which it is; its size varies.
fn numbered(life: u64, number: u64) -> Result<NewEvent> {
    let data = Bytes::from(vec![number as u8; (number * 37 % 900) as usize]);
    let stream = StreamName::new(&format!("stream-{}", number % 5))?;
    let event = NewEvent::new(Namespace::default(), stream, EventType::new("test.Written.v1")?, data);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    Ok(NewEvent { id: EventId::from_time(life, random), ..event })
}

/// The writer: appends of two events each, many in flight, and a line for each that is acknowledged.
async fn write_until_killed(folder: &Path, life: u64) -> Result<()> {
    let log = open(folder)?;
    let append = |number: u64| {
        let log = log.clone();
        async move {
            let events = vec![numbered(life, 2 * number)?, numbered(life, 2 * number + 1)?];
            let appended = log.append(events, None).await?;
            Result::Ok((number, appended.last()))
        }
    };
    let mut running = tokio::task::JoinSet::new();
    let mut output = std::io::stdout().lock();
    for number in 0.. {
        running.spawn(append(number));
        if number < IN_FLIGHT {
            continue;
        }
        if let Some(done) = running.join_next().await {
            let (number, last) = done??;
            writeln!(output, "{number} {last}")?;
            output.flush()?;
        }
    }
    Ok(())
}

async fn kill_again_and_again() -> Result<()> {
    let seed = std::env::var("TENON_SEED").map_or(Ok(1), |seed| seed.parse())?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir()?;
    let mut known = Known::default();
    let mut acknowledged = 0;
    let kills = if std::env::var_os("TENON_TEST_LONG").is_some() { 500 } else { 200 };
    for life in 1..=kills {
        let acks = one_life(folder.path(), life, rng.usize(1..80))?;
        acknowledged += acks.len();
        let log = open(folder.path())?;
        known.check_new(&log, life, &acks).await?;
        log.close().await;
    }
    let log = open(folder.path())?;
    known.check_all(&log).await?;
    eprintln!("{kills} kills, {acknowledged} acknowledged appends, head {}", log.head());
    Ok(())
}

/// Starts a writer, kills it after it has reported this many appends, and answers all that it reported.
fn one_life(folder: &Path, life: u64, reports: usize) -> Result<BTreeMap<u64, Position>> {
    let mut writer = Command::new(std::env::current_exe()?)
        .env(FOLDER, folder)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = writer.stdout.take().ok_or("the writer has no output")?;
    let acks = read_and_kill(&mut writer, BufReader::new(output), reports);
    writer.kill()?;
    writer.wait()?;
    let acks = acks?;
    if acks.len() < reports {
        Err(format!("the writer of life {life} ended by itself").into())
    } else {
        Ok(acks)
    }
}

fn read_and_kill(
    writer: &mut Child,
    output: impl BufRead,
    reports: usize,
) -> Result<BTreeMap<u64, Position>> {
    let mut acks = BTreeMap::new();
    // What was reported before it died counts, too. No line is cut off: each is one write of less than PIPE_BUF
    // (pipe(7)).
    for line in output.split(b'\n') {
        let line = String::from_utf8(line?)?;
        if let Some((number, last)) = line.split_once(' ') {
            acks.insert(number.parse()?, Position(last.parse()?));
        }
        if acks.len() == reports {
            writer.kill()?;
        }
    }
    Ok(acks)
}

/// What the log has been seen to hold.
#[derive(Default)]
struct Known {
    events: Vec<(Position, EventId)>,
    head: Position,
}

impl Known {
    /// Compares what has come in a life with what was acknowledged in it: each acknowledged event once, at its
    /// position; others in whole appends.
    async fn check_new(&mut self, log: &SegmentLog, life: u64, acks: &BTreeMap<u64, Position>) -> Result<()> {
        let new = read(log, self.head).await?;
        for pair in new.chunks(2) {
            let [(first, one), (second, two)] = pair else {
                return Err(format!("life {life}: a part of an append at the end").into());
            };
            let number = u64::from_be_bytes(*one.as_bytes().last_chunk().ok_or("no number")?) & !(0xff << 56);
            let whole = *two == numbered(life, number + 1)?.id && *one == numbered(life, number)?.id;
            let acked = acks.get(&(number / 2)).is_none_or(|last| last == second);
            if !whole || !acked || first.0 + 1 != second.0 {
                return Err(format!("life {life}: a wrong append at {first}").into());
            }
        }
        let held: BTreeMap<EventId, Position> = new.iter().map(|(position, id)| (*id, *position)).collect();
        if held.len() != new.len() {
            return Err(format!("life {life}: an event is there twice").into());
        }
        for (number, last) in acks {
            if held.get(&numbered(life, 2 * number + 1)?.id) != Some(last) {
                return Err(
                    format!("life {life}: append {number}, acknowledged at {last}, is missing").into()
                );
            }
        }
        self.events.extend(new);
        self.head = log.head();
        Ok(())
    }

    /// Everything that was seen is there still, as it was.
    async fn check_all(&self, log: &SegmentLog) -> Result<()> {
        let all = read(log, Position::START).await?;
        if all != self.events { Err("the log has changed".into()) } else { Ok(()) }
    }
}

async fn read(log: &SegmentLog, mut from: Position) -> Result<Vec<(Position, EventId)>> {
    let mut events: Vec<(Position, EventId)> = Vec::new();
    loop {
        let page = log.read(Query::user(), from, Direction::Forward, usize::MAX).await?;
        events.extend(page.events.iter().map(|event| (event.position, event.id)));
        from = page.next;
        if page.at_end {
            break;
        }
    }
    if events.is_sorted_by(|one, next| one.0 < next.0) { Ok(events) } else { Err("out of order".into()) }
}
