//! What every request passes first: is it for us, who calls, may they, and is there room.
//!
//! Who may call what stands in the API's table; a path that is not in it is for administrators only.

use super::reply::Failure;
use super::{App, MOST_REQUESTS, REQUEST_TIMEOUT};
use crate::access::{Registered, check_permitted};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::header::CONTENT_TYPE;
use std::sync::Arc;
use tenon_api::caller::Caller;
use tenon_api::openapi::{self, Access, Endpoint};
use tenon_api::{bus, eventstore, saga};
use tenon_core::{Code, InstanceId, Refusal, Revision, ServiceRef};

/// The endpoint that administrators may call when the table has none.
const UNLISTED: &str = "any other endpoint";

/// Lets a request through, with its [`Caller`] noted, or answers it.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let is_grpc = is_grpc(&request);
    if let Err(refusal) = admit(&app, &mut request) {
        return refuse(refusal, is_grpc);
    }
    let Ok(_permit) = app.requests.try_acquire() else {
        let detail = format!("{MOST_REQUESTS} requests are under way, which is the most; try again");
        return refuse(Refusal::new(Code::ServerOverloaded, detail), is_grpc);
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail =
                format!("no answer within {REQUEST_TIMEOUT:?}; a change may have been made all the same");
            refuse(Refusal::new(Code::ServerTimeout, detail), is_grpc)
        }
    }
}

fn admit(app: &App, request: &mut Request) -> Result<(), Refusal> {
    app.access.check_origin(request.uri(), request.headers())?;
    let found = find(request.method(), request.uri().path());
    if found.as_ref().is_some_and(|(endpoint, _)| endpoint.access == Access::Public) {
        return Ok(());
    }
    let caller = app.access.authenticate(request.headers(), app)?;
    match (&caller, &found) {
        (_, Some((endpoint, parameters))) => {
            let value = |name: &str| {
                parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            };
            check_permitted(&caller, endpoint, value)?;
        }
        (Caller::Admin(_), None) => {}
        // What an instance may do there is decided by events, not by paths.
        (Caller::Instance { .. }, None) if is_of_events(request.uri().path()) => {}
        (Caller::Instance { id, .. }, None) => {
            let detail = format!("instance {id} may not use {UNLISTED}");
            return Err(Refusal::new(Code::AccessForbidden, detail));
        }
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Whether a path is one of the event store's, of the bus's or of sagas' over gRPC.
fn is_of_events(path: &str) -> bool {
    [eventstore::PATHS, bus::PATHS, saga::PATHS].iter().any(|prefix| path.starts_with(prefix))
}

/// The endpoint of the table that a request is for, and what its path says. A literal segment goes before a
/// variable, as it does for the router.
fn find(method: &Method, path: &str) -> Option<(&'static Endpoint, Vec<(&'static str, String)>)> {
    // The router answers HEAD by what answers GET.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let of_path = openapi::served().filter(|it| it.method == *method);
    let found = of_path.filter_map(|endpoint| Some((endpoint, matched(endpoint.path, path)?)));
    found.min_by_key(|(_, parameters)| parameters.len())
}

fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    let mut parameters = Vec::new();
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return Some(parameters),
            (Some(pattern), Some(segment)) => {
                match pattern.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => parameters.push((name, super::reply::decoded(segment)?)),
                    None if pattern == segment => {}
                    None => return None,
                }
            }
            _ => return None,
        }
    }
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

fn refuse(refusal: Refusal, is_grpc: bool) -> Response {
    if !is_grpc {
        return Failure::from(refusal).into_response();
    }
    let code = tonic::Code::from_i32(refusal.code.grpc_status().into());
    let mut response = tonic::Status::new(code, refusal.detail).into_http::<Body>();
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    response
}

impl Registered for App {
    fn revision(&self) -> Revision {
        self.writer.read(|view| view.state.revision)
    }

    fn instances(&self) -> Vec<(InstanceId, ServiceRef)> {
        self.writer.read(|view| {
            let named =
                |it: &tenon_core::registry::Instance| (it.id().clone(), it.registration.service.clone());
            view.state.registry.all().map(named).collect()
        })
    }
}
