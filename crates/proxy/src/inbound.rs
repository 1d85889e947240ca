//! A sidecar's inbound side: calls from other processes for its own application, and for no other.
//!
//! Calls within one process need no such hop: the caller's sidecar sends them to the application at once.

use crate::connection::Connection;
use crate::correlation;
use crate::course::Course;
use crate::headers::set_forwarded;
use crate::outbound::{authority_of, not_ready, path_of};
use crate::outgoing::Outgoing;
use crate::policy::{self, Asked};
use crate::refusal::Refused;
use crate::story::Story;
use crate::worker::{LocalView, Worker};
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use std::rc::Rc;
use tenon_core::identity::{Denied, Workload, admits};
use tenon_core::manifest::Traffic;
use tenon_core::policy::Source;
use tenon_core::snapshot::Sidecar;
use tenon_core::{Code, InstanceId, ServiceRef};

/// Decides what becomes of one request for the application of `instance`.
pub(crate) fn course(
    worker: &Rc<Worker>,
    connection: &Connection,
    instance: &InstanceId,
    mut request: Request<Incoming>,
) -> Course {
    let mut story = Story::begin(worker, connection, &request);
    let view = worker.view();
    story.revision = view.revision();
    let Some(sidecar) = view.sidecar(instance) else { return story.refuse(&not_ready()).into() };
    story.labels.source = connection.caller.as_ref().and_then(Workload::service).cloned();
    story.goes_to(Some(&sidecar.service), None);
    if let Err(refused) = admit(&view, sidecar, connection) {
        return story.refuse(&refused).into();
    }
    if request.method() == Method::CONNECT {
        let refused = Refused::new(Code::RequestInvalid, "an inbound listener opens no tunnels");
        return story.refuse(&refused).into();
    }
    let authority = match authority_of(&request) {
        Ok(authority) => authority,
        Err(refused) => return story.refuse(&refused).into(),
    };
    if let Some(index) = view.find(&sidecar.service) {
        let asked = Asked { source: source(connection), index, route: None, client: connection.peer };
        if let Err(refused) = policy::receive(worker, &view, asked, &authority, &mut request) {
            return story.refuse(&refused).into();
        }
    }
    let host = HeaderValue::from_str(authority.as_str()).ok();
    let path = path_of(request.uri());
    let mut outgoing = Outgoing::new(request, authority, path, &worker.shared.config.limits);
    correlation::write(outgoing.headers_mut(), story.request_id, &story.trace);
    set_forwarded(outgoing.headers_mut(), connection.peer, host.as_ref(), connection.trust());
    let traffic = view.find(&sidecar.service).and_then(|index| view.destinations().get(index));
    let timeout = traffic.map_or_else(|| Traffic::default().timeout, |it| it.traffic.timeout);
    Course::Single(story, sidecar.application.clone(), outgoing, timeout)
}

/// Who calls, as policies speak of it.
pub(crate) fn source(connection: &Connection) -> Source<'_> {
    match &connection.caller {
        Some(Workload::Service(service)) => Source::Service(service),
        Some(Workload::Gateway) => Source::Gateway,
        // It has shown nothing: a stranger on the network looks like a peer.
        None => Source::Unknown,
    }
}

/// Whether who calls is let in.
pub(crate) fn admit(view: &LocalView, sidecar: &Sidecar, connection: &Connection) -> Result<(), Refused> {
    let destination = view.find(&sidecar.service).and_then(|index| view.destinations().get(index));
    let security = destination.map(|it| it.traffic.security).unwrap_or_default();
    let caller = connection.caller.as_ref();
    admits(security, caller, |service| sidecar.callers.contains(service)).map_err(|denied| match denied {
        Denied::Nobody => {
            let detail = format!(
                "the caller has not shown who it is: `{}` takes calls from other processes by mutual TLS only, with \
                 a certificate of this mesh",
                sidecar.service
            );
            Refused::new(Code::MeshIdentityRequired, detail).by("mtls")
        }
        Denied::Undeclared => denied_to(caller, &sidecar.service),
    })
}

/// The refusal of a caller whose declaration does not name the service.
pub(crate) fn denied_to(caller: Option<&Workload>, service: &ServiceRef) -> Refused {
    let caller = caller.map(ToString::to_string).unwrap_or_default();
    let detail = format!(
        "`{service}` lets in only services that declare it, and `depends_on` of `{caller}` does not name it"
    );
    Refused::new(Code::MeshIdentityDenied, detail).by("authorization")
}
