//! Two processes that may die, dawdle and fail at any point, and what is on its way between them.

use super::*;
use stateright::{Checker, Model, Property};

struct Takeover {
    /// How many of the two may die.
    deaths: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    giver: Process<Giver>,
    taker: Process<Taker>,
    to_giver: Vec<Message>,
    to_taker: Vec<Message>,
    deaths: u8,
    /// One that took connections has died.
    acceptor_died: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process<S> {
    state: S,
    alive: bool,
    hung_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    GiverHears,
    TakerHears,
    GiverIsLate,
    TakerIsLate,
    Prepared,
    Failed,
    GiverDies,
    TakerDies,
}

impl World {
    fn somebody_accepts(&self) -> bool {
        self.giver_accepts() || (self.taker.alive && self.taker.state.accepts())
    }

    fn giver_accepts(&self) -> bool {
        self.giver.alive && self.giver.state.accepts()
    }

    fn giver(&mut self, input: GiverInput) {
        let (state, command) = self.giver.state.step(input);
        self.giver.state = state;
        match command {
            GiverCommand::Offer => self.to_taker.push(Message::Offer),
            GiverCommand::Release => {
                self.to_taker.push(Message::Released);
                self.giver.hung_up = true;
            }
            GiverCommand::Abandon => {
                self.to_taker.push(Message::Abandoned);
                self.giver.hung_up = true;
            }
            GiverCommand::HangUp => self.giver.hung_up = true,
        }
    }

    fn taker(&mut self, input: TakerInput) {
        let (state, command) = self.taker.state.step(input);
        self.taker.state = state;
        match command {
            TakerCommand::Accept => self.to_giver.push(Message::Accepting),
            TakerCommand::Serve | TakerCommand::Leave => self.taker.hung_up = true,
            TakerCommand::Prepare | TakerCommand::Wait => {}
        }
    }
}

impl Model for Takeover {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            giver: Process { state: Giver::default(), alive: true, hung_up: false },
            taker: Process { state: Taker::default(), alive: true, hung_up: false },
            to_giver: vec![Message::Ask],
            to_taker: Vec::new(),
            deaths: 0,
            acceptor_died: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.giver.alive && !world.giver.hung_up {
            actions.push(Action::GiverIsLate);
            if !world.to_giver.is_empty() || !world.taker.alive || world.taker.hung_up {
                actions.push(Action::GiverHears);
            }
        }
        if world.taker.alive && !world.taker.hung_up {
            actions.push(Action::TakerIsLate);
            if !world.to_taker.is_empty() || !world.giver.alive || world.giver.hung_up {
                actions.push(Action::TakerHears);
            }
            if matches!(world.taker.state, Taker::Preparing | Taker::PreparingAlone) {
                actions.extend([Action::Prepared, Action::Failed]);
            }
        }
        if world.deaths < self.deaths {
            actions.extend(world.giver.alive.then_some(Action::GiverDies));
            actions.extend(world.taker.alive.then_some(Action::TakerDies));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::GiverIsLate => next.giver(GiverInput::Late),
            Action::TakerIsLate => next.taker(TakerInput::Late),
            Action::Prepared => next.taker(TakerInput::Prepared),
            Action::Failed => next.taker(TakerInput::Failed),
            // What was said before an ending is heard before it.
            Action::GiverHears if world.to_giver.is_empty() => next.giver(GiverInput::Gone),
            Action::TakerHears if world.to_taker.is_empty() => next.taker(TakerInput::Gone),
            Action::GiverHears => {
                let said = next.to_giver.remove(0);
                next.giver(GiverInput::Said(said));
            }
            Action::TakerHears => {
                let said = next.to_taker.remove(0);
                next.taker(TakerInput::Said(said));
            }
            Action::GiverDies => {
                next.acceptor_died |= world.giver.state.accepts();
                next.giver.alive = false;
                next.deaths += 1;
            }
            Action::TakerDies => {
                next.acceptor_died |= world.taker.state.accepts();
                next.taker.alive = false;
                next.deaths += 1;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("somebody takes connections, unless one that did has died", |_, it: &World| {
                it.somebody_accepts() || it.acceptor_died
            }),
            Property::always("nobody believes itself alone beside one that serves", |_, it: &World| {
                let alone = it.taker.alive && it.taker.state == Taker::Serving;
                !(alone && it.giver_accepts())
            }),
            Property::always(
                "after one death that left all to one which could, it serves in the end",
                |_, it: &World| {
                    let settled = it.taker.hung_up && it.to_giver.is_empty();
                    let was_left = !it.giver.alive && it.taker.alive && it.taker.state != Taker::Left;
                    !(settled && was_left) || it.somebody_accepts()
                },
            ),
            Property::sometimes("the taker serves and the giver has let go", |_, it: &World| {
                it.taker.state == Taker::Serving && it.giver.state == Giver::Released
            }),
            Property::sometimes("the taker fails and the giver goes on", |_, it: &World| {
                it.taker.state == Taker::Left && it.giver.hung_up && it.giver_accepts()
            }),
            Property::sometimes("the giver dies and the taker serves", |_, it: &World| {
                !it.giver.alive && it.taker.state == Taker::Serving
            }),
        ]
    }
}

#[test]
fn somebody_takes_connections_whatever_happens() {
    Takeover { deaths: 1 }.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn two_deaths_break_nothing_that_one_does_not() {
    Takeover { deaths: 2 }.checker().spawn_bfs().join().assert_properties();
}
