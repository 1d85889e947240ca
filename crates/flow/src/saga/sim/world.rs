//! What there is besides servers: the log, leases, services with their ledgers, the network between, and chance.

use super::super::participants::{Called, Request};
use super::super::{SagaOptions, Sagas};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tenon_core::saga::barrier::{Ask, Record, Verdict, arrive, settle};
use tenon_core::saga::{Data, Direction, Outcome, Saga, Version};
use tenon_core::{Position, SagaId, ServerId, Timestamp};
use tenon_store::lease::MemoryLeases;
use tenon_store::{AppendError, Appended, Clock, Condition, Log, MemoryLog, MemoryOptions, NewEvent};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often something happened.
pub(super) type Tally = BTreeMap<&'static str, u64>;

/// A simulated world.
pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) leases: MemoryLeases,
    /// Whether servers share the log, and so ask for leases.
    pub(super) shared: bool,
    /// How many sagas a server runs at once.
    pub(super) most: OnceLock<usize>,
    pub(super) clock: Clock,
    began: Instant,
    /// How many lives servers have had.
    lives: AtomicU64,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    /// Whether anything may fail.
    chaos: bool,
    crashes_left: u32,
    story: Vec<String>,
    tally: Tally,
    servers: BTreeMap<u8, Sagas>,
    definitions: BTreeMap<Version, Saga>,
    records: BTreeMap<(SagaId, String), Record>,
    effects: Vec<Effect>,
    on_the_way: BTreeMap<(SagaId, String), u32>,
    /// Of each key, how often starting it was answered with "it is new".
    new: BTreeMap<String, u32>,
    /// Who is told that the log has grown. Each on its own: of several that wait on one channel it is not said who comes first.
    heads: Vec<watch::Sender<Position>>,
    wrong: Option<String>,
}

/// What a service did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) saga: SagaId,
    pub(super) step: String,
    pub(super) direction: Direction,
}

