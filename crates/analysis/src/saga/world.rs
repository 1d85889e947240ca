//! One saga, who runs it, the network, and the services.
//!
//! At first one server runs it. Another may take it over at any moment, whether the first crashed or only was cut off from
//! the others: then there are two ([`owner`](super::owner)), and the calls of both are on their way.

use super::Scope;
use super::flat::Flat;
use super::machine::{Decision, Known, Memo, NOW, News, Orchestrator};
use super::owner::{By, Owner, Told};
use super::participant::{Lapse, Participant, Reply};
use super::seen::Seen;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tenon_core::saga::barrier::Ask;
use tenon_core::saga::{
    self, At, Beginning, Data, Direction, End, Goal, Outcome, Saga, StepIx, Token, Version, Why, Work,
    invariants,
};

/// What does not change from state to state.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) saga: Saga,
    pub(super) faults: u8,
    pub(super) lapses: Arc<[Option<Lapse>]>,
    pub(super) orchestrator: Orchestrator,
    /// Servers that are behind are kept as they are, even if they can do nothing.
    pub(super) whole: bool,
    /// How many states were looked at, and how many may be.
    pub(super) looked: Arc<AtomicUsize>,
    pub(super) budget: usize,
    pub(super) seen: Arc<Seen>,
    pub(super) memo: Arc<Memo>,
}

/// A state.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The saga, as the log has it.
    pub(super) log: Arc<Known>,
    pub(super) owners: [Option<Owner>; 2],
    pub(super) calls: Flat<Sent>,
    pub(super) answers: Flat<Answer>,
    pub(super) participants: Vec<Participant>,
    pub(super) faults: u8,
    /// What somebody has decided, once at most.
    pub(super) decided: Option<Decision>,
    pub(super) broken: Option<invariants::Broken>,
    /// What the servers are called, which makes no difference.
    pub(super) names: [u8; 2],
    pub(super) newest: u8,
}

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sent {
    pub(super) token: Token,
    pub(super) round: u32,
    /// Who made it, and waits for the answer.
    pub(super) by: By,
    /// The call arrived once already, and this is a copy of it.
    pub(super) copy: bool,
}

/// An answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Answer {
    /// To whom.
    pub(super) by: By,
    pub(super) token: Token,
    pub(super) reply: Reply,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A call arrives; if it is run, it is answered so.
    Arrives { sent: Sent, reply: Reply },
    /// A call arrives, and a copy of it stays on its way.
    ArrivesTwice { sent: Sent, reply: Reply },
    /// An answer comes back.
    Answered(Answer),
    /// An answer was waited for too long.
    TimesOut(By, Token),
    /// A call certainly does not arrive.
    Unsent(Sent),
    /// Somebody cancels the saga.
    Cancelled(By),
    /// The saga that it is a step of is turned back, after it has completed.
    Reverted(By),
    /// Those before it with the same value of `serialize_by` have ended.
    Admitted(By),
    /// A signal comes.
    Signalled(By, StepIx),
    /// The next signal is late, the next timer ends, or there is nothing to wait for any more but the deadline, and that passes.
    TimePasses(By),
    /// Somebody decides about a step that waits for that.
    Decided(By, Decision),
    /// A server crashes, or is cut off, and another takes over.
    TakenOver(By),
    /// One that took over goes on; explored apart only where servers are kept whole.
    GoesOn(By),
    /// One whose append was refused reads the log again, with an answer that it was about to take in.
    ComesBack(By, Option<Token>),
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.log == other.log
            && self.owners == other.owners
            && self.calls == other.calls
            && self.answers == other.answers
            && self.participants == other.participants
            && self.faults == other.faults
            && self.decided == other.decided
            && self.broken == other.broken
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.log.hash(state);
        self.owners.hash(state);
        self.calls.hash(state);
        self.answers.hash(state);
        self.participants.hash(state);
        self.faults.hash(state);
        self.decided.hash(state);
        self.broken.hash(state);
    }
}

