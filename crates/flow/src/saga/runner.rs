//! One saga that runs: takes in what happens, appends what follows, and only then makes the calls.

use super::children::StepOf;
use super::definitions::Known;
use super::expressions::Scope;
use super::journal::{
    Failed, Found, Loaded, Writing, append_at_last, failed, in_turn, load_at_last, unchanged,
};
use super::later::Seeking;
use super::meters::{Metered, Sent};
use super::names::{call_span, child_key};
use super::participants::{Called, Failure, Request};
use super::turns::{self, Free};
use super::{Over, Shared, View, owner};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tenon_api::saga::Beginning;
use tenon_core::saga::{
    Action, Data, Direction, Illegal, Input, Outcome, SagaName, StepIx, Token, UndoWork, Work, step,
};
use tenon_core::trace::Parent;
use tenon_core::{Actor, Code, Position, Refusal, SagaId};
use tenon_store::log::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long a call may take that has no time-out: a saga that is a step asks again after it.
const UNBOUNDED: Duration = Duration::from_secs(30);

/// The most answers that are taken in at once. What they bring fits one append.
const MOST_AT_ONCE: usize = 16;

/// What is asked of a saga that runs.
pub(super) enum Ask {
    /// Something happened.
    Tell(Input, Option<Actor>, oneshot::Sender<Result<View, Refusal>>),
    /// How is it?
    View(oneshot::Sender<View>),
    /// Somebody else has appended to it.
    Reload,
    /// It is the first of those that run one after the other, here.
    Begin,
}

/// How a saga goes on.
pub(super) enum GoOn {
    /// It has just been decided on, and these calls are to be made.
    With(Vec<Token>),
    /// From what its stream says.
    FromTheLog,
    /// The same, of which more may have been appended since it was read.
    FromTheLogAnew,
}

/// A saga that runs.
pub(super) struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) id: SagaId,
    pub(super) known: Arc<Known>,
    pub(super) at: Loaded,
    pub(super) inbox: mpsc::Receiver<Ask>,
    pub(super) over: Over,
    pub(super) metered: Metered,
    /// Waits for its turn.
    pub(super) turn: Option<BoxFuture<'static, Free>>,
    /// Cancelled when the saga is no longer this server's.
    pub(super) stop: CancellationToken,
    pub(super) _room: OwnedSemaphorePermit,
}

type Calls = FuturesUnordered<BoxFuture<'static, (Token, Option<Called>)>>;

/// The calls under way, and what ends each.
#[derive(Default)]
struct UnderWay {
    calls: Calls,
    ends: BTreeMap<Token, CancellationToken>,
}

/// What happens next to a saga.
enum Next {
    Called(Token, Option<Called>),
    Asked(Ask),
    Time,
    Turn(Free),
    Stop,
}

impl Runner {
    /// Runs it until it ends, or is no longer this server's.
    pub(super) async fn run(mut self, on: GoOn) {
        let mut standing = Standing::new(&self);
        let mut under_way = UnderWay::default();
        let mut ended = self.go_on(on, &mut under_way).await;
        while ended.is_ok() && self.at.instance.ended().is_none() {
            ended = match self.next(&mut under_way).await {
                Next::Stop => break,
                next => self.take(next, &mut under_way).await,
            };
        }
        let stands = ended.err();
        if let Some(refusal) = &stands {
            tracing::warn!(saga = %self.id, %refusal, "a saga does not go on here");
        }
        self.inbox.close();
        let mut asked_to_reload = false;
        while let Ok(ask) = self.inbox.try_recv() {
            asked_to_reload |= matches!(ask, Ask::Reload);
        }
        if self.at.instance.ended().is_some() {
            // It is set here only.
            _ = self.over.ended.set(self.view());
        }
        let has_ended = self.at.instance.ended().is_some();
        let is_let_go = !has_ended && self.stop.is_cancelled();
        self.metered.over();
        standing.is_over = true;
        // It may have become this server's again, or have begun again, while this one was still here.
        let seeking = (asked_to_reload || is_let_go).then(|| Seeking::new(&self.shared, self.id));
        match stands.filter(|_| !has_ended && !is_let_go) {
            Some(refusal) => self.shared.later.stands(self.id, Arc::clone(&self.at.beginning), &refusal),
            None => self.shared.later.forgive(self.id),
        }
        // Whoever asked meanwhile is answered by the log.
        self.shared.let_go(self.id, &self.at.beginning, has_ended);
        if let Some(seeking) = seeking {
            owner::hand_on(&seeking, None).await;
        }
    }

