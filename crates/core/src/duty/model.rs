//! Servers that take a duty from each other, of which any may be behind and believe to have it still.

use super::{Command, Duty, Epoch, Event, State, decide};
use crate::id::ServerId;
use stateright::{Checker, Model, Property};

const SERVERS: u8 = 2;

/// As long as the log may grow.
const MOST_ENTRIES: usize = 5;

struct Servers;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Entry {
    Taken(Event),
    Verdict { by: u8, epoch: Epoch },
}

/// What a server has folded, and the epoch in which it took the duty.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Server {
    folded: usize,
    state: State,
    epoch: Option<Epoch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    log: Vec<Entry>,
    servers: Vec<Server>,
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// The server gets the lease, whoever had it.
    Take(u8),
    Record(u8),
    Fold(u8),
}

fn id(server: u8) -> ServerId {
    ServerId::from_bytes([server; 16])
}

impl World {
    /// Appends as control does: only if nothing came after what was folded.
    fn append(&mut self, server: u8, entry: Entry) -> bool {
        let is_current = self.servers[usize::from(server)].folded == self.log.len();
        if is_current {
            self.log.push(entry);
            self.fold(server);
        }
        is_current
    }

    fn fold(&mut self, server: u8) {
        let server = &mut self.servers[usize::from(server)];
        if let Some(entry) = self.log.get(server.folded) {
            server.folded += 1;
            if let Entry::Taken(event) = entry {
                server.state.evolve(event);
            }
        }
    }

    fn take(&mut self, server: u8) {
        let state = &self.servers[usize::from(server)].state;
        for event in decide(state, &Command::Take { duty: Duty::Health, server: id(server) }) {
            let Event::DutyTaken { epoch, .. } = event;
            if self.append(server, Entry::Taken(event)) {
                self.servers[usize::from(server)].epoch = Some(epoch);
            }
        }
    }

    fn record(&mut self, server: u8) {
        let Server { state, epoch: Some(epoch), .. } = &self.servers[usize::from(server)] else { return };
        match state.check(Duty::Health, *epoch) {
            Ok(()) => _ = self.append(server, Entry::Verdict { by: server, epoch: *epoch }),
            Err(_) => self.refused = true,
        }
    }

    /// Every verdict was made by who took the duty last before it.
    fn verdicts_count(&self) -> bool {
        let mut last = None;
        self.log.iter().all(|entry| match entry {
            Entry::Taken(Event::DutyTaken { server, epoch, .. }) => {
                last = Some((*server, *epoch));
                true
            }
            Entry::Verdict { by, epoch } => last == Some((id(*by), *epoch)),
        })
    }

    fn epochs_grow(&self) -> bool {
        let epochs = self.log.iter().filter_map(|entry| match entry {
            Entry::Taken(Event::DutyTaken { epoch, .. }) => Some(*epoch),
            Entry::Verdict { .. } => None,
        });
        let epochs: Vec<Epoch> = epochs.collect();
        epochs.windows(2).all(|pair| pair[0] < pair[1])
    }
}

impl Model for Servers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let servers = (0..SERVERS).map(|_| Server::default()).collect();
        vec![World { log: Vec::new(), servers, refused: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for server in 0..SERVERS {
            if world.log.len() < MOST_ENTRIES {
                actions.extend([Action::Take(server), Action::Record(server)]);
            }
            actions.push(Action::Fold(server));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Take(server) => next.take(server),
            Action::Record(server) => next.record(server),
            Action::Fold(server) => next.fold(server),
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a verdict is of who has the duty", |_, world: &World| world.verdicts_count()),
            Property::always("epochs grow", |_, world: &World| world.epochs_grow()),
            Property::sometimes("a late verdict is refused", |_, world: &World| world.refused),
            Property::sometimes("the duty changes hands and both record", |_, world: &World| {
                let by = |number| move |it: &Entry| matches!(it, Entry::Verdict { by, .. } if *by == number);
                world.log.iter().any(by(0)) && world.log.iter().any(by(1))
            }),
        ]
    }
}

#[test]
fn nothing_is_recorded_under_a_duty_that_another_has_taken() {
    Servers.checker().spawn_bfs().join().assert_properties();
}
