//! A sidecar's outbound side: the calls of its application.
//!
//! The application speaks to it as to an HTTP proxy: absolute-form requests, `CONNECT`, or HTTP/2 at once; a plain
//! request whose `Host` is a name of the mesh will do too.

use crate::call::Target;
use crate::connection::Connection;
use crate::course::Course;
use crate::headers::{Marks, is_http2, set_forwarded};
use crate::outgoing::Outgoing;
use crate::policy::{self, Asked, Passed};
use crate::refusal::Refused;
use crate::story::Story;
use crate::view::Resolved;
use crate::worker::{LocalView, Worker};
use crate::{correlation, egress, inbound, tunnel};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hyper::body::Incoming;
use std::rc::Rc;
use tenon_core::balance::Subset;
use tenon_core::identity::{Workload, admits};
use tenon_core::manifest::{Authorization, Egress};
use tenon_core::policy::Source;
use tenon_core::snapshot::Sidecar;
use tenon_core::{Code, InstanceId};

/// Decides where one request of the application of `instance` goes.
pub(crate) fn course(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    instance: &InstanceId,
    mut request: Request<Incoming>,
) -> Course {
    let mut story = Story::begin(worker, connection, &request);
    let view = worker.view();
    let (sidecar, authority) = match admit(&view, connection, instance, &mut story, &request) {
        Ok(admitted) => admitted,
        Err(refused) => return story.refuse(&refused).into(),
    };
    let resolved = view.resolve(authority.host(), &sidecar.service.namespace);
    if let Err(refused) = may_call(&view, sidecar, resolved) {
        return story.refuse(&refused).into();
    }
    if request.method() == Method::CONNECT {
        let (worker, connection) = (Rc::clone(worker), Rc::clone(connection));
        let opened = async move {
            tunnel::open(&worker, &connection, story, &view, resolved, authority, request).await
        };
        return Course::Other(Box::pin(opened));
    }
    let source = Source::Service(&sidecar.service);
    let passed = match resolved {
        Resolved::Mesh(index) => {
            story.goes_to(view.destinations().get(index).map(|it| &it.service), None);
            let asked = Asked { source, index, route: None, client: connection.peer };
            match policy::admit(worker, &view, asked, &authority, &mut request) {
                Ok(passed) => passed,
                Err(refused) => return story.refuse(&refused).into(),
            }
        }
        _ => Passed::default(),
    };
    let path = path_of(request.uri());
    let mut outgoing = Outgoing::new(request, authority, path, &worker.shared.config.limits);
    match resolved {
        Resolved::Mesh(index) => {
            complete(&mut outgoing, connection, &story);
            let marks = Marks::of(outgoing.headers_mut(), connection.trust());
            let target = Target { view, index, timeout: None, subset: Subset::default(), marks, passed };
            Course::Call(story, target, outgoing)
        }
        other => match may_leave(&view, other, outgoing.authority()) {
            Ok(()) => egress::course(story, outgoing),
            Err(refused) => story.refuse(&refused).into(),
        },
    }
}

/// Who calls, and whom.
fn admit<'a>(
    view: &'a LocalView,
    connection: &Connection,
    instance: &InstanceId,
    story: &mut Story,
    request: &Request<Incoming>,
) -> Result<(&'a Sidecar, Authority), Refused> {
    let sidecar = view.sidecar(instance).filter(|_| view.is_ready()).ok_or_else(not_ready)?;
    story.revision = view.revision();

    // Inside a tunnel the client has shown who it is when it opened it.
    let shown = request.headers().get(header::PROXY_AUTHORIZATION);
    if connection.tunnel.is_none() && !connection.shown.proves(shown, instance, sidecar) {
        return Err(unauthenticated(instance));
    }
    story.labels.source = Some(sidecar.service.clone());

    // Where a tunnel leads was said when it was opened, whatever the requests in it say.
    let authority = match &connection.tunnel {
        Some(_) if request.method() == Method::CONNECT => {
            return Err(Refused::new(Code::RequestInvalid, "a tunnel inside a tunnel leads nowhere"));
        }
        Some(authority) => authority.clone(),
        None => authority_of(request)?,
    };
    Ok((sidecar, authority))
}

