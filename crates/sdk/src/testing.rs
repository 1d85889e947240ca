//! A decider to test with: an account that is opened, filled, emptied and closed.

use crate::decider::Decider;
use crate::events::{Current, Events, EventsError, Fact, Json, Notice, Old};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tenon_core::{Namespace, Tag};
use tenon_store::{Log, MemoryLog};
use tokio::net::{TcpListener, TcpSocket};

pub(crate) struct Account;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Open { owner: String },
    Deposit(u32),
    Withdraw(u32),
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Opened { owner: String },
    Deposited { amount: u32 },
    Withdrawn { amount: u32 },
    Closed,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) owner: Option<String>,
    pub(crate) balance: u64,
    pub(crate) closed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the account is not open")]
    NotOpen,
    #[error("the account is open already")]
    Open,
    #[error("there are only {0}")]
    TooLittle(u64),
}

impl Events for Event {
    type Codec = Json;
    const AREA: &'static str = "test.account";
    const FACTS: &'static [Fact] = &[
        Fact::v1("Opened"),
        Fact { name: "Deposited", version: 2 },
        Fact::v1("Withdrawn"),
        Fact::v1("Closed"),
    ];

    fn tags(&self) -> BTreeSet<Tag> {
        match self {
            Self::Opened { owner } => [Tag::new(&format!("owner:{owner}")).unwrap()].into(),
            _ => BTreeSet::new(),
        }
    }

    /// Version 1 of Deposited was the amount alone.
    fn upcast(old: &Old<'_>) -> Option<Current> {
        match (old.name, old.version) {
            ("Deposited", 1) => {
                let amount: u32 = serde_json::from_slice(old.data).ok()?;
                let data = serde_json::to_vec(&serde_json::json!({"amount": amount})).ok()?;
                Some(Current { name: "Deposited", data: Bytes::from(data) })
            }
            _ => None,
        }
    }
}

impl Decider for Account {
    type Command = Command;
    type Event = Event;
    type State = State;
    type Error = Refusal;

    fn initial() -> State {
        State::default()
    }

    fn decide(command: &Command, state: &State) -> Result<Vec<Event>, Refusal> {
        let open = state.owner.is_some() && !state.closed;
        match command {
            Command::Open { .. } if state.owner.is_some() => Err(Refusal::Open),
            Command::Open { owner } => Ok(vec![Event::Opened { owner: owner.clone() }]),
            _ if !open => Err(Refusal::NotOpen),
            Command::Deposit(0) | Command::Withdraw(0) => Ok(vec![]),
            Command::Deposit(amount) => Ok(vec![Event::Deposited { amount: *amount }]),
            Command::Withdraw(amount) if u64::from(*amount) > state.balance => {
                Err(Refusal::TooLittle(state.balance))
            }
            Command::Withdraw(amount) => Ok(vec![Event::Withdrawn { amount: *amount }]),
            Command::Close if state.balance == 0 => Ok(vec![Event::Closed]),
            Command::Close => {
                let amount = u32::try_from(state.balance).unwrap_or(u32::MAX);
                Ok(vec![Event::Withdrawn { amount }, Event::Closed])
            }
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Opened { owner } => state.owner = Some(owner.clone()),
            Event::Deposited { amount } => state.balance = state.balance.saturating_add(u64::from(*amount)),
            Event::Withdrawn { amount } => state.balance = state.balance.saturating_sub(u64::from(*amount)),
            Event::Closed => state.closed = true,
        }
        state
    }

    fn is_terminal(state: &State) -> bool {
        state.closed
    }
}

pub(crate) fn memory() -> Arc<dyn Log> {
    MemoryLog::default().into_log()
}

pub(crate) fn namespace() -> Namespace {
    Namespace::default()
}

/// A decider whose events are about somebody, and told to others: letters to one person.
pub(crate) struct Letters;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Letter {
    Sent { to: String, text: String },
    Counted,
}

impl Events for Letter {
    type Codec = Json;
    const AREA: &'static str = "test.letter";
    const FACTS: &'static [Fact] = &[Fact::v1("Sent"), Fact::v1("Counted")];

    fn subject(&self) -> Option<&str> {
        match self {
            Self::Sent { to, .. } => Some(to),
            Self::Counted => None,
        }
    }

    fn notices(&self) -> Result<Vec<Notice>, EventsError> {
        match self {
            Self::Sent { text, .. } => {
                let length = serde_json::json!({"length": text.len()});
                Ok(vec![Notice::json("letter.sent", "post", &length)?.tagged("post:1")?])
            }
            Self::Counted => Ok(Vec::new()),
        }
    }
}

impl Decider for Letters {
    /// What to send, and to whom.
    type Command = (String, String);
    type Event = Letter;
    /// The texts, and how many there are.
    type State = (Vec<String>, u32);
    type Error = Refusal;

    fn initial() -> Self::State {
        Self::State::default()
    }

    fn decide((to, text): &Self::Command, _: &Self::State) -> Result<Vec<Letter>, Refusal> {
        Ok(vec![Letter::Sent { to: to.clone(), text: text.clone() }, Letter::Counted])
    }

    fn evolve((mut texts, count): Self::State, event: &Letter) -> Self::State {
        match event {
            Letter::Sent { text, .. } => texts.push(text.clone()),
            Letter::Counted => return (texts, count + 1),
        }
        (texts, count)
    }

    fn is_terminal(_: &Self::State) -> bool {
        false
    }
}

/// An address that nobody else gets, also while nobody listens there.
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = shared_at(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }

    /// Listens there. May be called again when the one before is gone.
    pub(crate) fn listen(&self) -> TcpListener {
        shared_at(self.address).listen(64).unwrap()
    }
}

fn shared_at(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}