impl Rules {
    pub(super) fn new(saga: Saga, scope: &Scope, orchestrator: Orchestrator) -> Self {
        let lapses =
            saga.definition().steps.iter().map(|step| scope.lapses.get(&step.name).copied()).collect();
        Self {
            saga,
            faults: scope.faults,
            lapses,
            orchestrator,
            whole: false,
            looked: Arc::default(),
            budget: scope.states,
            seen: Arc::default(),
            memo: Arc::default(),
        }
    }

    pub(super) fn begin(&self) -> World {
        let queued = self.saga.definition().serialize_by.is_some();
        let beginning = Beginning { version: Version::default(), input: Data::new("{}"), seed: 0, queued };
        let (instance, output) = saga::start(&self.saga, beginning, NOW);
        let made = output.calls.iter();
        let made =
            made.map(|token| Sent { token: *token, round: instance.round(*token), by: By::One, copy: false });
        let mut calls = Flat::default();
        calls.extend(made);
        World {
            log: Known::new(instance),
            owners: [Some(Owner::RUNS), None],
            calls,
            answers: Flat::default(),
            participants: vec![Participant::default(); usize::from(self.saga.len())],
            faults: 0,
            decided: None,
            broken: None,
            names: [1, 0],
            newest: 1,
        }
    }

