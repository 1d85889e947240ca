//! Drives one group: offers it what comes from the log, hands its deliveries to members, hands in what they answer, and
//! keeps its checkpoints. Holds no rules: these are those of `core::group`.

use super::ledger::{Ledger, LedgerError};
use super::member::{Delivery, Load, Queued, Settled};
use super::payloads::Payloads;
use super::{DELIVER_AFTER, Subscription};
use crate::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tenon_core::group::{Checkpoint, Group, Input, MemberId, Offered, Parked, Status};
use tenon_core::{Code, Position, Refusal, Timestamp};
use tenon_store::{Direction, Event, Query, ReadError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often progress is noted, if there is any; and how often it is kept for certain.
const NOTE_EVERY: Duration = Duration::from_secs(1);
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// It is noted, too, how far a group has looked, when it passed by so much that is not its own.
const NOTE_PASSED: u64 = 100_000;

/// What ought to be kept at once is kept so often at most.
const KEEP_AT_MOST: Duration = Duration::from_millis(100);

/// How long to wait after the log failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Commands that are taken in at once.
const COMMANDS: usize = 256;

/// Events that are read again at once.
const MISSING: usize = 256;

/// What a driver is asked.
pub(super) enum Command {
    /// Makes somebody a member.
    Join { member: MemberId, most: u32, outbox: mpsc::UnboundedSender<Vec<Delivery>>, queued: Arc<Queued> },
    /// How much somebody may have.
    Resize { member: MemberId, most: u32 },
    /// Settles deliveries.
    Settle(Settled),
    /// How the group is.
    Status(oneshot::Sender<Status>),
    /// Parked events after a position.
    Parked { after: Position, limit: usize, reply: oneshot::Sender<Vec<(Position, Parked)>> },
    /// Retries or drops parked events.
    Unpark(Unpark),
    /// Goes on after a position.
    Seek { after: Position, reply: oneshot::Sender<Result<(), Refusal>> },
}

/// Retries or drops parked events: these, or all if none is named.
pub(super) struct Unpark {
    pub(super) which: BTreeSet<Position>,
    pub(super) retry: bool,
    pub(super) reply: oneshot::Sender<Result<u32, Refusal>>,
}

/// Whom to give to.
struct Recipient {
    most: u32,
    outbox: mpsc::UnboundedSender<Vec<Delivery>>,
    queued: Arc<Queued>,
    staged: Vec<Delivery>,
}

/// What drives a group.
pub(super) struct Driver {
    store: EventStore,
    subscription: Arc<Subscription>,
    query: Query,
    group: Group,
    ledger: Ledger,
    payloads: Payloads,
    feed: Feed,
    /// Not to be read before.
    feed_from: Instant,
    /// What was read and not offered yet, and up to where there is nothing else.
    page: VecDeque<Event>,
    page_to: Position,
    recipients: BTreeMap<MemberId, Recipient>,
    commands: mpsc::Receiver<Command>,
    leaving: mpsc::UnboundedReceiver<MemberId>,
    load: Arc<Load>,
    /// Whether nothing is given because of it.
    waits_for_room: bool,
    full: Arc<AtomicBool>,
    clock: Clock,
    kept: Kept,
}

/// What of the group has been kept.
struct Kept {
    noted: u64,
    kept: u64,
    urgent: u64,
    read_to: Position,
    noted_at: Instant,
    kept_at: Instant,
}

/// The wall clock when the driver began, and from then on one that never goes back.
struct Clock {
    origin: Timestamp,
    begun: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { origin: tenon_store::system_clock()(), begun: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.origin.after(self.begun.elapsed())
    }

    /// When it will be so late, or a while before.
    fn instant(&self, at: Timestamp) -> Instant {
        Instant::now() + at.since(self.now()).min(KEEP_EVERY)
    }
}

impl Driver {
    pub(super) fn new(
        store: EventStore,
        subscription: &Arc<Subscription>,
        checkpoint: Checkpoint,
        ledger: Ledger,
        (commands, leaving): (mpsc::Receiver<Command>, mpsc::UnboundedReceiver<MemberId>),
        load: Arc<Load>,
        full: Arc<AtomicBool>,
    ) -> Self {
        let clock = Clock::new();
        let definition = &subscription.definition;
        let seed = subscription
            .id
            .as_bytes()
            .iter()
            .fold(0_u64, |seed, byte| seed.rotate_left(7) ^ u64::from(*byte));
        let group = Group::restore(definition.config.clone(), checkpoint, seed, clock.now());
        let query = subscription.query();
        let feed = Feed::new(store.clone(), query.clone(), Some(group.read_to()), None);
        let now = Instant::now();
        Self {
            payloads: Payloads::new(store.clone(), Query::user().within(definition.namespace.clone())),
            store,
            subscription: Arc::clone(subscription),
            query,
            page_to: group.read_to(),
            kept: Kept {
                noted: 0,
                kept: 0,
                urgent: 0,
                read_to: group.read_to(),
                noted_at: now,
                kept_at: now,
            },
            group,
            ledger,
            feed,
            feed_from: now,
            page: VecDeque::new(),
            recipients: BTreeMap::new(),
            commands,
            leaving,
            load,
            waits_for_room: false,
            full,
            clock,
        }
    }

    /// Drives the group until it is told to stop, another driver has taken it over, or the log is closed.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), LedgerError> {
        self.recall().await;
        let mut commands = Vec::with_capacity(COMMANDS);
        loop {
            self.step(Input::Time);
            self.offer();
            while self.deliver().await {}
            self.full.store(self.subscription.rejects() && self.group.is_full(), Ordering::Relaxed);
            self.keep().await?;
            let wake_at = self.wake_at();
            let reads = self.page.is_empty() && self.group.wants_more() && self.payloads.has_room();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(member) = self.leaving.recv() => self.leave(member),
                count = self.commands.recv_many(&mut commands, COMMANDS) => {
                    if count == 0 {
                        break;
                    }
                    for command in commands.drain(..) {
                        self.take(command).await?;
                    }
                }
                page = next_page(&mut self.feed, self.feed_from), if reads => {
                    if let Some(error) = self.read(page) {
                        return Err(error.into());
                    }
                }
                () = self.load.lighter(), if self.waits_for_room => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
        self.recipients.clear();
        if self.group.changes() == self.kept.kept {
            self.ledger.note(self.group.checkpoint()).await;
            return Ok(());
        }
        self.ledger.keep(self.group.checkpoint()).await
    }

    /// Takes in something that cannot be refused, or whose refusal means that it does not count any more.
    fn step(&mut self, input: Input) {
        _ = self.group.step(input, self.clock.now());
    }

    /// When something is to be done though nothing happens.
    fn wake_at(&self) -> Instant {
        let group = self.group.wake_at().map(|at| self.clock.instant(at));
        let note = (self.group.changes() != self.kept.noted).then(|| self.kept.noted_at + NOTE_EVERY);
        let urgent = (self.group.urgent() != self.kept.urgent).then(|| self.kept.kept_at + KEEP_AT_MOST);
        let keep = (self.group.changes() != self.kept.kept).then(|| self.kept.kept_at + KEEP_EVERY);
        let all = [group, note, urgent, keep];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + KEEP_EVERY)
    }

    /// Offers what was read, as much as the group wants.
    fn offer(&mut self) {
        let now = self.clock.now();
        while self.group.wants_more()
            && self.payloads.has_room()
            && let Some(event) = self.page.pop_front()
        {
            let definition = &self.subscription.definition;
            let offered = Offered {
                at: event.position,
                id: event.id,
                key: definition.ordering.key(&event.namespace, &event.stream, &event.tags),
                not_before: not_before(&event),
            };
            // What is refused was offered before.
            let Ok(taken) = self.group.offer(offered, now) else { continue };
            if let Some(dropped) = taken.dropped {
                self.payloads.take(dropped);
            }
            if taken.held {
                self.payloads.put(event, taken.ready);
            }
        }
        if self.page.is_empty() {
            self.step(Input::Passed { to: self.page_to });
        }
    }

    /// Hands out what the group gives. Whether there may be more.
    async fn deliver(&mut self) -> bool {
        let now = self.clock.now();
        let mut missing = Vec::new();
        loop {
            self.waits_for_room = self.load.is_heavy();
            if self.waits_for_room || missing.len() == MISSING {
                break;
            }
            let Some(given) = self.group.poll_delivery(now) else { break };
            match self.payloads.take(given.at) {
                Some(event) => self.stage(given, event),
                None => missing.push(given),
            }
        }
        let more = missing.len() == MISSING;
        if !missing.is_empty() {
            self.read_again(missing).await;
        }
        let mut gone = Vec::new();
        for (member, recipient) in &mut self.recipients {
            if recipient.staged.is_empty() {
                continue;
            }
            let staged = std::mem::take(&mut recipient.staged);
            recipient.queued.put(&staged);
            // One that takes nothing, while its deliveries pass their deadlines again and again, is put out.
            let takes = recipient.queued.events() <= 2 * recipient.most as usize + COMMANDS;
            if recipient.outbox.send(staged).is_err() || !takes {
                gone.push(*member);
            }
        }
        gone.into_iter().for_each(|member| self.leave(member));
        more
    }

    fn stage(&mut self, given: tenon_core::group::Delivery, event: Event) {
        if let Some(recipient) = self.recipients.get_mut(&given.member) {
            recipient.staged.push(Delivery { event, ticket: given.ticket, attempt: given.attempt });
        }
    }

    async fn read_again(&mut self, mut missing: Vec<tenon_core::group::Delivery>) {
        missing.sort_unstable_by_key(|given| given.at);
        let wanted: Vec<Position> = missing.iter().map(|given| given.at).collect();
        let mut events = match self.payloads.read(&wanted).await {
            Ok(events) => events.into_iter().peekable(),
            Err(error) => {
                tracing::warn!(%error, subscription = %self.subscription.definition.group(), "events cannot be read again yet");
                for given in missing {
                    self.step(Input::Unreached { ticket: given.ticket, delay: Some(AFTER_FAILURE) });
                }
                return;
            }
        };
        for given in missing {
            match events.next_if(|event| event.position == given.at) {
                Some(event) => self.stage(given, event),
                None => self.step(Input::Gone { ticket: given.ticket }),
            }
        }
    }

    /// Takes a page in. Answers an error that ends the driver.
    fn read(&mut self, page: Option<Result<tenon_store::Page, Error>>) -> Option<ReadError> {
        match page {
            Some(Ok(page)) => {
                self.page = page.events.into();
                self.page_to = page.next;
                return None;
            }
            Some(Err(Error::Read(ReadError::Truncated { first }))) => {
                tracing::warn!(%first, subscription = %self.subscription.definition.group(), "events were given up before they were read");
                self.page_to = Position(first.0.saturating_sub(1));
            }
            Some(Err(Error::Read(ReadError::Closed))) => return Some(ReadError::Closed),
            Some(Err(error)) => {
                tracing::warn!(error = error.detail(), "events cannot be read yet");
                self.feed_from = Instant::now() + AFTER_FAILURE;
            }
            None => self.feed_from = Instant::now() + AFTER_FAILURE,
        }
        self.read_from(self.page_to);
        None
    }

    fn read_from(&mut self, after: Position) {
        self.page.clear();
        self.page_to = after;
        self.feed = Feed::new(self.store.clone(), self.query.clone(), Some(after), None);
    }

    async fn take(&mut self, command: Command) -> Result<(), LedgerError> {
        match command {
            Command::Join { member, most, outbox, queued } => {
                self.recipients.insert(member, Recipient { most, outbox, queued, staged: Vec::new() });
                self.step(Input::Joined { member, most });
            }
            Command::Resize { member, most } => {
                if let Some(recipient) = self.recipients.get_mut(&member) {
                    recipient.most = most;
                    self.step(Input::Joined { member, most });
                }
            }
            Command::Settle(Settled { acks, nacks, unreached }) => {
                let now = self.clock.now();
                for ticket in acks {
                    // One that does not count any more is passed over.
                    _ = self.group.step(Input::Acked { ticket }, now);
                }
                for (ticket, delay) in nacks {
                    _ = self.group.step(Input::Refused { ticket, delay }, now);
                }
                for (ticket, delay) in unreached {
                    _ = self.group.step(Input::Unreached { ticket, delay }, now);
                }
            }
            // Whoever asked may have gone.
            Command::Status(reply) => _ = reply.send(self.group.status()),
            Command::Parked { after, limit, reply } => {
                let parked = self.group.parked().range(Position(after.0.saturating_add(1))..);
                _ = reply.send(parked.take(limit).map(|(at, parked)| (*at, *parked)).collect());
            }
            Command::Unpark(Unpark { which, retry, reply }) => {
                let done = self.unpark(which, retry);
                _ = reply.send(self.answer(done).await?);
            }
            Command::Seek { after, reply } => {
                self.step(Input::Seek { after });
                self.payloads.clear();
                self.read_from(after);
                _ = reply.send(self.answer(Ok(())).await?);
            }
        }
        Ok(())
    }

    fn unpark(&mut self, which: BTreeSet<Position>, retry: bool) -> Result<u32, Refusal> {
        if let Some(at) = which.iter().find(|at| !self.group.parked().contains_key(at)) {
            let detail = format!("no event at position {at} is parked");
            return Err(Refusal::new(Code::SubscriptionNotParked, detail));
        }
        let which = if which.is_empty() { self.group.parked().keys().copied().collect() } else { which };
        for at in &which {
            self.step(if retry { Input::Retry { at: *at } } else { Input::Drop { at: *at } });
        }
        Ok(which.len() as u32)
    }

    /// What to answer to somebody who changed something: it is kept before.
    async fn answer<T>(&mut self, done: Result<T, Refusal>) -> Result<Result<T, Refusal>, LedgerError> {
        let Ok(done) = done else { return Ok(done) };
        Ok(match self.keep_now().await {
            Ok(()) => Ok(done),
            Err(LedgerError::TakenOver) => return Err(LedgerError::TakenOver),
            Err(error) => Err(error.into()),
        })
    }

    fn leave(&mut self, member: MemberId) {
        self.recipients.remove(&member);
        self.step(Input::Left { member });
    }

    /// Keeps the group's progress, if it is time.
    async fn keep(&mut self) -> Result<(), LedgerError> {
        let (changes, urgent) = (self.group.changes(), self.group.urgent());
        // Where little is this group's, it is noted how far it has looked.
        let passed = self.group.read_to().0.saturating_sub(self.kept.read_to.0) > NOTE_PASSED;
        if changes == self.kept.noted && urgent == self.kept.urgent && changes == self.kept.kept && !passed {
            return Ok(());
        }
        let now = Instant::now();
        let is_urgent = urgent != self.kept.urgent && now >= self.kept.kept_at + KEEP_AT_MOST;
        if is_urgent || (changes != self.kept.kept && now >= self.kept.kept_at + KEEP_EVERY) {
            match self.keep_now().await {
                Err(LedgerError::TakenOver) => return Err(LedgerError::TakenOver),
                Err(error) => {
                    let refusal = Refusal::from(error);
                    tracing::warn!(%refusal, subscription = %self.subscription.definition.group(), "progress is not kept yet");
                    // As if it had been: it is tried again when the next is due.
                    self.kept.kept_at = now + AFTER_FAILURE;
                }
                Ok(()) => {}
            }
        } else if (changes != self.kept.noted || passed) && now >= self.kept.noted_at + NOTE_EVERY {
            self.ledger.note(self.group.checkpoint()).await;
            (self.kept.noted, self.kept.noted_at, self.kept.read_to) = (changes, now, self.group.read_to());
        }
        Ok(())
    }

    async fn keep_now(&mut self) -> Result<(), LedgerError> {
        self.ledger.keep(self.group.checkpoint()).await?;
        let (changes, urgent) = (self.group.changes(), self.group.urgent());
        let (read_to, now) = (self.group.read_to(), Instant::now());
        self.kept = Kept { noted: changes, kept: changes, urgent, read_to, noted_at: now, kept_at: now };
        Ok(())
    }

    /// Shows the group the ids of the last events before it goes on, so that duplicates of these are known.
    async fn recall(&mut self) {
        let window = u64::from(self.subscription.definition.config.dedup);
        let to = self.group.read_to();
        let first = self.store.log().first().0.saturating_sub(1);
        let mut from = Position(to.0.saturating_sub(window).max(first));
        while window > 0 && from < to {
            let page = self.store.log().read(self.query.clone(), from, Direction::Forward, usize::MAX).await;
            let Ok(page) = page else { return };
            for event in page.events.iter().filter(|event| event.position <= to) {
                self.step(Input::Seen { id: event.id });
            }
            if page.at_end {
                return;
            }
            from = page.next;
        }
    }
}

/// What the feed has next, not before a time.
async fn next_page(feed: &mut Feed, from: Instant) -> Option<Result<tenon_store::Page, Error>> {
    tokio::time::sleep_until(from).await;
    feed.next().await
}

/// When an event says that it is not to be given before; a text that is no time is none.
fn not_before(event: &Event) -> Option<Timestamp> {
    let text = event.metadata.other.get(DELIVER_AFTER)?;
    tenon_api::time::parse(text).ok()
}
