//! Payloads that can be forgotten: a log in front of a log, which encrypts what is about a subject under a key of the
//! subject's own, and decrypts it when it is read (`core::subject` has the rules).
//!
//! An event is about a subject if its metadata say so ([`SUBJECT`]). Its payload lies in the log encrypted by AES-256-GCM;
//! its stream, type, tags and metadata are as they are, so they hold no personal data. The keys lie in a folder of their
//! own ([`KeyRing`]), outside of the log and its copies, each wrapped by a master key.
//!
//! Reading never fails for want of a key: the payload is then empty, and the metadata say why ([`WITHHELD`]).
//!
//! Life cycle: [`Vault::open`] mends what a crash or a restored copy left, before anything is served; from then on the
//! vault is a log as any other, and [`Vault::forget`] forgets a subject.
//!
//! Left out on purpose: snapshots and read models, which whoever keeps them must mend on the event [`FORGOTTEN_TYPE`].

mod cipher;
mod files;
mod ring;

pub use ring::{KeyRing, VaultError};

use cipher::Sealed;
use ring::Held;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use tenon_core::subject::{self, Step};
use tenon_core::{Actor, EventId, EventType, LogId, Namespace, Position, StreamName, Subject};
use tenon_store::log::{Damage, MAX_PAGE_EVENTS};
use tenon_store::{
    AppendError, Appended, BoxFuture, Condition, Direction, Event, InvalidInput, Log, Metadata, NewEvent,
    Page, Query, QueryItem, ReadError, SchemaHash, Snapshot, SnapshotError, SnapshotKey, StreamPage,
    StreamsQuery, TruncateError,
};
use tokio::sync::watch;

/// The name in an event's metadata of whom its payload is about.
pub const SUBJECT: &str = "tenon.subject";

/// The name in an event's metadata of why its payload is not told: [`FORGOTTEN`] or [`UNREADABLE`]. Only ever there when
/// read.
pub const WITHHELD: &str = "tenon.withheld";

/// The subject was forgotten.
pub const FORGOTTEN: &str = "forgotten";

/// The key is not here, or is another.
pub const UNREADABLE: &str = "unreadable";

/// The type of the event that tells that a subject was forgotten, in the stream `$subject/SUBJECT`.
pub const FORGOTTEN_TYPE: &str = "tenon.subject.SubjectForgotten.v1";

/// How the names of metadata begin that are Tenon's.
const OWN_METADATA: &str = "tenon.";

/// A log whose payloads can be forgotten. Clones share it.
#[derive(Clone)]
pub struct Vault {
    log: Arc<dyn Log>,
    ring: Arc<KeyRing>,
}

/// Whom a payload is about. A subject is one of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Who {
    pub(crate) namespace: Namespace,
    pub(crate) subject: Subject,
}

