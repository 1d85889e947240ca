//! The event store over gRPC (`proto/tenon/eventstore/v1/eventstore.proto`).
//!
//! Answers that are streams are made when the caller has room for more: a slow one holds a page or two, and delays
//! nobody. Every answer that could fail says why by a code of `docs/errors.md`.

mod append_stream;
pub(crate) mod bus;
pub(crate) mod sagas;
mod snapshots;
mod status;
mod wire;

use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use crate::events::reading::Reading;
use crate::events::rights::Rights;
use append_stream::Pipeline;
use futures_util::{Stream, StreamExt, stream};
use snapshots::Snapshots;
use std::pin::Pin;
use tenon_api::caller::Caller;
use tenon_api::eventstore::{EventStoreService, EventStoreServiceServer, LOG_HEADER, MAX_MESSAGE_BYTES, v1};
use tenon_core::{Code, LogId, Position, Refusal};
use tenon_store::Page;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming};

/// The service on an event store.
pub(crate) fn service(store: EventStore) -> EventStoreServiceServer<Served> {
    EventStoreServiceServer::new(Served { store, snapshots: Snapshots::default() })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// What answers.
pub(crate) struct Served {
    store: EventStore,
    snapshots: Snapshots,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Served {
    /// Who calls, and what they may do, if they mean this log.
    fn rights<T>(&self, request: &Request<T>) -> Result<Rights, Error> {
        let meant = request.metadata().get(LOG_HEADER).map(|value| value.to_str().unwrap_or(""));
        let own = self.store.log().id();
        if let Some(meant) = meant
            && meant.parse::<LogId>().ok() != Some(own)
        {
            let detail = format!(
                "log {meant:?} was asked for, and this is {own}; forget what you know of it, read anew"
            );
            return Err(Refusal::new(Code::LogOther, detail).into());
        }
        Rights::of(request.extensions().get::<Caller>(), self.store.is_verbatim())
    }

    fn head(&self) -> v1::HeadResponse {
        let log = self.store.log();
        v1::HeadResponse {
            log: log.id().as_bytes().to_vec().into(),
            head: log.head().0,
            first: log.first().0,
        }
    }

    /// A stream that ends when the store is stopped.
    fn answers<T: Send + 'static>(
        &self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Response<Answers<T>> {
        let stopped = self.store.stopped().clone().cancelled_owned();
        Response::new(Box::pin(answers.take_until(stopped)))
    }
}

#[tonic::async_trait]
impl EventStoreService for Served {
    type AppendStreamStream = Answers<v1::AppendStreamResponse>;
    type ReadStream = Answers<v1::ReadResponse>;
    type SubscribeStream = Answers<v1::SubscribeResponse>;
    type WatchHeadStream = Answers<v1::HeadResponse>;
    type GetSnapshotStream = Answers<v1::Snapshot>;

    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendResponse>, Status> {
        let rights = self.rights(&request)?;
        let admitted = wire::admit(&self.store, &rights, request.into_inner())?;
        let appended = self.store.append(admitted).await?;
        Ok(Response::new(wire::appended(&appended)))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<v1::AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let rights = self.rights(&request)?;
        let permit = self.store.stream_permit()?;
        let pipeline = Pipeline::new(self.store.clone(), rights, request.into_inner(), permit);
        Ok(self.answers(stream::unfold(pipeline, |mut pipeline| async {
            let answer = pipeline.next().await?;
            Some((answer, pipeline))
        })))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let rights = self.rights(&request)?;
        let permit = self.store.stream_permit()?;
        let reading = self.store.read(wire::wanted(&rights, request.into_inner())?).await?;
        let pages = |(mut reading, permit): (Reading, OwnedSemaphorePermit)| async {
            let page = reading.next().await?;
            Some((page.map(read_response).map_err(|error| Error::from(error).into()), (reading, permit)))
        };
        Ok(self.answers(stream::unfold((reading, permit), pages)))
    }

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let rights = self.rights(&request)?;
        let permit = self.store.stream_permit()?;
        let v1::SubscribeRequest { query, after } = request.into_inner();
        let query = rights.narrow(wire::query(&query.unwrap_or_default())?)?;
        let feed = Feed::new(self.store.clone(), query, after.map(Position), Some(permit));
        Ok(self.answers(stream::unfold(feed, |mut feed| async {
            let page = feed.next().await?;
            Some((page.map(subscribe_response).map_err(Status::from), feed))
        })))
    }

    async fn list_streams(
        &self,
        request: Request<v1::ListStreamsRequest>,
    ) -> Result<Response<v1::ListStreamsResponse>, Status> {
        let rights = self.rights(&request)?;
        let (query, limit) = wire::streams(&request.into_inner())?;
        let page = self.store.log().streams(rights.narrow_streams(query)?, limit).await;
        Ok(Response::new(wire::listed(page.map_err(Error::from)?)))
    }

    async fn head(&self, request: Request<v1::HeadRequest>) -> Result<Response<v1::HeadResponse>, Status> {
        self.rights(&request)?;
        Ok(Response::new(Self::head(self)))
    }

    async fn watch_head(
        &self,
        request: Request<v1::HeadRequest>,
    ) -> Result<Response<Self::WatchHeadStream>, Status> {
        self.rights(&request)?;
        let permit = self.store.stream_permit()?;
        let heads = self.store.log().heads();
        let own = Self { store: self.store.clone(), snapshots: self.snapshots.clone() };
        let next = |(own, mut heads, told, permit): (
            Self,
            tokio::sync::watch::Receiver<Position>,
            bool,
            _,
        )| async move {
            if told {
                heads.changed().await.ok()?;
            }
            heads.borrow_and_update();
            Some((Ok(Self::head(&own)), (own, heads, true, permit)))
        };
        Ok(self.answers(stream::unfold((own, heads, false, permit), next)))
    }

    async fn truncate_before(
        &self,
        request: Request<v1::TruncateBeforeRequest>,
    ) -> Result<Response<v1::HeadResponse>, Status> {
        self.rights(&request)?.check_operator("giving up events")?;
        let first = Position(request.into_inner().first);
        self.store.log().truncate_before(first).await.map_err(Error::from)?;
        Ok(Response::new(Self::head(self)))
    }

    async fn delete_stream(
        &self,
        request: Request<v1::DeleteStreamRequest>,
    ) -> Result<Response<v1::AppendResponse>, Status> {
        let rights = self.rights(&request)?;
        let deleted = self.store.delete(&rights, wire::deletion(request.into_inner())?).await?;
        Ok(Response::new(wire::appended(&deleted)))
    }

    async fn forget_subject(
        &self,
        request: Request<v1::ForgetSubjectRequest>,
    ) -> Result<Response<v1::ForgetSubjectResponse>, Status> {
        self.rights(&request)?.check_operator("forgetting a subject")?;
        let actor = request.extensions().get::<Caller>().map(Caller::actor);
        let (namespace, subject) = wire::subject(&request.into_inner())?;
        let told = self.store.vault()?.forget(namespace, subject, actor).await.map_err(Error::from)?;
        Ok(Response::new(v1::ForgetSubjectResponse { position: told.0 }))
    }

    async fn put_snapshot(
        &self,
        request: Request<Streaming<v1::Snapshot>>,
    ) -> Result<Response<v1::PutSnapshotResponse>, Status> {
        let rights = self.rights(&request)?;
        self.snapshots.put(self.store.log(), &rights, request.into_inner()).await?;
        Ok(Response::new(v1::PutSnapshotResponse {}))
    }

    async fn get_snapshot(
        &self,
        request: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<Self::GetSnapshotStream>, Status> {
        let rights = self.rights(&request)?;
        let parts = self.snapshots.get(self.store.log(), &rights, &request.into_inner()).await?;
        Ok(self.answers(stream::iter(parts.map(Ok))))
    }
}

fn read_response(page: Page) -> v1::ReadResponse {
    let Page { events, next, at_end } = page;
    v1::ReadResponse { events: events.into_iter().map(wire::event).collect(), next: next.0, at_end }
}

fn subscribe_response(page: Page) -> v1::SubscribeResponse {
    let Page { events, next, at_end } = page;
    v1::SubscribeResponse {
        events: events.into_iter().map(wire::event).collect(),
        position: next.0,
        caught_up: at_end,
    }
}

#[cfg(test)]
mod tests;
