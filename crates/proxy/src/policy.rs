//! Policies as they are enforced: once where a call enters the mesh (its caller's sidecar, or the gateway), in full; and
//! once more where a call from another process enters an instance's sidecar, which believes nobody: there, whether it
//! may pass and, if its caller has not shown who it is, the rate limits.
//!
//! The rules are those of [`tenon_core::policy`]; here they meet requests. Nothing attached costs a branch.

mod counts;
mod mirror;
mod passed;

pub(crate) use counts::{Attached, Counts};
pub(crate) use passed::Passed;

use crate::cells::Cells;
use crate::path;
use crate::refusal::Refused;
use crate::worker::{LocalView, Worker};
use http::uri::Authority;
use http::{HeaderMap, Request};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tenon_core::policy::{Action, Applied, Denied, Doubt, Facts, Fields, Http, Policy, Set, Source};
use tenon_core::rate::Limit;
use tenon_core::snapshot::Routes;
use tenon_core::{Code, PolicyName, RouteName, ServiceRef};

/// The policies that are attached to one service or route, with what they count.
#[derive(Debug)]
pub(crate) struct Enforced {
    set: Set,
    /// Of each policy of the set, in its order, that is a rate limit.
    limits: Box<[Option<Limiting>]>,
}

/// A rate limit, as it holds here.
#[derive(Debug)]
struct Limiting {
    /// What this data plane may admit.
    part: Limit,
    counts: Arc<Counts>,
}

impl Enforced {
    /// Those attached to a service; `None` if there are none.
    pub(crate) fn of_service(routes: &Routes, service: &ServiceRef, cells: &mut Cells) -> Option<Self> {
        let counts = |name: &_, limit: &Limit| cells.counts(Attached::Service(service.clone()), name, limit);
        Self::new(routes.policies.of_service(service), routes.planes, counts)
    }

    /// Those attached to a route; `None` if there are none.
    pub(crate) fn of_route(routes: &Routes, route: &RouteName, cells: &mut Cells) -> Option<Self> {
        let counts = |name: &_, limit: &Limit| cells.counts(Attached::Route(route.clone()), name, limit);
        Self::new(routes.policies.of_route(route), routes.planes, counts)
    }

    fn new<'a>(
        policies: impl Iterator<Item = (&'a PolicyName, &'a Arc<Policy>)>,
        planes: u32,
        mut counts: impl FnMut(&PolicyName, &Limit) -> Arc<Counts>,
    ) -> Option<Self> {
        // Nobody gets policies that were not checked for their number.
        let set = Set::new(policies).unwrap_or_default();
        if set.is_empty() {
            return None;
        }
        let limits = set.policies().map(|(name, policy)| match &policy.action {
            Action::RateLimit(limit) => {
                Some(Limiting { part: limit.part(planes), counts: counts(name, limit) })
            }
            _ => None,
        });
        Some(Self { limits: limits.collect(), set })
    }
}

/// A call, as far as it is not in its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Who calls.
    pub(crate) source: Source<'a>,
    /// Which of the view's destinations is called.
    pub(crate) index: usize,
    /// By which route.
    pub(crate) route: Option<&'a RouteName>,
    /// Where it comes from.
    pub(crate) client: IpAddr,
}

/// Whether a request may enter the mesh, and what is to be done with it then. Its path is brought into its one spelling
/// first where policies are attached, so that what is looked at is what is sent.
///
/// # Errors
/// The refusal.
pub(crate) fn admit<B>(
    worker: &Worker,
    view: &Rc<LocalView>,
    asked: Asked<'_>,
    authority: &Authority,
    request: &mut Request<B>,
) -> Result<Passed, Refused> {
    let [service, route] = attached(view, asked);
    if service.is_none() && route.is_none() {
        return Ok(Passed::default());
    }
    spell(request)?;
    let headers = Values(request.headers());
    let facts = facts(view, asked, http(authority, request, &headers))?;
    let judged = |it: Option<&Enforced>| {
        it.map_or(Ok(Applied::default()), |it| judge(worker, it, &facts, Doubt::Against))
    };
    // All are asked whether it may pass before any counts it.
    let applied = [judged(service)?, judged(route)?];
    for (enforced, applied) in [service, route].into_iter().zip(applied) {
        if let Some(enforced) = enforced {
            count(worker, enforced, applied, &facts)?;
        }
    }
    Ok(Passed::new(view, asked, applied))
}

/// Whether a request from another process may enter the sidecar of the instance that it is for.
///
/// # Errors
/// The refusal.
pub(crate) fn receive<B>(
    worker: &Worker,
    view: &LocalView,
    asked: Asked<'_>,
    authority: &Authority,
    request: &mut Request<B>,
) -> Result<(), Refused> {
    let [Some(enforced), _] = attached(view, asked) else { return Ok(()) };
    spell(request)?;
    let headers = Values(request.headers());
    let facts = facts(view, asked, http(authority, request, &headers))?;
    let applied = judge(worker, enforced, &facts, Doubt::Against)?;
    // Whoever has shown who it is was counted where it called.
    if asked.source == Source::Unknown { count(worker, enforced, applied, &facts) } else { Ok(()) }
}

