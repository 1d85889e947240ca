//! Runs the services that Tenon runs: makes what the supervisor has be what `core::runtime` wants.
//!
//! One task. It connects to the supervisor, compares what runs with what the log says (adopting, recording ends
//! that were missed, ending what nobody knows), and then carries out one plan after the other. A plan is made
//! from the state alone; news of the supervisor are recorded first, so a plan after a signal, a timer or a
//! restart is the same plan. An instance is announced in the log before it is started, so that no process is
//! unknown to it.
//!
//! Life cycle: it works while this server has the duty. Without a supervisor it waits for one, and nothing is started or stopped meanwhile. When the
//! connection is lost, or something could not be recorded, everything is compared anew.
//!
//! Left out on purpose: what should run (`core::runtime`), processes and signals (the supervisor).

mod environment;
mod link;

use crate::clock::Clock;
use crate::duties::OnDuty;
use crate::keys::Keys;
use crate::ports::Ports;
use crate::writer::{Done, Handle, server_actor};
use environment::{Surroundings, spawn_of};
use link::{Link, LinkError, Notice, unexpected};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tenon_api::supervisor::{Call, Ending, Exited, Outcome, Process};
use tenon_core::duty::Duty;
use tenon_core::platform::{Command, State};
use tenon_core::runtime::{self, Action, Exit, Observed, SpecHash, adopt, instance_id, plan};
use tenon_core::{Code, InstanceId, Refusal, ServiceRef, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a process may take to end after SIGTERM.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long to wait for the supervisor before connecting again, at first and at most.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long to wait after something could not be done.
const AGAIN: Duration = Duration::from_millis(500);

/// How often the log and the supervisor are compared although nothing seems to be amiss.
const COMPARE_EVERY: Duration = Duration::from_secs(15);

/// How many ids are drawn, should the first be taken.
const MOST_DRAWS: usize = 100;

/// Starts the task, which ends with `stop`. Processes go on running then.
pub(crate) fn start(
    writer: Handle,
    clock: Clock,
    keys: Keys,
    socket: PathBuf,
    api: SocketAddr,
    mut on_duty: OnDuty,
    stop: CancellationToken,
) -> (Supervised, tokio::task::JoinHandle<()>) {
    let surroundings = Surroundings::new(api);
    let own_port = api.port();
    let supervised = Supervised::default();
    let mut driver = Driver {
        writer: writer.clone(),
        clock,
        keys,
        socket,
        surroundings,
        own_port,
        ports: Ports::starting_anywhere(),
        supervised: supervised.clone(),
    };
    let task = tokio::spawn(async move {
        let working = async {
            loop {
                let epoch = on_duty.begins().await;
                driver.writer = writer.under(Duty::Runtime, epoch);
                tokio::select! {
                    () = driver.run() => return,
                    () = on_duty.ends(epoch) => driver.supervised.set(false),
                }
            }
        };
        // Cancelled between any two steps: what was begun is found by comparing, after the next start.
        stop.run_until_cancelled(working).await;
    });
    (supervised, task)
}

/// Whether a supervisor answers, and the log agrees with it about what runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervised(Arc<AtomicBool>);

impl Supervised {
    /// Whether one does at the moment.
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Relaxed);
    }
}

struct Driver {
    writer: Handle,
    clock: Clock,
    keys: Keys,
    socket: PathBuf,
    surroundings: Surroundings,
    own_port: u16,
    ports: Ports,
    supervised: Supervised,
}

/// Why the conversation with a supervisor ended.
enum End {
    /// The connection is of no more use.
    Link(LinkError),
    /// The supervisor stops everything itself.
    ShuttingDown,
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Whether something could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    /// Not now: compare and plan anew after a while.
    Blocked,
}

impl Driver {
    async fn run(&mut self) {
        let mut wait = RECONNECT.0;
        loop {
            match Link::connect(&self.socket).await {
                Ok((link, notices)) => {
                    wait = RECONNECT.0;
                    let end = self.converse(&link, notices).await;
                    self.supervised.set(false);
                    match end {
                        End::ShuttingDown => return tracing::info!("the supervisor is stopping everything"),
                        End::Link(error) => tracing::warn!(%error, "connecting to the supervisor anew"),
                    }
                }
                Err(error) => tracing::debug!(%error, "no supervisor yet"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RECONNECT.1);
        }
    }

    async fn converse(&mut self, link: &Link, mut notices: mpsc::Receiver<Notice>) -> End {
        loop {
            match self.compare_and_follow(link, &mut notices).await {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked) => tokio::time::sleep(AGAIN).await,
                Err(End::Link(error)) => return End::Link(error),
                Err(End::ShuttingDown) => return self.record_last_ends(notices).await,
            }
        }
    }

