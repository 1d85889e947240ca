//! The committer: the thread that drains the commit queue into the writer, and answers.

use super::compact;
use super::segments::Segments;
use super::upkeep;
use super::writer::Writer;
use crate::clock::Clock;
use crate::queue::{Queue, Queued, Work};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// The running committer.
#[derive(Debug)]
pub(crate) struct Committer {
    ended: oneshot::Receiver<()>,
}

impl Committer {
    /// Starts the thread. It ends when the queue is closed and empty.
    pub(crate) fn start(
        writer: Writer,
        queue: Arc<Queue>,
        clock: Clock,
        scrub_every: Option<Duration>,
    ) -> io::Result<Self> {
        let (ending, ended) = oneshot::channel();
        thread::Builder::new().name("tenon-log".to_owned()).spawn(move || {
            // Declared first, so dropped last: the writer and its files are gone when the end is told.
            let _told = ending;
            let _closing = Closing(Arc::clone(&queue));
            run(writer, &queue, &clock, scrub_every);
        })?;
        Ok(Self { ended })
    }

    /// Waits for the end of the thread.
    pub(crate) async fn ended(self) {
        // The sender is only ever dropped.
        let _ = self.ended.await;
    }
}

/// Closes the queue however the thread ends, so that nobody waits for a committer that is gone.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        self.0.clear();
    }
}

/// With so many segments whose keys nobody has written yet, the committer writes them itself, as they are in memory.
const MOST_UNWRITTEN: usize = 6;

fn run(mut writer: Writer, queue: &Queue, clock: &Clock, scrub_every: Option<Duration>) {
    let upkeep = UpkeepThread::start(writer.segments(), scrub_every);
    let mut ahead = None;
    while let Some(work) = queue.take() {
        match work {
            Work::Appends(group) => commit(&mut writer, group, clock),
            // Whoever asked may have gone; the mark is set all the same.
            Work::Mark(first, answer) => _ = answer.send(writer.set_mark(first)),
        }
        ahead = make_ahead(&writer).or(ahead);
        if writer.take_sealed() {
            // If it cannot be moved now, it can when the next segment is full, or the writer has failed.
            let _ = writer.retain(clock());
            keep_up(&writer, upkeep.as_ref());
        }
    }
    writer.close();
    // They hold the disk, which must be free when the end is told. If one panicked, there is less done, only.
    _ = ahead.map(thread::JoinHandle::join);
    if let Some(upkeep) = upkeep {
        upkeep.end();
    }
}

fn keep_up(writer: &Writer, upkeep: Option<&UpkeepThread>) {
    match upkeep {
        Some(upkeep) if writer.unwritten() <= MOST_UNWRITTEN => upkeep.wake(),
        // It lags behind, or there is none.
        _ => _ = upkeep::step(writer.segments(), &AtomicBool::new(false)),
    }
}

/// The thread that does what is due beside appends.
struct UpkeepThread {
    due: Arc<Due>,
    thread: thread::JoinHandle<()>,
}

#[derive(Default)]
struct Due {
    something: Mutex<bool>,
    woken: Condvar,
    stop: AtomicBool,
}

impl UpkeepThread {
    /// Starts it; none if the machine has no thread to spare.
    fn start(segments: &Arc<Segments>, scrub_every: Option<Duration>) -> Option<Self> {
        let due = Arc::new(Due::default());
        let (segments, waiting) = (Arc::clone(segments), Arc::clone(&due));
        let thread = thread::Builder::new().name("tenon-log-upkeep".to_owned());
        let thread = thread.spawn(move || waiting.work(&segments, scrub_every)).ok()?;
        let upkeep = Self { due, thread };
        // What the last owner left.
        upkeep.wake();
        Some(upkeep)
    }

    fn wake(&self) {
        *self.due.something.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.due.woken.notify_one();
    }

    fn end(self) {
        self.due.stop.store(true, Ordering::Relaxed);
        self.wake();
        let _ = self.thread.join();
    }
}

impl Due {
    fn work(&self, segments: &Segments, scrub_every: Option<Duration>) {
        let mut turn = 0;
        loop {
            if !self.wait(scrub_every) && segments.scrub(&mut turn).is_err() {
                tracing::warn!("a segment of the log cannot be read to see whether it is whole");
            }
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match upkeep::step(segments, &self.stop) {
                    Ok(true) => {}
                    Ok(false) if compact::is_due(segments) => self.compact(segments),
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(?error, "the indexes of the log cannot be kept up; reads take longer");
                        break;
                    }
                }
            }
        }
    }

    fn compact(&self, segments: &Segments) {
        if let Err(error) = compact::pass(segments, &self.stop) {
            tracing::warn!(?error, "the space of deleted streams cannot be given back; trying again later");
        }
    }

    /// Waits until something is due, or for so long: whether something is.
    fn wait(&self, most: Option<Duration>) -> bool {
        let something = self.something.lock().unwrap_or_else(PoisonError::into_inner);
        let most = most.unwrap_or(Duration::from_secs(1 << 30));
        let waited = self.woken.wait_timeout_while(something, most, |something| !*something);
        let (mut something, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *something)
    }
}

fn commit(writer: &mut Writer, group: Vec<Queued>, clock: &Clock) {
    let (mut requests, mut waiting) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for Queued { request, answer, room } in group {
        requests.push(request);
        waiting.push((answer, room));
    }
    let answers = writer.commit(requests, clock());
    for ((waiting, _room), answer) in waiting.into_iter().zip(answers) {
        // Whoever asked may have gone; the append is made all the same.
        let _ = waiting.send(answer);
    }
}

/// Has the next segment made by a thread of its own, if it is time.
fn make_ahead(writer: &Writer) -> Option<thread::JoinHandle<()>> {
    if !writer.is_half_full() || !writer.spares().wants() {
        return None;
    }
    let (segments, size) = (Arc::clone(writer.segments()), writer.segment_bytes());
    let spares = Arc::clone(writer.spares());
    let ahead = thread::Builder::new()
        .name("tenon-log-ahead".to_owned())
        .spawn(move || spares.make_ahead(segments.disk(), size));
    ahead.inspect_err(|_| writer.spares().give_up()).ok()
}
