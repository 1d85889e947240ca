//! What policies want of a request that they let pass.

use super::{Asked, Enforced, attached, mirror};
use crate::outgoing::Outgoing;
use crate::refusal::Refused;
use crate::worker::{LocalView, Worker};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::rc::Rc;
use std::time::Duration;
use tenon_core::identity::Workload;
use tenon_core::policy::{Action, Applied, Fault, HeaderEdits, is_drawn};
use tenon_core::{Code, PolicyName, RouteName};

/// The policies that apply to a request. Nothing, if none does.
#[derive(Default)]
pub(crate) struct Passed(Option<Applying>);

struct Applying {
    view: Rc<LocalView>,
    index: usize,
    route: Option<RouteName>,
    /// Of the service and of the route.
    applied: [Applied; 2],
}

impl Passed {
    pub(super) fn new(view: &Rc<LocalView>, asked: Asked<'_>, applied: [Applied; 2]) -> Self {
        if applied.iter().all(|it| it.is_empty()) {
            return Self::default();
        }
        let (view, route) = (Rc::clone(view), asked.route.cloned());
        Self(Some(Applying { view, index: asked.index, route, applied }))
    }

    /// How long the call may take, if a policy says so.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let sets = self.0.iter().flat_map(Applying::sets);
        sets.filter_map(|(enforced, applied)| enforced.set.timeout(applied)).min()
    }

    /// How often the call is tried in all, if a policy says so.
    pub(crate) fn max_attempts(&self) -> Option<u32> {
        let sets = self.0.iter().flat_map(Applying::sets);
        sets.filter_map(|(enforced, applied)| enforced.set.max_attempts(applied)).min()
    }

    /// Holds the call up, and refuses it, if policies want it spoilt.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn spoil(&self, worker: &Worker) -> Result<(), Refused> {
        let Some(applying) = &self.0 else { return Ok(()) };
        for (name, action) in applying.actions() {
            if let Action::Fault(fault) = action
                && is_drawn(fault.percent, fastrand::u64(..))
            {
                // On the heap, so that calls which are not spoilt keep no room for it.
                Box::pin(spoil(worker, name, fault)).await?;
            }
        }
        Ok(())
    }

    /// Changes the headers of the request.
    pub(crate) fn edit_request(&self, outgoing: &mut Outgoing) {
        for edits in self.0.iter().flat_map(Applying::edits) {
            apply(edits.0, outgoing.headers_mut());
        }
    }

    /// Changes the headers of the response.
    pub(crate) fn edit_response(&self, headers: &mut HeaderMap) {
        for edits in self.0.iter().flat_map(Applying::edits) {
            apply(edits.1, headers);
        }
    }

    /// Sends copies of a request that has been answered where policies want them.
    pub(crate) fn mirror(&self, worker: &Rc<Worker>, outgoing: &Outgoing, caller: impl Fn() -> Workload) {
        let Some(applying) = &self.0 else { return };
        for (name, action) in applying.actions() {
            if let Action::Mirror(wanted) = action
                && is_drawn(wanted.percent, fastrand::u64(..))
            {
                mirror::send(worker, name, &wanted.service, outgoing, &caller());
            }
        }
    }
}

impl Applying {
    fn sets(&self) -> impl Iterator<Item = (&Enforced, Applied)> {
        // Only the two that tell what is attached matter here.
        let source = tenon_core::policy::Source::Unknown;
        let client = std::net::IpAddr::from([0, 0, 0, 0]);
        let asked = Asked { source, client, index: self.index, route: self.route.as_ref() };
        attached(&self.view, asked)
            .into_iter()
            .zip(self.applied)
            .filter_map(|(set, applied)| Some((set?, applied)))
    }

    fn actions(&self) -> impl Iterator<Item = (&PolicyName, &Action)> {
        self.sets().flat_map(|(enforced, applied)| {
            enforced.set.applied(applied).map(|(_, name, action)| (name, action))
        })
    }

    /// Of the request and of the response.
    fn edits(&self) -> impl Iterator<Item = (&HeaderEdits, &HeaderEdits)> {
        self.actions().filter_map(|(_, action)| match action {
            Action::Headers(edits) => Some((&edits.request, &edits.response)),
            _ => None,
        })
    }
}

async fn spoil(worker: &Worker, name: &PolicyName, fault: &Fault) -> Result<(), Refused> {
    if let Some(delay) = fault.delay {
        worker.metrics.policy(name, "delayed");
        tokio::time::sleep(delay).await;
    }
    let Some(status) = fault.abort else { return Ok(()) };
    worker.metrics.policy(name, "aborted");
    let detail = format!("policy `{name}` spoils calls on purpose; this one was not sent");
    Err(Refused::new(Code::MeshFaultInjected, detail).by_policy(name).with_status(status))
}

fn apply(edits: &HeaderEdits, headers: &mut HeaderMap) {
    for name in &edits.remove {
        headers.remove(name.as_str());
    }
    for (name, value) in pairs(&edits.set) {
        headers.insert(name, value);
    }
    for (name, value) in pairs(&edits.add) {
        headers.append(name, value);
    }
}

/// What was checked when the policies arrived, in the form that headers want.
fn pairs(
    edits: &[(tenon_core::route::HeaderName, String)],
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    edits.iter().filter_map(|(name, value)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    })
}