    /// Compares once, then follows until it is time to compare again or something cannot be done.
    async fn compare_and_follow(
        &mut self,
        link: &Link,
        notices: &mut mpsc::Receiver<Notice>,
    ) -> Result<Progress, End> {
        let mut progress = self.compare(link, notices).await?;
        // Until now the log may have told of processes that are long gone.
        self.supervised.set(progress == Progress::Done);
        let compare_at = tokio::time::Instant::now() + COMPARE_EVERY;
        let mut folded = self.writer.folded();
        while progress == Progress::Done {
            folded.borrow_and_update();
            let (carried_out, wake_at) = self.carry_out_plan(link).await?;
            progress = carried_out;
            if progress == Progress::Blocked {
                break;
            }
            tokio::select! {
                notice = notices.recv() => progress = self.hear(notice.ok_or(LinkError::Lost)?).await?,
                // The writer outlives this task.
                _ = folded.changed() => {}
                () = self.sleep_until(wake_at) => {}
                () = tokio::time::sleep_until(compare_at) => return Ok(Progress::Done),
            }
        }
        Ok(progress)
    }

    /// Records how the processes end that the supervisor now stops, and starts none.
    async fn record_last_ends(&self, mut notices: mpsc::Receiver<Notice>) -> End {
        while let Some(notice) = notices.recv().await {
            if let Notice::Exited(_) = notice {
                let _ = self.hear(notice).await;
            }
        }
        End::ShuttingDown
    }

    async fn hear(&self, notice: Notice) -> Result<Progress, End> {
        match notice {
            Notice::ShuttingDown => Err(End::ShuttingDown),
            Notice::Exited(Exited { instance, ending, .. }) => {
                tracing::info!(%instance, %ending, "a process has ended");
                Ok(self.record(runtime::Command::ReportExited { instance, exit: exit_of(ending) }).await)
            }
        }
    }

    /// Makes the log and the supervisor agree about what runs. Only while no start is under way, which holds
    /// because starts are part of the same task.
    async fn compare(&self, link: &Link, notices: &mut mpsc::Receiver<Notice>) -> Result<Progress, End> {
        let Outcome::Listing { running, ended } = link.call(Call::List).await.and_then(listing)? else {
            return Err(End::Link(LinkError::Lost));
        };
        let mut observed: BTreeMap<InstanceId, Observed> = BTreeMap::new();
        observed.extend(ended.into_iter().map(|it| (it.instance, Observed::Ended(exit_of(it.ending)))));
        observed.extend(running.into_iter().map(observed_running));
        // What was told before the list was made is not in the list any more.
        while let Ok(notice) = notices.try_recv() {
            match notice {
                Notice::ShuttingDown => return Err(End::ShuttingDown),
                Notice::Exited(it) => drop(observed.insert(it.instance, Observed::Ended(exit_of(it.ending)))),
            }
        }
        let adoption = self.writer.read(|view| adopt(&view.state.runtime, &observed));
        for instance in adoption.unknown {
            tracing::warn!(%instance, "the supervisor runs a process that the log does not know; it is ended");
            end(link, instance).await?;
        }
        let mut progress = Progress::Done;
        for command in adoption.commands {
            if self.record(command).await == Progress::Blocked {
                progress = Progress::Blocked;
            }
        }
        Ok(progress)
    }

    async fn carry_out_plan(&mut self, link: &Link) -> Result<(Progress, Option<Timestamp>), End> {
        let now = self.clock.now();
        let plan = self.writer.read(|view| {
            let State { runtime, catalog, registry, .. } = &view.state;
            plan(runtime, catalog, registry, now)
        });
        let mut progress = Progress::Done;
        for action in plan.actions {
            if self.carry_out(link, action).await? == Progress::Blocked {
                progress = Progress::Blocked;
            }
        }
        Ok((progress, plan.wake_at))
    }

    async fn carry_out(&mut self, link: &Link, action: Action) -> Result<Progress, End> {
        match action {
            Action::Start { service, slot, spec } => self.start(link, service, slot, spec).await,
            Action::Stop { instance, reason } => {
                Ok(self.record(runtime::Command::Stop { instance, reason }).await)
            }
            Action::Terminate { instance } => end(link, instance).await,
        }
    }

