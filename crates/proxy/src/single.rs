//! A request that goes to one address and nowhere else: from a sidecar's inbound side to its application, or out of the
//! mesh. There is nobody else to try, so there is no balancing, no breaker and no retry.

use crate::attempt::{Answer, AnswerBody, Failure, attempt};
use crate::body::{Body, Stream};
use crate::call;
use crate::outgoing::Outgoing;
use crate::refusal::Refused;
use crate::story::{Story, grpc_status};
use crate::worker::Worker;
use crate::{headers, tunnel};
use http::{Response, StatusCode};
use std::time::Duration;
use tenon_api::explain;
use tenon_core::retry::Outcome;
use tenon_core::{Address, Code};

/// Sends the request and ends its story with the response.
pub(crate) async fn carry(
    worker: &Worker,
    mut story: Story,
    address: &Address,
    mut outgoing: Outgoing,
    timeout: Duration,
) -> Response<Body> {
    let deadline = call::deadline(outgoing.headers_mut(), timeout, story.at);
    let most = deadline.remaining(worker.now());
    story.timeout = Some(deadline.remaining(story.at));
    match attempt(worker, address, &outgoing, most).await {
        Ok(answer) => respond(worker, story, outgoing, answer),
        Err(failure) => {
            note(worker, &mut story, address, &failure);
            story.refuse(&refusal(address, &failure))
        }
    }
}

fn respond(worker: &Worker, story: Story, outgoing: Outgoing, answer: Answer) -> Response<Body> {
    outgoing.body.commit();
    let Answer { mut head, body } = answer;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return tunnel::switch(worker, story, head, body, outgoing);
    }
    headers::strip_response(&mut head.headers);
    let grpc = grpc_status(&head.headers);
    match body {
        AnswerBody::Whole { data, trailers } => {
            let grpc = trailers.as_ref().and_then(grpc_status).or(grpc);
            let body = Body::Whole { data: Some(data).filter(|data| !data.is_empty()), trailers };
            story.answer(Response::from_parts(head, body), grpc)
        }
        AnswerBody::Begun { incoming, lease } => {
            let status = head.status.as_u16();
            let mut response = Response::from_parts(head, Body::Empty);
            story.mark(&mut response);
            let ending = story.until_end(status, Vec::new(), Vec::new());
            let idle = worker.shared.config.limits.stream_idle;
            response.map(|_| Body::Stream(Stream::new(incoming, lease, ending, idle)))
        }
    }
}

fn note(worker: &Worker, story: &mut Story, address: &Address, failure: &Failure) {
    story.attempts.push(explain::Attempt {
        instance: story.sidecar.clone(),
        address: Some(address.clone()),
        after: Duration::ZERO,
        duration: worker.now().since(story.at),
        status: None,
        outcome: failure.why.clone(),
        decision: "there is nobody else to try".into(),
    });
}

fn refusal(address: &Address, failure: &Failure) -> Refused {
    let code = if failure.outcome == Outcome::TimedOut { Code::MeshTimeout } else { Code::MeshNetwork };
    Refused::new(code, format!("{address} did not answer: {}", failure.why))
}