/// One life of a server: what it can do to the world, and what can be done to it.
pub(super) struct Life {
    pub(super) world: Arc<World>,
    pub(super) number: u8,
    /// No two lives have the same, as no two processes have.
    server: ServerId,
    /// It has crashed: nothing it does from then on has any effect.
    pub(super) dead: CancellationToken,
    still: AtomicBool,
    moves: Notify,
    lies: AtomicBool,
    held: Mutex<BTreeMap<String, bool>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let began = Instant::now();
        let clock: Clock = Arc::new(move || Timestamp::from_millis(1_000_000).after(began.elapsed()));
        let shared = rng.u8(..3) > 0;
        let state = State {
            crashes_left: rng.u32(0..8),
            rng,
            chaos: false,
            story: Vec::new(),
            tally: BTreeMap::new(),
            servers: BTreeMap::new(),
            definitions: BTreeMap::new(),
            records: BTreeMap::new(),
            effects: Vec::new(),
            on_the_way: BTreeMap::new(),
            new: BTreeMap::new(),
            heads: Vec::new(),
            wrong: None,
        };
        let log = MemoryLog::new(MemoryOptions { clock: Arc::clone(&clock), ..MemoryOptions::default() });
        Self {
            log,
            leases: MemoryLeases::default(),
            shared,
            most: OnceLock::new(),
            clock,
            began,
            lives: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets things fail from now on, or no longer.
    pub(super) fn chaos(&self, chaos: bool) {
        self.state().chaos = chaos;
        self.note("chaos", &chaos);
    }

    /// A choice, whether or not anything fails.
    pub(super) fn rng<T>(&self, choose: impl FnOnce(&mut Rng) -> T) -> T {
        choose(&mut self.state().rng)
    }

    /// Whether something fails that does so this often.
    pub(super) fn fails(&self, per_mille: u32) -> bool {
        let mut state = self.state();
        state.chaos && state.rng.u32(..1_000) < per_mille
    }

    /// As [`World::fails`], for crashes, of which there are only so many.
    pub(super) fn crashes(&self, per_mille: u32) -> bool {
        let mut state = self.state();
        let crashes = state.chaos && state.crashes_left > 0 && state.rng.u32(..1_000) < per_mille;
        state.crashes_left -= u32::from(crashes);
        crashes
    }

    /// Something takes its time: mostly little, sometimes longer than anybody waits for it.
    pub(super) async fn takes_time(&self, slow_per_mille: u32) {
        let wait = self.rng(|rng| match rng.u32(..10) {
            0..5 => 0,
            5..9 => rng.u64(1..10),
            _ => rng.u64(10..600),
        });
        let wait = if self.fails(slow_per_mille) { self.rng(|rng| rng.u64(1_000..9_000)) } else { wait };
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    pub(super) fn heads(&self) -> watch::Receiver<Position> {
        let (head, heads) = watch::channel(self.log.head());
        self.state().heads.push(head);
        heads
    }

    pub(super) async fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> Result<Appended, AppendError> {
        let appended = self.log.append(events, condition).await;
        let mut state = self.state();
        state.heads.retain(|heads| heads.receiver_count() > 0);
        state.heads.iter().for_each(|heads| _ = heads.send_replace(self.log.head()));
        appended
    }

    /// Keeps what happened.
    pub(super) fn note(&self, what: &'static str, detail: &dyn Display) {
        let at = self.began.elapsed().as_millis();
        let line = format!("{at:>7} {what} {detail}");
        let mut state = self.state();
        state.story.push(line);
        *state.tally.entry(what).or_default() += 1;
    }

    pub(super) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.state().story.clone()
    }

    pub(super) fn options(&self, life: &Arc<Life>) -> SagaOptions {
        let leases = self.shared.then(|| Arc::new(super::ports::Asked(Arc::clone(life))) as _);
        SagaOptions { leases, server: life.server, clock: Arc::clone(&self.clock) }
    }

    pub(super) fn serves(&self, number: u8, sagas: Option<Sagas>) {
        match sagas {
            Some(sagas) => self.state().servers.insert(number, sagas),
            None => self.state().servers.remove(&number),
        };
    }

    /// Any server, if there is one now.
    pub(super) fn server(&self) -> Option<Sagas> {
        let mut state = self.state();
        let count = state.servers.len();
        let any = if count == 0 { return None } else { state.rng.usize(..count) };
        state.servers.values().nth(any).cloned()
    }

    pub(super) fn define(&self, version: Version, saga: Saga) {
        self.state().definitions.insert(version, saga);
    }

    pub(super) fn defined(&self, version: Version) -> Option<Saga> {
        self.state().definitions.get(&version).cloned()
    }

    pub(super) fn began_anew(&self, key: &str) {
        *self.state().new.entry(key.to_owned()).or_default() += 1;
    }

    /// Something that was seen at once to be wrong.
    pub(super) fn wrong(&self) -> Option<String> {
        let state = self.state();
        let twice = state.new.iter().find(|(_, times)| **times > 1);
        state.wrong.clone().or_else(|| twice.map(|(key, _)| format!("the key {key} was new twice")))
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    /// Whether a call of a step is on its way.
    pub(super) fn is_on_the_way(&self, saga: SagaId, step: &str) -> bool {
        self.state().on_the_way.get(&(saga, step.to_owned())).is_some_and(|calls| *calls > 0)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.state().on_the_way.values().all(|calls| *calls == 0)
    }

    /// Whether a step is done, as its service has it.
    pub(super) fn is_done(&self, saga: SagaId, step: &str) -> bool {
        self.state().records.get(&(saga, step.to_owned())) == Some(&Record::Done)
    }

    /// Sends a call on its way: it arrives once, twice, late or never. What comes of it, if anything does.
    pub(super) fn send(self: &Arc<Self>, request: &Request) -> oneshot::Receiver<Option<Called>> {
        let (reply, answer) = oneshot::channel();
        let reply = Arc::new(Mutex::new(Some(reply)));
        let copies = match () {
            () if self.fails(30) => 0,
            () if self.fails(60) => 2,
            () => 1,
        };
        let way = (request.saga, request.step.to_string());
        match copies {
            0 => self.note("call lost", &request.key()),
            2 => self.note("call doubled", &request.key()),
            _ => {}
        }
        for _ in 0..copies {
            *self.state().on_the_way.entry(way.clone()).or_default() += 1;
            let (world, request, reply, way) =
                (Arc::clone(self), request.clone(), Arc::clone(&reply), way.clone());
            tokio::spawn(async move {
                world.takes_time(60).await;
                let called = world.arrives(&request);
                if let Some(calls) = world.state().on_the_way.get_mut(&way) {
                    *calls -= 1;
                }
                let called = world.comes_back(called).await;
                if let Some(reply) = reply.lock().unwrap().take() {
                    _ = reply.send(called);
                }
            });
        }
        if copies == 0 {
            let world = Arc::clone(self);
            tokio::spawn(async move {
                world.takes_time(60).await;
                let lost = world.rng(Rng::bool).then_some(Err(Outcome::Unknown.into()));
                _ = reply.lock().unwrap().take().map(|reply| reply.send(lost));
            });
        }
        answer
    }

    /// An answer on its way: it comes, or breaks off, or never comes.
    async fn comes_back(&self, called: Called) -> Option<Called> {
        let lost = self.fails(60);
        self.takes_time(40).await;
        match lost {
            false => Some(called),
            true => {
                self.note("answer lost", &"");
                self.rng(Rng::bool).then_some(Err(Outcome::Unknown.into()))
            }
        }
    }

    /// A service is called. It keeps the barrier, and a ledger.
    fn arrives(&self, request: &Request) -> Called {
        let step = request.step.to_string();
        let output = json!({"id": format!("{step}-1")});
        let (ask, refusals) = match request.direction {
            Direction::Do => (Ask::Do(request.round), 40),
            Direction::Undo => (Ask::Undo, 150),
        };
        let refuses = self.fails(refusals);
        let mut state = self.state();
        if request.direction == Direction::Undo {
            let id = request.input.as_ref().and_then(|input| input.get("id")).unwrap_or(&Value::Null);
            if !id.is_null() && *id != output["id"] {
                state.wrong = Some(format!("{} `{step}` is undone with {id}", request.saga));
            }
        }
        let record = state.records.entry((request.saga, step.clone())).or_default();
        let verdict = arrive(*record, ask);
        let ok = match verdict {
            Verdict::Run => !refuses,
            Verdict::Repeat | Verdict::NothingToUndo => true,
            Verdict::RepeatRefusal | Verdict::Hanging => false,
        };
        *record = settle(*record, ask, ok);
        let kind = match verdict {
            Verdict::Run if ok => "effect",
            Verdict::Run => "step refused",
            Verdict::Repeat => "call repeated",
            Verdict::RepeatRefusal => "refusal repeated",
            Verdict::NothingToUndo => "nothing to undo",
            Verdict::Hanging => "call late",
        };
        *state.tally.entry(kind).or_default() += 1;
        if verdict == Verdict::Run && ok {
            state.effects.push(Effect { saga: request.saga, step, direction: request.direction });
        }
        drop(state);
        self.note("arrived", &format_args!("{}#{} {verdict:?} {ok}", request.key(), request.attempt));
        if ok { Ok(Some(Data::new(&output.to_string()))) } else { Err(Outcome::Refused.into()) }
    }
}

impl Life {
    pub(super) fn new(world: &Arc<World>, number: u8) -> Arc<Self> {
        let life = world.lives.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Self {
            world: Arc::clone(world),
            number,
            server: ServerId::from_bytes(u128::from(life).to_be_bytes()),
            dead: CancellationToken::new(),
            still: AtomicBool::new(false),
            moves: Notify::new(),
            lies: AtomicBool::new(false),
            held: Mutex::default(),
        })
    }

    /// Passed by all that a server does to the world: not while it stands still, and never when it is dead.
    pub(super) async fn gate(&self) {
        loop {
            let moves = self.moves.notified();
            if !self.still.load(Ordering::Relaxed) {
                break;
            }
            moves.await;
        }
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn crash(&self) {
        self.world.note("crash", &self.number);
        self.dead.cancel();
        std::future::pending::<()>().await;
    }

    pub(super) fn stand_still(&self, still: bool) {
        self.world.note("still", &format_args!("{} {still}", self.number));
        self.still.store(still, Ordering::Relaxed);
        self.moves.notify_waiters();
    }

    /// It has a lease, or has it no longer.
    pub(super) fn holds(&self, name: &str, has_it: bool) {
        if self.held.lock().unwrap().insert(name.to_owned(), has_it) != Some(has_it) {
            self.world.note("lease", &format_args!("{name} by {}: {has_it}", self.number));
        }
    }

    /// Whether it believes to have every lease, and asks nobody.
    pub(super) fn believe(&self, lies: bool) {
        self.world.note("believes", &format_args!("{} {lies}", self.number));
        self.lies.store(lies, Ordering::Relaxed);
    }

    pub(super) fn believes(&self) -> bool {
        self.lies.load(Ordering::Relaxed)
    }
}
