//! A supervisor that keeps its side of the protocol, with listeners in place of processes.

use crate::testing::LONG;
use crate::writer::Handle;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use tenon_api::supervisor::{
    Call, Ending, Exited, LineReader, LineWriter, Message, Outcome, PROTOCOL_VERSION, Process, Request, Spawn,
};
use tenon_core::registry::Instance;
use tenon_core::{Code, InstanceId, Refusal, ServiceRef, Timestamp};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// The supervisor. Its processes listen on their `PORT` as long as they run.
pub(super) struct FakeSupervisor {
    socket: PathBuf,
    shared: Arc<Shared>,
    _folder: Option<tempfile::TempDir>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    running: BTreeMap<InstanceId, Running>,
    ended: Vec<Exited>,
    spawned: Vec<Spawn>,
    stopped: Vec<InstanceId>,
    refusals: Vec<Refusal>,
    /// Whether each start was in the log when it was asked for, and each stop out of rotation.
    unannounced: usize,
    undrained: usize,
    writer: Option<Handle>,
    /// To the server that is connected.
    connection: Option<mpsc::UnboundedSender<Message>>,
}

struct Running {
    service: ServiceRef,
    pid: u32,
    /// Accepts connections.
    listener: Option<JoinSet<()>>,
}

impl FakeSupervisor {
    /// One at a socket of its own.
    pub(super) fn start(writer: &Handle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut supervisor = Self::at(folder.path().join("supervisor.sock"), writer);
        supervisor._folder = Some(folder);
        supervisor
    }

    /// One at this socket.
    pub(super) fn at(socket: PathBuf, writer: &Handle) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Mutex::new(State { writer: Some(writer.clone()), ..State::default() });
        let shared = Arc::new(Shared { state, changed: Notify::new() });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { socket, shared, _folder: None, task }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Whose log starts and stops are held against.
    pub(super) fn watch_with(&self, writer: &Handle) {
        self.state().writer = Some(writer.clone());
    }

    pub(super) fn spawned(&self) -> Vec<Spawn> {
        self.state().spawned.clone()
    }

    pub(super) fn stopped(&self) -> Vec<InstanceId> {
        self.state().stopped.clone()
    }

    pub(super) fn pid_of(&self, instance: &InstanceId) -> Option<u32> {
        self.state().running.get(instance).map(|it| it.pid)
    }

    pub(super) fn every_start_was_announced(&self) -> bool {
        self.state().unannounced == 0
    }

    pub(super) fn every_stop_came_after_draining(&self) -> bool {
        self.state().undrained == 0
    }

    pub(super) fn refuse_next(&self, refusal: Refusal) {
        self.state().refusals.push(refusal);
    }

    pub(super) fn crash(&self, instance: &InstanceId, ending: Ending) {
        self.state().end(instance, ending);
        self.shared.changed.notify_waiters();
    }

    /// The process runs on but answers no more.
    pub(super) fn hang(&self, instance: &InstanceId) {
        self.state().running.get_mut(instance).unwrap().listener = None;
    }

    /// As if the machine had been restarted.
    pub(super) fn forget_everything(&self) {
        let mut state = self.state();
        state.running.clear();
        state.ended.clear();
    }

    pub(super) fn run_unasked(&self, instance: &InstanceId) {
        let service = "order".parse().unwrap();
        self.state().running.insert(instance.clone(), Running { service, pid: 9_999, listener: None });
    }

    pub(super) fn drop_connection(&self) {
        self.state().connection = None;
    }

    pub(super) fn shut_down(&self) {
        let mut state = self.state();
        state.tell(Message::ShuttingDown);
        let all: Vec<InstanceId> = state.running.keys().cloned().collect();
        for instance in all {
            state.end(&instance, Ending::Signal(15));
        }
    }

    /// Waits until a server is connected.
    pub(super) async fn until_joined(&self) {
        self.until(|it| it.state().connection.as_ref().is_some_and(|it| !it.is_closed())).await;
    }

    /// Waits until no server is connected.
    pub(super) async fn until_alone(&self) {
        self.until(|it| it.state().connection.as_ref().is_none_or(mpsc::UnboundedSender::is_closed)).await;
    }