/// Whether the service that is called lets in the application's. Its own sidecar asks this again, if it lives elsewhere.
fn may_call(view: &LocalView, sidecar: &Sidecar, resolved: Resolved) -> Result<(), Refused> {
    let Resolved::Mesh(index) = resolved else { return Ok(()) };
    let Some(destination) = view.destinations().get(index) else { return Ok(()) };
    let security = destination.traffic.security;
    if security.authorization == Authorization::Open {
        return Ok(());
    }
    let caller = Workload::Service(sidecar.service.clone());
    admits(security, Some(&caller), |_| sidecar.depends_on.contains(&destination.service))
        .map_err(|_| inbound::denied_to(Some(&caller), &destination.service))
}

/// Adds to a request what the mesh says of it.
fn complete(outgoing: &mut Outgoing, connection: &Connection, story: &Story) {
    let host = HeaderValue::from_str(outgoing.authority().as_str()).ok();
    let headers = outgoing.headers_mut();
    correlation::write(headers, story.request_id, &story.trace);
    set_forwarded(headers, connection.peer, host.as_ref(), connection.trust());
}

/// Whether a request may go to what is not of the mesh.
pub(crate) fn may_leave(view: &LocalView, resolved: Resolved, authority: &Authority) -> Result<(), Refused> {
    let host = authority.host();
    match (view.egress(), resolved) {
        (Egress::Allow, _) => Ok(()),
        (Egress::Deny, Resolved::Unknown) => {
            let detail = format!("there is no service `{host}` in the mesh; `tenon services` lists them");
            Err(Refused::new(Code::MeshServiceNotFound, detail).by("routes"))
        }
        (Egress::Deny, _) => {
            let detail =
                format!("`{host}` is not in the mesh, and the manifest does not say `egress: allow`");
            Err(Refused::new(Code::MeshEgressDenied, detail).by("egress"))
        }
    }
}

/// Whom a request is for: its URI's authority, or its `Host`, of which there must be one.
pub(crate) fn authority_of<B>(request: &Request<B>) -> Result<Authority, Refused> {
    let invalid = |detail: &str| Refused::new(Code::RequestInvalid, detail);
    if request.uri().scheme().is_some_and(|scheme| *scheme != Scheme::HTTP)
        && request.method() != Method::CONNECT
    {
        return Err(invalid("the URI's scheme is not http; ask for anything else by CONNECT"));
    }
    if let Some(authority) = request.uri().authority() {
        // HTTP/1.1 says that the URI counts; HTTP/2 that both must be the same (RFC 9113, 8.3.1).
        let host = request.headers().get(header::HOST).filter(|_| is_http2(request));
        if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
            return Err(invalid("the Host header and :authority differ"));
        }
        return Ok(without_user(authority));
    }
    let host =
        only_host(request.headers()).ok_or_else(|| invalid("there must be exactly one Host header"))?;
    let authority =
        Authority::try_from(host.as_bytes()).map_err(|_| invalid("the Host header is malformed"))?;
    Ok(without_user(&authority))
}

/// What a request asks for there.
pub(crate) fn path_of(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// No configuration has arrived yet.
pub(crate) fn not_ready() -> Refused {
    Refused::new(Code::MeshNotReady, "the data plane has not received its configuration yet")
        .retry_after(std::time::Duration::from_secs(1))
}

fn unauthenticated(instance: &InstanceId) -> Refused {
    let detail = format!(
        "this is the sidecar of `{instance}`: it carries only that application's calls, which show the \
         credentials that `HTTP_PROXY` holds"
    );
    Refused::new(Code::MeshUnauthenticated, detail).by("identity")
}

fn only_host(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    hosts.next().is_none().then_some(host)
}

/// Names before an `@` are never passed on.
fn without_user(authority: &Authority) -> Authority {
    match authority.as_str().rsplit_once('@') {
        None => authority.clone(),
        // What follows the user is an authority by itself.
        Some((_, rest)) => Authority::try_from(rest).unwrap_or_else(|_| authority.clone()),
    }
}