/// Whether a tunnel may be opened. What goes through it is looked at again.
///
/// # Errors
/// The refusal.
pub(crate) fn open(worker: &Worker, view: &LocalView, asked: Asked<'_>) -> Result<(), Refused> {
    let [Some(enforced), _] = attached(view, asked) else { return Ok(()) };
    judge(worker, enforced, &facts::<NoFields>(view, asked, None)?, Doubt::InFavour).map(drop)
}

/// Whether a connection may carry plain bytes. Nothing is known of what they say.
///
/// # Errors
/// The refusal.
pub(crate) fn carry_bytes(worker: &Worker, view: &LocalView, asked: Asked<'_>) -> Result<(), Refused> {
    let [Some(enforced), _] = attached(view, asked) else { return Ok(()) };
    let facts = facts::<NoFields>(view, asked, None)?;
    let applied = judge(worker, enforced, &facts, Doubt::Against)?;
    count(worker, enforced, applied, &facts)
}

/// Whether a connection from another process may carry plain bytes to the instance that it is for.
///
/// # Errors
/// The refusal.
pub(crate) fn receive_bytes(worker: &Worker, view: &LocalView, asked: Asked<'_>) -> Result<(), Refused> {
    let [Some(enforced), _] = attached(view, asked) else { return Ok(()) };
    let facts = facts::<NoFields>(view, asked, None)?;
    let applied = judge(worker, enforced, &facts, Doubt::Against)?;
    // As for requests: whoever has shown who it is was counted where it called.
    if asked.source == Source::Unknown { count(worker, enforced, applied, &facts) } else { Ok(()) }
}

/// What is attached to the service and to the route.
fn attached<'a>(view: &'a LocalView, asked: Asked<'_>) -> [Option<&'a Enforced>; 2] {
    let service = view.destinations().get(asked.index).and_then(|it| it.policies.as_deref());
    let route = asked.route.and_then(|route| view.gateway.as_ref()?.policies.get(route));
    [service, route]
}

fn spell<B>(request: &mut Request<B>) -> Result<(), Refused> {
    let spelled = path::normalise(request.uri());
    if let Some(uri) = spelled.map_err(|error| Refused::new(Code::RequestInvalid, error.to_string()))? {
        *request.uri_mut() = uri;
    }
    Ok(())
}

fn http<'a, B>(
    authority: &'a Authority,
    request: &'a Request<B>,
    headers: &'a Values<'a>,
) -> Option<Http<'a, Values<'a>>> {
    Some(Http {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query(),
        host: authority.host(),
        headers,
    })
}

fn facts<'a, H>(
    view: &'a LocalView,
    asked: Asked<'a>,
    http: Option<Http<'a, H>>,
) -> Result<Facts<'a, H>, Refused> {
    let gone = || Refused::new(Code::MeshServiceUnavailable, "the service has left the mesh");
    let destination = view.destinations().get(asked.index).ok_or_else(gone)?;
    Ok(Facts { source: asked.source, destination: &destination.service, client: asked.client, http })
}

fn judge<H: Fields>(
    worker: &Worker,
    enforced: &Enforced,
    facts: &Facts<'_, H>,
    doubt: Doubt,
) -> Result<Applied, Refused> {
    enforced.set.judge(facts, doubt).map_err(|denied| {
        let (name, detail) = match denied {
            Denied::By(name) => {
                (name, format!("policy `{name}` denies this call to `{}`", facts.destination))
            }
            Denied::Unallowed(name) => (
                name,
                format!(
                    "no policy allows this call to `{}`, and there are some, such as `{name}`",
                    facts.destination
                ),
            ),
        };
        worker.metrics.policy(name, "denied");
        Refused::new(Code::MeshPolicyDenied, detail).by_policy(name)
    })
}

fn count<H: Fields>(
    worker: &Worker,
    enforced: &Enforced,
    applied: Applied,
    facts: &Facts<'_, H>,
) -> Result<(), Refused> {
    if applied.is_empty() {
        return Ok(());
    }
    for (place, name, action) in enforced.set.applied(applied) {
        let Action::RateLimit(limit) = action else { continue };
        let Some(Some(Limiting { part, counts })) = enforced.limits.get(place) else { continue };
        if let Err(exceeded) = counts.admit(part, facts, worker.now()) {
            worker.metrics.policy(name, "limited");
            return Err(counts::refusal(name, limit, exceeded));
        }
    }
    Ok(())
}

/// The fields of a request, as conditions want them.
struct Values<'a>(&'a HeaderMap);

impl Fields for Values<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}

/// Where there is no request.
struct NoFields;

impl Fields for NoFields {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}
