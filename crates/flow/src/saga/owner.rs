//! Which sagas are this server's, and taking them up.
//!
//! Sagas are divided by their ids among a few leases. Who gets a lease takes up all its sagas that run: those that have
//! begun and not ended, by the last snapshot of them and what came after. A server that is alone has all of them. One that cannot
//! be taken up is tried again [`later`], and keeps no other from it.

use super::journal::{Found, Loaded, load, load_all, may_pass};
use super::later::Seeking;
use super::names::{SHARDS, id_of, shard};
use super::open::{Open, whatever_happens};
use super::runner::{Ask, GoOn};
use super::{Known, Shared, hands, later, leases, notes};
use crate::bus::duty::OnDuty;
use crate::events::error::Error;
use crate::events::feed::Feed;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::saga::{Beginning, Progress};
use tenon_core::{Code, Position, Refusal, SagaId};
use tenon_store::{Event, Leases, ReadError};
use tokio_util::sync::CancellationToken;

/// How many sagas are read in one go, and how many times that at once.
const BATCH: usize = 64;
const AT_ONCE: usize = 4;
/// When to look again for what was on its way to the log.
const ON_ITS_WAY: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// How long taking up one may take that could not be taken up before.
const TRY_WITHIN: Duration = Duration::from_secs(10);
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Which shards are this server's.
#[derive(Default)]
pub(super) struct Shards {
    states: Mutex<[State; SHARDS as usize]>,
    /// All sagas that have begun and not ended, as far as what other servers do was followed. None for a server that is alone.
    open: Mutex<Option<Open>>,
}

#[derive(Default)]
enum State {
    #[default]
    Others,
    /// Its sagas are being taken up; these are to be, after them.
    TakingUp(CancellationToken, BTreeSet<SagaId>),
    Own(CancellationToken),
}

impl Shards {
    /// Those that are not this server's.
    fn others(&self) -> BTreeSet<u8> {
        let states = self.lock();
        let others = (0..SHARDS).zip(states.iter()).filter(|(_, state)| matches!(state, State::Others));
        others.map(|(number, _)| number).collect()
    }

    /// If a saga is this server's, what ends that.
    pub(super) fn owned(&self, id: SagaId) -> Option<CancellationToken> {
        match self.lock().get(usize::from(shard(id))) {
            Some(State::Own(stop)) if !stop.is_cancelled() => Some(stop.clone()),
            _ => None,
        }
    }

    /// The same, also while the shard's sagas are being taken up.
    pub(super) fn owned_soon(&self, id: SagaId) -> Option<CancellationToken> {
        match self.lock().get(usize::from(shard(id))) {
            Some(State::Own(stop) | State::TakingUp(stop, _)) if !stop.is_cancelled() => Some(stop.clone()),
            _ => None,
        }
    }

    /// Those that are this server's.
    pub(super) fn own(&self) -> BTreeSet<u8> {
        let states = self.lock();
        let own = (0..SHARDS).zip(states.iter()).filter(|(_, state)| matches!(state, State::Own(_)));
        own.map(|(number, _)| number).collect()
    }

