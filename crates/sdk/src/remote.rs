//! A log that a server keeps: [`Log`] over the event store's gRPC service, so that whatever works on a log works there
//! too, unchanged.
//!
//! Life cycle: [`RemoteLog::connect`] learns which log it is, and from then on follows its head in the background. Clones
//! share one connection, which is made again when it breaks: what is asked meanwhile fails with `Unavailable`, and
//! subscriptions wait. [`RemoteLog::close`], or dropping the last clone, ends it. A server that comes back with another
//! log ends it too, because no position would mean the same any more.
//!
//! Appends go through one stream, many under way, as many to a message as there are; so that they share commits. When
//! the connection breaks, those under way answer `Unknown`.
//!
//! Left out on purpose: trying again. Whoever appends knows whether its ids make that harmless.

mod appends;
pub(crate) mod error;
mod follow;
mod pages;
mod snapshots;
pub(crate) mod wire;

pub use error::ConnectError;
pub use pages::Pages;

use appends::Appends;
use follow::Known;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::eventstore::{EventStoreServiceClient, LOG_HEADER, MAX_MESSAGE_BYTES, v1};
use tenon_core::{LogId, Position};
use tenon_store::admission;
use tenon_store::{
    AppendError, Appended, BoxFuture, Condition, Direction, Log, NewEvent, Page, Query, ReadError,
    SchemaHash, Snapshot, SnapshotError, SnapshotKey, StreamPage, StreamsQuery, TruncateError,
};
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a silent connection is tried.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How many bytes a server may send ahead on one stream, and on all.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Where a log is kept.
#[derive(Clone)]
pub struct RemoteOptions {
    /// The server's address, for example `http://127.0.0.1:7420`. A service that Tenon runs finds it in `TENON_API`.
    pub address: String,
    /// The API's token, or an instance's, which such a service finds in `TENON_TOKEN`.
    pub token: String,
}

/// Shows everything but the token.
impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RemoteOptions {
    /// A connection, which is made when it is needed, and what its calls carry.
    pub(crate) fn channel(&self) -> Result<(Channel, Credentials), ConnectError> {
        let mut authorization: MetadataValue<Ascii> = format!("Bearer {}", self.token)
            .parse()
            .map_err(|_| self.invalid("the token holds characters that a header may not"))?;
        authorization.set_sensitive(true);
        let endpoint = Endpoint::from_shared(self.address.clone())
            .map_err(|_| self.invalid("it is not a URL such as http://127.0.0.1:7420"))?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok((channel, Credentials { authorization, log: None }))
    }

    fn invalid(&self, problem: &str) -> ConnectError {
        ConnectError::Invalid { address: self.address.clone(), problem: problem.to_owned() }
    }
}

/// A log that a server keeps. Clones share the connection.
#[derive(Clone)]
pub struct RemoteLog {
    inner: Arc<Inner>,
}

struct Inner {
    id: LogId,
    client: Client,
    known: Arc<Known>,
    appends: Appends,
}

type Client = EventStoreServiceClient<InterceptedService<Channel, Credentials>>;

/// What every call carries.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: MetadataValue<Ascii>,
    log: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        if let Some(log) = &self.log {
            metadata.insert(LOG_HEADER, log.clone());
        }
        Ok(request)
    }
}

impl RemoteLog {
    /// Connects, and learns which log it is. Must be called inside of a tokio runtime, which then runs the connection.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(options: &RemoteOptions) -> Result<Self, ConnectError> {
        let invalid = |problem: &str| options.invalid(problem);
        let (channel, credentials) = options.channel()?;
        let of = |log| client(channel.clone(), Credentials { log, ..credentials.clone() });
        let refused =
            |status| ConnectError::Refused { address: options.address.clone(), status: Box::new(status) };
        let head = of(None).head(v1::HeadRequest {}).await.map_err(refused)?.into_inner();
        let id = <[u8; 16]>::try_from(&head.log[..]).map(LogId::from_bytes);
        let id = id.map_err(|_| invalid("what answers there is not an event store"))?;
        let log = id.to_string().parse().map_err(|_| invalid("what answers there is not an event store"))?;
        let client = of(Some(log));
        let known = Arc::new(Known::new(&head));
        tokio::spawn(follow::follow(client.clone(), Arc::clone(&known)));
        let appends = Appends::start(client.clone(), Arc::clone(&known));
        Ok(Self { inner: Arc::new(Inner { id, client, known, appends }) })
    }

    /// The log as the port.
    pub fn into_log(self) -> Arc<dyn Log> {
        Arc::new(self)
    }

    /// Closes the log for all clones. Appends under way answer `Unknown`; subscriptions end.
    pub fn close(&self) {
        self.inner.known.close();
    }

    /// Reads everything that matches, up to the present end, in pages that the server sends ahead: what to use for
    /// reading much. Strictly after `from` going forward, strictly before it going backward.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pages(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: Option<u64>,
    ) -> Result<Pages, ReadError> {
        self.check_open()?;
        query.validate()?;
        let request = v1::ReadRequest {
            query: Some(wire::query(&query)),
            from: Some(from.0),
            backward: direction == Direction::Backward,
            limit: limit.unwrap_or(0),
            at: None,
        };
        let pages = self.inner.client.clone().read(request).await.map_err(|status| error::read(&status))?;
        Ok(Pages::new(pages.into_inner()))
    }

    fn check_open(&self) -> Result<(), ReadError> {
        if self.inner.known.is_closed() { Err(ReadError::Closed) } else { Ok(()) }
    }

    async fn append_checked(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> Result<Appended, AppendError> {
        admission::validate(&events, condition.as_ref())?;
        self.inner.appends.append(events, condition).await
    }

    async fn read_page(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let limit = limit.clamp(1, tenon_store::log::MAX_PAGE_EVENTS);
        let mut pages = self.pages(query, from, direction, Some(limit as u64)).await?;
        match pages.next().await? {
            Some(page) => Ok(page),
            // The server is ending.
            None => Err(error::ended()),
        }
    }

    async fn truncate(&self, first: Position) -> Result<(), TruncateError> {
        self.check_open()?;
        let request = v1::TruncateBeforeRequest { first: first.0 };
        let answer = self.inner.client.clone().truncate_before(request).await;
        let head = answer.map_err(|status| error::truncate(&status, first, self.head()))?.into_inner();
        self.inner.known.learn(&head);
        Ok(())
    }
}

fn client(channel: Channel, credentials: Credentials) -> Client {
    EventStoreServiceClient::with_interceptor(channel, credentials)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

impl Log for RemoteLog {
    fn id(&self) -> LogId {
        self.inner.id
    }

    fn head(&self) -> Position {
        self.inner.known.head()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.inner.known.heads()
    }

    fn first(&self) -> Position {
        self.inner.known.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_checked(events, condition))
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(self.read_page(query, from, direction, limit))
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        Box::pin(async move {
            self.check_open()?;
            let request = wire::streams(&query, limit.max(1));
            let page = self.inner.client.clone().list_streams(request).await;
            let page = page.map_err(|status| error::read(&status))?;
            wire::listed(page.into_inner())
        })
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        Box::pin(self.truncate(first))
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move {
            self.check_open().map_err(|_| SnapshotError::Closed)?;
            snapshots::put(&self.inner.client, snapshot).await
        })
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        Box::pin(async move {
            self.check_open().map_err(|_| SnapshotError::Closed)?;
            snapshots::get(&self.inner.client, key, schema).await
        })
    }
}

impl fmt::Debug for RemoteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteLog").field("id", &self.inner.id).field("head", &self.head()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.known.close();
    }
}

#[cfg(test)]
mod tests;
