//! Two members and three events of two keys, in every order of delivery, failure, leaving and crash.

use super::*;
use crate::EventId;
use crate::retry::{Backoff, Delay, Jitter};
use stateright::{Checker, Model, Property};

/// The keys of the events at positions 1, 2 and 3.
const LOG: [u64; 3] = [1, 2, 1];

struct Consumers;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    group: Group,
    saved: Checkpoint,
    flying: Vec<Delivery>,
    /// Which events were dealt with.
    handled: [bool; 3],
    deliveries: u32,
    crashes: u32,
    leaves: u32,
    unreached: u32,
    repeated: bool,
    out_of_order: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Offer,
    Join(MemberId),
    Leave(MemberId),
    Deliver,
    Ack(Ticket),
    Refuse(Ticket),
    Unreached(Ticket),
    Overdue,
    Keep,
    Crash,
    Unpark,
}

const ZERO: Timestamp = Timestamp::ZERO;

fn config() -> Config {
    let delay = Delay::Fixed(Duration::ZERO);
    Config {
        ack_deadline: Duration::ZERO,
        in_flight: 2,
        deliveries: 2,
        backoff: Backoff { delay, jitter: Jitter::None, max_delay: Duration::ZERO },
        capacity: 3,
        most_parked: 1,
        ..Config::default()
    }
}

impl World {
    fn step(&mut self, input: Input) -> Option<()> {
        self.group.step(input, ZERO).ok()?;
        self.flying.retain(|delivery| self.group.held.is_flying(delivery.ticket));
        Some(())
    }
}

impl Model for Consumers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let group = Group::new(config(), Position::START, 0);
        vec![World {
            saved: group.checkpoint(),
            group,
            flying: Vec::new(),
            handled: [false; 3],
            deliveries: 0,
            crashes: 0,
            leaves: 0,
            unreached: 0,
            repeated: false,
            out_of_order: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend([
            Action::Offer,
            Action::Deliver,
            Action::Overdue,
            Action::Keep,
            Action::Crash,
            Action::Unpark,
        ]);
        actions.extend([MemberId(1), MemberId(2)].map(Action::Join));
        actions.extend([MemberId(1), MemberId(2)].map(Action::Leave));
        actions.extend(world.flying.iter().map(|delivery| Action::Ack(delivery.ticket)));
        actions.extend(world.flying.iter().map(|delivery| Action::Refuse(delivery.ticket)));
        actions.extend(world.flying.iter().map(|delivery| Action::Unreached(delivery.ticket)));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Offer => {
                let index = usize::try_from(next.group.read_to().0).ok()?;
                let (at, key) = (Position(index as u64 + 1), Some(Key(*LOG.get(index)?)));
                let id = EventId::from_bytes([index as u8; 16]);
                next.group.offer(Offered { at, id, key, not_before: None }, ZERO).ok()?;
            }
            Action::Join(member) => next.step(Input::Joined { member, most: 1 })?,
            Action::Leave(member) => {
                next.leaves += 1;
                next.step(Input::Left { member })?;
            }
            Action::Deliver => {
                let delivery = next.group.poll_delivery(ZERO)?;
                next.deliveries += 1;
                let index = delivery.at.0 as usize - 1;
                next.repeated |= next.handled[index];
                let mut before = LOG.iter().zip(next.handled).take(index);
                next.out_of_order |= before.any(|(key, handled)| *key == LOG[index] && !handled);
                next.flying.push(delivery);
            }
            Action::Ack(ticket) => {
                let at = next.flying.iter().find(|delivery| delivery.ticket == ticket)?.at;
                next.step(Input::Acked { ticket })?;
                next.handled[at.0 as usize - 1] = true;
            }
            Action::Refuse(ticket) => next.step(Input::Refused { ticket, delay: None })?,
            Action::Unreached(ticket) => {
                next.unreached += 1;
                // At once, because time stands still here.
                next.step(Input::Unreached { ticket, delay: Some(Duration::ZERO) })?;
            }
            Action::Overdue => next.step(Input::Time)?,
            Action::Keep => next.saved = next.group.checkpoint(),
            Action::Crash => {
                next.crashes += 1;
                next.group = Group::restore(config(), next.saved.clone(), 0, ZERO);
                next.flying.clear();
            }
            Action::Unpark => {
                let at = *next.group.parked().keys().next()?;
                next.step(Input::Retry { at })?;
            }
        }
        // What is only counted makes no difference.
        (next.group.counts, next.saved.counts) = (Counts::default(), Counts::default());
        (next.group.changes, next.group.urgent, next.group.redelivered) = (0, 0, 0);
        (next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.deliveries <= 4 && world.crashes <= 1 && world.leaves <= 1 && world.unreached <= 1
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no event is lost", |_, world: &World| {
                let now = world.group.checkpoint();
                (0..LOG.len()).all(|index| world.handled[index] || now.has(Position(index as u64 + 1)))
            }),
            Property::always("a crash loses none either", |_, world: &World| {
                (0..LOG.len())
                    .all(|index| world.handled[index] || world.saved.has(Position(index as u64 + 1)))
            }),
            Property::always("events of a key come in order", |_, world: &World| !world.out_of_order),
            Property::always("no more than may be are in flight", |_, world: &World| {
                world.group.flying <= 2 && world.group.flying as usize == world.flying.len()
            }),
            Property::always("one of a key at a time", |_, world: &World| {
                let of = |key: u64| world.flying.iter().filter(|it| LOG[it.at.0 as usize - 1] == key).count();
                of(1) <= 1 && of(2) <= 1
            }),
            Property::sometimes("all is handled", |_, world: &World| world.handled == [true; 3]),
            Property::sometimes("an event is parked", |_, world: &World| !world.group.parked().is_empty()),
            Property::sometimes("a crash repeats what was not kept", |_, world: &World| world.repeated),
        ]
    }
}

#[test]
fn nothing_is_lost_in_any_order() {
    Consumers.checker().threads(2).spawn_bfs().join().assert_properties();
}
