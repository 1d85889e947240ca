//! A data plane that takes over from another process, and one that is taken over from: listening sockets go from one to
//! the other over a Unix socket, so that what the kernel has queued in them is not lost.
//!
//! The rules are `tenon_core::handover`'s. Life cycle of the new process: [`ask`], [`Plane::inherit`], apply the
//! snapshot, [`Takeover::complete`]; of the old one: [`give`] for as long as it lives, and when that returns
//! [`Release::complete`] and [`Plane::shutdown`].
//!
//! Left out: connections that are open (they are let go of: `Connection: close`, GOAWAY), breakers, budgets and counts,
//! which begin anew.

mod wire;

use crate::plane::Plane;
use crate::pool::chain;
use rustix::fs::{Mode, chmod};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tenon_api::snapshot::{Stored, StoredError};
use tenon_core::handover::{Giver, GiverCommand, GiverInput, Message, Taker, TakerCommand, TakerInput};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout_at};
use wire::{Frame, Wire};

/// How long either side waits for the other's next word. A taker reads its snapshot and starts its threads meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a listener may take to open that was not handed over.
const OPEN_PATIENCE: Duration = Duration::from_secs(2);

/// What a data plane hands to the next one.
#[derive(Debug)]
pub struct Inheritance {
    /// The sockets at which it listened.
    pub sockets: Sockets,
    /// What it was told last.
    pub snapshot: Stored,
}

/// Listening sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For clients; several may be at one address.
    pub(crate) listeners: Vec<TcpListener>,
    /// The admin address's.
    pub(crate) admin: Option<TcpListener>,
}

/// A takeover on the side of the new process.
#[derive(Debug)]
pub struct Takeover {
    wire: Wire,
    state: Taker,
}

/// A takeover on the side of the old process, which is to let go.
#[derive(Debug)]
pub struct Release {
    wire: Wire,
}

/// Why a takeover does not happen. The old process goes on as it was, if it lives.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The old process cannot be asked.
    #[error("the data plane that runs cannot be asked")]
    Connect(#[from] io::Error),
    /// It says no, or says nothing in time.
    #[error("the data plane that runs goes on: it did not hand over")]
    Abandoned,
    /// What it sent cannot be used.
    #[error("the snapshot that was handed over is not used")]
    Snapshot(#[from] StoredError),
}

/// Listens for a process that wants to take over. Only the owner may.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    // The socket of a process that has ended, or that was taken over from.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    Ok(listener)
}

/// Asks the process that listens at `path` for what it has; `None` if there is none, or if it died meanwhile.
///
/// # Errors
/// [`TakeoverError`]; nothing has changed then.
pub async fn ask(path: &Path) -> Result<Option<(Takeover, Inheritance)>, TakeoverError> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut takeover = Takeover { wire: Wire::new(stream), state: Taker::default() };
    let asked = takeover.wire.say(Message::Ask).await;
    let heard = match asked {
        Ok(()) => takeover.hear().await,
        Err(_) => Heard { input: TakerInput::Gone, offer: None },
    };
    match (takeover.step(heard.input), heard.offer) {
        (TakerCommand::Prepare, Some(offer)) => {
            let (listeners, admin) = sockets(offer.sockets, offer.admin);
            let snapshot = Stored::from_bytes(&offer.snapshot)?;
            let sockets = Sockets { listeners, admin };
            Ok(Some((takeover, Inheritance { sockets, snapshot })))
        }
        (TakerCommand::Serve, _) => Ok(None),
        _ => Err(TakeoverError::Abandoned),
    }
}

/// Waits until a process has taken over, whoever tries in vain before that.
pub async fn give(listener: &UnixListener, plane: &Plane) -> Release {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for a handover could not be taken");
                tokio::time::sleep(crate::listener::RETRY).await;
                continue;
            }
        };
        match converse(Wire::new(stream), plane).await {
            Ok(Some(release)) => return release,
            Ok(None) => tracing::warn!("a process that was to take over did not; this one goes on"),
            Err(error) => tracing::warn!(error = chain(&error), "a handover failed; this process goes on"),
        }
    }
}

