//! One attempt: a request to one instance's application, up to the head of its response; and up to the end, where the
//! head is withheld until the response is complete.

use crate::cells::Contact;
use crate::headers;
use crate::outgoing::Outgoing;
use crate::pool::{Lease, SendError, Way, chain};
use crate::story::grpc_status;
use crate::trial::Trial;
use crate::worker::Worker;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tenon_core::outlier::Reason;
use tenon_core::retry::Outcome;

/// What an instance answered.
pub(crate) struct Answer {
    pub(crate) head: Parts,
    pub(crate) body: AnswerBody,
}

impl Answer {
    /// Tells what an answer that does not count says of the instance that gave it. Why that is ejected, if it is.
    pub(crate) fn judge(&self, trial: Trial) -> Option<Reason> {
        let (status, grpc) = (self.head.status.as_u16(), grpc_status(&self.head.headers));
        trial.record(|config| config.judge(status, grpc))
    }
}

/// As much of an answer's body as is here.
pub(crate) enum AnswerBody {
    /// All of it.
    Whole { data: Bytes, trailers: Option<HeaderMap> },
    /// Its beginning at most.
    Begun { incoming: Incoming, lease: Option<Lease> },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    /// What it says of the instance; `None` if nothing.
    pub(crate) contact: Option<Contact>,
    pub(crate) why: String,
    /// Whether nobody was asked because of something that is missing on this side.
    pub(crate) ours: bool,
}

/// Which try of a request an attempt is, counted from 1, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) number: u32,
    pub(crate) most: Duration,
}

/// Sends the request to an application on these terms.
///
/// # Errors
/// [`Failure`] with what is known of whether the application has seen the request.
pub(crate) async fn attempt(
    worker: &Worker,
    way: &Way,
    outgoing: &Outgoing,
    terms: Terms,
) -> Result<Answer, Failure> {
    let most = terms.most;
    let timed_out = || Failure {
        outcome: Outcome::TimedOut,
        contact: None,
        why: format!("no answer within {} ms", most.as_millis()),
        ours: false,
    };
    tokio::time::timeout(most, exchange(worker, way, outgoing, terms)).await.map_err(|_| timed_out())?
}

async fn exchange(worker: &Worker, way: &Way, outgoing: &Outgoing, terms: Terms) -> Result<Answer, Failure> {
    let request = outgoing.attempt(terms.number, terms.most);
    let sent = worker.pool.send(way, outgoing.protocol(), request).await;
    let (response, mut lease) = sent.map_err(|error| failure(&error))?;
    let (mut head, incoming) = response.into_parts();
    if way.ends.is_none() {
        headers::strip_claim(&mut head.headers);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        lease.iter_mut().for_each(Lease::run_apart);
        return Ok(Answer { head, body: AnswerBody::Begun { incoming, lease } });
    }
    if !is_withheld(worker, outgoing, &incoming) {
        return Ok(Answer { head, body: AnswerBody::Begun { incoming, lease } });
    }
    let mut collecting = pin!(incoming.collect());
    let collected = poll_fn(|cx| {
        // A short body has mostly come with its head.
        if let Poll::Ready(collected) = collecting.as_mut().poll(cx) {
            return Poll::Ready(collected);
        }
        lease.iter_mut().for_each(|lease| lease.drive(cx));
        collecting.as_mut().poll(cx)
    });
    let collected = collected.await.map_err(|error| broke_off(&error))?;
    if let Some(lease) = lease {
        lease.give_back();
    }
    let trailers = collected.trailers().cloned();
    Ok(Answer { head, body: AnswerBody::Whole { data: collected.to_bytes(), trailers } })
}

/// Whether the response is held until it is complete. One with no body is complete.
fn is_withheld(worker: &Worker, outgoing: &Outgoing, incoming: &Incoming) -> bool {
    let length = incoming.size_hint().exact();
    let short = length.is_some_and(|length| length <= worker.shared.config.limits.withhold_bytes);
    incoming.is_end_stream() || (outgoing.idempotent && short)
}

fn failure(error: &SendError) -> Failure {
    let outcome = match error {
        SendError::Unsent(_)
        | SendError::Connect(_)
        | SendError::Unidentified(_)
        | SendError::Broken { unprocessed: true, .. } => Outcome::NeverProcessed,
        SendError::Broken { .. } | SendError::Malformed(_) => Outcome::Reset,
    };
    let contact = match error {
        SendError::Connect(_) => Some(Contact::Refuses),
        SendError::Unsent(_) | SendError::Broken { .. } | SendError::Malformed(_) => Some(Contact::Broke),
        SendError::Unidentified(_) => None,
    };
    let ours = matches!(error, SendError::Unidentified(_));
    Failure { outcome, contact, why: chain(error), ours }
}

fn broke_off(error: &hyper::Error) -> Failure {
    let why = format!("the response broke off: {}", chain(error));
    Failure { outcome: Outcome::Reset, contact: Some(Contact::Broke), why, ours: false }
}
