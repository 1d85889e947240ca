//! A state with how far it was read, and reading on.

use super::{Aggregates, At, Decider, before};
use crate::command::{CommandError, Ids};
use crate::events::{self, Events as _};
use std::collections::{HashMap, VecDeque};
use tenon_core::{EventId, Position, StreamName};
use tenon_store::{Appended, Direction, Event, Query, ReadError};

/// For how many commands with a key a state remembers where they are. Further ones are found by their tags.
const REMEMBERED: usize = 256;

/// A state that was read up to a position.
#[derive(Debug, Clone)]
pub(super) struct Loaded<S> {
    pub(super) state: S,
    /// The position of the last event of the stream; the start if there is none.
    pub(super) version: Position,
    /// Up to where the log was looked at.
    pub(super) read_to: Position,
    /// How many events were folded since the state was made or read from a snapshot.
    pub(super) folded: usize,
    /// How many events came since the last snapshot.
    pub(super) since_snapshot: usize,
    /// Whether it may hold what has to be forgotten with somebody: then it is kept nowhere.
    pub(super) is_personal: bool,
    commands: Commands,
}

/// Where the first events of commands with a key are.
#[derive(Debug, Clone)]
struct Commands {
    at: HashMap<EventId, Position>,
    order: VecDeque<EventId>,
    /// Whether it knows all of the stream's.
    complete: bool,
}

/// What is known of a command with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    At(Position),
    Nowhere,
    Forgotten,
}

impl<S> Loaded<S> {
    /// A state before any event of a stream that was read up to a position: from the beginning, or after what
    /// a snapshot holds.
    pub(super) fn new(state: S, version: Position, read_to: Position, complete: bool) -> Self {
        let commands = Commands::none(complete);
        Self { state, version, read_to, folded: 0, since_snapshot: 0, is_personal: false, commands }
    }

    /// Takes in an event of the stream.
    fn fold<D: Decider<State = S>>(mut self, event: &Event) -> Result<Self, events::EventsError> {
        if event.is_deletion() {
            self.state = D::initial();
            self.commands = Commands::none(true);
        } else if let Some(decoded) = events::decode::<D::Event>(event)? {
            self.state = D::evolve(self.state, &decoded);
        }
        self.is_personal |= events::is_personal(&event.metadata);
        self.version = event.position;
        self.folded += 1;
        self.since_snapshot += 1;
        if Ids::marks(&event.tags) {
            self.commands.remember(event.id, event.position);
        }
        Ok(self)
    }

    /// Takes in what was just appended; `tagged` is the id of the first event if it came of a key.
    pub(super) fn append<D: Decider<State = S>>(
        mut self,
        events: &[D::Event],
        appended: &Appended,
        tagged: Option<EventId>,
    ) -> Self {
        self.state = events.iter().fold(self.state, D::evolve);
        self.is_personal |= events.iter().any(|event| event.subject().is_some());
        self.version = appended.last();
        self.read_to = appended.last();
        self.folded += events.len();
        self.since_snapshot += events.len();
        // What others are told comes before.
        let first = appended.positions.len().saturating_sub(events.len());
        if let (Some(id), Some(first)) = (tagged, appended.positions.get(first)) {
            self.commands.remember(id, *first);
        }
        self
    }

    /// The state if it may be kept for the next command.
    pub(super) fn keepable(self) -> Option<Self> {
        (!self.is_personal).then_some(self)
    }

    /// What is known of the command whose first event has this id.
    pub(super) fn command(&self, id: &EventId) -> Command {
        match self.commands.at.get(id) {
            Some(position) => Command::At(*position),
            None if self.commands.complete => Command::Nowhere,
            None => Command::Forgotten,
        }
    }

    /// From now on commands are looked for in the log.
    pub(super) fn forget_ids(&mut self) {
        self.commands.complete = false;
    }
}

impl Commands {
    fn none(complete: bool) -> Self {
        Self { at: HashMap::new(), order: VecDeque::new(), complete }
    }

    fn remember(&mut self, id: EventId, position: Position) {
        if self.at.insert(id, position).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.at.remove(&oldest);
            self.complete = false;
        }
    }
}

impl<D: Decider> Aggregates<D> {
    /// The state as it is, from the last snapshot on if there is one.
    pub(super) async fn read(&self, stream: &StreamName) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        let snapshot = self.load_snapshot(stream).await;
        self.read_on(stream, snapshot.unwrap_or_else(Self::nothing_read), At::Now).await
    }

    /// The state as it was, from the beginning or from a snapshot that is not later.
    pub(super) async fn read_until(
        &self,
        stream: &StreamName,
        at: At,
    ) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        let early = |loaded: &Loaded<D::State>| matches!(at, At::Position(at) if loaded.read_to <= at);
        let snapshot = self.load_snapshot(stream).await.filter(early);
        self.read_on(stream, snapshot.unwrap_or_else(Self::nothing_read), at).await
    }

    /// The state with what was added to the stream since it was read.
    pub(super) async fn catch_up(
        &self,
        stream: &StreamName,
        loaded: Loaded<D::State>,
    ) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        self.read_on(stream, loaded, At::Now).await
    }

    /// Reads on; or reads what is left of the stream, if the log has forgotten what would have to be read.
    async fn read_on(
        &self,
        stream: &StreamName,
        mut loaded: Loaded<D::State>,
        until: At,
    ) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        let mut left = None;
        loop {
            match self.read_from(stream, loaded, until, left).await {
                Err(CommandError::Read(ReadError::Truncated { first }))
                    if !self.begin.is_empty() && left < Some(first) =>
                {
                    left = Some(first);
                    loaded = Loaded { read_to: before(first), ..Self::nothing_read() };
                }
                read => return read,
            }
        }
    }

    /// Reads on; if only what is left from a position on is read, it must be a whole stream, or none that is still there.
    async fn read_from(
        &self,
        stream: &StreamName,
        mut loaded: Loaded<D::State>,
        until: At,
        left: Option<Position>,
    ) -> Result<Loaded<D::State>, CommandError<D::Error>> {
        let query = Query::stream(self.namespace.clone(), stream.clone());
        // The position from which on something is left, as long as it is not seen how that begins.
        let mut unseen = left;
        loop {
            let page = self.log.read(query.clone(), loaded.read_to, Direction::Forward, usize::MAX).await?;
            for event in &page.events {
                if let Some(first) = unseen.take()
                    && !self.is_beginning(event)
                {
                    return Err(ReadError::Truncated { first }.into());
                }
                if !until.covers(event) {
                    return Ok(loaded);
                }
                loaded = loaded.fold::<D>(event)?;
            }
            loaded.read_to = page.next;
            if page.at_end {
                return match unseen {
                    // How it was then is not known, if it was.
                    Some(first) if until != At::Now => Err(ReadError::Truncated { first }.into()),
                    _ => Ok(loaded),
                };
            }
        }
    }

    /// Whether a stream may begin with this event.
    fn is_beginning(&self, event: &Event) -> bool {
        event.is_deletion() || events::fact::<D::Event>(event).is_some_and(|fact| self.begin.contains(&fact))
    }

    fn nothing_read() -> Loaded<D::State> {
        Loaded::new(D::initial(), Position::START, Position::START, true)
    }
}

impl At {
    /// Whether an event belongs to it.
    pub(crate) fn covers(self, event: &Event) -> bool {
        match self {
            Self::Now => true,
            Self::Position(position) => event.position <= position,
            Self::Time(time) => event.time <= time,
        }
    }
}