    /// All sagas that have begun and not ended; none for a server that is alone.
    pub(super) fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, shard: u8, state: State) -> State {
        let mut states = self.lock();
        states.get_mut(usize::from(shard)).map(|own| std::mem::replace(own, state)).unwrap_or_default()
    }

    /// What waits for a shard's sagas to be taken up.
    fn taken_up(&self, shard: u8) -> BTreeSet<SagaId> {
        let mut states = self.lock();
        let Some(state) = states.get_mut(usize::from(shard)) else { return BTreeSet::new() };
        match std::mem::take(state) {
            State::TakingUp(stop, waiting) => {
                *state = State::Own(stop);
                waiting
            }
            other => {
                *state = other;
                BTreeSet::new()
            }
        }
    }

    /// Whether a saga has to wait until those before it are taken up.
    fn waits(&self, id: SagaId) -> bool {
        match self.lock().get_mut(usize::from(shard(id))) {
            Some(State::TakingUp(_, waiting)) => {
                waiting.insert(id);
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, [State; SHARDS as usize]> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes up what is this server's, now and later.
pub(super) async fn start(shared: &Arc<Shared>, leases: Option<Arc<dyn Leases>>) -> Result<(), Refusal> {
    let all = (0..SHARDS).collect();
    match leases {
        None => take_up(shared, &all).await?,
        Some(leases) => {
            let mut open = Open::noted(shared.store.log(), &all).await;
            open.catch_up(shared.store.log()).await?;
            let from = open.at;
            *shared.shards.open() = Some(open);
            tokio::spawn(until_stop(shared, follow(Arc::clone(shared), from)));
            for (number, on_duty) in leases::take(shared, leases) {
                tokio::spawn(until_stop(shared, keep(Arc::clone(shared), number, on_duty)));
            }
        }
    }
    tokio::spawn(until_stop(shared, notes::now_and_then(Arc::clone(shared))));
    tokio::spawn(until_stop(shared, later::try_again(Arc::clone(shared))));
    Ok(())
}

pub(super) fn until_stop<W: Future>(
    shared: &Shared,
    work: W,
) -> impl Future<Output = Option<W::Output>> + use<W> {
    shared.stop.clone().run_until_cancelled_owned(work)
}

/// Takes a shard up and lets it go as the lease comes and goes.
pub(super) async fn keep(shared: Arc<Shared>, number: u8, mut on_duty: OnDuty) {
    loop {
        if *on_duty.borrow_and_update() {
            // The lease may have come back before anybody looked.
            let_go(&shared, number);
            let numbers = BTreeSet::from([number]);
            let taken = take_up(&shared, &numbers);
            tokio::pin!(taken);
            let failed = tokio::select! {
                biased;
                taken = &mut taken => taken.err(),
                _ = on_duty.wait_for(|on_duty| !on_duty) => None,
            };
            if let Some(refusal) = failed {
                tracing::warn!(%refusal, shard = number, "sagas cannot be taken up; trying again");
                let_go(&shared, number);
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        }
        if !*on_duty.borrow() {
            let_go(&shared, number);
        } else if !shared.shards.own().contains(&number) {
            // It was let go, and has come back, while it was taken up.
            continue;
        }
        if on_duty.changed().await.is_err() {
            return;
        }
    }
}

/// Lets go of all sagas of a shard, in whatever state they are.
pub(super) fn let_go(shared: &Shared, number: u8) {
    match shared.shards.set(number, State::Others) {
        State::Own(stop) | State::TakingUp(stop, _) => stop.cancel(),
        State::Others => {}
    }
    shared.turns().forget(|id| shard(id) == number);
    shared.later.forget(|id| shard(id) == number);
}

/// Takes up all sagas of these shards that run.
async fn take_up(shared: &Arc<Shared>, numbers: &BTreeSet<u8>) -> Result<(), Refusal> {
    for number in numbers {
        shared.shards.set(*number, State::TakingUp(shared.stop.child_token(), BTreeSet::new()));
    }
    let mut count = 0;
    let mut in_turn: Vec<(SagaId, Read)> = Vec::new();
    let ids: Vec<SagaId> = running(shared, numbers).await?.into_iter().collect();
    let batches = ids.chunks(BATCH).map(<[SagaId]>::to_vec);
    let reading = stream::iter(batches).map(|ids| async move { read_all(shared, &ids).await });
    let mut reading = reading.buffer_unordered(AT_ONCE);
    while let Some(read) = reading.try_next().await? {
        count += read.len();
        for (id, (loaded, known)) in read {
            if loaded.beginning.turn.is_some() {
                in_turn.push((id, (loaded, known)));
            } else {
                adopt(shared, id, loaded, &known, || GoOn::FromTheLog);
            }
        }
    }
    // Those whose turn it is already come first.
    in_turn.sort_by_key(|(_, (loaded, _))| (loaded.instance.is_queued(), loaded.first));
    for (id, (loaded, _)) in &in_turn {
        shared.turns().enter(*id, &loaded.beginning);
    }
    for (id, (loaded, known)) in in_turn {
        adopt(shared, id, loaded, &known, || GoOn::FromTheLog);
    }
    // Not before all have their places: what was read of them may be late by now, and what is heard of one meanwhile is asked of it
    // there, or waits.
    let waiting: BTreeSet<SagaId> = numbers.iter().flat_map(|it| shared.shards.taken_up(*it)).collect();
    for id in waiting {
        match take_up_one(&Seeking::new(shared, id)).await {
            Err(refusal) if !may_pass(&refusal) => shared.later.put_off(id, None, &refusal),
            taken => _ = taken?,
        }
    }
    if count > 0 {
        tracing::info!(sagas = count, "sagas that run are taken up");
    }
    Ok(())
}

type Read = (Loaded, Arc<Known>);

/// A saga that runs.
async fn read(shared: &Shared, id: SagaId) -> Result<Option<Read>, Refusal> {
    known(shared, load(shared.store.log(), id).await?).await
}

/// Those of them that run. One that cannot be read, nor ever could as it is, keeps no other from it.
async fn read_all(shared: &Shared, ids: &[SagaId]) -> Result<Vec<(SagaId, Read)>, Refusal> {
    let mut all = Vec::new();
    let mut add = |id: SagaId, one: Result<Option<Read>, Refusal>| -> Result<(), Refusal> {
        match one {
            Err(refusal) if !may_pass(&refusal) => shared.later.put_off(id, None, &refusal),
            one => all.extend(one?.map(|read| (id, read))),
        }
        Ok(())
    };
    match load_all(shared.store.log(), ids).await {
        Ok(found) => {
            for (id, found) in found {
                add(id, known(shared, found).await)?;
            }
        }
        Err(refusal) if !may_pass(&refusal) => {
            for id in ids {
                add(*id, read(shared, *id).await)?;
            }
        }
        Err(refusal) => return Err(refusal),
    }
    Ok(all)
}

async fn known(shared: &Shared, found: Found) -> Result<Option<Read>, Refusal> {
    let Found::Saga(loaded) = found else { return Ok(None) };
    if loaded.instance.ended().is_some() {
        return Ok(None);
    }
    let known = shared.definitions.version(loaded.instance.version()).await?;
    known.check()?;
    Ok(Some((*loaded, known)))
}

fn adopt(shared: &Arc<Shared>, id: SagaId, loaded: Loaded, known: &Arc<Known>, on: impl FnOnce() -> GoOn) {
    let Some(stop) = shared.shards.owned_soon(id) else { return };
    let beginning = Arc::clone(&loaded.beginning);
    match shared.reserve(id, &beginning) {
        Ok(Some(inbox)) => {
            // It is told of what is appended from now on. What was read of it may be late by now.
            shared.run(id, known, loaded, inbox, stop, on());
            shared.admit_if_first(id, &beginning);
        }
        // Whoever has its place may be about to give it up.
        Ok(None) => hand_on_soon(Seeking::new(shared, id), beginning),
        Err(refusal) => shared.later.put_off(id, Some(beginning), &refusal),
    }
}

/// Takes up one that somebody has begun, or let go, if it is this server's. If it does not run, it has no turn.
pub(super) async fn hand_on(seeking: &Seeking, of: Option<Arc<Beginning>>) {
    let (shared, id) = (&seeking.shared, seeking.id);
    while !shared.shards.waits(id) && shared.shards.owned(id).is_some() && !shared.stop.is_cancelled() {
        match take_up_one(seeking).await {
            Err(refusal) if may_pass(&refusal) => tokio::time::sleep(AFTER_FAILURE).await,
            Err(refusal) => return shared.later.put_off(id, of, &refusal),
            Ok(runs) => {
                if let Some(of) = of.filter(|_| !runs) {
                    shared.leave(id, &of);
                }
                return;
            }
        }
    }
}

/// The same, while others go on: for who gives up a place on which somebody may have relied meanwhile.
pub(super) fn hand_on_soon(seeking: Seeking, of: Arc<Beginning>) {
    // Without a runtime the server is ending.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move { hand_on(&seeking, Some(of)).await });
    }
}

/// The same, where nobody waited for what was appended to it: that may be on its way to the log still.
pub(super) fn hand_on_later(seeking: Seeking, of: Arc<Beginning>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            hand_on(&seeking, Some(of)).await;
            for wait in ON_ITS_WAY {
                tokio::time::sleep(wait).await;
                if seeking.shared.handle(seeking.id).is_none() {
                    hand_on(&seeking, None).await;
                }
            }
        });
    }
}

