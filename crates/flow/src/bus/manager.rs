//! Has a driver for each subscription, while this server is the one that drives them.

use super::driver::{Command, Driver};
use super::duty::OnDuty;
use super::ledger::{Ledger, LedgerError};
use super::member::{Load, Member, Queued, Settler};
use super::registry::Registry;
use super::{Subscription, unknown};
use crate::EventStore;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_core::group::{GroupName, MemberId};
use tenon_core::{Code, Refusal, ServerId};
use tenon_store::NewEvent;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long to wait before a driver that failed is started again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Commands that wait for a driver; who has another one waits.
const COMMANDS: usize = 1_024;

/// Has the drivers.
pub(super) struct Manager {
    running: Arc<Running>,
    ended: watch::Receiver<bool>,
}

/// The drivers that run.
#[derive(Default)]
struct Running {
    groups: Mutex<BTreeMap<GroupName, Handle>>,
    changed: watch::Sender<u64>,
}

/// A driver that runs.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) epoch: u64,
    subscription: Arc<Subscription>,
    commands: mpsc::Sender<Command>,
    leaving: mpsc::UnboundedSender<MemberId>,
    load: Arc<Load>,
    full: Arc<AtomicBool>,
    next_member: Arc<AtomicU64>,
}

impl Handle {
    /// Hands a command in; none if the driver has ended.
    pub(super) async fn send(&self, command: Command) -> Option<()> {
        self.commands.send(command).await.ok()
    }

    /// Makes somebody a member; none if the driver has ended.
    pub(super) async fn join(&self, most: u32) -> Option<Member> {
        let id = MemberId(self.next_member.fetch_add(1, Ordering::Relaxed));
        let (outbox, deliveries) = mpsc::unbounded_channel();
        let queued = Arc::new(Queued::of(&self.load));
        // Made first: if it is dropped, it leaves.
        let member = Member {
            epoch: self.epoch,
            deliveries,
            queued: Arc::clone(&queued),
            settler: Settler { id, commands: self.commands.clone() },
            leaving: self.leaving.clone(),
        };
        self.send(Command::Join { member: id, most, outbox, queued }).await?;
        Some(member)
    }
}

impl Manager {
    /// Starts and ends drivers as subscriptions and the duty come and go, until `stop`.
    pub(super) fn start(
        store: EventStore,
        registry: Registry,
        on_duty: OnDuty,
        server: ServerId,
        stop: CancellationToken,
    ) -> Self {
        let running = Arc::new(Running::default());
        let (told, ended) = watch::channel(false);
        let tasks =
            Tasks { store, registry, on_duty, server, running: Arc::clone(&running), all: BTreeMap::new() };
        tokio::spawn(async move {
            tasks.keep(stop).await;
            told.send_replace(true);
        });
        Self { running, ended }
    }

    /// Waits until all drivers have ended.
    pub(super) async fn ended(&self) {
        // If the task is gone, it has ended.
        _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// The driver of a group, as soon as it runs.
    pub(super) async fn group(
        &self,
        name: &GroupName,
        registry: &Registry,
        on_duty: &OnDuty,
    ) -> Result<Handle, Refusal> {
        let mut changed = self.running.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let wanted = registry.get(name).ok_or_else(|| unknown(name))?;
            let found = self.running.lock().get(name).cloned();
            match found {
                Some(handle) if *handle.subscription == wanted && !handle.commands.is_closed() => {
                    return Ok(handle);
                }
                _ if !*on_duty.borrow() => return Err(off_duty(name)),
                _ => {}
            }
            if changed.changed().await.is_err() {
                return Err(super::ended());
            }
        }
    }

    /// The groups that are driven here.
    pub(super) fn running(&self) -> Vec<(GroupName, Handle)> {
        self.running.lock().iter().map(|(name, handle)| (name.clone(), handle.clone())).collect()
    }

    /// A group that is full, takes this event, and wants publishers to be told.
    pub(super) fn full_for(&self, event: &NewEvent) -> Option<GroupName> {
        let groups = self.running.lock();
        let mut full = groups.iter().filter(|(_, handle)| handle.full.load(Ordering::Relaxed));
        full.find(|(_, handle)| handle.subscription.query().matches_new(event)).map(|(name, _)| name.clone())
    }
}

