//! Appends: one stream to the server, many under way, as many to a message as wait.

use super::follow::Known;
use super::{Client, error, wire};
use futures_util::stream;
use prost::Message;
use std::collections::VecDeque;
use std::sync::Arc;
use tenon_api::eventstore::v1;
use tenon_store::{AppendError, Appended, Condition, NewEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Status, Streaming};

/// The most appends that wait or are under way.
const MOST: usize = 4_096;

/// The most bytes of appends that wait or are under way, but for one that is larger alone.
const MOST_BYTES: usize = 32 << 20;

/// A message ends with the append that takes it over this size.
const MESSAGE_BYTES: usize = 256 << 10;

/// The most appends of one message.
const MESSAGE_APPENDS: usize = 512;

/// Messages that wait for the connection.
const MESSAGES: usize = 4;

/// Where appends are handed in.
pub(super) struct Appends {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    known: Arc<Known>,
}

struct Queued {
    request: v1::AppendRequest,
    waiting: Waiting,
}

/// Who waits for an answer, and the room that the append takes meanwhile.
struct Waiting {
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    _room: OwnedSemaphorePermit,
}

impl Appends {
    /// Starts what sends them. It ends when the log is closed.
    pub(super) fn start(client: Client, known: Arc<Known>) -> Self {
        let (queue, queued) = mpsc::channel(MOST);
        let room = Arc::new(Semaphore::new(MOST_BYTES));
        let driven = Arc::clone(&known);
        tokio::spawn(async move {
            tokio::select! {
                () = driven.closed() => {}
                () = drive(client, queued, &driven) => {}
            }
        });
        Self { queue, room, known }
    }

    pub(super) async fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> Result<Appended, AppendError> {
        let closed = || AppendError::Closed("it was shut down");
        if self.known.is_closed() {
            return Err(closed());
        }
        let request = wire::append(events, condition);
        let bytes = u32::try_from(request.encoded_len().min(MOST_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { answer, _room: room };
        self.queue.send(Queued { request, waiting }).await.map_err(|_| closed())?;
        answered.await.unwrap_or(Err(AppendError::Unknown("the connection was closed")))
    }
}

/// Sends what is queued, over one stream after the other.
async fn drive(client: Client, mut queued: mpsc::Receiver<Queued>, known: &Known) {
    let mut batch = Vec::new();
    while queued.recv_many(&mut batch, MESSAGE_APPENDS).await > 0 {
        // Nothing of the batch is sent before there is a stream, so without one nothing was appended.
        match Connection::open(client.clone()).await {
            Ok(connection) => connection.run(std::mem::take(&mut batch), &mut queued, known).await,
            Err(status) => {
                for Queued { waiting, .. } in batch.drain(..) {
                    // Whoever asked may have gone.
                    let _ = waiting.answer.send(Err(error::append(&status)));
                }
            }
        }
    }
}

/// One stream of appends.
struct Connection {
    requests: mpsc::Sender<v1::AppendStreamRequest>,
    answers: Streaming<v1::AppendStreamResponse>,
    waiting: VecDeque<Waiting>,
}

impl Connection {
    async fn open(mut client: Client) -> Result<Self, Status> {
        let (requests, mut taken) = mpsc::channel(MESSAGES);
        let requested = stream::poll_fn(move |context| taken.poll_recv(context));
        let answers = client.append_stream(requested).await?.into_inner();
        Ok(Self { requests, answers, waiting: VecDeque::new() })
    }

    /// Sends and takes answers until the stream ends. What was not answered by then is unknown.
    async fn run(mut self, first: Vec<Queued>, queued: &mut mpsc::Receiver<Queued>, known: &Known) {
        let mut batch = first;
        loop {
            let sent = self.send(&mut batch).await;
            let lost = match sent {
                Err(lost) => Some(lost),
                Ok(()) => self.wait(&mut batch, queued, known).await.err(),
            };
            if let Some(lost) = lost {
                let rest = batch.drain(..).map(|queued| queued.waiting);
                for waiting in self.waiting.drain(..).chain(rest) {
                    // Whoever asked may have gone.
                    let _ = waiting.answer.send(Err(AppendError::Unknown(lost)));
                }
                return;
            }
        }
    }

    /// Sends a batch, in messages of a good size.
    async fn send(&mut self, batch: &mut Vec<Queued>) -> Result<(), &'static str> {
        let mut message = v1::AppendStreamRequest::default();
        let mut bytes = 0;
        let mut rest = batch.drain(..).peekable();
        while let Some(Queued { request, waiting }) = rest.next() {
            bytes += request.encoded_len();
            message.appends.push(request);
            self.waiting.push_back(waiting);
            if bytes >= MESSAGE_BYTES || rest.peek().is_none() {
                bytes = 0;
                let message = std::mem::take(&mut message);
                self.requests.send(message).await.map_err(|_| "the connection broke")?;
            }
        }
        Ok(())
    }

    /// Takes answers until there is something to send.
    async fn wait(
        &mut self,
        batch: &mut Vec<Queued>,
        queued: &mut mpsc::Receiver<Queued>,
        known: &Known,
    ) -> Result<(), &'static str> {
        loop {
            let has_room = self.waiting.len() < MOST;
            tokio::select! {
                biased;
                answer = self.answers.message() => match answer {
                    Ok(Some(answer)) => self.take(answer, known)?,
                    Ok(None) => return Err("the server ended the stream"),
                    Err(_) => return Err("the connection broke"),
                },
                count = queued.recv_many(batch, MESSAGE_APPENDS), if has_room => {
                    return if count == 0 { Err("it was shut down") } else { Ok(()) };
                }
            }
        }
    }

    fn take(&mut self, answer: v1::AppendStreamResponse, known: &Known) -> Result<(), &'static str> {
        use v1::append_result::Result as Answer;
        let results: Vec<_> = answer
            .results
            .into_iter()
            .map(|result| match result.result {
                Some(Answer::Appended(appended)) => Ok(wire::appended(&appended)),
                Some(Answer::Failed(failure)) => Err(error::failure(failure)),
                None => Err(AppendError::Unknown("the server gave no answer")),
            })
            .collect();
        // Told first, so that whoever has the answer finds the head to be as far.
        if let Some(last) = results.iter().flatten().map(Appended::last).max() {
            known.advance(last);
        }
        for result in results {
            let waiting = self.waiting.pop_front().ok_or("the server answered what was not asked")?;
            // Whoever asked may have gone.
            let _ = waiting.answer.send(result);
        }
        Ok(())
    }
}
