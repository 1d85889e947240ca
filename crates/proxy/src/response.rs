//! An application's answer on its way back to the caller.

use crate::admission::Leave;
use crate::attempt::{Answer, AnswerBody};
use crate::body::{Body, Stream};
use crate::outgoing::Outgoing;
use crate::story::{Story, grpc_status};
use crate::trial::Trial;
use crate::worker::Worker;
use crate::{headers, tunnel};
use http::{Response, StatusCode};
use tenon_core::breaker::{Config, Verdict};
use tenon_core::limit::Held;

/// What a call holds until its response has passed. Dropped, all is given back.
#[derive(Default)]
pub(crate) struct Holds {
    /// The permit of the service's breaker, which waits for the outcome.
    pub(crate) leave: Option<Leave>,
    /// The attempt that was answered, of which the instance is judged.
    pub(crate) trial: Option<Trial>,
    /// Places among the requests in flight of the service and of the instance.
    pub(crate) _places: [Option<Held>; 2],
}

impl Holds {
    /// Tells how the call was answered.
    pub(crate) fn answered(&mut self, status: u16, grpc: Option<u8>) {
        self.record(&|config: &Config| config.judge(status, grpc));
    }

    /// Tells that the answer broke off.
    pub(crate) fn broke(&mut self) {
        self.record(&Config::judge_network);
    }

    fn record(&mut self, judge: &impl Fn(&Config) -> Verdict) {
        self.leave.take().into_iter().for_each(|leave| leave.record(judge));
        if let Some(trial) = self.trial.take() {
            trial.record(judge);
        }
    }
}

/// The response for the caller; the story ends with it, at once or when its last byte has passed.
pub(crate) fn pass_on(
    worker: &Worker,
    mut story: Story,
    outgoing: Outgoing,
    answer: Answer,
    mut holds: Holds,
) -> Response<Body> {
    let Answer { mut head, body } = answer;
    outgoing.body.commit();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        holds.answered(head.status.as_u16(), None);
        return tunnel::switch(worker, story, head, body, outgoing);
    }
    headers::strip_response(&mut head.headers);
    let (status, in_head) = (head.status.as_u16(), grpc_status(&head.headers));
    let mut response = Response::from_parts(head, Body::Empty);
    match body {
        AnswerBody::Whole { data, trailers } => {
            let grpc = trailers.as_ref().and_then(grpc_status).or(in_head);
            holds.answered(status, grpc);
            story.bytes = data.len() as u64;
            let data = Some(data).filter(|data| !data.is_empty());
            story.answer(response.map(|_| Body::Whole { data, trailers }), grpc)
        }
        AnswerBody::Begun { incoming, lease } => {
            // gRPC says in its trailers how a call ended; everybody else has said it by now.
            if !outgoing.grpc {
                holds.answered(status, in_head);
            }
            story.mark(&mut response);
            let idle = worker.shared.config.limits.stream_idle;
            let ending = story.until_end(status, holds);
            response.map(|_| Body::Stream(Stream::new(incoming, lease, ending, idle)))
        }
    }
}
