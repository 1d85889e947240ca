//! Taking part over gRPC, with messages of prost and a server of tonic.

use super::{Answer, Participant, Records, SagaCall, Trouble};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use prost::Message;
use serde_json::Value as Json;
use tonic::{Request, Response, Status};

/// The most characters of a refusal that go with its status, which is sent among the headers.
const MOST_WORDS: usize = 1_024;

impl SagaCall {
    /// Reads the metadata of a request; none if no saga has made it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, which names what is missing or wrong.
    pub fn of<T>(request: &Request<T>) -> Result<Option<Self>, Status> {
        let metadata = request.metadata();
        let read = Self::read(|name| metadata.get(name)?.to_str().ok());
        read.map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

impl<D: Records> Participant<D> {
    /// Answers a call over gRPC, as [`run`](Self::run) does over HTTP: with the message that the effect makes, or made when it was done;
    /// with an empty one if there was nothing to undo.
    ///
    /// ```
    /// use tenon_sdk::saga::{Participant, SagaCall, Trouble};
    /// use tenon_sdk::sqlx::{self, Sqlite};
    /// use tonic::{Request, Response, Status};
    ///
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Payment { #[prost(int64, tag = "1")] cents: i64 }
    /// # #[derive(Clone, PartialEq, prost::Message)]
    /// # struct Paid { #[prost(string, tag = "1")] receipt: String }
    /// async fn take(payments: &Participant<Sqlite>, request: Request<Payment>) -> Result<Response<Paid>, Status> {
    ///     let call = SagaCall::of(&request)?.ok_or_else(|| Status::invalid_argument("only sagas take payments"))?;
    ///     let payment = request.into_inner();
    ///     let work = async |connection: &mut sqlx::SqliteConnection| {
    ///         if payment.cents > 10_000 {
    ///             return Err(Trouble::refused("that is too much"));
    ///         }
    ///         sqlx::query("INSERT INTO payments VALUES ($1)").bind(payment.cents).execute(connection).await?;
    ///         Ok(Paid { receipt: "r1".to_owned() })
    ///     };
    ///     payments.unary(&call, work).await
    /// }
    /// ```
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with the reason, if the service decides against it; `INTERNAL` if it could not be tried to its end, and the saga
    /// will ask again.
    pub async fn unary<M: Message + Default>(
        &self,
        call: &SagaCall,
        effect: impl AsyncFnOnce(&mut D::Connection) -> Result<M, Trouble>,
    ) -> Result<Response<M>, Status> {
        let effect = async |connection: &mut D::Connection| Ok(Answer::keep(&effect(connection).await?));
        self.run(call, effect).await?.message()
    }
}

impl Answer {
    /// A message as what a call of a saga was answered with, to be told again by [`message`](Self::message).
    pub fn keep(message: &impl Message) -> Json {
        BASE64.encode(message.encode_to_vec()).into()
    }

    /// The same over gRPC: the message that was kept, or an empty one if there was nothing to undo.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for a refusal, which is one for good.
    pub fn message<M: Message + Default>(&self) -> Result<Response<M>, Status> {
        match self {
            Self::Done(Json::Null) => Ok(Response::new(M::default())),
            Self::Done(kept) => {
                let bytes = kept.as_str().and_then(|text| BASE64.decode(text).ok());
                let message = bytes.and_then(|bytes| M::decode(&*bytes).ok());
                message
                    .map(Response::new)
                    .ok_or_else(|| Status::internal("what was answered before is no such message"))
            }
            Self::Refused(reason) => {
                Err(Status::failed_precondition(reason.chars().take(MOST_WORDS).collect::<String>()))
            }
        }
    }
}

impl From<Trouble> for Status {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(reason) => Self::failed_precondition(reason),
            Trouble::Failed(error) => {
                tracing::warn!(%error, "a saga's call could not be carried out");
                Self::internal("the call could not be carried out")
            }
        }
    }
}

#[cfg(test)]
mod tests;
