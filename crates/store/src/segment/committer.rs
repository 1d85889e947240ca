//! The committer: the thread that drains the commit queue into the writer, and answers.

use super::queue::{Queue, Queued, Work};
use super::writer::Writer;
use crate::clock::Clock;
use std::io;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;

/// The running committer.
#[derive(Debug)]
pub(crate) struct Committer {
    ended: oneshot::Receiver<()>,
}

impl Committer {
    /// Starts the thread. It ends when the queue is closed and empty.
    pub(crate) fn start(writer: Writer, queue: Arc<Queue>, clock: Clock) -> io::Result<Self> {
        let (ending, ended) = oneshot::channel();
        thread::Builder::new().name("tenon-log".to_owned()).spawn(move || {
            // Declared first, so dropped last: the writer and its files are gone when the end is told.
            let _told = ending;
            let _closing = Closing(Arc::clone(&queue));
            run(writer, &queue, &clock);
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

fn run(mut writer: Writer, queue: &Queue, clock: &Clock) {
    let mut ahead = None;
    while let Some(work) = queue.take() {
        match work {
            Work::Appends(group) => commit(&mut writer, group, clock),
            // Whoever asked may have gone; the mark is set all the same.
            Work::Mark(first, answer) => _ = answer.send(writer.set_mark(first)),
        }
        ahead = make_ahead(&writer).or(ahead);
    }
    writer.close();
    // It holds the disk, which must be free when the end is told. If it panicked there is no spare, only.
    _ = ahead.map(thread::JoinHandle::join);
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
