//! Starting sagas at a server, and what comes of them, with their types.
//!
//! ```no_run
//! use std::time::Duration;
//! use tenon_sdk::remote::RemoteOptions;
//! use tenon_sdk::saga::{Ended, Saga, SagaClient};
//!
//! # async fn place(options: &RemoteOptions, place_order: Saga<u64, String>) -> Result<(), Box<dyn std::error::Error>> {
//! let sagas = SagaClient::new(options)?;
//! sagas.define(&place_order).await?;
//! let run = sagas.start(&place_order, &5, Some("cart-17")).await?;
//! match run.ended(Duration::from_secs(10)).await? {
//!     Some(Ended::Completed(order)) => println!("placed: {order}"),
//!     Some(Ended::Compensated(why) | Ended::Failed(why)) => println!("not placed: {why}"),
//!     None => println!("{} is not at its end yet", run.id()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Left out on purpose: what operators do (decisions about parked steps, lists); `tenon saga` and the API have it.

use super::typed::{Saga, Signal};
use crate::remote::error::code_of;
use crate::remote::{ConnectError, Credentials, RemoteOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};
use tenon_api::InvalidMessage;
use tenon_api::http::{SagaState, SagaView};
use tenon_api::saga::{MAX_MESSAGE_BYTES, SagaServiceClient, v1};
use tenon_core::{Code, SagaId};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// How long one request waits for an end at most.
const MOST_WAIT: Duration = Duration::from_secs(30);

type Client = SagaServiceClient<InterceptedService<Channel, Credentials>>;

/// The sagas of a server. Clones share the connection.
#[derive(Clone)]
pub struct SagaClient {
    client: Client,
}

/// A saga that was started, which answers with an `O`.
#[derive(Clone)]
pub struct Run<O> {
    client: Client,
    id: SagaId,
    existed: bool,
    of: PhantomData<fn() -> O>,
}

/// How a saga ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<O> {
    /// Every step was done.
    Completed(O),
    /// Every step that may have run was undone; and why.
    Compensated(String),
    /// It was turned back, and something was left as it is, as a policy or somebody decided; and why it was turned back.
    Failed(String),
}

/// Why a saga cannot be told something, or tell.
#[derive(Debug, thiserror::Error)]
pub enum SagaError {
    /// The server refuses, or there is no way to it.
    #[error("the server does not do it: {}", .0.message())]
    Refused(#[source] Box<Status>),
    /// What is to be sent is not JSON.
    #[error("what is to be sent cannot be written as JSON")]
    Unsendable(#[source] serde_json::Error),
    /// What came is not of the type that the saga says.
    #[error("the saga's output is not what its type says; was it defined elsewhere?")]
    Output(#[source] serde_json::Error),
    /// What came is no answer.
    #[error("the server sent an answer that is none")]
    Invalid(#[source] InvalidMessage),
}

impl SagaError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(status) => code_of(status),
            Self::Unsendable(_) => Code::RequestInvalid,
            Self::Output(_) | Self::Invalid(_) => Code::Internal,
        }
    }
}

impl From<Status> for SagaError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl SagaClient {
    /// The sagas of a server, to which a connection is made when it is needed. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if the address or the token is not one.
    pub fn new(options: &RemoteOptions) -> Result<Self, ConnectError> {
        let (channel, credentials) = options.channel()?;
        let client = SagaServiceClient::with_interceptor(channel, credentials);
        Ok(Self { client: client.max_decoding_message_size(MAX_MESSAGE_BYTES) })
    }

    /// Makes a saga known, or changes how those that begin from now on are; whether anything changed. Needs the API's
    /// token: an operator's, not a service's.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn define<I, O>(&self, saga: &Saga<I, O>) -> Result<bool, SagaError> {
        let of = saga.definition();
        let request = v1::DefineRequest {
            namespace: of.namespace.to_string(),
            name: of.name.to_string(),
            definition: text(&saga.document())?,
        };
        Ok(self.client.clone().define(request).await?.into_inner().changed)
    }

    /// Starts a saga; with a key, or finds the one that was started with the same key. After an error it may have been
    /// started: with a key, starting it again is harmless.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn start<I: Serialize, O>(
        &self,
        saga: &Saga<I, O>,
        input: &I,
        key: Option<&str>,
    ) -> Result<Run<O>, SagaError> {
        let of = saga.definition();
        let request = v1::StartRequest {
            namespace: of.namespace.to_string(),
            name: of.name.to_string(),
            input: text(input)?,
            key: key.unwrap_or_default().to_owned(),
            wait_micros: 0,
        };
        let v1::StartResponse { existed, saga: begun } =
            self.client.clone().start(request).await?.into_inner();
        Ok(Run { existed, ..self.run(saga, view(begun)?.of.id) })
    }

    /// A saga that was started before.
    pub fn run<I, O>(&self, _: &Saga<I, O>, id: SagaId) -> Run<O> {
        Run { client: self.client.clone(), id, existed: true, of: PhantomData }
    }
}

impl<O> Run<O> {
    /// Its id.
    pub fn id(&self) -> SagaId {
        self.id
    }

    /// Whether it had been started before.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// How it is, with its steps.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn view(&self) -> Result<SagaView, SagaError> {
        self.get(Duration::ZERO).await
    }

    /// Tells it what it waits for, or will.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn signal<T: Serialize>(&self, signal: &Signal<T>, data: &T) -> Result<(), SagaError> {
        let (id, signal) = (self.id.to_string(), signal.name().to_owned());
        let request = v1::SignalRequest { id, signal, data: text(data)? };
        self.client.clone().signal(request).await?;
        Ok(())
    }

    /// Turns it back: what may have run is undone.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn cancel(&self) -> Result<(), SagaError> {
        self.client.clone().cancel(v1::CancelRequest { id: self.id.to_string() }).await?;
        Ok(())
    }

    async fn get(&self, wait: Duration) -> Result<SagaView, SagaError> {
        let wait_micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let request = v1::GetRequest { id: self.id.to_string(), wait_micros };
        view(self.client.clone().get(request).await?.into_inner().saga)
    }
}

impl<O: DeserializeOwned> Run<O> {
    /// How it ended, as soon as it has; nothing if it has not within this time, be it that it runs or that it waits for
    /// somebody.
    ///
    /// # Errors
    /// [`SagaError`].
    pub async fn ended(&self, within: Duration) -> Result<Option<Ended<O>>, SagaError> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let SagaView { of, output, turned_back, .. } = self.get(left.min(MOST_WAIT)).await?;
            let why = turned_back.unwrap_or_default();
            return Ok(Some(match of.state {
                SagaState::Completed => Ended::Completed(
                    serde_json::from_value(output.unwrap_or(Json::Null)).map_err(SagaError::Output)?,
                ),
                SagaState::Compensated => Ended::Compensated(why),
                SagaState::Failed => Ended::Failed(why),
                _ if left.is_zero() => return Ok(None),
                _ => continue,
            }));
        }
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, SagaError> {
    serde_json::to_string(value).map_err(SagaError::Unsendable)
}

fn view(saga: Option<v1::Saga>) -> Result<SagaView, SagaError> {
    SagaView::try_from(saga.unwrap_or_default()).map_err(SagaError::Invalid)
}

impl fmt::Debug for SagaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaClient").finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Run<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("existed", &self.existed).finish_non_exhaustive()
    }
}