    async fn go_on(&mut self, on: GoOn, under_way: &mut UnderWay) -> Result<(), Refusal> {
        match on {
            GoOn::With(calls) => {
                calls.into_iter().for_each(|token| self.begin(token, under_way));
                Ok(())
            }
            GoOn::FromTheLog => self.happens(Input::Recovered, None, under_way).await.map(|_| ()),
            GoOn::FromTheLogAnew => {
                self.load().await?;
                match self.at.instance.ended() {
                    Some(_) => Ok(()),
                    None => self.happens(Input::Recovered, None, under_way).await.map(|_| ()),
                }
            }
        }
    }

    async fn next(&mut self, under_way: &mut UnderWay) -> Next {
        let wake = self.at.instance.wake_at();
        let sleep = async {
            match wake {
                Some(at) => tokio::time::sleep(at.since(self.shared.now())).await,
                None => std::future::pending().await,
            }
        };
        let turn = async {
            match &mut self.turn {
                Some(turn) => turn.await,
                None => std::future::pending().await,
            }
        };
        // What is due comes before what is asked, so that whoever asks all the time holds nothing up.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Next::Stop,
            () = sleep => Next::Time,
            Some((token, called)) = under_way.calls.next() => Next::Called(token, called),
            free = turn => Next::Turn(free),
            ask = self.inbox.recv() => ask.map_or(Next::Stop, Next::Asked),
        }
    }

    async fn take(&mut self, next: Next, under_way: &mut UnderWay) -> Result<(), Refusal> {
        match next {
            Next::Called(_, None) | Next::Stop => Ok(()),
            Next::Called(token, Some(called)) => {
                let mut all = vec![came(token, called)];
                // What came meanwhile is taken in with it, so that it is appended with it.
                while all.len() < MOST_AT_ONCE
                    && let Some(Some((token, called))) = under_way.calls.next().now_or_never()
                {
                    all.extend(called.map(|called| came(token, called)));
                }
                self.all_happen(all, None, None, under_way).await.map(|_| ())
            }
            Next::Time => self.happens(Input::Time, None, under_way).await.map(|_| ()),
            // Whoever asked may have gone.
            Next::Asked(Ask::View(reply)) => {
                _ = reply.send(self.view());
                Ok(())
            }
            Next::Asked(Ask::Reload) => self.reload(under_way).await,
            Next::Asked(Ask::Begin) => {
                self.seek_turn();
                Ok(())
            }
            Next::Turn(free) if free.last == self.at.last => {
                self.turn = None;
                let after = Some(free.after);
                self.all_happen(vec![(Input::Admitted, None)], None, after, under_way).await.map(|_| ())
            }
            Next::Turn(_) => {
                self.seek_turn();
                Ok(())
            }
            Next::Asked(Ask::Tell(input, actor, reply)) => {
                let told = self.happens(input, actor, under_way).await?;
                if told == Err(Illegal::Ended) {
                    // Somebody else has ended it. Who is not answered asks again, when it is gone, and goes by the log.
                    return Ok(());
                }
                let told = told.map(|()| self.view()).map_err(|illegal| super::illegal(&illegal));
                _ = reply.send(told);
                Ok(())
            }
        }
    }

    /// Decides what follows from an input, appends it, and then makes the calls. Where somebody else has appended
    /// before, nothing of that counts: the saga goes on from what the log says.
    async fn happens(
        &mut self,
        input: Input,
        actor: Option<Actor>,
        under_way: &mut UnderWay,
    ) -> Result<Result<(), Illegal>, Refusal> {
        self.all_happen(vec![(input, None)], actor, None, under_way).await
    }

    /// The same of some that came at once, with what was said where a call failed; and where it is the saga's turn if it has become
    /// nobody else's after a position. What follows from each is an event, and all of them are one append.
    async fn all_happen(
        &mut self,
        inputs: Vec<(Input, Option<Data>)>,
        actor: Option<Actor>,
        turn: Option<Position>,
        under_way: &mut UnderWay,
    ) -> Result<Result<(), Illegal>, Refusal> {
        loop {
            let now = self.shared.now();
            let mut instance = self.at.instance.clone();
            let (mut outputs, mut illegal) = (Vec::new(), Ok(()));
            for (input, problem) in &inputs {
                match step(&self.known.saga, &instance, input.clone(), now) {
                    Ok(output) => {
                        output.events.iter().for_each(|event| instance.apply(event));
                        outputs.extend((!output.events.is_empty()).then_some((output, problem.as_ref())));
                    }
                    Err(why) => illegal = Err(why),
                }
            }
            if outputs.is_empty() {
                return Ok(illegal);
            }
            let written = outputs.iter().flat_map(|(output, problem)| {
                let writing = Writing {
                    id: self.id,
                    beginning: &self.at.beginning,
                    first: false,
                    events: &output.events,
                    server: Some(self.shared.server),
                    told: false,
                    actor: actor.clone(),
                    problem: *problem,
                };
                writing.to_events()
            });
            let written = written.collect();
            let condition = match turn {
                None => unchanged(&[self.id], self.at.last),
                Some(after) => in_turn(&[self.id], &self.at.beginning, after),
            };
            let appending = append_at_last(self.shared.store.log(), written, condition);
            let Some(appended) = self.stop.run_until_cancelled(appending).await else {
                return Err(Refusal::new(Code::ServerOffDuty, "another server has the saga now; ask again"));
            };
            match appended {
                Ok(position) => {
                    self.at.instance = instance;
                    self.at.last = position;
                    let wanted = self.at.instance.calls();
                    under_way.keep(&wanted);
                    for (output, problem) in outputs {
                        if let Some((step, problem)) = output.events.first().and_then(failed).zip(problem) {
                            self.at.problems.insert(step, problem.clone());
                        }
                        self.metered.saw(&output.events, &self.at.instance, self.shared.now());
                        let calls = output.calls.into_iter().filter(|token| wanted.contains(token));
                        calls.for_each(|token| self.begin(token, under_way));
                    }
                    return Ok(Ok(()));
                }
                Err(Failed::Stale) => {
                    self.load().await?;
                    under_way.keep(&[]);
                    if self.at.instance.ended().is_some() {
                        return Ok(Err(Illegal::Ended));
                    }
                    // What it was about to take in may be late now, which does no harm; but first, what nobody knows of.
                    if inputs.iter().all(|(input, _)| *input != Input::Recovered) {
                        Box::pin(self.happens(Input::Recovered, None, under_way)).await.map(|_| ())?;
                    }
                    if turn.is_some() {
                        self.seek_turn();
                        return Ok(Ok(()));
                    }
                }
                Err(Failed::Log(refusal)) => return Err(refusal),
            }
        }
    }

    /// Looks for its turn, if it waits for it.
    fn seek_turn(&mut self) {
        let waits = self.at.instance.is_queued() && self.at.instance.ended().is_none();
        let seek = || {
            let (shared, of) = (Arc::clone(&self.shared), Arc::clone(&self.at.beginning));
            turns::comes(shared, of, self.id, self.at.last)
        };
        self.turn = waits.then(seek);
    }

    async fn reload(&mut self, under_way: &mut UnderWay) -> Result<(), Refusal> {
        let last = self.at.last;
        self.load().await?;
        if self.at.last == last || self.at.instance.ended().is_some() {
            return Ok(());
        }
        under_way.keep(&[]);
        self.happens(Input::Recovered, None, under_way).await.map(|_| ())
    }

    async fn load(&mut self) -> Result<(), Refusal> {
        match load_at_last(self.shared.store.log(), self.id).await? {
            Found::Saga(loaded) => {
                self.at = *loaded;
                self.metered.read(&self.at.instance, self.at.turned_back, self.shared.now());
                Ok(())
            }
            Found::Never | Found::Nothing => {
                Err(Refusal::new(Code::Internal, format!("saga {} is no longer in the log", self.id)))
            }
        }
    }

    fn view(&self) -> View {
        View::of(self.id, &self.known, &self.at)
    }

    fn begin(&self, token: Token, under_way: &mut UnderWay) {
        let end = CancellationToken::new();
        under_way.ends.insert(token, end.clone());
        let (metered, sent) = self.metered.call(token);
        // What panics before anything is sent is a refusal, as with any other fault of what is to be sent.
        let made = catch_unwind(AssertUnwindSafe(|| self.call(token, sent)));
        let call = made.unwrap_or_else(|_| Box::pin(async { Err(panicked(Outcome::Refused)) }));
        under_way.calls.push(Box::pin(async move {
            let call = end.run_until_cancelled_owned(AssertUnwindSafe(call).catch_unwind());
            let called = call.await.map(|called| called.unwrap_or_else(|_| Err(panicked(Outcome::Unknown))));
            metered.came(called.as_ref());
            (token, called)
        }));
    }

    /// What a token stands for.
    fn call(&self, token: Token, sent: Sent) -> BoxFuture<'static, Called> {
        let refused = || -> BoxFuture<'static, Called> { Box::pin(async { Err(Outcome::Refused.into()) }) };
        let Some(step) = self.known.saga.get(token.step) else { return refused() };
        let input = match self.input(token.step, token.direction) {
            Ok(input) => input,
            Err(problem) => {
                tracing::warn!(saga = %self.id, step = %step.name, problem, "a step's input cannot be made");
                return Box::pin(async move { Err(Failure::saying(Outcome::Refused, &problem)) });
            }
        };
        let undo = step.undo.as_ref().map(|undo| &undo.work);
        match (token.direction, &step.work, undo) {
            (Direction::Do, Work::Call { action, .. }, _)
            | (Direction::Undo, _, Some(UndoWork::Call { action, .. })) => {
                self.participant(token, action.clone(), input, sent)
            }
            (Direction::Do, Work::Child(name), _) => {
                sent.now();
                self.child(token, name.clone(), input)
            }
            (Direction::Undo, Work::Child(name), Some(UndoWork::Revert)) => {
                sent.now();
                self.revert(token, name.clone())
            }
            // Whoever waits calls nobody, and undoes nothing.
            _ => refused(),
        }
    }

    fn input(&self, step: StepIx, direction: Direction) -> Result<Option<serde_json::Value>, String> {
        let scope = Scope {
            id: self.id,
            key: self.at.beginning.key.as_deref(),
            saga: &self.known.saga,
            instance: &self.at.instance,
            problem: self.at.problem(),
        };
        self.known.expressions.input(&scope, step, direction)
    }

    fn participant(
        &self,
        token: Token,
        action: Action,
        input: Option<serde_json::Value>,
        sent: Sent,
    ) -> BoxFuture<'static, Called> {
        let Some(step) = self.known.saga.get(token.step) else {
            return Box::pin(async { Err(Outcome::Refused.into()) });
        };
        let at = self.at.instance.at(token.step);
        let due = match at {
            tenon_core::saga::At::Doing { due } | tenon_core::saga::At::Undoing { due } => due,
            _ => None,
        };
        let mut request = Request {
            saga: self.id,
            name: self.at.beginning.name.clone(),
            step: step.name.clone(),
            direction: token.direction,
            round: self.at.instance.round(token),
            attempt: token.attempt,
            grpc: self.known.methods.called(&action),
            action,
            input,
            priority: self.known.saga.definition().priority,
            parent: Parent {
                trace: self.at.beginning.trace,
                span: 1,
                flags: u8::from(self.shared.is_kept(&self.at.beginning)),
            },
            within: due.map_or(UNBOUNDED, |due| due.since(self.shared.now())),
        };
        request.parent.span = call_span(self.id, &request.key(), token.attempt);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let Some(_place) = shared.places.take(&request.action.service, request.within).await else {
                return Err(Outcome::Unsent.into());
            };
            request.within = due.map_or(UNBOUNDED, |due| due.since(shared.now()));
            sent.now();
            shared.participants.call(request).await
        })
    }

    /// Runs a saga that is a step, and waits for its end.
    fn child(
        &self,
        token: Token,
        name: SagaName,
        input: Option<serde_json::Value>,
    ) -> BoxFuture<'static, Called> {
        let key = child_key(self.id, token.step.0, self.at.instance.round(token));
        let (shared, parent) = (Arc::clone(&self.shared), Arc::clone(&self.at.beginning));
        let of = StepOf::of(self.id, &self.at);
        Box::pin(async move { shared.run_child(of, &parent, name, key, input).await })
    }

    /// Reverts the sagas that a step ran: one for each round.
    fn revert(&self, token: Token, name: SagaName) -> BoxFuture<'static, Called> {
        let round = self.at.instance.progress(token.step).map_or(0, |progress| progress.round);
        let keys: Vec<String> = (0..=round).map(|round| child_key(self.id, token.step.0, round)).collect();
        let (shared, parent) = (Arc::clone(&self.shared), Arc::clone(&self.at.beginning));
        let of = StepOf::of(self.id, &self.at);
        Box::pin(async move {
            for key in keys {
                shared.revert_child(of, &parent, &name, key).await?;
            }
            Ok(None)
        })
    }
}

