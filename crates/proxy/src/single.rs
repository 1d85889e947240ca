//! A request that goes to one address and nowhere else: from a sidecar's inbound side to its application, or out of the
//! mesh. There is nobody else to try, so there is no balancing, no breaker and no retry.

use crate::attempt::{Failure, Terms, attempt};
use crate::body::Body;
use crate::call;
use crate::outgoing::Outgoing;
use crate::pool::Way;
use crate::refusal::Refused;
use crate::response::{Holds, pass_on};
use crate::story::Story;
use crate::worker::Worker;
use http::Response;
use std::rc::Rc;
use std::time::Duration;
use tenon_api::explain;
use tenon_api::problem::Component;
use tenon_core::retry::Outcome;
use tenon_core::{Address, Code};

/// Sends the request and ends its story with the response.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps what it is given twice: as such, and as what it makes of it"
)]
pub(crate) fn carry(
    worker: Rc<Worker>,
    mut story: Story,
    address: Address,
    mut outgoing: Outgoing,
    timeout: Duration,
) -> impl Future<Output = Response<Body>> {
    async move {
        let deadline = call::deadline(outgoing.headers_mut(), timeout, story.at);
        let began = worker.now();
        let most = deadline.remaining(began);
        story.timeout = Some(deadline.remaining(story.at));
        if most.is_zero() {
            return story.refuse(&call::late(&address.to_string(), 0));
        }
        outgoing.complete();
        let way = Way::plain(address);
        match attempt(&worker, &way, &outgoing, Terms { number: 1, most }).await {
            Ok(answer) => {
                let instance = story.sidecar.clone().filter(|_| story.labels.component == Component::Inbound);
                story.served(instance.as_ref(), &way.address, began, answer.head.status.as_u16());
                pass_on(&worker, story, outgoing, answer, Holds::default())
            }
            Err(failure) => {
                note(&worker, &mut story, &way.address, &failure);
                let callers = call::caller_failed(&outgoing, Some(&failure));
                story.refuse(&callers.unwrap_or_else(|| refusal(&way.address, &failure)))
            }
        }
    }
}

fn note(worker: &Worker, story: &mut Story, address: &Address, failure: &Failure) {
    story.attempts.push(explain::Attempt {
        instance: story.sidecar.clone(),
        choice: None,
        address: Some(address.clone()),
        after: Duration::ZERO,
        duration: worker.now().since(story.at),
        status: None,
        outcome: failure.why.clone(),
        decision: "there is nobody else to try".into(),
    });
}

fn refusal(address: &Address, failure: &Failure) -> Refused {
    let code = match failure.outcome {
        Outcome::TimedOut => Code::MeshTimeout,
        Outcome::NeverProcessed => Code::MeshUnreachable,
        _ => Code::MeshNetwork,
    };
    Refused::new(code, format!("{address} did not answer: {}", failure.why))
}
