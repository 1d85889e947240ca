//! Bytes that are carried as they are: `CONNECT` tunnels and connections that changed their protocol (WebSocket).
//!
//! A tunnel to a service of the mesh is looked into first: if it carries HTTP, its requests are treated like any other.

use crate::attempt::AnswerBody;
use crate::balance::{Nobody, Wish};
use crate::body::Body;
use crate::cells::Contact;
use crate::connection::{self, Connection};
use crate::hold::Patience;
use crate::outgoing::Outgoing;
use crate::policy::{self, Asked};
use crate::refusal::Refused;
use crate::relay::relay;
use crate::story::Story;
use crate::view::Resolved;
use crate::worker::{LocalView, Worker};
use crate::{balance, egress, inbound, outbound};
use http::response::Parts;
use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tenon_core::balance::{Subset, key};
use tenon_core::breaker::Verdict;
use tenon_core::identity::Workload;
use tenon_core::policy::Source;
use tenon_core::{Code, ServiceRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Answers a `CONNECT` by a client that has shown who it is.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    mut story: Story,
    view: &LocalView,
    resolved: Resolved,
    authority: Authority,
    request: Request<Incoming>,
) -> Response<Body> {
    let source = story.labels.source.clone();
    let opened = match resolved {
        Resolved::Mesh(index) => {
            story.goes_to(view.destinations().get(index).map(|it| &it.service), None);
            let asked = Asked { source: shown(source.as_ref()), index, route: None, client: connection.peer };
            policy::open(worker, view, asked).map(|()| None)
        }
        other => match outbound::may_leave(view, other, &authority) {
            Ok(()) => outside(worker, &authority).await.map(Some),
            Err(refused) => Err(refused),
        },
    };
    let outside = match opened {
        Ok(outside) => outside,
        Err(refused) => return story.refuse(&refused),
    };
    let (worker, inner) = (Rc::clone(worker), connection.tunnelled(authority));
    spawn(async move {
        let Ok(client) = hyper::upgrade::on(request).await else { return };
        match outside {
            Some(stream) => carry_outside(&worker, &inner, source.as_ref(), client, stream).await,
            None => connection::serve(worker, inner, TokioIo::new(client)).await,
        }
    });
    story.answer(Response::new(Body::Empty), None)
}

/// Carries the bytes of a tunnel into the mesh that are not HTTP to one of the service's instances. There is no way to tell
/// the client why not, but to close.
pub(crate) async fn carry_bytes<I>(worker: &Rc<Worker>, connection: &Connection, client: I)
where
    I: AsyncRead + AsyncWrite,
{
    let mut view = worker.view();
    let caller = connection.role.instance().and_then(|instance| view.sidecar(instance));
    let caller = caller.map(|sidecar| sidecar.service.clone());
    let (Some(caller), Some(authority)) = (caller, &connection.tunnel) else { return };
    if let Resolved::Mesh(index) = view.resolve(authority.host(), &caller.namespace) {
        let asked = Asked { source: shown(Some(&caller)), index, route: None, client: connection.peer };
        if let Err(refused) = policy::carry_bytes(worker, &view, asked) {
            tracing::info!(%caller, %authority, reason = refused.detail, "a connection is closed");
            return worker.metrics.error(connection.component(), refused.code);
        }
    }
    let mut patience = Patience::new(&worker.shared.config.limits);
    let (mut tried, everybody) = (Vec::new(), Subset::default());
    loop {
        let Resolved::Mesh(index) = view.resolve(authority.host(), &caller.namespace) else { return };
        let Some(destination) = view.destinations().get(index) else { return };
        let wish = Wish { subset: &everybody, key: Some(key(connection.peer.to_string().as_bytes())) };
        let may_wait = !(destination.resting || patience.is_spent());
        let chosen = match balance::choose(worker, &view, index, wish, &tried, may_wait) {
            Ok(chosen) => chosen,
            Err(Nobody::Absent) if may_wait => {
                let asks_again = !tried.is_empty();
                patience.wait(worker, &view, &destination.service, Duration::MAX, asks_again).await;
                let now = worker.view();
                if Rc::ptr_eq(&now, &view) {
                    // Nothing is told of those who did not listen; by now they may.
                    tried.clear();
                }
                view = now;
                continue;
            }
            Err(Nobody::Absent | Nobody::Full(_)) => return,
        };
        let Some(target) = destination.targets.get(chosen.index) else { return };
        if tried.contains(&target.instance) {
            return;
        }
        let way = target.way(&destination.service, || Workload::Service(caller.clone()));
        match worker.pool.open_bytes(&way).await {
            Ok(stream) => {
                chosen.trial.record(|_| Verdict::Succeeded);
                target.cells.found(Contact::Answers);
                worker.metrics.tunnel(Some(&caller), &destination.service.to_string());
                relay(client, stream, worker.shared.config.limits.stream_idle, connection.drain.is_over())
                    .await;
                return drop(chosen.held);
            }
            Err(error) => {
                tracing::debug!(%error, instance = %target.instance, "no connection for a tunnel");
                target.cells.found(Contact::Refuses);
                chosen.trial.failed(Some(Contact::Refuses));
                tried.push(target.instance.clone());
            }
        }
    }
}