/// What came of a call, and what was said if it failed.
fn came(token: Token, called: Called) -> (Input, Option<Data>) {
    match called {
        Ok(output) => (Input::Succeeded { token, output }, None),
        Err(Failure { outcome, problem, wait }) => (Input::Failed { token, outcome, wait }, problem),
    }
}

fn panicked(outcome: Outcome) -> Failure {
    Failure::saying(outcome, "Tenon has a fault: making the call has panicked; its log says where")
}

/// Sees to a saga whose task has panicked.
struct Standing {
    shared: Arc<Shared>,
    id: SagaId,
    of: Arc<Beginning>,
    /// It has come to an end as it should.
    is_over: bool,
}

impl Standing {
    fn new(runner: &Runner) -> Self {
        let (shared, of) = (Arc::clone(&runner.shared), Arc::clone(&runner.at.beginning));
        Self { shared, id: runner.id, of, is_over: false }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.fell(self.id, &self.of);
        }
    }
}

impl UnderWay {
    /// Ends the calls that are no longer wanted.
    fn keep(&mut self, wanted: &[Token]) {
        self.ends.retain(|token, end| {
            let is_wanted = wanted.contains(token);
            if !is_wanted {
                end.cancel();
            }
            is_wanted
        });
    }
}

/// Where a saga that has just been started is.
pub(super) fn begun(
    beginning: Arc<Beginning>,
    instance: tenon_core::saga::Instance,
    position: Position,
) -> Loaded {
    Loaded {
        beginning,
        instance,
        first: position,
        last: position,
        problems: BTreeMap::new(),
        turned_back: None,
    }
}