    async fn start(
        &mut self,
        link: &Link,
        service: ServiceRef,
        slot: u32,
        spec: SpecHash,
    ) -> Result<Progress, End> {
        let Some((instance, ports)) = self.choose(&service, slot) else { return Ok(Progress::Blocked) };
        let announce = runtime::Command::Announce {
            instance: instance.clone(),
            service: service.clone(),
            slot,
            spec,
            ports,
        };
        match self.try_record(announce).await {
            Ok(_) => {}
            // Another plan by now: the state that says so has already woken this task.
            Err(refusal) if refusal.code == Code::RuntimePlanChanged => return Ok(Progress::Done),
            Err(refusal) => return Ok(blocked(&refusal)),
        }
        let secret = self.keys.instance_secret(&instance);
        let spawn = self.writer.read(|view| {
            let service = view.state.catalog.get(&service).map(|it| (&service, it))?;
            spawn_of(service, &instance, ports, &secret, &self.surroundings)
        });
        let Some(spawn) = spawn else {
            // The service went with a manifest that came just now.
            let exit = Exit::start_failed("the service is no longer one that Tenon runs");
            return Ok(self.record(runtime::Command::ReportExited { instance, exit }).await);
        };
        let report = match link.call(Call::Spawn(Box::new(spawn))).await {
            Ok(Outcome::Spawned(Process { pid, started_at, .. })) => {
                runtime::Command::ReportStarted { instance, pid, started_at }
            }
            Ok(other) => return Err(unexpected(&other).into()),
            Err(LinkError::Refused(refusal)) => {
                tracing::warn!(%instance, %refusal, "cannot start a process");
                runtime::Command::ReportExited { instance, exit: Exit::start_failed(&refusal.detail) }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.record(report).await)
    }

    /// An id and ports that nobody has.
    fn choose(&mut self, service: &ServiceRef, slot: u32) -> Option<(InstanceId, runtime::Ports)> {
        let (id, mut taken) =
            self.writer.read(|view| (free_id(&view.state, service, slot), taken_ports(&view.state)));
        taken.insert(self.own_port);
        match self.ports.allocate(&taken) {
            Ok([application, inbound, outbound]) => {
                Some((id?, runtime::Ports { application, inbound, outbound }))
            }
            Err(error) => {
                tracing::error!(%error, %service, "cannot start an instance");
                None
            }
        }
    }

    async fn record(&self, command: runtime::Command) -> Progress {
        match self.try_record(command).await {
            Ok(_) => Progress::Done,
            // It is so already, or no longer wanted.
            Err(refusal) if is_outdated(&refusal) => Progress::Done,
            Err(refusal) => blocked(&refusal),
        }
    }

    async fn try_record(&self, command: runtime::Command) -> Result<Done, Refusal> {
        self.writer.command(server_actor(), Command::Runtime(command)).await
    }

    async fn sleep_until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.clock.instant_of(at)).await,
            None => std::future::pending().await,
        }
    }
}

/// Asks the supervisor to end a process. One that does not run is a reason to compare.
async fn end(link: &Link, instance: InstanceId) -> Result<Progress, End> {
    match link.call(Call::Stop { instance, grace: STOP_GRACE }).await {
        Ok(_) => Ok(Progress::Done),
        Err(LinkError::Refused(refusal)) => Ok(blocked(&refusal)),
        Err(error) => Err(error.into()),
    }
}

fn blocked(refusal: &Refusal) -> Progress {
    tracing::warn!(%refusal, "cannot go on with what should run; trying again");
    Progress::Blocked
}

fn is_outdated(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::RuntimePlanChanged | Code::RegistryUnknownInstance)
}

fn listing(outcome: Outcome) -> Result<Outcome, LinkError> {
    if matches!(outcome, Outcome::Listing { .. }) { Ok(outcome) } else { Err(unexpected(&outcome)) }
}

fn observed_running(process: Process) -> (InstanceId, Observed) {
    (process.instance, Observed::Running { pid: process.pid, started_at: process.started_at })
}

fn exit_of(ending: Ending) -> Exit {
    match ending {
        Ending::Code(code) => Exit::Exited(code),
        Ending::Signal(signal) => Exit::Signalled(signal),
    }
}

fn free_id(state: &State, service: &ServiceRef, slot: u32) -> Option<InstanceId> {
    std::iter::repeat_with(|| instance_id(&service.name, slot, fastrand::u32(..)))
        .take(MOST_DRAWS)
        .find(|id| state.runtime.get(id).is_none() && state.registry.get(id).is_none())
}

/// Ports that the log gives to somebody, whether they listen at the moment or not.
pub(crate) fn taken_ports(state: &State) -> BTreeSet<u16> {
    let registered = state.registry.all().map(|it| it.registration.address.port());
    state.runtime.used_ports().into_iter().chain(registered).collect()
}

#[cfg(test)]
mod tests;
