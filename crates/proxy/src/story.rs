//! What is told of one request when it ends: to the metrics, and to whoever asks later what became of it.

use crate::body::{Body, BodyError};
use crate::connection::Connection;
use crate::correlation::{self, Trace};
use crate::drain::Drain;
use crate::explain::{Record, Served, Why};
use crate::metrics::{InFlight, Labels};
use crate::refusal::Refused;
use crate::response::Holds;
use crate::worker::Worker;
use http::{HeaderMap, Method, Request, Response, Uri};
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;
use tenon_api::explain::Attempt;
use tenon_api::headers::{GRPC_STATUS, REQUEST_ID};
use tenon_core::identity::Workload;
use tenon_core::outlier::Reason;
use tenon_core::sampling;
use tenon_core::{Address, Code, InstanceId, RequestId, Revision, RouteName, ServiceRef, Timestamp};

/// One request at one sidecar or gateway, from its head on. Ended exactly once: by a refusal, by an answer, or, when
/// dropped, by its caller's going away.
pub(crate) struct Story {
    worker: Rc<Worker>,
    pub(crate) request_id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) labels: Labels,
    pub(crate) sidecar: Option<InstanceId>,
    pub(crate) grpc: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) revision: Option<Revision>,
    /// Every attempt, once one went wrong.
    pub(crate) attempts: Vec<Attempt>,
    /// The first attempt, if it went well.
    served: Option<Served>,
    /// Of the listener that it came in by.
    pub(crate) drain: Rc<Drain>,
    method: Method,
    uri: Uri,
    pub(crate) trace: Trace,
    /// From when on it is slow.
    slow: Duration,
    /// Of the response's body, as far as it was passed on.
    pub(crate) bytes: u64,
    in_flight: Option<InFlight>,
    ended: bool,
}

/// What waits for the end of a response that is passed on as it comes.
pub(crate) struct Ending {
    story: Story,
    status: u16,
    grpc_status: Option<u8>,
    /// What is given back then; the breakers hear of the outcome if they have not yet.
    holds: Holds,
}

impl Story {
    /// The story of a request that arrived now.
    pub(crate) fn begin<B>(worker: &Rc<Worker>, connection: &Connection, request: &Request<B>) -> Self {
        let headers = request.headers();
        let carried = correlation::request_id(headers, connection.trust());
        let (sampling, slow) = worker.view().sampling();
        Self {
            worker: Rc::clone(worker),
            request_id: carried.unwrap_or_else(|| worker.new_request_id()),
            at: worker.now(),
            labels: Labels {
                component: connection.component(),
                source: None,
                destination: None,
                route: None,
            },
            sidecar: connection.role.instance().cloned(),
            grpc: crate::headers::is_grpc(headers),
            timeout: None,
            revision: None,
            attempts: Vec::new(),
            served: None,
            drain: Rc::clone(&connection.drain),
            method: request.method().clone(),
            uri: request.uri().clone(),
            trace: Trace::of(headers, sampling),
            slow,
            bytes: 0,
            in_flight: None,
            ended: false,
        }
    }

    /// The request goes to this service; from here on it counts as in flight there.
    pub(crate) fn goes_to(&mut self, destination: Option<&ServiceRef>, route: Option<&RouteName>) {
        self.labels.destination = destination.cloned();
        self.labels.route = route.cloned();
        self.in_flight = Some(self.worker.metrics.begin(&self.labels));
    }

    /// A number to draw one of a route's backends by.
    pub(crate) fn draw(&self, backends: usize) -> u64 {
        if backends > 1 { self.worker.even() } else { 0 }
    }

    /// As whom it goes on.
    pub(crate) fn caller(&self) -> Workload {
        self.labels.source.clone().map_or(Workload::Gateway, Workload::Service)
    }

