//! What is done to sagas: starting one, telling it something, looking at it, waiting for its end.

use super::children::StepOf;
use super::definitions::{Known, unknown};
use super::journal::{Failed, Found, Loaded, Writing, append, in_turn, load, unchanged};
use super::later::Seeking;
use super::runner::{self, Ask, GoOn, Runner};
use super::turns::{self, Turn, Turns};
use super::{
    Begin, Begun, Handle, INBOX, LOOK_EVERY, MAX_DATA, MAX_KEY, MOST_ATTEMPTS, Over, Shared, View, given,
    hands, illegal, invalid, names, no_such, owner,
};
use serde_json::Value;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tenon_api::saga::Beginning;
use tenon_core::manifest::Ratio;
use tenon_core::saga::{Data, Input, Operator, SagaName, start, step};
use tenon_core::{Actor, Code, Namespace, Position, Refusal, SagaId, Timestamp, sampling};
use tenon_store::log::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long to wait for what a saga that runs says of itself.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);

impl Shared {
    /// The saga of a name that is not known yet.
    async fn soon(
        &self,
        namespace: &Namespace,
        name: &SagaName,
    ) -> Result<(Option<Arc<Known>>, Position), Refusal> {
        let is_expected = || self.expected.get().is_some_and(|expected| expected(namespace, name));
        self.definitions.soon(namespace, name, is_expected).await
    }