impl Vault {
    /// Puts a vault in front of a log. Mends what was left half done, or was brought back by an old copy of the keys or
    /// of the log.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn open(log: Arc<dyn Log>, ring: KeyRing) -> Result<Self, VaultError> {
        let vault = Self { log, ring: Arc::new(ring) };
        let told = vault.told().await?;
        let buried = vault.on_files(KeyRing::buried).await?;
        for who in told.union(&buried.into_iter().collect()) {
            vault.take_steps(who, told.contains(who), subject::mend, None).await?;
        }
        Ok(vault)
    }

    /// The vault as a log.
    pub fn into_log(self) -> Arc<dyn Log> {
        Arc::new(self)
    }

    /// Forgets a subject, for good: destroys its key, and tells so in the log. Answers where that is told.
    ///
    /// # Errors
    /// [`VaultError`]. What was done of it stays done; forgetting again does the rest.
    pub async fn forget(
        &self,
        namespace: Namespace,
        subject: Subject,
        actor: Option<Actor>,
    ) -> Result<Position, VaultError> {
        let who = Who { namespace, subject };
        let told = self.told_at(&who).await?;
        let now = self.take_steps(&who, told.is_some(), subject::forget, actor).await?;
        now.or(told).ok_or(VaultError::Untold)
    }

    /// Does one step after the other, each durable before the next; answers where it was told, if it was told now.
    async fn take_steps(
        &self,
        who: &Who,
        told: bool,
        next: fn(subject::Found) -> Option<Step>,
        actor: Option<Actor>,
    ) -> Result<Option<Position>, VaultError> {
        let of = who.clone();
        let mut found = self.on_files(move |ring| ring.found(&of)).await?;
        found.told = told;
        let mut told_at = None;
        while let Some(step) = next(found) {
            let of = who.clone();
            match step {
                Step::Bury => self.on_files(move |ring| ring.bury(&of)).await?,
                Step::Destroy => self.on_files(move |ring| ring.destroy(&of)).await?,
                Step::Tell => told_at = Some(self.tell(who, actor.clone()).await?),
            }
            found = found.after(step);
        }
        Ok(told_at)
    }

    /// Appends the event that tells. Its id follows from the subject, so that it is there once.
    async fn tell(&self, who: &Who, actor: Option<Actor>) -> Result<Position, VaultError> {
        let data = serde_json::json!({"subject": who.subject.as_str()}).to_string();
        let stream = stream_of(&who.subject);
        let event = NewEvent {
            id: EventId::from_bytes(cipher::name_based_id(who)),
            tags: tag_of(&who.subject).into_iter().collect(),
            metadata: Metadata { actor, ..Metadata::default() },
            ..NewEvent::new(who.namespace.clone(), stream.clone(), forgotten_type(), data.into())
        };
        let new = Condition::stream_is_new(who.namespace.clone(), stream);
        match self.log.append(vec![event], Some(new)).await {
            Ok(appended) => Ok(appended.last()),
            Err(AppendError::Conflict { at }) => Ok(at),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the log tells that a subject was forgotten.
    async fn told_at(&self, who: &Who) -> Result<Option<Position>, VaultError> {
        let query = Query::stream(who.namespace.clone(), stream_of(&who.subject));
        let page = self.log.read(query, tenon_store::log::END, Direction::Backward, 1).await?;
        Ok(page.events.first().map(|event| event.position))
    }

    /// All that the log tells were forgotten.
    async fn told(&self) -> Result<BTreeSet<Who>, VaultError> {
        let item = QueryItem { types: [forgotten_type()].into(), ..QueryItem::default() };
        let query = Query::user().or(item);
        let mut told = BTreeSet::new();
        let mut from = Position(self.log.first().0.saturating_sub(1));
        loop {
            let page = self.log.read(query.clone(), from, Direction::Forward, MAX_PAGE_EVENTS).await?;
            told.extend(page.events.iter().filter_map(who_of_stream));
            from = page.next;
            if page.at_end {
                return Ok(told);
            }
        }
    }

    async fn on_files<T: Send + 'static>(
        &self,
        act: impl FnOnce(&KeyRing) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let ring = Arc::clone(&self.ring);
        tokio::task::spawn_blocking(move || act(&ring)).await.map_err(|_| VaultError::Ended)?
    }

    /// Encrypts what is about a subject.
    async fn seal(&self, events: &mut [NewEvent]) -> Result<(), AppendError> {
        for event in events {
            let Some(who) = check_metadata(event)? else { continue };
            let key = match self.ring.cached(&who) {
                Some(held) => held,
                None => {
                    let of = who.clone();
                    self.on_files(move |ring| ring.hold(&of)).await.map_err(VaultError::of_append)?
                }
            };
            let Held::Key(key) = key else {
                return Err(InvalidInput::Forgotten(who.subject.to_string()).into());
            };
            event.data = Sealed::seal(&key, &event.id, &event.data).map_err(VaultError::of_append)?;
        }
        Ok(())
    }

    /// Decrypts what is about a subject, or says why not.
    async fn unseal(&self, events: &mut [Event]) -> Result<(), ReadError> {
        for event in events {
            let Some(text) = event.metadata.other.get(SUBJECT) else { continue };
            let Some(sealed) = Sealed::read(&event.data) else { continue };
            let Ok(subject) = Subject::new(text) else { continue };
            let who = Who { namespace: event.namespace.clone(), subject };
            let held = match self.ring.cached(&who) {
                Some(held) => held,
                None => {
                    let found = self.on_files(move |ring| ring.find(&who)).await;
                    found.map_err(VaultError::of_read)?
                }
            };
            let (data, withheld) = match held {
                Held::Key(key) => match sealed.open(&key, &event.id) {
                    Some(data) => (data, None),
                    None => (bytes::Bytes::new(), Some(UNREADABLE)),
                },
                Held::Forgotten => (bytes::Bytes::new(), Some(FORGOTTEN)),
                Held::Nothing => (bytes::Bytes::new(), Some(UNREADABLE)),
            };
            event.data = data;
            if let Some(why) = withheld {
                event.metadata.other.insert(WITHHELD.to_owned(), why.to_owned());
            }
        }
        Ok(())
    }
}

