//! The connection to the supervisor, who owns the processes.
//!
//! Life cycle: [`Link::connect`] says hello; then calls are answered in any order while notices of exits come
//! in. When the connection ends every open call fails with [`LinkError::Lost`] and the notices end: connect
//! again and ask for the list, which tells everything that was missed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;
use tenon_api::supervisor::{
    Call, Exited, LineError, LineReader, LineWriter, Message, Outcome, PROTOCOL_VERSION, Request,
};
use tenon_core::Refusal;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// How long the supervisor may take to answer. It answers at once; longer means that it hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Notices that wait to be read. When there are more the connection is given up, because the list that the
/// next one begins with tells the same in one piece.
const MOST_NOTICES: usize = 1_024;

/// Calls that wait to be sent; further callers wait.
const MOST_CALLS: usize = 64;

/// Why there is no link, or an answer is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Nobody listens there.
    #[error("cannot connect to the supervisor")]
    Connect(#[source] io::Error),
    /// The connection ended. What was asked may have been done or not.
    #[error("the connection to the supervisor was lost")]
    Lost,
    /// No answer came in time. What was asked may have been done or not.
    #[error("the supervisor did not answer in {CALL_TIMEOUT:?}")]
    TimedOut,
    /// The supervisor refused; nothing was changed.
    #[error("{0}")]
    Refused(Refusal),
    /// It answered something else than was asked.
    #[error("the supervisor answered {0}, which is no answer to what it was asked")]
    Unexpected(String),
}

/// What the supervisor tells unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A process has ended.
    Exited(Exited),
    /// The whole system is ending: the supervisor stops everything itself.
    ShuttingDown,
}

/// A connection on which the supervisor said welcome. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    calls: mpsc::Sender<(Call, oneshot::Sender<Outcome>)>,
}

impl Link {
    /// Connects and says hello. The receiver ends when the connection does.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(crate) async fn connect(socket: &Path) -> Result<(Self, mpsc::Receiver<Notice>), LinkError> {
        let stream = UnixStream::connect(socket).await.map_err(LinkError::Connect)?;
        let (calls, asked) = mpsc::channel(MOST_CALLS);
        let (notices, told) = mpsc::channel(MOST_NOTICES);
        tokio::spawn(Conversation::new(stream, notices).run(asked));
        let link = Self { calls };
        match link.call(Call::Hello { version: PROTOCOL_VERSION }).await? {
            Outcome::Welcome { .. } => Ok((link, told)),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks, and waits for the answer; a refusal is an error.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(crate) async fn call(&self, call: Call) -> Result<Outcome, LinkError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.calls.send((call, answer)).await.map_err(|_| LinkError::Lost)?;
            answered.await.map_err(|_| LinkError::Lost)
        };
        match tokio::time::timeout(CALL_TIMEOUT, exchange).await.map_err(|_| LinkError::TimedOut)?? {
            Outcome::Refused { code, detail } => Err(LinkError::Refused(Refusal { code, detail })),
            outcome => Ok(outcome),
        }
    }
}

/// The error for an answer that does not fit the question. It names the answer's kind only.
pub(crate) fn unexpected(outcome: &Outcome) -> LinkError {
    let text = format!("{outcome:?}");
    LinkError::Unexpected(text.split([' ', '(', '{']).next().unwrap_or_default().to_owned())
}

/// The task that owns the connection.
struct Conversation {
    reader: LineReader<OwnedReadHalf>,
    writer: LineWriter<OwnedWriteHalf>,
    next_id: u64,
    open: BTreeMap<u64, oneshot::Sender<Outcome>>,
    notices: mpsc::Sender<Notice>,
}

/// Why a conversation ended.
enum End {
    Closed,
    Failed(LineError),
    Overflow,
}

impl Conversation {
    fn new(stream: UnixStream, notices: mpsc::Sender<Notice>) -> Self {
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (LineReader::new(reader), LineWriter::new(writer));
        Self { reader, writer, next_id: 1, open: BTreeMap::new(), notices }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<(Call, oneshot::Sender<Outcome>)>) {
        let end = loop {
            let step = tokio::select! {
                message = self.reader.next() => self.hear(message),
                call = asked.recv() => match call {
                    Some((call, answer)) => self.ask(call, answer).await,
                    None => Err(End::Closed),
                },
            };
            if let Err(end) = step {
                break end;
            }
        };
        match end {
            End::Closed => tracing::debug!("the connection to the supervisor has ended"),
            End::Failed(error) => tracing::warn!(%error, "the connection to the supervisor failed"),
            End::Overflow => tracing::warn!("too many notices of the supervisor are unread; connecting anew"),
        }
    }

    async fn ask(&mut self, call: Call, answer: oneshot::Sender<Outcome>) -> Result<(), End> {
        let id = self.next_id;
        self.next_id += 1;
        // Whoever timed out is waited for no longer.
        self.open.retain(|_, answer| !answer.is_closed());
        self.open.insert(id, answer);
        self.writer.send(&Request { id, call }).await.map_err(End::Failed)
    }

    fn hear(&mut self, message: Result<Option<Message>, LineError>) -> Result<(), End> {
        match message.map_err(End::Failed)?.ok_or(End::Closed)? {
            Message::Reply { id, outcome } => {
                if let Some(answer) = self.open.remove(&id) {
                    // Whoever asked may have given up.
                    let _ = answer.send(outcome);
                }
                Ok(())
            }
            Message::Exited(exited) => self.tell(Notice::Exited(exited)),
            Message::ShuttingDown => self.tell(Notice::ShuttingDown),
        }
    }

    fn tell(&self, notice: Notice) -> Result<(), End> {
        match self.notices.try_send(notice) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(End::Overflow),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(End::Closed),
        }
    }
}

#[cfg(test)]
mod tests;
