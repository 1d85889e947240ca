//! A consumer of a subscription: is given events by a server, and acknowledges each.
//!
//! ```no_run
//! # async fn consume(options: &tenon_sdk::remote::RemoteOptions) -> Result<(), Box<dyn std::error::Error>> {
//! use tenon_sdk::{Subscriber, SubscriberOptions};
//! let mut subscriber = Subscriber::new(options, "billing", SubscriberOptions::default())?;
//! loop {
//!     let delivery = subscriber.recv().await?;
//!     println!("{} of {}", delivery.event().event_type, delivery.event().stream);
//!     delivery.ack();
//! }
//! # }
//! ```
//!
//! At least once: an event comes again if it was not acknowledged in time, if its consumer went away, or if the
//! acknowledgement was lost. Whoever must not do a thing twice notes the event's id with what was done.
//!
//! Life cycle: the connection is made when the first event is asked for, and again when it breaks; deliveries of the former
//! one do not count then, and come again. Dropping a subscriber, or a delivery that is not acknowledged, leaves the event to
//! others: the first at once, the second when its time is over.
//!
//! Acknowledgements are gathered: as many go in one message as there are, after a millisecond at the latest.

mod acks;

use crate::remote::error::code_of;
use crate::remote::{ConnectError, Credentials, RemoteOptions, wire};
use acks::Acks;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::bus::{BusServiceClient, MAX_MESSAGE_BYTES, v1};
use tenon_core::{Code, Namespace, SubscriptionName};
use tenon_store::Event;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long to wait before a connection is made again; twice as long each time, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How a consumer behaves.
#[derive(Debug, Clone)]
pub struct SubscriberOptions {
    /// The namespace of the subscription; the caller's own if none is stated.
    pub namespace: Option<Namespace>,
    /// The most events that it has and has not settled.
    pub most: u32,
}

impl Default for SubscriberOptions {
    /// 1,024 events.
    fn default() -> Self {
        Self { namespace: None, most: 1_024 }
    }
}

/// A consumer of a subscription.
pub struct Subscriber {
    client: Client,
    join: v1::Join,
    most: u32,
    session: Option<Session>,
    given: VecDeque<v1::Delivery>,
    wait: Duration,
}

type Client = BusServiceClient<InterceptedService<Channel, Credentials>>;

/// One connection's deliveries.
struct Session {
    deliveries: Streaming<v1::PullResponse>,
    acks: Arc<Acks>,
}

/// An event to deal with.
#[derive(Debug)]
#[must_use = "what is not acknowledged comes again"]
pub struct Delivery {
    event: Event,
    ticket: u64,
    attempt: u32,
    acks: Arc<Acks>,
}

/// Why no event comes.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The server refuses, and would again.
    #[error("the subscription cannot be consumed: {}", .0.message())]
    Refused(#[source] Box<Status>),
    /// What came is no event.
    #[error("the server sent an event that is none")]
    Invalid,
}

impl SubscribeError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(status) => code_of(status),
            Self::Invalid => Code::Internal,
        }
    }
}

impl Subscriber {
    /// A consumer of a subscription, which must be defined. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if the address, the token or the name is not one.
    pub fn new(
        options: &RemoteOptions,
        subscription: &str,
        own: SubscriberOptions,
    ) -> Result<Self, ConnectError> {
        let (channel, credentials) = options.channel()?;
        let name = SubscriptionName::new(subscription).map_err(|error| ConnectError::Invalid {
            address: options.address.clone(),
            problem: error.to_string(),
        })?;
        let client = BusServiceClient::with_interceptor(channel, credentials)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let namespace = own.namespace.map(|namespace| namespace.to_string()).unwrap_or_default();
        let join = v1::Join { namespace, name: name.to_string() };
        let (session, given) = (None, VecDeque::new());
        Ok(Self { client, join, most: own.most, session, given, wait: FIRST_WAIT })
    }

    /// The next event to deal with; waits for one, and for the server when it is not there. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`SubscribeError`]. Asking again begins anew.
    pub async fn recv(&mut self) -> Result<Delivery, SubscribeError> {
        loop {
            if let Some(session) = &mut self.session {
                if let Some(given) = self.given.pop_front() {
                    return session.delivery(given);
                }
                // Nothing is there to be dealt with, so nothing more will be settled for now.
                session.acks.flush();
                match session.deliveries.message().await {
                    Ok(Some(response)) => {
                        self.given = response.deliveries.into();
                        self.wait = FIRST_WAIT;
                        continue;
                    }
                    Ok(None) => self.session = None,
                    Err(status) => {
                        self.session = None;
                        self.check(status)?;
                    }
                }
                tokio::time::sleep(self.wait).await;
            }
            match self.join().await {
                Ok(session) => self.session = Some(session),
                Err(status) => {
                    self.check(status)?;
                    tokio::time::sleep(self.wait).await;
                    self.wait = (self.wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn join(&self) -> Result<Session, Status> {
        let acks = Arc::new(Acks::default());
        let first =
            v1::PullRequest { join: Some(self.join.clone()), most: Some(self.most), ..Default::default() };
        let requests = acks::requests(first, Arc::clone(&acks));
        let deliveries = self.client.clone().pull(requests).await?.into_inner();
        Ok(Session { deliveries, acks })
    }

    /// Whether it may go better another time.
    fn check(&self, status: Status) -> Result<(), SubscribeError> {
        match code_of(&status) {
            Code::LogUnavailable
            | Code::LogClosed
            | Code::ServerUnavailable
            | Code::ServerOverloaded
            | Code::ServerOffDuty
            | Code::ServerTimeout
            | Code::SubscriptionEnded => {
                tracing::debug!(%status, subscription = self.join.name, "deliveries have ended; joining again");
                Ok(())
            }
            _ => Err(SubscribeError::Refused(Box::new(status))),
        }
    }
}

impl Session {
    fn delivery(&self, given: v1::Delivery) -> Result<Delivery, SubscribeError> {
        let v1::Delivery { event, ticket, attempt } = given;
        let event = event.and_then(wire::event).ok_or(SubscribeError::Invalid)?;
        Ok(Delivery { event, ticket, attempt, acks: Arc::clone(&self.acks) })
    }
}

/// Nobody settles anything of this connection any more.
impl Drop for Session {
    fn drop(&mut self) {
        self.acks.end();
    }
}

impl Delivery {
    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// How often it was given, this time included.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// It was dealt with.
    pub fn ack(self) {
        self.acks.ack(self.ticket);
    }

    /// It was dealt with; the event is of use still.
    pub fn into_acked(self) -> Event {
        self.acks.ack(self.ticket);
        self.event
    }

    /// It was not dealt with: it comes again, after a delay or by the subscription's back-off.
    pub fn nack(self, delay: Option<Duration>) {
        self.acks.nack(self.ticket, delay);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("name", &self.join.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
