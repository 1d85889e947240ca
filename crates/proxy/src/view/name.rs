//! What a host name in a request means.

use super::View;
use std::borrow::Cow;
use tenon_core::{Namespace, ServiceName};

/// What a host name means to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A service of the mesh: where it stands in [`View::destinations`].
    Mesh(usize),
    /// It has the form of a service's name, and there is no such service.
    Unknown,
    /// It is not of the mesh.
    Outside,
}

impl View {
    /// What `host` (without a port, in any case, perhaps with a final dot) means to a caller of this namespace: a bare
    /// name is looked for there first and then in the default namespace.
    pub(crate) fn resolve(&self, host: &str, caller: &Namespace) -> Resolved {
        let host = lower_case(host.strip_suffix('.').unwrap_or(host));
        match host.split_once('.') {
            None => self.resolve_bare(&host, caller),
            Some((name, namespace)) => self.resolve_qualified(name, namespace),
        }
    }

    fn resolve_bare(&self, name: &str, caller: &Namespace) -> Resolved {
        let found = self
            .find_by_text(name, caller.as_str())
            .or_else(|| self.find_by_text(name, Namespace::default().as_str()));
        match found {
            Some(index) => Resolved::Mesh(index),
            None if ServiceName::new(name).is_ok() => Resolved::Unknown,
            None => Resolved::Outside,
        }
    }

    fn resolve_qualified(&self, name: &str, namespace: &str) -> Resolved {
        if let Some(index) = self.find_by_text(name, namespace) {
            return Resolved::Mesh(index);
        }
        let known = self.destinations.iter().any(|it| it.service.namespace.as_str() == namespace);
        if known { Resolved::Unknown } else { Resolved::Outside }
    }

    fn find_by_text(&self, name: &str, namespace: &str) -> Option<usize> {
        let place = |service: &tenon_core::ServiceRef| {
            service.name.as_str().cmp(name).then_with(|| service.namespace.as_str().cmp(namespace))
        };
        self.destinations.binary_search_by(|it| place(&it.service)).ok()
    }
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}
