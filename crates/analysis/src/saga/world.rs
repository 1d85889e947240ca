//! One saga, who runs it, the network, and the services.
//!
//! A server appends what follows from an input, and only then makes the calls; so a server that another one has taken the
//! saga over from does nothing more, for its appends are refused. What it did before is explored: its calls are still on
//! their way, and may arrive at any time. That is also what a crash leaves, so taking over and crashing are one action.

use super::Scope;
use super::participant::{Lapse, Participant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tenon_core::Timestamp;
use tenon_core::saga::barrier::{Ask, Verdict};
use tenon_core::saga::{
    self, At, Beginning, Cause, Data, Direction, End, Event, Goal, Illegal, Input, Instance, Outcome, Output,
    Saga, StepIx, StepName, StepSet, Token, Version, Why, Work, invariants,
};

/// The machine that is explored. Tests plant faults in it.
#[derive(Clone, Copy)]
pub(super) struct Orchestrator {
    pub(super) step: fn(&Saga, &Instance, Input, Timestamp) -> Result<Output, Illegal>,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self { step: saga::step }
    }
}

/// What does not change from state to state.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) saga: Saga,
    pub(super) faults: u8,
    pub(super) lapses: Arc<[Option<Lapse>]>,
    pub(super) orchestrator: Orchestrator,
    pub(super) seen: Arc<Seen>,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    completed: AtomicU64,
    compensated: AtomicU64,
    failed: AtomicU64,
    pivot_unknown: AtomicU64,
    spent: AtomicU64,
    undo_spent: AtomicU64,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) instance: Arc<Instance>,
    calls: BTreeSet<Sent>,
    /// Answers on their way; whether the call succeeded.
    answers: BTreeSet<(Token, bool)>,
    pub(super) participants: Vec<Participant>,
    pub(super) faults: u8,
    pub(super) broken: Option<invariants::Broken>,
}

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sent {
    pub(super) token: Token,
    pub(super) round: u32,
    /// The call arrived once already, and this is a copy of it.
    pub(super) copy: bool,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A call arrives; it would succeed, or not.
    Arrives { sent: Sent, succeeds: bool },
    /// A call arrives, and a copy of it stays on its way.
    ArrivesTwice { sent: Sent, succeeds: bool },
    /// An answer comes back.
    Answered { token: Token, succeeded: bool },
    /// An answer was waited for too long.
    TimesOut(Token),
    /// A call certainly does not arrive.
    Unsent(Sent),
    /// The server crashes, or is cut off, and another takes over.
    TakenOver,
    /// Somebody cancels the saga.
    Cancelled,
    /// A signal comes.
    Signalled(StepIx),
    /// The next signal is late, or the next timer ends.
    TimePasses,
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Waits that end by themselves are shorter than this; calls wait longer.
const SOON: std::time::Duration = std::time::Duration::from_secs(60 * 60);

impl Rules {
    pub(super) fn new(saga: Saga, scope: &Scope, orchestrator: Orchestrator) -> Self {
        let lapses =
            saga.definition().steps.iter().map(|step| scope.lapses.get(&step.name).copied()).collect();
        Self { saga, faults: scope.faults, lapses, orchestrator, seen: Arc::default() }
    }

    pub(super) fn begin(&self) -> World {
        let beginning =
            Beginning { version: Version::default(), input: Data::new("{}"), seed: 0, queued: false };
        let (instance, output) = saga::start(&self.saga, beginning, NOW);
        let mut world = World {
            instance: Arc::new(instance),
            calls: BTreeSet::new(),
            answers: BTreeSet::new(),
            participants: vec![Participant::default(); usize::from(self.saga.len())],
            faults: 0,
            broken: None,
        };
        self.make(&mut world, &output.calls);
        world
    }

    /// What may happen next; some of it may turn out to change nothing.
    pub(super) fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let left = self.faults.saturating_sub(world.faults);
        for sent in world.calls.iter().copied() {
            let token = sent.token;
            let runs =
                self.participant(world, token).judge(sent.ask(), self.lapse(token.step)) == Verdict::Run;
            let refuses = runs && self.may_refuse(token);
            let costs = self.refusal_costs(token);
            actions.push(Action::Arrives { sent, succeeds: true });
            if refuses && left >= costs {
                actions.push(Action::Arrives { sent, succeeds: false });
            }
            if left > 0 && !sent.copy {
                actions.push(Action::ArrivesTwice { sent, succeeds: true });
                if refuses && left > costs {
                    actions.push(Action::ArrivesTwice { sent, succeeds: false });
                }
                if world.instance.token(token.step) == Some(token) {
                    actions.push(Action::Unsent(sent));
                }
            }
        }
        actions.extend(
            world
                .answers
                .iter()
                .map(|(token, succeeded)| Action::Answered { token: *token, succeeded: *succeeded }),
        );
        if left > 0 {
            actions.extend(world.instance.calls().into_iter().map(Action::TimesOut));
            if world.instance.ended().is_none() {
                actions.push(Action::TakenOver);
            }
        }
        if world.instance.ended().is_some() {
            return;
        }
        if world.instance.goal() == Goal::Forward
            && world.instance.doubt().is_none()
            && !world.instance.is_committed(&self.saga)
        {
            actions.push(Action::Cancelled);
        }
        let listens = |step: &StepIx| {
            matches!(world.instance.at(*step), At::Idle | At::Waiting { .. })
                && self.saga.get(*step).is_some_and(|step| matches!(step.work, Work::Signal { .. }))
        };
        actions.extend(self.saga.steps().filter(listens).map(Action::Signalled));
        if self.soon(world).is_some() {
            actions.push(Action::TimePasses);
        }
    }

    /// What an action leads to, with what was appended; nothing if it changes nothing.
    pub(super) fn act(&self, world: &World, action: Action) -> Option<(World, Vec<Event>)> {
        let mut next = world.clone();
        let events = match action {
            Action::Arrives { sent, succeeds } => {
                next.calls.remove(&sent);
                next.faults += if succeeds { 0 } else { self.refusal_costs(sent.token) };
                self.arrive(&mut next, sent, succeeds);
                Vec::new()
            }
            Action::ArrivesTwice { sent, succeeds } => {
                next.faults += 1 + if succeeds { 0 } else { self.refusal_costs(sent.token) };
                next.calls.remove(&sent);
                next.calls.insert(Sent { copy: true, ..sent });
                self.arrive(&mut next, sent, succeeds);
                Vec::new()
            }
            Action::Answered { token, succeeded } => {
                next.answers.remove(&(token, succeeded));
                let input = match succeeded {
                    true => Input::Succeeded { token, output: None },
                    false => Input::Failed { token, outcome: Outcome::Refused },
                };
                self.step(&mut next, input, NOW)
            }
            Action::TimesOut(token) => {
                next.faults += 1;
                self.step(&mut next, Input::Failed { token, outcome: Outcome::Unknown }, NOW)
            }
            Action::Unsent(sent) => {
                next.faults += 1;
                next.calls.remove(&sent);
                self.step(&mut next, Input::Failed { token: sent.token, outcome: Outcome::Unsent }, NOW)
            }
            Action::TakenOver => {
                next.faults += 1;
                next.answers.clear();
                self.step(&mut next, Input::Recovered, NOW)
            }
            Action::Cancelled => self.step(&mut next, Input::Cancel { cause: Cause::Cancelled }, NOW),
            Action::Signalled(step) => {
                let Some(Work::Signal { name, .. }) = self.saga.get(step).map(|step| &step.work) else {
                    return None;
                };
                self.step(&mut next, Input::Signal { name: name.clone(), data: Data::new("0") }, NOW)
            }
            Action::TimePasses => {
                let at = self.soon(world)?;
                self.step(&mut next, Input::Time, at)
            }
        };
        self.forget(&mut next);
        next.broken = next.broken.or_else(|| self.check(&next).err());
        self.seen.note(&next.instance);
        (next != *world).then_some((next, events))
    }

    /// Takes an input in as a server does: appends what follows, and then makes the calls.
    fn step(&self, world: &mut World, input: Input, now: Timestamp) -> Vec<Event> {
        let Ok(output) = (self.orchestrator.step)(&self.saga, &world.instance, input, now) else {
            return Vec::new();
        };
        if output.events.is_empty() {
            return Vec::new();
        }
        let mut instance = Instance::clone(&world.instance);
        for event in &output.events {
            let rank = saga::rank(&self.saga, &instance);
            world.broken =
                world.broken.or_else(|| invariants::check_event(&self.saga, &instance, event).err());
            instance.apply(event);
            let falls = saga::rank(&self.saga, &instance) < rank || matches!(event, Event::Repeated { .. });
            world.broken = world.broken.or((!falls).then_some("an event does not bring the end nearer"));
        }
        world.instance = Arc::new(instance);
        world.broken = world.broken.or_else(|| invariants::check(&self.saga, &world.instance).err());
        self.make(world, &output.calls);
        output.events
    }

    fn make(&self, world: &mut World, calls: &[Token]) {
        let sent = |token: &Token| Sent { token: *token, round: world.instance.round(*token), copy: false };
        let made = calls.iter().map(sent);
        world.calls.extend(made.collect::<Vec<_>>());
    }

    fn arrive(&self, world: &mut World, sent: Sent, succeeds: bool) {
        let token = sent.token;
        let Some(participant) = world.participants.get_mut(token.step.index()) else { return };
        let handled = participant.handle(sent.ask(), succeeds, self.lapse(token.step));
        world.answers.insert((token, handled.succeeded));
        if handled.ran {
            let broken = match token.direction {
                Direction::Do if handled.hung => Err("a step took effect after it was undone"),
                Direction::Do => self.check_done(world, token.step),
                Direction::Undo => self.check_undone(world, token.step),
            };
            world.broken = world.broken.or(broken.err());
        }
    }

    fn check_done(&self, world: &World, step: StepIx) -> Result<(), invariants::Broken> {
        let participant = world.participants.get(step.index()).copied().unwrap_or_default();
        if participant.done > 1 {
            return Err("a step took effect twice");
        }
        // What waits for somebody, or was left, holds up nobody: so what it depends on may be undone before a late call of it comes.
        if matches!(world.instance.at(step), At::UndoParked | At::LeftBehind) {
            return Ok(());
        }
        let waits = |step: StepIx| {
            self.saga.get(step).is_some_and(|it| matches!(it.work, Work::Signal { .. } | Work::Timer(_)))
        };
        let mut needs = self.saga.needs(step).iter().filter(|step| !waits(*step));
        if needs.any(|needed| !self.active(world).has(needed)) {
            return Err("a step took effect while one that it depends on had none");
        }
        Ok(())
    }

    fn check_undone(&self, world: &World, step: StepIx) -> Result<(), invariants::Broken> {
        let participant = world.participants.get(step.index()).copied().unwrap_or_default();
        if participant.undone > participant.done {
            return Err("something was undone that never took effect");
        }
        if self.saga.pivot().is_some_and(|pivot| self.active(world).has(pivot)) {
            return Err("a step was undone after the pivot");
        }
        let left = world.instance.those(|at| matches!(at, At::UndoParked | At::LeftBehind));
        let undoable = |step: &StepIx| self.saga.get(*step).is_some_and(|step| step.undo.is_some());
        let open = self.saga.behind(step).both(self.active(world));
        if open.iter().any(|step| undoable(&step) && !left.has(step)) {
            return Err("a step was undone before one that depends on it");
        }
        Ok(())
    }

    /// What holds of services and saga together, at the end and ever after.
    fn check(&self, world: &World) -> Result<(), invariants::Broken> {
        let active = self.active(world);
        let left = world.instance.those(|at| at == At::LeftBehind);
        let undoable = |step: StepIx| self.saga.get(step).is_some_and(|step| step.undo.is_some());
        let calls = |step: &StepIx| {
            self.saga.get(*step).is_some_and(|step| matches!(step.work, Work::Call { .. } | Work::Child(_)))
        };
        match world.instance.ended() {
            Some(End::Completed) if !self.saga.steps().filter(calls).all(|step| active.has(step)) => {
                Err("the saga completed, and a step has no effect")
            }
            Some(End::Compensated | End::Failed)
                if active.iter().any(|step| (undoable(step) && !left.has(step)) || self.binds(step)) =>
            {
                Err("the saga was undone, and a step still has its effect")
            }
            _ => Ok(()),
        }
    }

    /// Whether a step's effect must not be there if the saga was undone, although nothing undoes it.
    fn binds(&self, step: StepIx) -> bool {
        self.saga.get(step).is_some_and(|step| step.kind != saga::Kind::Compensatable)
    }

    /// The steps whose effect is there.
    fn active(&self, world: &World) -> StepSet {
        let numbered = self.saga.steps().zip(&world.participants);
        numbered.filter(|(_, participant)| participant.is_active()).map(|(step, _)| step).collect()
    }

    /// Leaves out what makes no difference any more: answers that nobody waits for, and calls that would only be answered so.
    fn forget(&self, world: &mut World) {
        let instance = &world.instance;
        let heard = |token: &Token| {
            let Some(step) = instance.progress(token.step) else { return false };
            let waits = match token.direction {
                Direction::Do => matches!(step.at, At::Doing { .. } | At::DoLater { .. } | At::DoParked(_)),
                Direction::Undo => {
                    matches!(step.at, At::Undoing { .. } | At::UndoLater { .. } | At::UndoParked)
                }
            };
            waits && step.since <= token.attempt
        };
        world.answers.retain(|(token, succeeded)| {
            heard(token) && (*succeeded || instance.token(token.step) == Some(*token))
        });
        let participants = &world.participants;
        world.calls.retain(|sent| {
            let participant = participants.get(sent.token.step.index()).copied().unwrap_or_default();
            heard(&sent.token) || participant.minds(sent.ask(), self.lapse(sent.token.step))
        });
    }

    fn soon(&self, world: &World) -> Option<Timestamp> {
        world.instance.wake_at().filter(|at| *at < NOW.after(SOON))
    }

    fn participant(&self, world: &World, token: Token) -> Participant {
        world.participants.get(token.step.index()).copied().unwrap_or_default()
    }

    fn lapse(&self, step: StepIx) -> Option<Lapse> {
        self.lapses.get(step.index()).copied().flatten()
    }

    /// Before the pivot a refusal is what services do; behind it, and when undoing, it is a fault.
    fn refusal_costs(&self, token: Token) -> u8 {
        let kind = self.saga.get(token.step).map(|step| step.kind);
        u8::from(token.direction == Direction::Undo || kind == Some(saga::Kind::Retriable))
    }

    /// A saga that is a step has no way to refuse to be reverted.
    fn may_refuse(&self, token: Token) -> bool {
        let child = self.saga.get(token.step).is_some_and(|step| matches!(step.work, Work::Child(_)));
        token.direction == Direction::Do || !child
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

impl Seen {
    fn note(&self, instance: &Instance) {
        let once = |place: &AtomicU64, bits: u64| {
            if bits & !place.load(Ordering::Relaxed) != 0 {
                place.fetch_or(bits, Ordering::Relaxed);
            }
        };
        match instance.ended() {
            Some(End::Completed) => once(&self.completed, 1),
            Some(End::Compensated) => once(&self.compensated, 1),
            Some(End::Failed) => once(&self.failed, 1),
            None => {}
        }
        for (number, step) in instance.steps().iter().enumerate() {
            let bit = 1u64.checked_shl(number as u32).unwrap_or(0);
            match step.at {
                At::DoParked(Why::PivotUnknown) => once(&self.pivot_unknown, bit),
                At::DoParked(_) => once(&self.spent, bit),
                At::UndoParked => once(&self.undo_spent, bit),
                _ => {}
            }
        }
    }

    /// How the saga ended, and where it waited for somebody.
    pub(super) fn told(&self, saga: &Saga) -> (BTreeSet<End>, BTreeSet<(StepName, Why)>) {
        let ends = [
            (&self.completed, End::Completed),
            (&self.compensated, End::Compensated),
            (&self.failed, End::Failed),
        ];
        let ends = ends
            .into_iter()
            .filter(|(seen, _)| seen.load(Ordering::Relaxed) != 0)
            .map(|(_, end)| end)
            .collect();
        let parks = [
            (&self.pivot_unknown, Why::PivotUnknown),
            (&self.spent, Why::Spent),
            (&self.undo_spent, Why::UndoSpent),
        ];
        let named = |step: StepIx, why| saga.get(step).map(|step| (step.name.clone(), why));
        let parks = parks.into_iter().flat_map(|(seen, why)| {
            let bits = seen.load(Ordering::Relaxed);
            saga.steps()
                .filter(move |step| bits & (1u64 << step.0) != 0)
                .filter_map(move |step| named(step, why))
        });
        (ends, parks.collect())
    }
}
