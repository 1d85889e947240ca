//! The instances that run, as the supervisor sees them: it starts and ends what it is told to, and reports.

use super::output::prune;
use super::process::{Launcher, Program, end};
use crate::clock;
use crate::log_choice::LOG_URL;
use rustix::process::Pid;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tenon_api::supervisor::{Exited, Process, Spawn};
use tenon_core::{Code, InstanceId, Refusal};
use tokio::sync::{mpsc, watch};

/// How many endings are kept for a server that is not there.
const MOST_UNHEARD: usize = 1_000;

/// Variables of the supervisor that say how *it* was started; services get those that are meant for them.
pub(super) const OWN_VARIABLES: [&str; 9] = [
    LOG_URL,
    "TENON_LOG_FILE",
    "TENON_DATA",
    "TENON_OUTPUT",
    "TENON_FILE",
    "TENON_API_LISTEN",
    "TENON_API_HOST",
    "TENON_ADMIN_LISTEN",
    "TENON_GATEWAY",
];

/// Every instance of the system. Lives on the main thread, where all spawning happens.
#[derive(Debug)]
pub(super) struct Services {
    launcher: Rc<Launcher>,
    /// Where relative working directories start.
    manifest_folder: PathBuf,
    logs: PathBuf,
    state: RefCell<State>,
    /// Whether nothing is left running.
    empty: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<InstanceId, Instance>,
    unheard: VecDeque<Exited>,
    listener: Option<mpsc::UnboundedSender<Exited>>,
    closed: bool,
}

#[derive(Debug)]
struct Instance {
    process: Process,
    group: Pid,
    /// Turns true when it has ended.
    ended: watch::Receiver<bool>,
}

impl Services {
    pub(super) fn new(launcher: Rc<Launcher>, manifest_folder: PathBuf, logs: PathBuf) -> Rc<Self> {
        let state = RefCell::default();
        Rc::new(Self { launcher, manifest_folder, logs, state, empty: watch::Sender::new(true) })
    }

    /// Starts an instance.
    pub(super) fn spawn(self: &Rc<Self>, spawn: Spawn) -> Result<Process, Refusal> {
        self.may_start(&spawn.instance)?;
        let program = self.program(&spawn)?;
        let failed = |error| {
            Refusal::new(Code::RuntimeStartFailed, format!("cannot start {}: {error}", spawn.instance))
        };
        let mut running = self.launcher.start(&program).map_err(failed)?;
        let process = Process {
            instance: spawn.instance,
            service: spawn.service,
            pid: running.pid(),
            started_at: running.started_at,
        };
        let (has_ended, ended) = watch::channel(false);
        let instance = Instance { process: process.clone(), group: running.group(), ended };
        self.state.borrow_mut().running.insert(process.instance.clone(), instance);
        self.empty.send_replace(false);
        let (services, of) = (Rc::clone(self), process.clone());
        tokio::task::spawn_local(async move {
            match services.launcher.wait(&mut running).await {
                Ok(ending) => services.has_ended(&of, ending),
                Err(error) => tracing::error!(instance = %of.instance, %error, "cannot be waited for"),
            }
            has_ended.send_replace(true);
        });
        Ok(process)
    }

    /// Ends an instance: SIGTERM now, SIGKILL after the grace.
    pub(super) fn stop(&self, instance: &InstanceId, grace: Duration) -> Result<(), Refusal> {
        let state = self.state.borrow();
        let Some(running) = state.running.get(instance) else {
            return Err(Refusal::new(Code::RegistryUnknownInstance, format!("{instance} does not run")));
        };
        tokio::task::spawn_local(end_instance(running.group, grace, running.ended.clone()));
        Ok(())
    }

    /// What runs, and what ended while nobody listened. From now on `listener` hears of every ending.
    pub(super) fn list(&self, listener: mpsc::UnboundedSender<Exited>) -> (Vec<Process>, Vec<Exited>) {
        let mut state = self.state.borrow_mut();
        state.listener = Some(listener);
        let ended = state.unheard.drain(..).collect();
        (state.running.values().map(|instance| instance.process.clone()).collect(), ended)
    }

    /// Ends every instance and starts none from now on. Returns when nothing is left.
    pub(super) async fn end_all(&self, grace: Duration) {
        let groups: Vec<(Pid, watch::Receiver<bool>)> = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            state.running.values().map(|it| (it.group, it.ended.clone())).collect()
        };
        for (group, ended) in groups {
            tokio::task::spawn_local(end_instance(group, grace, ended));
        }
        // The sender lives as long as `self`, so this ends only when all has ended.
        let _ = self.empty.subscribe().wait_for(|empty| *empty).await;
    }

    fn may_start(&self, instance: &InstanceId) -> Result<(), Refusal> {
        let state = self.state.borrow();
        if state.closed {
            return Err(Refusal::new(Code::RuntimeStartFailed, "the system is being shut down"));
        }
        if state.running.contains_key(instance) {
            return Err(Refusal::new(Code::RegistryDuplicateInstance, format!("{instance} runs already")));
        }
        Ok(())
    }

    fn program(&self, spawn: &Spawn) -> Result<Program, Refusal> {
        let mut env = spawn.env.clone();
        for (name, source) in &spawn.secrets {
            let secret = std::env::var(source).map_err(|_| {
                let detail =
                    format!("{} needs the environment variable {source}, which is not set", spawn.instance);
                Refusal::new(Code::RuntimeStartFailed, detail)
            })?;
            env.insert(name.clone(), secret);
        }
        let directory = spawn.working_directory.as_deref().unwrap_or(".");
        Ok(Program {
            command: spawn.command.clone(),
            directory: self.manifest_folder.join(directory),
            env,
            hidden: OWN_VARIABLES.map(str::to_owned).to_vec(),
            log: self.logs.join(spawn.log_file.as_str()),
        })
    }

    fn has_ended(&self, process: &Process, ending: tenon_api::supervisor::Ending) {
        let exited =
            Exited { instance: process.instance.clone(), pid: process.pid, ending, at: clock::now() };
        let mut state = self.state.borrow_mut();
        state.running.remove(&process.instance);
        self.empty.send_replace(state.running.is_empty());
        if let Err(error) = prune(&self.logs, |instance| state.running.contains_key(instance)) {
            tracing::warn!(%error, "old output cannot be deleted");
        }
        let unheard = match &state.listener {
            Some(listener) => listener.send(exited).err().map(|error| error.0),
            None => Some(exited),
        };
        if let Some(exited) = unheard {
            state.listener = None;
            if state.unheard.len() == MOST_UNHEARD {
                state.unheard.pop_front();
            }
            state.unheard.push_back(exited);
        }
    }
}

async fn end_instance(group: Pid, grace: Duration, mut ended: watch::Receiver<bool>) {
    end(group, grace, async {
        // A sender that is gone has ended too.
        let _ = ended.wait_for(|ended| *ended).await;
    })
    .await;
}
