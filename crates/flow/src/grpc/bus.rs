//! Subscriptions over gRPC (`proto/tenon/bus/v1/bus.proto`).

mod pull;

use super::wire;
use crate::bus::{Bus, Described, ParkedEvent};
use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::rights::{Rights, check_own};
use pull::Pulling;
use std::collections::BTreeSet;
use std::str::FromStr;
use tenon_api::bus::{BusService, BusServiceServer, MAX_MESSAGE_BYTES, v1};
use tenon_api::caller::Caller;
use tenon_core::group::{Definition, Delivered, GroupName};
use tenon_core::{Code, Namespace, Position, Refusal};
use tonic::{Request, Response, Status, Streaming};

/// The most parked events in one answer, unless a request says otherwise.
const PARKED: u32 = 100;

/// The service on a bus.
pub(crate) fn service(store: EventStore, bus: Bus) -> BusServiceServer<Served> {
    BusServiceServer::new(Served { store, bus })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// What answers.
pub(crate) struct Served {
    store: EventStore,
    bus: Bus,
}

/// Who calls, and what they may do.
fn rights<T>(request: &Request<T>) -> Result<Rights, Error> {
    Rights::of(request.extensions().get::<Caller>(), false)
}

/// The subscription that is meant, if the caller may see it.
fn named(rights: &Rights, namespace: &str, name: &str) -> Result<GroupName, Error> {
    let namespace = match namespace {
        "" => rights.namespace(),
        text => read("namespace", text)?,
    };
    rights.check_namespace(&namespace)?;
    Ok(GroupName { namespace, name: read("name", name)? })
}

fn read<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| invalid(format_args!("{field}: {error}")))
}

fn invalid(detail: impl std::fmt::Display) -> Error {
    Refusal::new(Code::SubscriptionInvalid, detail.to_string()).into()
}

fn refused(refusal: Refusal) -> Status {
    Error::from(refusal).into()
}

#[tonic::async_trait]
impl BusService for Served {
    type PullStream = super::Answers<v1::PullResponse>;