    pub(super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if is_so(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(LONG, waiting).await.expect("the supervisor never became so");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for FakeSupervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn tell(&self, message: Message) -> bool {
        self.connection.as_ref().is_some_and(|it| it.send(message).is_ok())
    }

    fn end(&mut self, instance: &InstanceId, ending: Ending) {
        let Running { pid, .. } = self.running.remove(instance).unwrap();
        let exited = Exited { instance: instance.clone(), pid, ending, at: Timestamp::from_millis(1) };
        if !self.tell(Message::Exited(exited.clone())) {
            self.ended.push(exited);
        }
    }

    fn answer(&mut self, call: Call) -> Outcome {
        match call {
            Call::Hello { .. } => Outcome::Welcome { version: PROTOCOL_VERSION, pid: 1 },
            Call::Spawn(spawn) => self.spawn(*spawn).map_or_else(Outcome::from, Outcome::Spawned),
            Call::Stop { instance, .. } => {
                self.stop(&instance).map_or_else(Outcome::from, |()| Outcome::Stopping)
            }
            Call::List => {
                let running = self.running.iter().map(|(instance, it)| process(instance, it)).collect();
                Outcome::Listing { running, ended: std::mem::take(&mut self.ended) }
            }
        }
    }

    fn spawn(&mut self, spawn: Spawn) -> Result<Process, Refusal> {
        let known = |writer: &Handle| writer.read(|view| view.state.runtime.get(&spawn.instance).is_some());
        self.unannounced += usize::from(!self.writer.as_ref().is_some_and(known));
        if let Some(refusal) = self.refusals.pop() {
            return Err(refusal);
        }
        let port: u16 = spawn.env["PORT"].parse().unwrap();
        // Another test may have been faster; then the next try gets other ports, as it would in earnest.
        let taken = |error: std::io::Error| Refusal::new(Code::RuntimeStartFailed, error.to_string());
        let listener = Some(accept_on(port).map_err(taken)?);
        let pid = 1_000 + u32::try_from(self.spawned.len()).unwrap();
        let running = Running { service: spawn.service.clone(), pid, listener };
        let process = process(&spawn.instance, &running);
        self.running.insert(spawn.instance.clone(), running);
        self.spawned.push(spawn);
        Ok(process)
    }

    fn stop(&mut self, instance: &InstanceId) -> Result<(), Refusal> {
        if !self.running.contains_key(instance) {
            return Err(Refusal::new(Code::RegistryUnknownInstance, "it does not run"));
        }
        let callable = |writer: &Handle| {
            writer.read(|view| view.state.registry.get(instance).is_some_and(Instance::is_callable))
        };
        self.undrained += usize::from(self.writer.as_ref().is_some_and(callable));
        self.stopped.push(instance.clone());
        self.end(instance, Ending::Code(0));
        Ok(())
    }
}

fn accept_on(port: u16) -> std::io::Result<JoinSet<()>> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            listener.accept().await.unwrap();
        }
    });
    Ok(task)
}

fn process(instance: &InstanceId, running: &Running) -> Process {
    let started_at = Timestamp::from_millis(u64::from(running.pid));
    Process { instance: instance.clone(), service: running.service.clone(), pid: running.pid, started_at }
}

/// One connection; it replaces the one before.
async fn serve(stream: UnixStream, shared: Arc<Shared>) {
    let (reader, writer) = stream.into_split();
    let (mut reader, mut writer) = (LineReader::new(reader), LineWriter::new(writer));
    let (messages, mut outgoing) = mpsc::unbounded_channel();
    shared.state.lock().unwrap().connection = Some(messages);
    shared.changed.notify_waiters();
    loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(message) => writer.send(&message).await.unwrap_or_default(),
                None => break,
            },
            request = reader.next::<Request>() => {
                let Ok(Some(Request { id, call })) = request else { break };
                let outcome = shared.state.lock().unwrap().answer(call);
                // Through the same queue as everything that is told.
                if !shared.state.lock().unwrap().tell(Message::Reply { id, outcome }) {
                    break;
                }
            }
        }
        shared.changed.notify_waiters();
    }
    drop(outgoing);
    shared.changed.notify_waiters();
}