/// Whom an event is about; refuses metadata under names that are Tenon's.
fn check_metadata(event: &NewEvent) -> Result<Option<Who>, InvalidInput> {
    let refused =
        |name: &str| InvalidInput::Refused(format!("metadata {name:?}: names in tenon. are Tenon's own"));
    let own = event.metadata.other.range(OWN_METADATA.to_owned()..);
    for (name, _) in own.take_while(|(name, _)| name.starts_with(OWN_METADATA)) {
        if name != SUBJECT {
            return Err(refused(name));
        }
    }
    let Some(text) = event.metadata.other.get(SUBJECT) else { return Ok(None) };
    let subject = Subject::new(text).map_err(|error| InvalidInput::Refused(error.to_string()))?;
    Ok(Some(Who { namespace: event.namespace.clone(), subject }))
}

/// Where it is told that a subject was forgotten.
fn stream_of(subject: &Subject) -> StreamName {
    match StreamName::new(&format!("{STREAMS}{subject}")) {
        Ok(stream) => stream,
        Err(_) => unreachable!("a subject is at most 128 printable bytes"),
    }
}

const STREAMS: &str = "$subject/";

fn who_of_stream(event: &Event) -> Option<Who> {
    let subject = Subject::new(event.stream.as_str().strip_prefix(STREAMS)?).ok()?;
    Some(Who { namespace: event.namespace.clone(), subject })
}

fn tag_of(subject: &Subject) -> Option<tenon_core::Tag> {
    tenon_core::Tag::new(&format!("subject:{subject}")).ok()
}

fn forgotten_type() -> EventType {
    match EventType::new(FORGOTTEN_TYPE) {
        Ok(event_type) => event_type,
        Err(_) => unreachable!("the type is printable"),
    }
}

impl Log for Vault {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.log.heads()
    }

    fn first(&self) -> Position {
        self.log.first()
    }

    fn append(
        &self,
        mut events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        // Nearly always there is nothing to do, and then the log's own future is the answer.
        if events.iter().all(|event| event.metadata.other.is_empty()) {
            return self.log.append(events, condition);
        }
        Box::pin(async move {
            self.seal(&mut events).await?;
            self.log.append(events, condition).await
        })
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let mut page = self.log.read(query, from, direction, limit).await?;
            self.unseal(&mut page.events).await?;
            Ok(page)
        })
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        self.log.truncate_before(first)
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        self.log.streams(query, limit)
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.log.put_snapshot(snapshot)
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        self.log.snapshot(key, schema)
    }

    fn known_damage(&self) -> Vec<Damage> {
        self.log.known_damage()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("log", &self.log.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
