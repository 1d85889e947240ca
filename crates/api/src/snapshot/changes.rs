//! Changes of the routes, so that one route of many thousand does not resend the others.

use super::{Part, v1};
use crate::InvalidMessage;
use crate::invalid::{Checked, each, nested, parsed};
use std::collections::HashMap;
use tenon_core::manifest::Gateway;
use tenon_core::route::Route;
use tenon_core::snapshot::Routes;
use tenon_core::{Revision, RouteName};

/// What is different between two states of [`Routes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteChanges {
    /// The state that they follow from.
    pub from: Revision,
    /// The state that they lead to, but for the gateway's routes: of those there are none here.
    pub settings: Routes,
    /// Routes of the gateway that are there no more.
    pub removed: Vec<RouteName>,
    /// Routes of the gateway that are new or changed: each stands where the one of its name stood, or else at the end.
    pub set: Vec<Route>,
}

impl RouteChanges {
    /// What leads from one state to another; `None` if that is better told as a whole: they are of different logs, the order
    /// of the routes is another one, or most of them have changed.
    pub fn between(old: &Routes, new: &Routes) -> Option<Self> {
        let (before, after) = (gateway_routes(old), gateway_routes(new));
        if old.revision.log != new.revision.log || old.gateway.is_some() != new.gateway.is_some() {
            return None;
        }
        let present: HashMap<&str, &Route> = after.iter().map(|it| (it.name.as_str(), it)).collect();
        let removed: Vec<RouteName> = before
            .iter()
            .filter(|it| !present.contains_key(it.name.as_str()))
            .map(|it| it.name.clone())
            .collect();
        let mut kept = before.iter().filter(|it| present.contains_key(it.name.as_str())).peekable();
        let mut set = Vec::new();
        for route in after {
            match kept.next() {
                Some(own) if own.name != route.name => return None,
                Some(own) if own == route => {}
                _ => set.push(route.clone()),
            }
        }
        let few = present.len() == after.len() && 2 * (removed.len() + set.len()) <= before.len().max(16);
        let settings = without_routes(new);
        few.then_some(Self { from: old.revision, settings, removed, set })
    }

    /// Makes the changes. Those that do not follow from what is there change nothing and answer `false`: then the routes as a
    /// whole are needed.
    pub fn apply_to(self, routes: &mut Routes) -> bool {
        if self.from != routes.revision {
            return false;
        }
        let mut own = routes.gateway.take().map(|it| it.routes).unwrap_or_default();
        *routes = self.settings;
        own.retain(|it| !self.removed.contains(&it.name));
        for route in self.set {
            match own.iter_mut().find(|it| it.name == route.name) {
                Some(place) => *place = route,
                None => own.push(route),
            }
        }
        if let Some(gateway) = &mut routes.gateway {
            gateway.routes = own;
        }
        true
    }
}

fn gateway_routes(routes: &Routes) -> &[Route] {
    routes.gateway.as_ref().map(|gateway| gateway.routes.as_slice()).unwrap_or_default()
}

/// The same with no routes of the gateway, which are not even copied.
fn without_routes(routes: &Routes) -> Routes {
    let gateway = routes.gateway.as_ref();
    Routes {
        gateway: gateway.map(|it| Gateway {
            listen: it.listen,
            proxy_protocol: it.proxy_protocol,
            routes: Vec::new(),
            tls: it.tls.clone(),
        }),
        revision: routes.revision,
        services: routes.services.clone(),
        resting: routes.resting.clone(),
        egress: routes.egress,
        telemetry: routes.telemetry.clone(),
        policies: routes.policies.clone(),
        planes: routes.planes,
    }
}

impl From<&RouteChanges> for v1::RouteChanges {
    fn from(changes: &RouteChanges) -> Self {
        Self {
            from: Some((&changes.from).into()),
            settings: Some((&changes.settings).into()),
            removed: changes.removed.iter().map(ToString::to_string).collect(),
            set: changes.set.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::RouteChanges> for RouteChanges {
    type Error = InvalidMessage;
    fn try_from(message: v1::RouteChanges) -> Checked<Self> {
        Ok(Self {
            from: nested("from", message.from)?,
            settings: nested("settings", message.settings)?,
            removed: each("removed", message.removed, |name| parsed("name", &name))?,
            set: each("set", message.set, Route::try_from)?,
        })
    }
}

impl From<RouteChanges> for Part {
    fn from(changes: RouteChanges) -> Self {
        Self::RouteChanges(Box::new(changes))
    }
}