fn off_duty(name: &GroupName) -> Refusal {
    let detail = format!("another server drives subscription {name}; ask it, or ask again");
    Refusal::new(Code::ServerOffDuty, detail)
}

/// The tasks of all drivers.
struct Tasks {
    store: EventStore,
    registry: Registry,
    on_duty: OnDuty,
    server: ServerId,
    running: Arc<Running>,
    /// Those that were started and not told to end.
    all: BTreeMap<GroupName, (Subscription, CancellationToken)>,
}

impl Tasks {
    async fn keep(mut self, stop: CancellationToken) {
        let mut drivers: JoinSet<GroupName> = JoinSet::new();
        let mut changes = self.registry.changes();
        loop {
            changes.borrow_and_update();
            let on_duty = *self.on_duty.borrow_and_update();
            self.end_unwanted(on_duty);
            if on_duty {
                self.start_wanted(&mut drivers);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                _ = changes.changed() => {}
                // Pends for ever on a server that is alone.
                Ok(()) = self.on_duty.changed() => {}
                Some(ended) = drivers.join_next() => self.forget(ended.ok()),
            }
        }
        self.end_unwanted(false);
        while let Some(ended) = drivers.join_next().await {
            self.forget(ended.ok());
        }
        self.running.changed.send_modify(|count| *count += 1);
    }

    fn end_unwanted(&self, on_duty: bool) {
        for (name, (subscription, stop)) in &self.all {
            if !on_duty || !self.registry.has(name, subscription) {
                stop.cancel();
            }
        }
    }

    fn start_wanted(&mut self, drivers: &mut JoinSet<GroupName>) {
        // One that was told to end is started again when it has.
        for subscription in self.registry.others(|name| self.all.contains_key(name)) {
            let name = subscription.definition.group();
            let stop = CancellationToken::new();
            self.all.insert(name.clone(), (subscription.clone(), stop.clone()));
            let (store, running, server) = (self.store.clone(), Arc::clone(&self.running), self.server);
            drivers.spawn(async move {
                let driving = drive(store, &running, &name, subscription, server, stop.clone());
                if let Err(error) = driving.await {
                    let refusal = Refusal::from(error);
                    tracing::warn!(subscription = %name, %refusal, "a subscription is not driven; trying again");
                    _ = tokio::time::timeout(AFTER_FAILURE, stop.cancelled()).await;
                }
                name
            });
        }
    }

    fn forget(&mut self, name: Option<GroupName>) {
        match name {
            Some(name) => _ = self.all.remove(&name),
            // One panicked, and it is not known which: those that do not run are started again.
            None => {
                let running = self.running.lock();
                self.all
                    .retain(|name, _| running.get(name).is_some_and(|handle| !handle.commands.is_closed()));
            }
        }
    }
}

/// Drives one group until it is told to stop, or cannot go on.
async fn drive(
    store: EventStore,
    running: &Running,
    name: &GroupName,
    subscription: Subscription,
    server: ServerId,
    stop: CancellationToken,
) -> Result<(), LedgerError> {
    let Subscription { from, id, .. } = subscription;
    let (ledger, checkpoint) = Ledger::take(store.clone(), name, id, from, server).await?;
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (leaving, left) = mpsc::unbounded_channel();
    let handle = Handle {
        epoch: ledger.epoch(),
        subscription: Arc::new(subscription),
        commands,
        leaving,
        load: Arc::default(),
        full: Arc::default(),
        next_member: Arc::default(),
    };
    let driver = Driver::new(
        store,
        &handle.subscription,
        checkpoint,
        ledger,
        (inbox, left),
        Arc::clone(&handle.load),
        Arc::clone(&handle.full),
    );
    running.put(name, handle);
    let ended = driver.run(stop).await;
    running.remove(name);
    ended
}

impl Running {
    fn put(&self, name: &GroupName, handle: Handle) {
        self.lock().insert(name.clone(), handle);
        self.changed.send_modify(|count| *count += 1);
    }

    fn remove(&self, name: &GroupName) {
        self.lock().remove(name);
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupName, Handle>> {
        // Whoever panicked has changed a single entry at most.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
