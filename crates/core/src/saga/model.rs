//! A saga of two steps with two owners on one log, of which any may be behind, crash or act late; calls and answers are
//! lost, repeated and overtake each other; the services keep the barrier.

use super::arbitrary::{call, definition, retry, undo};
use super::barrier::{Ask, Record, Verdict, arrive, settle};
use super::*;
use crate::Timestamp;
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;

const OWNERS: usize = 2;

/// How often something goes wrong: a crash, or a service that refuses.
const FAULTS: u8 = 2;

struct Servers {
    saga: Saga,
}

/// What an owner believes, and up to which event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Owner {
    instance: Instance,
    folded: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    log: Vec<Event>,
    owners: [Option<Owner>; OWNERS],
    /// Calls on their way; they stay, so that they may arrive again.
    calls: BTreeSet<(Token, u32)>,
    /// Answers on their way, to whoever takes them; whether the call succeeded.
    answers: BTreeSet<(Token, bool)>,
    records: [Record; 2],
    faults: u8,
    refused_append: bool,
    hung: bool,
    broken: Option<invariants::Broken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// An owner takes the saga over: it reads the log, and makes the calls again.
    TakeOver(usize),
    Crash(usize),
    Arrives(Token, u32, bool),
    Answers(usize, Token, bool),
    GivesUp(usize, Token),
    Forget(Token, bool),
    Time(usize),
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

impl World {
    /// Appends what follows if nothing came since, and only then makes the calls.
    fn step(&mut self, saga: &Saga, by: usize, input: Input) -> Option<()> {
        let owner = self.owners[by].as_mut()?;
        let output = step(saga, &owner.instance, input, NOW).ok()?;
        if owner.folded != self.log.len() {
            self.refused_append |= !output.events.is_empty();
            self.owners[by] = None;
            return Some(());
        }
        for event in &output.events {
            self.broken = self.broken.or(invariants::check_event(saga, &owner.instance, event).err());
            owner.instance.apply(event);
        }
        self.broken = self.broken.or(invariants::check(saga, &owner.instance).err());
        self.log.extend(output.events);
        owner.folded = self.log.len();
        let made = output.calls.into_iter().map(|token| (token, owner.instance.round(token)));
        self.calls.extend(made.collect::<Vec<_>>());
        Some(())
    }

    fn ended(&self) -> Option<End> {
        Instance::fold(&self.log)?.ended()
    }
}

impl Model for Servers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let beginning =
            Beginning { version: Version::default(), input: Data::new("0"), seed: 0, queued: false };
        let (instance, output) = start(&self.saga, beginning, NOW);
        let folded = output.events.len();
        vec![World {
            log: output.events,
            calls: output.calls.iter().map(|token| (*token, 0)).collect(),
            owners: [Some(Owner { instance, folded }), None],
            answers: BTreeSet::new(),
            records: [Record::Nothing; 2],
            faults: 0,
            refused_append: false,
            hung: false,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for owner in 0..OWNERS {
            actions.extend([Action::TakeOver(owner), Action::Crash(owner), Action::Time(owner)]);
            actions.extend(world.answers.iter().map(|(token, ok)| Action::Answers(owner, *token, *ok)));
            let under_way =
                world.owners[owner].as_ref().map(|owner| owner.instance.calls()).unwrap_or_default();
            actions.extend(under_way.into_iter().map(|token| Action::GivesUp(owner, token)));
        }
        for (token, round) in &world.calls {
            actions.extend([true, false].map(|ok| Action::Arrives(*token, *round, ok)));
        }
        actions.extend(world.answers.iter().map(|(token, ok)| Action::Forget(*token, *ok)));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::TakeOver(by) if world.owners[by].is_none() && world.ended().is_none() => {
                let instance = Instance::fold(&world.log)?;
                next.owners[by] = Some(Owner { instance, folded: world.log.len() });
                next.faults += 1;
                next.step(&self.saga, by, Input::Recovered)?;
            }
            Action::TakeOver(_) => return None,
            Action::Crash(by) => next.owners[by] = None,
            Action::Arrives(token, round, ok) => {
                let ask = if token.direction == Direction::Do { Ask::Do(round) } else { Ask::Undo };
                let record = &mut next.records[token.step.index()];
                let verdict = arrive(*record, ask);
                let ok = match verdict {
                    Verdict::Run if ok => true,
                    Verdict::Run => {
                        next.faults += 1;
                        false
                    }
                    Verdict::Repeat | Verdict::NothingToUndo => true,
                    Verdict::RepeatRefusal | Verdict::Hanging => false,
                };
                next.hung |= verdict == Verdict::Hanging;
                *record = settle(*record, ask, ok);
                next.answers.insert((token, ok));
            }
            Action::Answers(by, token, true) => {
                next.step(&self.saga, by, Input::Succeeded { token, output: None })?;
            }
            Action::Answers(by, token, false) => {
                next.step(&self.saga, by, Input::failed(token, Outcome::Refused))?;
            }
            Action::GivesUp(by, token) => {
                next.faults += 1;
                next.step(&self.saga, by, Input::failed(token, Outcome::Unknown))?;
            }
            Action::Forget(token, ok) => _ = next.answers.remove(&(token, ok)),
            Action::Time(by) => next.step(&self.saga, by, Input::Time)?,
        }
        (next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.faults <= FAULTS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every invariant holds", |_, world: &World| world.broken.is_none()),
            Property::always("a saga ends with all done or all undone", |_, world: &World| {
                match world.ended() {
                    None => true,
                    Some(End::Completed) => world.records == [Record::Done; 2],
                    Some(End::Compensated) => !world.records.contains(&Record::Done),
                    Some(End::Failed) => false,
                }
            }),
            Property::sometimes("it completes", |_, world: &World| world.ended() == Some(End::Completed)),
            Property::sometimes("it is undone", |_, world: &World| world.ended() == Some(End::Compensated)),
            Property::sometimes("who is behind is refused", |_, world: &World| world.refused_append),
            Property::sometimes("a call comes after it was undone", |_, world: &World| world.hung),
        ]
    }
}

#[test]
fn no_owner_and_no_network_leaves_a_saga_half_done() {
    let step = |name: &str, after: &[u8]| {
        let mut step = call(name, Kind::Compensatable, after);
        step.retry = retry(1);
        step.retry.backoff.max_delay = std::time::Duration::ZERO;
        step.undo = Some(undo(2, OnUndoFailure::Park));
        step.undo.iter_mut().for_each(|undo| undo.retry.backoff.max_delay = std::time::Duration::ZERO);
        step
    };
    let saga = Saga::new(definition(vec![step("order", &[]), step("payment", &[0])])).unwrap();
    Servers { saga }.checker().threads(2).spawn_bfs().join().assert_properties();
}