/// Takes up one that somebody else has begun, or begun again. Whether there is one that runs.
async fn take_up_one(seeking: &Seeking) -> Result<bool, Refusal> {
    let (shared, id) = (&seeking.shared, seeking.id);
    while let Some(handle) = shared.handle(id) {
        if handle.asks.send(Ask::Reload).await.is_ok() {
            return Ok(true);
        }
        handle.over.gone.cancelled().await;
    }
    let before = seeking.changes();
    let Some((loaded, known)) = read(shared, id).await? else { return Ok(false) };
    enter(shared, id, &loaded.beginning);
    adopt(shared, id, loaded, &known, || match seeking.changes() == before {
        true => GoOn::FromTheLog,
        false => GoOn::FromTheLogAnew,
    });
    Ok(true)
}

/// Takes a place among those that run one after the other, for one of this server's.
fn enter(shared: &Shared, id: SagaId, of: &Beginning) {
    shared.turns().enter(id, of);
    if shared.shards.owned_soon(id).is_none() {
        shared.turns().leave(id, of);
    }
}

/// Takes up one, once: one that could not be before, or of which something was heard. If it does not run, it has no turn.
pub(super) async fn try_once(shared: &Arc<Shared>, id: SagaId, of: Option<Arc<Beginning>>) {
    let last = shared.later.last(id);
    if shared.shards.waits(id) || shared.shards.owned(id).is_none() {
        shared.later.settled(id, last);
        return;
    }
    let seeking = Seeking::new(shared, id);
    let taken = AssertUnwindSafe(take_up_one(&seeking)).catch_unwind();
    let taken = match tokio::time::timeout(TRY_WITHIN, taken).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(_)) => Err(Refusal::new(Code::Internal, "taking it up has panicked; the log says where")),
        Err(_) => Err(Refusal::new(Code::ServerTimeout, "it takes too long")),
    };
    match taken {
        Err(refusal) => shared.later.put_off(id, of, &refusal),
        Ok(runs) => {
            let before = shared.later.settled(id, last);
            if let Some(of) = before.or(of).filter(|_| !runs) {
                shared.leave(id, &of);
            }
        }
    }
}