async fn converse(mut wire: Wire, plane: &Plane) -> io::Result<Option<Release>> {
    let mut giver = Giver::default();
    loop {
        let input = match timeout_at(Instant::now() + PATIENCE, wire.hear()).await {
            Ok(Ok(Some(Frame::Said(message)))) => GiverInput::Said(message),
            Ok(Ok(Some(Frame::Offer(_)))) => GiverInput::Said(Message::Offer),
            Ok(Ok(None) | Err(_)) => GiverInput::Gone,
            Err(_) => GiverInput::Late,
        };
        let (next, command) = giver.step(input);
        giver = next;
        match command {
            GiverCommand::Offer => {
                let (listeners, admin) = plane.sockets()?;
                let snapshot = plane.snapshot().to_bytes();
                // A taker that does not read is late.
                let offered = wire.offer(&snapshot, &listeners, admin.as_ref());
                let Ok(offered) = timeout_at(Instant::now() + PATIENCE, offered).await else {
                    wire.say(Message::Abandoned).await?;
                    return Ok(None);
                };
                offered?;
            }
            GiverCommand::Release => return Ok(Some(Release { wire })),
            GiverCommand::Abandon => {
                wire.say(Message::Abandoned).await?;
                return Ok(None);
            }
            GiverCommand::HangUp => return Ok(None),
        }
    }
}

impl Release {
    /// Lets go: no more connections are taken, and those that there are end within `linger`, each when it has been
    /// answered. [`Plane::shutdown`] waits for them.
    pub async fn complete(mut self, plane: &Plane, linger: Duration) {
        plane.retire(linger);
        if let Err(error) = self.wire.say(Message::Released).await {
            tracing::debug!(%error, "the process that took over does not listen");
        }
    }
}

/// What a taker has heard, with what came along.
struct Heard {
    input: TakerInput,
    offer: Option<wire::Offer>,
}

impl Takeover {
    /// Everything that can fail is done and the snapshot is applied: takes connections, says so, and waits until the old
    /// process takes none.
    ///
    /// # Errors
    /// [`TakeoverError::Abandoned`]: the old process goes on, and the plane is to be shut down.
    pub async fn complete(mut self, plane: &Plane) -> Result<(), TakeoverError> {
        // What was handed over is open; something else that is slow must not be waited for.
        let _ = tokio::time::timeout(OPEN_PATIENCE, plane.listening()).await;
        let mut command = self.step(TakerInput::Prepared);
        loop {
            command = match command {
                TakerCommand::Accept => {
                    // If it is dead, that is heard next.
                    let _ = self.wire.say(Message::Accepting).await;
                    let heard = self.hear().await;
                    self.step(heard.input)
                }
                TakerCommand::Serve => return Ok(()),
                TakerCommand::Wait => {
                    let heard = self.hear().await;
                    self.step(heard.input)
                }
                TakerCommand::Prepare | TakerCommand::Leave => return Err(TakeoverError::Abandoned),
            };
        }
    }

    fn step(&mut self, input: TakerInput) -> TakerCommand {
        let (state, command) = self.state.step(input);
        self.state = state;
        command
    }

    async fn hear(&mut self) -> Heard {
        let (input, offer) = match timeout_at(Instant::now() + PATIENCE, self.wire.hear()).await {
            Ok(Ok(Some(Frame::Offer(offer)))) => (TakerInput::Said(Message::Offer), Some(offer)),
            Ok(Ok(Some(Frame::Said(message)))) => (TakerInput::Said(message), None),
            Ok(Ok(None) | Err(_)) => (TakerInput::Gone, None),
            Err(_) => (TakerInput::Late, None),
        };
        Heard { input, offer }
    }
}

/// The last is the admin address's, if it is among them.
fn sockets(mut all: Vec<OwnedFd>, with_admin: bool) -> (Vec<TcpListener>, Option<TcpListener>) {
    let admin = if with_admin { all.pop().map(TcpListener::from) } else { None };
    (all.into_iter().map(TcpListener::from).collect(), admin)
}