    /// What may happen next; some of it may turn out to change nothing.
    pub(super) fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let left = self.faults.saturating_sub(world.faults);
        for sent in world.calls.iter().copied() {
            let token = sent.token;
            let runs = self.participant(world, token).runs(sent.ask(), self.lapse(token.step));
            let replies = || self.replies(token).filter(|reply| runs || *reply == Reply::Success);
            let affordable = |reply: &Reply| self.reply_costs(token, *reply) <= left;
            actions.extend(replies().filter(affordable).map(|reply| Action::Arrives { sent, reply }));
            if left > 0 && !sent.copy {
                let affordable = |reply: &Reply| self.reply_costs(token, *reply) < left;
                let twice = replies().filter(affordable);
                actions.extend(twice.map(|reply| Action::ArrivesTwice { sent, reply }));
                if Self::minds_failure(world, sent.by, token) {
                    actions.push(Action::Unsent(sent));
                }
            }
        }
        actions.extend(world.answers.iter().copied().map(Action::Answered));
        for by in By::BOTH {
            self.actions_of(world, by, left, actions);
        }
        if left > 0 && world.log.ended().is_none() {
            self.take_overs(world, actions);
        }
    }

    /// What a server may do, but for taking in an answer.
    fn actions_of(&self, world: &World, by: By, left: u8, actions: &mut Vec<Action>) {
        if world.takes_over(by) {
            return actions.push(Action::GoesOn(by));
        }
        let Some(view) = world.view(by) else { return };
        if left > 0 {
            actions.extend(view.calls().into_iter().map(|token| Action::TimesOut(by, token)));
        }
        if view.ended().is_some() {
            if view.ended() == Some(End::Completed) {
                actions.push(Action::Reverted(by));
            }
            return;
        }
        // Also when it is too late; then the machine refuses.
        if view.goal() == Goal::Forward && view.doubt().is_none() {
            actions.push(Action::Cancelled(by));
        }
        if view.is_queued() {
            actions.push(Action::Admitted(by));
        }
        let listens = |step: &StepIx| {
            matches!(view.at(*step), At::Idle | At::Waiting { .. })
                && self.saga.get(*step).is_some_and(|step| matches!(step.work, Work::Signal { .. }))
        };
        actions.extend(self.saga.steps().filter(listens).map(|step| Action::Signalled(by, step)));
        if view.soon().is_some() {
            actions.push(Action::TimePasses(by));
        }
        if world.decided.is_none() {
            let parked = view.those(At::is_parked);
            let decisions = parked.iter().flat_map(|step| self.decisions(world, view, step));
            actions.extend(decisions.map(|decision| Action::Decided(by, decision)));
        }
    }

    /// What may be decided by somebody who has looked at the service, and claims nothing of it that is not so.
    fn decisions(&self, world: &World, view: &Known, step: StepIx) -> impl Iterator<Item = Decision> + use<> {
        let may_come = |sent: &Sent| {
            sent.token.step == step && sent.token.direction == Direction::Do && self.can_change(world, sent)
        };
        let is_there = world.participants.get(step.index()).is_some_and(|it| it.is_active());
        let will_never = !is_there && !world.calls.iter().any(may_come);
        let is_pivot = view.at(step) == At::DoParked(Why::PivotUnknown);
        let is_settled = if view.at(step) == At::UndoParked { will_never } else { is_there };
        [
            (true, Decision::Retry(step)),
            (!is_pivot, Decision::Skip(step)),
            (is_settled, Decision::Settled(step)),
            (is_pivot && will_never, Decision::Deny),
        ]
        .into_iter()
        .filter_map(|(possible, decision)| possible.then_some(decision))
    }

    /// Who may take the saga over: a server that was not there, or one that was refused.
    fn take_overs(&self, world: &World, actions: &mut Vec<Action>) {
        let free = By::BOTH.into_iter().find(|by| world.owner(*by).is_none());
        match free {
            Some(by) => actions.push(Action::TakenOver(by)),
            None => actions.extend(By::BOTH.map(Action::TakenOver)),
        }
        for by in By::BOTH.into_iter().filter(|by| world.is_refused(*by)) {
            let with = world.answers.iter().filter(|answer| answer.by == by);
            actions.extend(with.map(|answer| Action::ComesBack(by, Some(answer.token))));
            actions.push(Action::ComesBack(by, None));
        }
    }

    /// What an action leads to, with what a server made of it; nothing if it changes nothing.
    pub(super) fn act(&self, world: &World, action: Action) -> Option<(World, Told)> {
        let mut next = world.clone();
        next.faults += self.costs(action);
        let told = match action {
            Action::Arrives { sent, reply } => {
                next.calls.remove(&sent);
                self.arrive(&mut next, sent, reply);
                Told::default()
            }
            Action::ArrivesTwice { sent, reply } => {
                next.calls.remove(&sent);
                next.calls.insert(Sent { copy: true, ..sent });
                self.arrive(&mut next, sent, reply);
                Told::default()
            }
            Action::Answered(answer) => {
                next.answers.remove(&answer);
                let Answer { by, token, reply } = answer;
                let news = match reply {
                    Reply::Success => News::Succeeded(token),
                    Reply::Refusal => News::Failed(token, Outcome::Refused),
                    Reply::LeftBehind => News::Failed(token, Outcome::LeftBehind),
                };
                self.learn(&mut next, by, news)
            }
            Action::TimesOut(by, token) => self.learn(&mut next, by, News::Failed(token, Outcome::Unknown)),
            Action::Unsent(sent) => {
                next.calls.remove(&sent);
                self.learn(&mut next, sent.by, News::Failed(sent.token, Outcome::Unsent))
            }
            Action::Cancelled(by) => self.learn(&mut next, by, News::Cancelled),
            Action::Reverted(by) => self.learn(&mut next, by, News::Reverted),
            Action::Admitted(by) => self.learn(&mut next, by, News::Admitted),
            Action::Signalled(by, step) => self.learn(&mut next, by, News::Signalled(step)),
            Action::TimePasses(by) => self.learn(&mut next, by, News::TimePassed),
            Action::Decided(by, decision) => {
                let told = self.learn(&mut next, by, News::Decided(decision));
                next.decided = Some(decision).filter(|_| !told.refused && !told.events().is_empty());
                told
            }
            Action::TakenOver(by) => self.take_over(&mut next, by),
            Action::GoesOn(by) => self.recover(&mut next, by),
            Action::ComesBack(by, with) => self.come_back(&mut next, by, with),
        };
        self.settle(&mut next);
        self.forget(&mut next);
        next.broken = next.broken.or_else(|| self.check(&next).err());
        // What somebody left out or left as it is says nothing of the saga.
        if !matches!(next.decided, Some(Decision::Skip(_))) {
            self.seen.note(&next.log);
        }
        (next != *world).then_some((next, told))
    }

    /// How many faults an action is.
    fn costs(&self, action: Action) -> u8 {
        match action {
            Action::Arrives { sent, reply } => self.reply_costs(sent.token, reply),
            Action::ArrivesTwice { sent, reply } => 1 + self.reply_costs(sent.token, reply),
            Action::TimesOut(..) | Action::Unsent(_) | Action::TakenOver(_) | Action::ComesBack(..) => 1,
            Action::Answered(_)
            | Action::Cancelled(_)
            | Action::Reverted(_)
            | Action::Admitted(_)
            | Action::Signalled(..)
            | Action::TimePasses(_)
            | Action::Decided(..)
            | Action::GoesOn(_) => 0,
        }
    }

    fn arrive(&self, world: &mut World, sent: Sent, reply: Reply) {
        let token = sent.token;
        let Some(participant) = world.participants.get_mut(token.step.index()) else { return };
        let handled = participant.handle(sent.ask(), reply, self.lapse(token.step));
        if sent.by != By::Nobody {
            world.answers.insert(Answer { by: sent.by, token, reply: handled.reply });
        }
        if handled.ran {
            let broken = match token.direction {
                Direction::Do if handled.hung => Err("a step took effect after it was undone"),
                Direction::Do => self.check_done(world, token.step),
                Direction::Undo => self.check_undone(world, token.step),
            };
            world.broken = world.broken.or(broken.err());
        }
    }

    /// Leaves out what makes no difference any more: answers that nobody waits for, and calls that would only be answered so.
    fn forget(&self, world: &mut World) {
        let mut answers = std::mem::take(&mut world.answers);
        answers.retain(|answer| {
            let Answer { by, token, reply } = *answer;
            let minds = reply == Reply::Success || Self::minds_failure(world, by, token);
            minds && self.hears(world, by, token)
        });
        world.answers = answers;
        let mut calls = std::mem::take(&mut world.calls);
        let mut unheard = false;
        calls.retain(|sent| {
            let hears = self.hears(world, sent.by, sent.token);
            unheard |= !hears && sent.by != By::Nobody;
            hears || self.can_change(world, sent)
        });
        if unheard {
            calls.change(|sent| {
                if !self.hears(world, sent.by, sent.token) {
                    sent.by = By::Nobody;
                }
            });
        }
        world.calls = calls;
    }

    /// Whether a call could still change something at its service.
    pub(super) fn can_change(&self, world: &World, sent: &Sent) -> bool {
        self.participant(world, sent.token).minds(sent.ask(), self.lapse(sent.token.step))
    }

    fn participant(&self, world: &World, token: Token) -> Participant {
        world.participants.get(token.step.index()).copied().unwrap_or_default()
    }

    fn lapse(&self, step: StepIx) -> Option<Lapse> {
        self.lapses.get(step.index()).copied().flatten()
    }

    /// How a call may be answered. A saga that is a step has no way to refuse to be reverted, but may leave something behind.
    fn replies(&self, token: Token) -> impl Iterator<Item = Reply> + use<> {
        let (is_child, is_do) = (self.saga.is_child(token.step), token.direction == Direction::Do);
        let refusal = (is_do || !is_child).then_some(Reply::Refusal);
        [Some(Reply::Success), refusal, is_child.then_some(Reply::LeftBehind)].into_iter().flatten()
    }

    /// How many faults an answer is. Before the pivot a refusal is what services do; behind it, and when undoing, it is one.
    fn reply_costs(&self, token: Token, reply: Reply) -> u8 {
        let kind = self.saga.get(token.step).map(|step| step.kind);
        let expected = token.direction == Direction::Do && kind != Some(saga::Kind::Retriable);
        match reply {
            Reply::Success => 0,
            Reply::Refusal => u8::from(!expected),
            Reply::LeftBehind => 1,
        }
    }
}

impl Sent {
    fn ask(self) -> Ask {
        match self.token.direction {
            Direction::Do => Ask::Do(self.round),
            Direction::Undo => Ask::Undo,
        }
    }
}