    pub(super) async fn begin(
        self: &Arc<Self>,
        begin: Begin,
        parent: Option<StepOf>,
    ) -> Result<Begun, Refusal> {
        let Begin { namespace, name, input, key, trace, kept, actor } = begin;
        let (known, defined_at) = match parent {
            None => match self.definitions.now(&namespace, &name) {
                (None, _) => self.soon(&namespace, &name).await?,
                found => found,
            },
            Some(StepOf { defined_at: at, .. }) => (self.definitions.as_of(&namespace, &name, at).await?, at),
        };
        let known = known.ok_or_else(|| unknown(&namespace, &name))?;
        let parent = parent.map(|parent| parent.id);
        known.check()?;
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            return Err(invalid(format!("a key has 1 to {MAX_KEY} bytes")));
        }
        let reverts = if parent.is_some() { known.can_be_reverted() } else { Ok(()) };
        if let Err(refusal) = reverts.and_then(|()| given::fits(known.saga.definition(), &input)) {
            // Whoever starts it again under its key finds it, whatever new ones are given.
            let ids = key.iter().flat_map(|key| names::ids_of(&namespace, &name, key));
            return self
                .begun_before(&ids.collect::<Vec<_>>(), parent, &input.to_string())
                .await?
                .ok_or(refusal);
        }
        let by = known.saga.definition().serialize_by.as_ref();
        let turn = by.map(|by| known.expressions.turn(by, &input)).transpose();
        let turn = turn.map_err(|problem| invalid(format!("serialize_by {problem}")))?;
        let ids = match &key {
            Some(key) => names::ids_of(&namespace, &name, key),
            None => [names::new_id(&namespace, &name, turn.is_some()); 2],
        };
        let id = ids[usize::from(turn.is_some())];
        let input = input.to_string();
        if input.len() > MAX_DATA {
            return Err(invalid(format!("the input has {} bytes; {MAX_DATA} is the most", input.len())));
        }
        let trace = trace.unwrap_or_else(|| u128::from_be_bytes(*id.as_bytes()));
        let beginning = Arc::new(Beginning {
            namespace,
            name,
            key,
            turn,
            parent,
            trace,
            kept,
            defined_at: Some(defined_at),
        });
        for _ in 0..MOST_ATTEMPTS {
            let (own, known, of) = (Arc::clone(self), Arc::clone(&known), Arc::clone(&beginning));
            let (data, actor) = (Data::new(&input), actor.clone());
            let begun = async move { own.begin_once(&known, ids, id, &of, data, actor).await };
            match ToItsEnd::new(begun).await {
                Ok(Some(view)) => return Ok(Begun { view, existed: false }),
                Ok(None) => {}
                // Where there is no room for another one, one that has begun is found all the same.
                Err(refusal) if refusal.code == Code::ServerOverloaded && beginning.key.is_some() => {
                    return self.begun_before(&ids, parent, &input).await?.ok_or(refusal);
                }
                Err(refusal) => return Err(refusal),
            }
            if let Some(begun) = self.begun_before(&ids, parent, &input).await? {
                return Ok(begun);
            }
            if let Found::Never = load(self.store.log(), id).await? {
                let detail = format!("saga {id} was reverted before it began, and never will");
                return Err(Refusal::new(Code::SagaIllegal, detail));
            }
        }
        Err(Refusal::new(Code::ServerTimeout, format!("saga {id} is being started; ask again")))
    }

    /// The saga that was started with one of these ids. With another input it is a refusal, but for one that is a step of a saga: what
    /// that gives it may have been edited since.
    async fn begun_before(
        &self,
        ids: &[SagaId],
        parent: Option<SagaId>,
        input: &str,
    ) -> Result<Option<Begun>, Refusal> {
        for id in ids {
            match self.view(*id).await {
                Ok(view) if parent.is_none() && !is_alike(view.instance.input().as_str(), input) => {
                    let detail = format!("saga {id} was started under this key with another input");
                    return Err(Refusal::new(Code::SagaIllegal, detail));
                }
                Ok(view) => return Ok(Some(Begun { view, existed: true })),
                Err(refusal) if refusal.code == Code::SagaUnknown => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(None)
    }

    /// Starts a saga, if there is none yet.
    pub(super) async fn begin_once(
        self: &Arc<Self>,
        known: &Arc<Known>,
        ids: [SagaId; 2],
        id: SagaId,
        beginning: &Arc<Beginning>,
        input: Data,
        actor: Option<Actor>,
    ) -> Result<Option<View>, Refusal> {
        let owned = self.shards.owned(id);
        let inbox = match &owned {
            Some(_) => match self.reserve(id, beginning)? {
                Some(inbox) => Some(inbox),
                None => return Ok(None),
            },
            None => None,
        };
        // Where its turn is decided elsewhere, it waits to be told.
        let mut queued = match &owned {
            Some(_) => self.turns().enter(id, beginning),
            None => beginning.turn.is_some(),
        };
        let mut condition = unchanged(&ids, Position::START);
        if beginning.turn.is_some() && !queued {
            match turns::look(self, beginning, &ids, Position::START).await? {
                Turn::Free(after) => condition = in_turn(&ids, beginning, after),
                Turn::Of(_) => queued = true,
            }
        }
        let seed = names::seed(id);
        let begins = tenon_core::saga::Beginning { version: known.version, input, seed, queued };
        let (instance, output) = start(&known.saga, begins, self.now());
        let writing = Writing {
            id,
            beginning,
            first: true,
            events: &output.events,
            server: owned.as_ref().map(|_| self.server),
            told: false,
            actor,
            problem: None,
        };
        let appended = append(self.store.log(), writing.to_events(), condition).await;
        let loaded = appended.map(|position| runner::begun(Arc::clone(beginning), instance, position));
        match loaded {
            Ok(loaded) => {
                let view = View::of(id, known, &loaded);
                self.meters.of(known).started();
                if let (Some(inbox), Some(stop)) = (inbox, owned) {
                    self.run(id, known, loaded, inbox, stop, GoOn::With(output.calls));
                    self.admit_if_first(id, beginning);
                }
                Ok(Some(view))
            }
            Err(Failed::Stale) => {
                Inbox::in_vain(inbox);
                Ok(None)
            }
            Err(Failed::Log(refusal)) => Err(refusal),
        }
    }

    /// Takes a place among the sagas that run; none if it has one.
    pub(super) fn reserve(
        self: &Arc<Self>,
        id: SagaId,
        of: &Arc<Beginning>,
    ) -> Result<Option<Inbox>, Refusal> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            let detail = format!("{} sagas run, which is the most; start it again later", self.most);
            return Err(Refusal::new(Code::ServerOverloaded, detail));
        };
        let mut running = self.running();
        if running.contains_key(&id) {
            return Ok(None);
        }
        let (asks, inbox) = mpsc::channel(INBOX);
        let over = Over::default();
        running.insert(id, Handle { of: Arc::clone(of), asks, over: over.clone() });
        let place = Some(Place { inbox, over, room });
        Ok(Some(Inbox { shared: Arc::clone(self), id, of: Arc::clone(of), place, in_vain: false }))
    }

    /// Lets a saga run that has a place.
    pub(super) fn run(
        self: &Arc<Self>,
        id: SagaId,
        known: &Arc<Known>,
        at: Loaded,
        inbox: Inbox,
        stop: CancellationToken,
        on: GoOn,
    ) {
        let mut inbox = inbox;
        let Some(Place { inbox, over, room }) = inbox.place.take() else { return };
        let (shared, known) = (Arc::clone(self), Arc::clone(known));
        let metered = self.meters.of(&known).run(&at.instance, at.turned_back);
        self.later.runs(id);
        let runner = Runner { shared, id, known, at, inbox, over, metered, turn: None, stop, _room: room };
        tokio::spawn(Box::pin(runner.run(on)));
    }

    /// A saga no longer runs here. One that goes on elsewhere keeps its turn.
    pub(super) fn let_go(self: &Arc<Self>, id: SagaId, of: &Beginning, has_ended: bool) {
        self.give_up(id);
        if has_ended {
            self.leave(id, of);
        }
    }

    fn give_up(&self, id: SagaId) {
        self.later.changes(id);
        let handle = self.running().remove(&id);
        if let Some(handle) = handle {
            handle.over.gone.cancel();
        }
    }

    /// A saga's task has panicked.
    pub(super) fn fell(&self, id: SagaId, of: &Arc<Beginning>) {
        let is_own = self.shards.owned_soon(id).is_some();
        self.later.changes(id);
        let handle = {
            let mut running = self.running();
            // Whoever finds it put off finds it no longer here: its task takes in nothing more.
            if is_own {
                self.later.fell(id, Arc::clone(of));
            }
            running.remove(&id)
        };
        if let Some(handle) = handle {
            handle.over.gone.cancel();
        }
    }

    /// Those that have begun and not ended, as a server knows them that has all of them; or a few more, and some of them twice. Each is
    /// in one of these at any moment, as it comes to the next before it leaves the last; so they are looked at in one moment.
    pub(super) fn open(&self) -> Vec<SagaId> {
        let running = self.running();
        let mut open: Vec<SagaId> = running.keys().copied().collect();
        open.extend(self.later.open());
        open
    }

    /// It is no longer a saga's turn.
    pub(super) fn leave(self: &Arc<Self>, id: SagaId, of: &Beginning) {
        let next = self.turns().leave(id, of);
        if let Some(next) = next {
            self.admit(next);
        }
    }

    pub(super) fn admit_if_first(self: &Arc<Self>, id: SagaId, of: &Beginning) {
        if of.turn.is_some() && self.turns().is_first(id, of) {
            self.admit(id);
        }
    }

    /// It is a saga's turn, if the log has it so.
    pub(super) fn admit(self: &Arc<Self>, id: SagaId) {
        let Some(handle) = self.running().get(&id).cloned() else { return };
        tokio::spawn(async move {
            // One that has ended has no more turn.
            _ = handle.asks.send(Ask::Begin).await;
        });
    }

    pub(super) async fn view(&self, id: SagaId) -> Result<View, Refusal> {
        if let Some(handle) = self.handle(id) {
            let asked = async {
                let (reply, answer) = oneshot::channel();
                handle.asks.send(Ask::View(reply)).await.ok()?;
                answer.await.ok()
            };
            // One that waits until the log takes its events is as the log has it.
            if let Ok(Some(view)) = tokio::time::timeout(ANSWERS_WITHIN, asked).await {
                return Ok(view);
            }
        }
        let (loaded, known) = self.load(id).await?;
        let put_off = self.later.why(id).filter(|_| loaded.instance.ended().is_none());
        Ok(View { put_off: put_off.map(|why| why.detail), ..View::of(id, &known, &loaded) })
    }

    pub(super) async fn load(&self, id: SagaId) -> Result<(Loaded, Arc<Known>), Refusal> {
        match load(self.store.log(), id).await? {
            Found::Saga(loaded) => {
                let known = self.definitions.version(loaded.instance.version()).await?;
                Ok((*loaded, known))
            }
            Found::Never | Found::Nothing => Err(no_such(id)),
        }
    }

    pub(super) async fn wait(&self, id: SagaId, within: Duration) -> Result<View, Refusal> {
        let ends = Instant::now() + within;
        loop {
            let over = self.handle(id).map(|handle| handle.over);
            if over.is_none() {
                let view = self.view(id).await?;
                if view.instance.ended().is_some() || Instant::now() >= ends || self.stop.is_cancelled() {
                    return Ok(view);
                }
            }
            let look = async {
                match &over {
                    Some(over) => over.gone.cancelled().await,
                    None => tokio::time::sleep(LOOK_EVERY).await,
                }
            };
            tokio::select! {
                biased;
                () = look => {}
                () = tokio::time::sleep_until(ends) => return self.view(id).await,
                () = self.stop.cancelled() => return self.view(id).await,
            }
            if let Some(view) = over.and_then(|over| over.ended.get().cloned()) {
                return Ok(view);
            }
        }
    }

    pub(super) async fn tell(
        self: &Arc<Self>,
        id: SagaId,
        input: Input,
        actor: Option<Actor>,
    ) -> Result<View, Refusal> {
        for _ in 0..MOST_ATTEMPTS {
            if let Some(handle) = self.handle(id) {
                let (reply, answer) = oneshot::channel();
                let ask = Ask::Tell(input.clone(), actor.clone(), reply);
                if handle.asks.send(ask).await.is_ok()
                    && let Ok(told) = answer.await
                {
                    return told;
                }
                // It has ended, or is about to begin.
                handle.over.gone.cancelled().await;
                continue;
            }
            let (own, input_now, actor) = (Arc::clone(self), input.clone(), actor.clone());
            let told = async move { own.tell_by_log(id, &input_now, actor).await };
            match ToItsEnd::new(told).await {
                Ok(Some(view)) => return Ok(view),
                Ok(None) => {}
                Err(refusal) if self.may_retry(id, &input, &refusal) => return self.retry(id).await,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new(Code::ServerTimeout, format!("saga {id} changes all the time; ask again")))
    }

    /// Whether it is to be tried again, and it is no step that waits for that but the saga, which was put off.
    fn may_retry(&self, id: SagaId, input: &Input, refusal: &Refusal) -> bool {
        let is_meant = matches!(input, Input::Operator(Operator::Retry(_)));
        is_meant && refusal.code == Code::SagaIllegal && self.later.why(id).is_some()
    }

    /// Takes up one that was put off.
    async fn retry(self: &Arc<Self>, id: SagaId) -> Result<View, Refusal> {
        self.later.forgive(id);
        let own = Arc::clone(self);
        // Whoever asks may go away meanwhile.
        ToItsEnd::new(async move { hands::try_again(&own, id).await }).await;
        match self.later.why(id) {
            Some(why) => Err(why),
            None => self.view(id).await,
        }
    }

    /// Says it to one that does not run here: by appending what follows, which its owner takes up. None if somebody else was
    /// faster.
    pub(super) async fn tell_by_log(
        self: &Arc<Self>,
        id: SagaId,
        input: &Input,
        actor: Option<Actor>,
    ) -> Result<Option<View>, Refusal> {
        let (mut loaded, known) = self.load(id).await?;
        known.check()?;
        // Who had it before made these calls, or did not.
        let uncertain = !loaded.instance.calls().is_empty();
        let decided = step(&known.saga, &loaded.instance, input.clone(), self.now());
        let output = decided.map_err(|problem| illegal(&problem))?;
        if output.events.is_empty() {
            return Ok(Some(View::of(id, &known, &loaded)));
        }
        let beginning = Arc::clone(&loaded.beginning);
        let owned = self.shards.owned(id);
        let inbox = match &owned {
            Some(_) => match self.reserve(id, &beginning)? {
                Some(inbox) => Some(inbox),
                None => return Ok(None),
            },
            None => None,
        };
        let writing = Writing {
            id,
            beginning: &beginning,
            first: false,
            events: &output.events,
            server: owned.as_ref().map(|_| self.server),
            told: true,
            actor,
            problem: None,
        };
        let condition = unchanged(&[id], loaded.last);
        let appended = append(self.store.log(), writing.to_events(), condition).await;
        loaded.last = match appended {
            Ok(position) => position,
            Err(Failed::Stale) => {
                Inbox::in_vain(inbox);
                return Ok(None);
            }
            Err(Failed::Log(refusal)) => return Err(refusal),
        };
        output.events.iter().for_each(|event| loaded.instance.apply(event));
        let view = View::of(id, &known, &loaded);
        if let (Some(inbox), Some(stop)) = (inbox, owned) {
            let on = if uncertain { GoOn::FromTheLog } else { GoOn::With(output.calls) };
            self.later.forgive(id);
            // It may be queued, and nobody has seen to its turn here.
            self.turns().enter(id, &beginning);
            self.run(id, &known, loaded, inbox, stop, on);
            self.admit_if_first(id, &beginning);
        }
        Ok(Some(view))
    }

    /// Whether a saga's trace is kept, as far as that is known before its end.
    pub(super) fn is_kept(&self, of: &Beginning) -> bool {
        let ratio = Ratio::of_millionths(self.sampling.load(Ordering::Relaxed)).unwrap_or(Ratio::ALL);
        sampling::head(of.trace, of.kept, ratio)
    }

    /// How late it is.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn handle(&self, id: SagaId) -> Option<Handle> {
        self.running().get(&id).cloned()
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<SagaId, Handle>> {
        // Whoever panicked has changed a single entry at most.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the sagas that run. If it is given up before the saga runs, be it that whoever asked for it is gone, the log says
/// whether there is a saga to be taken up.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    id: SagaId,
    of: Arc<Beginning>,
    /// None once it runs.
    place: Option<Place>,
    /// Whether it is known that nothing more is appended by whoever asked for it.
    in_vain: bool,
}

struct Place {
    inbox: mpsc::Receiver<Ask>,
    over: Over,
    room: tokio::sync::OwnedSemaphorePermit,
}

impl Inbox {
    /// Gives it up, as somebody else was faster.
    fn in_vain(inbox: Option<Self>) {
        if let Some(mut inbox) = inbox {
            inbox.in_vain = true;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.place.take().is_some() {
            let seeking = Seeking::new(&self.shared, self.id);
            self.shared.give_up(self.id);
            let hand_on = if self.in_vain { owner::hand_on_soon } else { owner::hand_on_later };
            hand_on(seeking, Arc::clone(&self.of));
        }
    }
}

/// Work that is done to its end, be it that nobody waits for it any more: what was appended is followed by what is to follow.
struct ToItsEnd<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> ToItsEnd<T> {
    fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // One that panics is not there any more.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the server is ending.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// Whether two texts of JSON hold the same.
fn is_alike(one: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    one == other || value(one) == value(other)
}