/// Carries the bytes of a caller in another data plane to the application, if it may call it.
pub(crate) async fn deliver<I>(worker: &Worker, connection: &Connection, caller: I)
where
    I: AsyncRead + AsyncWrite,
{
    let view = worker.view();
    let Some(sidecar) = connection.role.instance().and_then(|instance| view.sidecar(instance)) else {
        return;
    };
    let index = view.find(&sidecar.service);
    let asked =
        |index| Asked { source: inbound::source(connection), index, route: None, client: connection.peer };
    let permitted = || index.map_or(Ok(()), |index| policy::receive_bytes(worker, &view, asked(index)));
    if let Err(refused) = inbound::admit(&view, sidecar, connection).and_then(|()| permitted()) {
        tracing::info!(instance = ?connection.role.instance(), reason = refused.detail, "a tunnel was refused");
        return;
    }
    match worker.pool.connect(&sidecar.application).await {
        Ok(stream) => {
            let source = connection.caller.as_ref().and_then(Workload::service);
            worker.metrics.tunnel(source, &sidecar.service.to_string());
            relay(caller, stream, worker.shared.config.limits.stream_idle, connection.drain.is_over()).await;
        }
        Err(error) => {
            tracing::debug!(%error, application = %sidecar.application, "no connection for a tunnel");
        }
    }
}

/// Answers 101 and carries the bytes of both sides from there on.
pub(crate) fn switch(
    worker: &Worker,
    story: Story,
    head: Parts,
    body: AnswerBody,
    outgoing: Outgoing,
) -> Response<Body> {
    let Some(upgrade) = outgoing.upgrade else {
        let refused = Refused::new(Code::MeshNetwork, "the service changed the protocol without being asked");
        return story.refuse(&refused);
    };
    let mut response = Response::from_parts(head, Body::Empty);
    let service = hyper::upgrade::on(&mut response);
    let (source, destination) = (story.labels.source.clone(), story.labels.destination.clone());
    worker.metrics.tunnel(source.as_ref(), &destination.map(|it| it.to_string()).unwrap_or_default());
    let idle = worker.shared.config.limits.stream_idle;
    let drain = Rc::clone(&story.drain);
    spawn(async move {
        // The connection to the service must not be closed as unused meanwhile.
        let _body = body;
        let (Ok(caller), Ok(service)) = tokio::join!(upgrade.caller, service) else { return };
        relay(TokioIo::new(caller), TokioIo::new(service), idle, drain.is_over()).await;
    });
    story.answer(response, None)
}

fn shown(caller: Option<&ServiceRef>) -> Source<'_> {
    caller.map_or(Source::Unknown, Source::Service)
}

async fn outside(worker: &Worker, authority: &Authority) -> Result<TcpStream, Refused> {
    let address = egress::address_of(authority, 443)?;
    let failed = |error| Refused::new(Code::MeshUnreachable, format!("no connection to {address}: {error}"));
    worker.pool.connect(&address).await.map_err(failed)
}

async fn carry_outside(
    worker: &Worker,
    connection: &Connection,
    source: Option<&ServiceRef>,
    client: Upgraded,
    stream: TcpStream,
) {
    worker.metrics.tunnel(source, "");
    let idle = worker.shared.config.limits.stream_idle;
    relay(TokioIo::new(client), stream, idle, connection.drain.is_over()).await;
}

/// The type is erased here, because a connection's future holds requests and a request may open a connection.
fn spawn(future: impl Future<Output = ()> + 'static) {
    let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    tokio::task::spawn_local(future);
}