    /// The request is tried once more.
    pub(crate) fn retried(&self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.retried();
        }
    }

    /// The instance of the last attempt is ejected, if there is a reason.
    pub(crate) fn ejected(&mut self, reason: Option<Reason>) {
        if let Some((attempt, reason)) = self.attempts.last_mut().zip(reason) {
            attempt.decision = format!("{}; the instance is ejected ({reason})", attempt.decision);
        }
    }

    /// It has waited for an instance. Waits that follow each other are told as one.
    pub(crate) fn waited(&mut self, began: Timestamp, waited: Duration) {
        if let Some(last) = self.attempts.last_mut().filter(|it| it.address.is_none()) {
            last.duration = self.worker.now().since(self.at).saturating_sub(last.after);
            return;
        }
        self.attempts.push(Attempt {
            instance: None,
            choice: None,
            address: None,
            after: began.since(self.at),
            duration: waited,
            status: None,
            outcome: "nobody to be asked".into(),
            decision: "waited for an instance".into(),
        });
    }

    /// The first attempt, which began then, was answered with this status.
    pub(crate) fn served(
        &mut self,
        instance: Option<&InstanceId>,
        address: &Address,
        began: Timestamp,
        status: u16,
    ) {
        let duration = self.worker.now().since(began);
        let (instance, address) = (instance.cloned(), address.clone());
        self.served = Some(Served { instance, address, after: began.since(self.at), duration, status });
    }

    /// How often it was sent on, as far as is remembered; waiting for an instance is no sending.
    pub(crate) fn sent(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.address.is_some()).count()
    }

    /// Ends with a response of Tenon's own.
    pub(crate) fn refuse(mut self, refused: &Refused) -> Response<Body> {
        let mut response = refused.to_response(&self);
        self.mark(&mut response);
        self.worker.metrics.error(self.labels.component, refused.code);
        let why = Why::Failed { code: refused.code, reason: refused.detail.clone() };
        self.end(refused.http_status(), why, refused.policy.clone());
        response
    }

    /// Ends with a response that is complete.
    pub(crate) fn answer(mut self, mut response: Response<Body>, grpc_status: Option<u8>) -> Response<Body> {
        self.mark(&mut response);
        let status = response.status().as_u16();
        self.end(class_status(status, grpc_status), Why::Answered { status, grpc: grpc_status }, None);
        response
    }

    /// Writes the request's id into a response.
    pub(crate) fn mark(&self, response: &mut Response<Body>) {
        if let Some(id) = correlation::field(&self.request_id.to_ascii()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }

    /// Leaves the end to whatever passes the response on.
    pub(crate) fn until_end(self, status: u16, holds: Holds) -> Box<Ending> {
        Box::new(Ending { story: self, status, grpc_status: None, holds })
    }

    fn end(&mut self, status: u16, why: Why, policy: Option<Cow<'static, str>>) {
        self.ended = true;
        let duration = self.worker.now().since(self.at);
        self.worker.metrics.end(&self.labels, status, duration, self.bytes);
        self.in_flight = None;
        let record = self.record(status, duration, why, policy);
        self.worker.recorder.push(self.request_id, record, self.uri.path());
    }

    /// What is remembered of it. Takes what the story holds, so that nothing is copied.
    fn record(
        &mut self,
        status: u16,
        duration: Duration,
        why: Why,
        policy: Option<Cow<'static, str>>,
    ) -> Record {
        let labels = Labels {
            component: self.labels.component,
            source: self.labels.source.take(),
            destination: self.labels.destination.take(),
            route: self.labels.route.take(),
        };
        // It may be remembered for long, and a vector grows by more than is asked.
        let mut attempts = std::mem::take(&mut self.attempts);
        attempts.shrink_to_fit();
        Record {
            trace: self.trace,
            slow: sampling::tail(false, duration, self.slow),
            bytes: self.bytes,
            labels,
            sidecar: self.sidecar.take(),
            at: self.at,
            duration,
            method: std::mem::take(&mut self.method),
            status,
            why,
            policy,
            timeout: self.timeout,
            revision: self.revision,
            attempts,
            served: self.served.take(),
        }
    }
}

impl Drop for Story {
    /// The caller went away. There is nobody to tell; it is counted and remembered.
    fn drop(&mut self) {
        if !self.ended {
            self.end(0, Why::CallerLeft, None);
        }
    }
}

impl Ending {
    /// So many bytes of the body passed.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.story.bytes += bytes as u64;
    }

    /// Trailers passed; gRPC's say how the call ended.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        self.grpc_status = grpc_status(trailers);
    }

    /// The response was passed on to its end.
    pub(crate) fn complete(mut self) {
        let status = class_status(self.status, self.grpc_status);
        self.holds.answered(self.status, self.grpc_status);
        self.story.end(status, Why::Answered { status: self.status, grpc: self.grpc_status }, None);
    }

    /// The instance failed halfway. The caller has seen the head, so it sees this too.
    pub(crate) fn broke(mut self, error: &BodyError) {
        self.holds.broke();
        let reason =
            format!("the response had begun with {}, then: {}", self.status, crate::pool::chain(error));
        let code = Code::MeshNetwork;
        self.story.worker.metrics.error(self.story.labels.component, code);
        self.story.end(code.http_status(), Why::Failed { code, reason }, None);
    }
}

/// The `grpc-status` of trailers, or of a head that is all there is.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The status whose class a response is counted under: gRPC answers 200 to everything.
fn class_status(status: u16, grpc_status: Option<u8>) -> u16 {
    match grpc_status {
        None | Some(0) => status,
        // CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED,
        // OUT_OF_RANGE, UNAUTHENTICATED.
        Some(1 | 3 | 5 | 6 | 7 | 9 | 10 | 11 | 16) => 400,
        Some(_) => 500,
    }
}

#[cfg(test)]
mod tests;