    async fn define(
        &self,
        request: Request<v1::DefineRequest>,
    ) -> Result<Response<v1::DefineResponse>, Status> {
        let rights = rights(&request)?;
        let message = request.into_inner().definition.ok_or_else(|| invalid("definition: is missing"))?;
        let stated = !message.namespace.is_empty();
        let mut definition = Definition::try_from(message).map_err(invalid)?;
        if !stated {
            definition.namespace = rights.namespace();
        }
        rights.check_namespace(&definition.namespace)?;
        check_definition(&rights, &self.bus, &mut definition)?;
        let defined = self.bus.define(definition, Some(rights.actor())).await.map_err(refused)?;
        Ok(Response::new(v1::DefineResponse { changed: defined.changed, from: defined.from.0 }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let rights = rights(&request)?;
        let namespace: Option<Namespace> = match request.into_inner().namespace.as_str() {
            "" => rights.within().cloned(),
            text => Some(read("namespace", text)?),
        };
        if let Some(namespace) = &namespace {
            rights.check_namespace(namespace)?;
        }
        let listed = self.bus.list(namespace.as_ref());
        let subscriptions = listed.iter().map(|it| (&it.definition).into()).collect();
        Ok(Response::new(v1::ListResponse { subscriptions }))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let rights = rights(&request)?;
        let v1::DescribeRequest { namespace, name } = request.into_inner();
        let name = named(&rights, &namespace, &name)?;
        let Described { subscription, status, head } = self.bus.describe(&name).await.map_err(refused)?;
        Ok(Response::new(v1::DescribeResponse {
            definition: Some((&subscription.definition).into()),
            from: subscription.from.0,
            status: Some(v1::Status::of(&status, head)),
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        let rights = rights(&request)?;
        let v1::DeleteRequest { namespace, name } = request.into_inner();
        let name = named(&rights, &namespace, &name)?;
        check_free(&self.bus, &name)?;
        self.bus.delete(&name, Some(rights.actor())).await.map_err(refused)?;
        Ok(Response::new(v1::DeleteResponse {}))
    }

    async fn list_parked(
        &self,
        request: Request<v1::ListParkedRequest>,
    ) -> Result<Response<v1::ListParkedResponse>, Status> {
        let rights = rights(&request)?;
        let v1::ListParkedRequest { namespace, name, after, limit } = request.into_inner();
        let name = named(&rights, &namespace, &name)?;
        let limit = if limit == 0 { PARKED } else { limit };
        let parked = self.bus.parked(&name, Position(after), limit as usize).await.map_err(refused)?;
        Ok(Response::new(v1::ListParkedResponse { parked: parked.into_iter().map(parked_event).collect() }))
    }

    async fn retry_parked(
        &self,
        request: Request<v1::ParkedRequest>,
    ) -> Result<Response<v1::ParkedResponse>, Status> {
        let rights = rights(&request)?;
        let (name, which) = which(&rights, request.into_inner())?;
        let count = self.bus.retry(&name, which).await.map_err(refused)?;
        Ok(Response::new(v1::ParkedResponse { count }))
    }

    async fn drop_parked(
        &self,
        request: Request<v1::ParkedRequest>,
    ) -> Result<Response<v1::ParkedResponse>, Status> {
        let rights = rights(&request)?;
        let (name, which) = which(&rights, request.into_inner())?;
        let count = self.bus.drop_parked(&name, which).await.map_err(refused)?;
        Ok(Response::new(v1::ParkedResponse { count }))
    }

    async fn seek(&self, request: Request<v1::SeekRequest>) -> Result<Response<v1::SeekResponse>, Status> {
        let rights = rights(&request)?;
        let v1::SeekRequest { namespace, name, to } = request.into_inner();
        let name = named(&rights, &namespace, &name)?;
        let to = to.filter(|to| to.at.is_some()).ok_or_else(|| invalid("to: is missing"))?;
        let after = self.bus.seek(&name, to.into()).await.map_err(refused)?;
        Ok(Response::new(v1::SeekResponse { after: after.0 }))
    }

    async fn pull(
        &self,
        request: Request<Streaming<v1::PullRequest>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let rights = rights(&request)?;
        let permit = self.store.stream_permit()?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap_or_default();
        let join = first.join.ok_or_else(|| invalid("join: must come with the first request"))?;
        let name = named(&rights, &join.namespace, &join.name)?;
        let member = self.bus.join(&name, first.most.unwrap_or(0)).await.map_err(refused)?;
        Ok(Response::new(Pulling::answers(member, requests, self.store.stopped(), permit)))
    }
}

/// Whether a caller may define a subscription.
pub(crate) fn check_definition(rights: &Rights, bus: &Bus, definition: &mut Definition) -> Result<(), Error> {
    definition.declared = false;
    check_own(&definition.namespace)?;
    if definition.delivered != Delivered::Pull {
        // Every service lets in whoever pushes.
        rights.check_operator("having a service called")?;
    }
    check_free(bus, &definition.group())
}

/// Whether a subscription is another one's than the manifest's, or none.
pub(crate) fn check_free(bus: &Bus, name: &GroupName) -> Result<(), Error> {
    match bus.get(name) {
        Ok(found) if found.definition.declared => {
            Err(invalid(format_args!("subscription {name} is in the manifest; change or remove it there")))
        }
        _ => Ok(()),
    }
}

fn which(rights: &Rights, request: v1::ParkedRequest) -> Result<(GroupName, BTreeSet<Position>), Error> {
    let v1::ParkedRequest { namespace, name, positions } = request;
    Ok((named(rights, &namespace, &name)?, positions.into_iter().map(Position).collect()))
}

fn parked_event(parked: ParkedEvent) -> v1::Parked {
    let ParkedEvent { at, parked, event } = parked;
    v1::Parked {
        position: at.0,
        attempts: parked.attempts,
        since_micros: parked.since.as_micros(),
        cause: v1::Cause::from(parked.cause).into(),
        event: event.map(wire::event),
    }
}

#[cfg(test)]
mod tests;
