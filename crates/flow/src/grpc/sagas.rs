//! Sagas over gRPC (`proto/tenon/saga/v1/saga.proto`).

use super::Answers;
use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::rights::Rights;
use crate::rest::{LIMIT, MOST};
use crate::saga::served::{self, Start, key_of};
use crate::saga::{Filter, Sagas};
use futures_util::stream;
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;
use tenon_api::caller::Caller;
use tenon_api::http::{DecideSaga, DecideSagas, DecisionDoc, SagaEvent, SagaState, SagaView};
use tenon_api::saga::{MAX_MESSAGE_BYTES, SagaService, SagaServiceServer, json, v1};
use tenon_api::{InvalidMessage, headers};
use tenon_core::saga::Status as SagaStatus;
use tenon_core::{Code, Namespace, Position, Refusal, Timestamp};
use tonic::{Request, Response, Status};

/// How many events of a saga's history are in one message.
const PAGE: usize = 64;

/// The service on sagas.
pub(crate) fn service(store: EventStore, sagas: Sagas) -> SagaServiceServer<Served> {
    SagaServiceServer::new(Served { store, sagas })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// What answers.
pub(crate) struct Served {
    store: EventStore,
    sagas: Sagas,
}

impl Served {
    /// Sagas, as the caller may see and change them.
    fn to<T>(&self, request: &Request<T>) -> Result<served::Served, Error> {
        let rights = Rights::of(request.extensions().get::<Caller>(), self.store.is_verbatim())?;
        Ok(served::Served::new(self.sagas.clone(), rights))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SagaService for Served {
    type HistoryStream = Answers<v1::HistoryResponse>;

    async fn start(&self, request: Request<v1::StartRequest>) -> Answer<v1::StartResponse> {
        let served = self.to(&request)?;
        let metadata = |name| Some(request.metadata().get(name)?.to_str().ok()?.to_owned());
        let (header, traceparent) =
            (metadata(headers::IDEMPOTENCY_KEY.as_str()), metadata(headers::TRACEPARENT.as_str()));
        let v1::StartRequest { namespace, name, input, key, wait_micros } = request.into_inner();
        let start = Start {
            namespace: served.namespace(namespace_of(&namespace)?)?,
            name: read("name", &name)?,
            input: json("input", &input).map_err(|error| malformed(&error))?,
            key: key_of(Some(key).filter(|key| !key.is_empty()), header.as_deref())?,
            traceparent,
            wait: wait(wait_micros),
        };
        Ok(Response::new(served.start(start).await?.into()))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let served = self.to(&request)?;
        let v1::GetRequest { id, wait_micros } = request.into_inner();
        let saga = saga(served.show(read("id", &id)?, wait(wait_micros)).await?);
        Ok(Response::new(v1::GetResponse { saga }))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<Self::HistoryStream> {
        let served = self.to(&request)?;
        let events = served.history(read("id", &request.into_inner().id)?).await?;
        let pages: Vec<_> = events.chunks(PAGE).map(page).map(Ok).collect();
        Ok(Response::new(Box::pin(stream::iter(pages))))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let served = self.to(&request)?;
        let message = request.into_inner();
        let filter = Filter {
            namespace: namespace_of(&message.namespace)?,
            name: some(&message.name).map(|text| read("name", text)).transpose()?,
            key: some(&message.key).map(str::to_owned),
            states: states(&message.states)?.into_iter().map(SagaStatus::from).collect(),
            since: message.since_micros.map(Timestamp::from_micros),
            until: message.until_micros.map(Timestamp::from_micros),
            before: message.before.map(Position),
            limit: limit(message.limit),
        };
        Ok(Response::new(served.list(filter).await?.into()))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Answer<v1::SignalResponse> {
        let served = self.to(&request)?;
        let v1::SignalRequest { id, signal, data } = request.into_inner();
        let data = json("data", &data).map_err(|error| malformed(&error))?;
        let told = served.signal(read("id", &id)?, read("signal", &signal)?, &data).await?;
        Ok(Response::new(v1::SignalResponse { saga: saga(told) }))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Answer<v1::CancelResponse> {
        let served = self.to(&request)?;
        let told = served.cancel(read("id", &request.into_inner().id)?).await?;
        Ok(Response::new(v1::CancelResponse { saga: saga(told) }))
    }

    async fn decide(&self, request: Request<v1::DecideRequest>) -> Answer<v1::DecideResponse> {
        let served = self.to(&request)?;
        let message = request.into_inner();
        let decision = DecideSaga {
            decision: decision(message.decision())?,
            step: some(&message.step).map(str::to_owned),
            data: data(message.data)?,
        };
        let told = served.decide(read("id", &message.id)?, decision).await?;
        Ok(Response::new(v1::DecideResponse { saga: saga(told) }))
    }

    async fn decide_all(&self, request: Request<v1::DecideAllRequest>) -> Answer<v1::DecideAllResponse> {
        let served = self.to(&request)?;
        let message = request.into_inner();
        let wanted = DecideSagas {
            decision: decision(message.decision())?,
            data: data(message.data)?,
            name: some(&message.name).map(|text| read("name", text)).transpose()?,
            key: some(&message.key).map(str::to_owned),
            states: states(&message.states)?,
            since: message.since_micros.map(Timestamp::from_micros),
            until: message.until_micros.map(Timestamp::from_micros),
            step: some(&message.step).map(str::to_owned),
            before: message.before,
            limit: None,
        };
        let namespace = namespace_of(&message.namespace)?;
        let decided = served.decide_all(namespace, wanted, limit(message.limit)).await?;
        Ok(Response::new(decided.into()))
    }

    async fn list_definitions(
        &self,
        request: Request<v1::ListDefinitionsRequest>,
    ) -> Answer<v1::ListDefinitionsResponse> {
        let served = self.to(&request)?;
        let definitions = served.definitions(namespace_of(&request.into_inner().namespace)?)?;
        let definitions = definitions.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListDefinitionsResponse { definitions }))
    }

    async fn define(&self, request: Request<v1::DefineRequest>) -> Answer<v1::DefineResponse> {
        let served = self.to(&request)?;
        let v1::DefineRequest { namespace, name, definition } = request.into_inner();
        let document =
            serde_json::from_str(&definition).map_err(|error| invalid(format!("definition: {error}")))?;
        let defined = served.define(namespace_of(&namespace)?, read("name", &name)?, document).await?;
        Ok(Response::new(defined.into()))
    }

    async fn retire(&self, request: Request<v1::RetireRequest>) -> Answer<v1::RetireResponse> {
        let served = self.to(&request)?;
        let v1::RetireRequest { namespace, name } = request.into_inner();
        served.retire(namespace_of(&namespace)?, &read("name", &name)?).await?;
        Ok(Response::new(v1::RetireResponse {}))
    }
}

#[allow(clippy::unnecessary_wraps, reason = "a message within a message is always optional")]
fn saga(view: SagaView) -> Option<v1::Saga> {
    Some(view.into())
}

fn page(events: &[SagaEvent]) -> v1::HistoryResponse {
    v1::HistoryResponse { events: events.iter().cloned().map(Into::into).collect() }
}

fn decision(decision: v1::Decision) -> Result<DecisionDoc, Error> {
    decision.known().ok_or_else(|| invalid("decision: is missing".to_owned()))
}

fn data(text: Option<String>) -> Result<Option<Value>, Error> {
    text.map(|text| json("data", &text)).transpose().map_err(|error| malformed(&error))
}

fn states(numbers: &[i32]) -> Result<Vec<SagaState>, Error> {
    let state = |number: &i32| {
        let known = v1::State::try_from(*number).ok().and_then(v1::State::known);
        known.ok_or_else(|| invalid(format!("states: {number} is not known")))
    };
    numbers.iter().map(state).collect()
}

fn limit(asked: u32) -> usize {
    let asked = if asked == 0 { LIMIT } else { u64::from(asked) };
    usize::try_from(asked.min(MOST)).unwrap_or(usize::MAX)
}

fn wait(micros: u64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(micros))
}

fn namespace_of(text: &str) -> Result<Option<Namespace>, Error> {
    some(text).map(|text| read("namespace", text)).transpose()
}

fn read<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| invalid(format!("{field}: {error}")))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn malformed(error: &InvalidMessage) -> Error {
    invalid(error.to_string())
}

fn invalid(detail: String) -> Error {
    Refusal::new(Code::RequestInvalid, detail).into()
}

#[cfg(test)]
mod tests;
