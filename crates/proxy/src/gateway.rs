//! The gateway: calls from outside, each to the service that its route names.

use crate::body::Body;
use crate::call::Target;
use crate::connection::{Connection, Role};
use crate::course::Course;
use crate::headers::{Marks, set_forwarded};
use crate::outbound::{authority_of, not_ready, path_of};
use crate::outgoing::Outgoing;
use crate::policy::{self, Asked};
use crate::refusal::Refused;
use crate::story::Story;
use crate::worker::{LocalView, Worker};
use crate::{correlation, path};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use std::rc::Rc;
use std::time::Duration;
use tenon_core::Code;
use tenon_core::balance::Subset;
use tenon_core::policy::Source;
use tenon_core::route::{Headers, RequestHead};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Decides where one request from outside goes.
pub(crate) fn course(worker: &Rc<Worker>, connection: &Connection, mut request: Request<Incoming>) -> Course {
    let mut story = Story::begin(worker, connection, &request);
    if connection.role == Role::SecureGateway {
        let plain = without_tls(request.uri());
        plain.into_iter().for_each(|uri| *request.uri_mut() = uri);
    }
    let view = worker.view();
    let (authority, routed) = match route(&view, &mut story, &mut request) {
        Ok(routed) => routed,
        Err(refused) => return story.refuse(&refused).into(),
    };
    let Routed { index, timeout, subset } = routed;
    let route = story.labels.route.as_ref();
    let asked = Asked { source: Source::Gateway, index, route, client: connection.peer };
    let passed = match policy::admit(worker, &view, asked, &authority, &mut request) {
        Ok(passed) => passed,
        Err(refused) => return story.refuse(&refused).into(),
    };
    let host = HeaderValue::from_str(authority.as_str()).ok();
    let path = path_of(request.uri());
    let mut outgoing = Outgoing::new(request, authority, path, &worker.shared.config.limits);
    correlation::write(outgoing.headers_mut(), story.request_id, &story.trace);
    set_forwarded(outgoing.headers_mut(), connection.peer, host.as_ref(), connection.trust());
    if connection.role == Role::SecureGateway {
        outgoing.headers_mut().insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
    let marks = Marks::of(outgoing.headers_mut(), connection.trust());
    let target = Target { view, index, timeout, subset, marks, passed };
    Course::Call(story, target, outgoing)
}

/// The same URI as it would be without TLS, which ends here; `None` if it says nothing of TLS.
fn without_tls(uri: &Uri) -> Option<Uri> {
    uri.scheme().filter(|scheme| **scheme == Scheme::HTTPS)?;
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    Uri::from_parts(parts).ok()
}

/// Tells a client to ask for the same by TLS.
pub(crate) fn redirect<B>(
    worker: &Rc<Worker>,
    connection: &Connection,
    request: &Request<B>,
) -> Response<Body> {
    let mut story = Story::begin(worker, connection, request);
    let view = worker.view();
    story.revision = view.revision();
    let authority = match authority_of(request) {
        Ok(authority) => authority,
        Err(refused) => return story.refuse(&refused),
    };
    let port = view.gateway.as_ref().map_or(443, |gateway| gateway.listen.port());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let location = format!("https://{}{port}{}", authority.host(), path_of(request.uri()));
    let Ok(location) = HeaderValue::try_from(location) else {
        return story.refuse(&Refused::new(Code::RequestInvalid, "the URI cannot be written into a header"));
    };
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    story.answer(response, None)
}

/// Where a request goes.
struct Routed {
    index: usize,
    timeout: Option<Duration>,
    subset: Subset,
}

fn route(
    view: &LocalView,
    story: &mut Story,
    request: &mut Request<Incoming>,
) -> Result<(Authority, Routed), Refused> {
    let gateway = view.gateway.as_ref().filter(|_| view.is_ready()).ok_or_else(not_ready)?;
    story.revision = view.revision();
    if request.method() == Method::CONNECT {
        return Err(Refused::new(Code::RequestInvalid, "the gateway opens no tunnels"));
    }
    let authority = authority_of(request)?;

    // One path, one spelling, before anything looks at it; so no route can be passed by.
    if let Some(uri) =
        path::normalise(request.uri()).map_err(|it| Refused::new(Code::RequestInvalid, it.to_string()))?
    {
        *request.uri_mut() = uri;
    }
    let head = RequestHead {
        host: authority.host(),
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query(),
        headers: &Fields(request.headers()),
    };
    let found = gateway.table.lookup(&head).ok_or_else(|| not_found(&head))?;
    let backend = found.rule.backend(story.draw(found.rule.backends.len())).ok_or_else(|| {
        let detail =
            format!("route `{}` matches, but none of its backends has a weight above 0", found.route.name);
        Refused::new(Code::MeshServiceUnavailable, detail).by("route")
    })?;
    story.goes_to(Some(&backend.service), Some(&found.route.name));
    let index = view.find(&backend.service).ok_or_else(|| {
        let detail =
            format!("route `{}` leads to `{}`, which is not in the mesh", found.route.name, backend.service);
        Refused::new(Code::MeshServiceNotFound, detail).by("route")
    })?;
    Ok((authority, Routed { index, timeout: found.rule.timeout, subset: backend.subset.clone() }))
}

fn not_found(head: &RequestHead<'_, Fields<'_>>) -> Refused {
    let detail = format!(
        "no route of the gateway matches {} {} for host `{}`; the manifest's `gateway.routes` lists them",
        head.method, head.path, head.host
    );
    Refused::new(Code::GatewayRouteNotFound, detail).by("route")
}

/// A request's header fields, as routing wants them.
struct Fields<'a>(&'a HeaderMap);

impl Headers for Fields<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }
}
