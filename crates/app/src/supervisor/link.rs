//! The supervisor's side of its socket: one server at a time asks, and is told what ends.

use super::services::Services;
use rustix::fs::Mode;
use std::io;
use std::path::Path;
use std::rc::Rc;
use tenon_api::supervisor::{
    Call, Exited, LineReader, LineWriter, Message, Outcome, PROTOCOL_VERSION, Request,
};
use tenon_core::{Code, Refusal};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Listens on the socket, which only the owner may open.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    // A socket that is left over belongs to a supervisor that is gone: this one holds the lock.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    Ok(listener)
}

/// Answers servers until dropped; the newest connection replaces the one before.
pub(super) async fn serve(listener: UnixListener, services: Rc<Services>, closing: watch::Receiver<bool>) {
    let mut current: Option<JoinHandle<()>> = None;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "cannot accept the server's connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Some(previous) = current.take() {
            previous.abort();
        }
        let (services, closing) = (Rc::clone(&services), closing.clone());
        current = Some(tokio::task::spawn_local(async move {
            if let Err(error) = converse(stream, &services, closing).await {
                tracing::debug!(%error, "the server's connection ended");
            }
        }));
    }
}

async fn converse(
    stream: UnixStream,
    services: &Rc<Services>,
    mut closing: watch::Receiver<bool>,
) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let (mut requests, mut out) = (LineReader::new(read), LineWriter::new(write));
    // Bounded by what runs: each instance ends once.
    let (exits, mut ended) = mpsc::unbounded_channel();
    let mut welcome = false;
    let mut told = false;
    loop {
        tokio::select! {
            request = requests.next::<Request>() => {
                let Some(request) = request.map_err(io::Error::other)? else { return Ok(()) };
                let outcome = answer(request.call, services, &exits, &mut welcome);
                out.send(&Message::Reply { id: request.id, outcome }).await.map_err(io::Error::other)?;
            }
            Some(exited) = ended.recv() => {
                out.send(&Message::Exited(exited)).await.map_err(io::Error::other)?;
            }
            _ = closing.wait_for(|closing| *closing), if !told => {
                told = true;
                out.send(&Message::ShuttingDown).await.map_err(io::Error::other)?;
            }
        }
    }
}

fn answer(
    call: Call,
    services: &Rc<Services>,
    exits: &mpsc::UnboundedSender<Exited>,
    welcome: &mut bool,
) -> Outcome {
    match call {
        Call::Hello { version: PROTOCOL_VERSION } => {
            *welcome = true;
            Outcome::Welcome { version: PROTOCOL_VERSION, pid: std::process::id() }
        }
        Call::Hello { version } => {
            let detail = format!("the server speaks version {version}, the supervisor {PROTOCOL_VERSION}");
            Refusal::new(Code::DataNewerVersion, detail).into()
        }
        _ if !*welcome => Refusal::new(Code::RequestInvalid, "say hello first").into(),
        Call::Spawn(spawn) => match services.spawn(*spawn) {
            Ok(process) => Outcome::Spawned(process),
            Err(refusal) => refusal.into(),
        },
        Call::Stop { instance, grace } => match services.stop(&instance, grace) {
            Ok(()) => Outcome::Stopping,
            Err(refusal) => refusal.into(),
        },
        Call::List => {
            let (running, ended) = services.list(exits.clone());
            Outcome::Listing { running, ended }
        }
    }
}