/// The sagas of other servers that have begun and not ended; or a few more.
pub(super) async fn running_elsewhere(shared: &Shared) -> Result<BTreeSet<SagaId>, Refusal> {
    let others = shared.shards.others();
    if others.is_empty() { Ok(BTreeSet::new()) } else { running(shared, &others).await }
}

/// The sagas of these shards that have begun and not ended; or a few more.
async fn running(shared: &Shared, numbers: &BTreeSet<u8>) -> Result<BTreeSet<SagaId>, Refusal> {
    let log = shared.store.log();
    let followed = shared.shards.open().as_ref().map(|open| open.within(numbers));
    let mut open = match followed {
        Some(open) => open,
        None => Open::noted(log, numbers).await,
    };
    open.catch_up(log).await?;
    Ok(open.of(numbers).collect())
}

/// Takes up what other servers begin.
async fn follow(shared: Arc<Shared>, mut from: Position) {
    loop {
        let mut feed = Feed::new(shared.store.clone(), whatever_happens(), Some(from), None);
        while let Some(page) = feed.next().await {
            let page = match page {
                Ok(page) => page,
                Err(Error::Read(ReadError::Closed)) => return,
                Err(error) => {
                    tracing::warn!(error = error.detail(), "cannot read what sagas other servers begin");
                    break;
                }
            };
            for event in &page.events {
                if let Some(open) = shared.shards.open().as_mut() {
                    open.saw(event);
                }
                heard(&shared, event).await;
            }
            from = page.next;
            if let Some(open) = shared.shards.open().as_mut() {
                open.at = from;
            }
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

/// Something was heard of a saga: another server did it.
async fn heard(shared: &Arc<Shared>, event: &Event) {
    let Some(id) = id_of(&event.stream) else { return };
    let progress = Progress::decode(&event.data).ok();
    let is_own = progress.as_ref().is_some_and(|progress| progress.server == shared.server);
    if is_own || shared.shards.owned_soon(id).is_none() {
        return;
    }
    let of = progress.and_then(|progress| progress.beginning).map(Arc::new);
    if let Some(of) = of.as_ref().filter(|_| shared.shards.owned(id).is_some()) {
        // They have their turns in the order of the log, whichever of them is taken up first.
        enter(shared, id, of);
    }
    hands::hear(shared, id, of).await;
}
