//! An application's answer on its way back to the caller.

use crate::admission::Leave;
use crate::attempt::{Answer, AnswerBody};
use crate::body::{Body, Stream};
use crate::outgoing::Outgoing;
use crate::story::{Story, grpc_status, is_failure};
use crate::worker::Worker;
use crate::{headers, tunnel};
use http::{Response, StatusCode};
use tenon_core::limit::Held;

/// What a call holds until its response has passed. Dropped, all is given back.
#[derive(Default)]
pub(crate) struct Holds {
    /// Permits of the service's and the instance's breaker, which wait for the outcome.
    pub(crate) leaves: [Option<Leave>; 2],
    /// Places among the requests in flight of the service and of the instance.
    pub(crate) _places: [Option<Held>; 2],
}

impl Holds {
    /// Tells the breakers how the call ended.
    pub(crate) fn record(&mut self, succeeded: bool) {
        self.leaves.iter_mut().filter_map(Option::take).for_each(|leave| leave.record(succeeded));
    }
}

/// The response for the caller; the story ends with it, at once or when its last byte has passed.
pub(crate) fn pass_on(
    worker: &Worker,
    story: Story,
    outgoing: Outgoing,
    answer: Answer,
    mut holds: Holds,
) -> Response<Body> {
    let Answer { mut head, body } = answer;
    outgoing.body.commit();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        holds.record(true);
        return tunnel::switch(worker, story, head, body, outgoing);
    }
    headers::strip_response(&mut head.headers);
    let (status, in_head) = (head.status.as_u16(), grpc_status(&head.headers));
    let mut response = Response::from_parts(head, Body::Empty);
    match body {
        AnswerBody::Whole { data, trailers } => {
            let grpc = trailers.as_ref().and_then(grpc_status).or(in_head);
            holds.record(!is_failure(status, grpc));
            let data = Some(data).filter(|data| !data.is_empty());
            story.answer(response.map(|_| Body::Whole { data, trailers }), grpc)
        }
        AnswerBody::Begun { incoming, lease } => {
            // gRPC says in its trailers how a call ended; everybody else has said it by now.
            if !outgoing.grpc {
                holds.record(!is_failure(status, in_head));
            }
            story.mark(&mut response);
            let idle = worker.shared.config.limits.stream_idle;
            let ending = story.until_end(status, holds);
            response.map(|_| Body::Stream(Stream::new(incoming, lease, ending, idle)))
        }
    }
}
