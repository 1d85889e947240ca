//! What a caller may do with events.

use super::error::Error;
use tenon_api::caller::Caller;
use tenon_core::{Actor, Code, Namespace, Refusal, StreamName};
use tenon_store::{NewEvent, Query, Scope, StreamsQuery};

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Who is recorded with what they append.
    actor: Actor,
    /// The only namespace that they may see and append to; none for all.
    within: Option<Namespace>,
    /// Whether events are taken as they come, Tenon's own streams included.
    verbatim: bool,
}

impl Rights {
    /// Those of a caller, if it is known who calls.
    pub(crate) fn of(caller: Option<&Caller>, verbatim: bool) -> Result<Self, Error> {
        let unknown = || Refusal::new(Code::AccessUnauthenticated, "it is not known who calls");
        let caller = caller.ok_or_else(unknown)?;
        let within = match caller {
            Caller::Admin(_) => None,
            Caller::Instance { service, .. } => Some(service.namespace.clone()),
        };
        let verbatim = verbatim && within.is_none();
        Ok(Self { actor: caller.actor(), within, verbatim })
    }

    /// Whether the caller is an operator.
    pub(crate) fn check_operator(&self, what: &str) -> Result<(), Error> {
        match &self.within {
            None => Ok(()),
            Some(_) => Err(forbidden(format!("{what} is for operators; use the API's token"))),
        }
    }

    /// Who is recorded with what they change.
    pub(crate) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// The only namespace that the caller may see, if there is only one.
    pub(crate) fn within(&self) -> Option<&Namespace> {
        self.within.as_ref()
    }

    /// The namespace that a caller means who names none, and that snapshots are kept apart by.
    pub(crate) fn namespace(&self) -> Namespace {
        self.within.clone().unwrap_or_default()
    }

    /// Whether the caller may append the event, which then says who appended it.
    pub(crate) fn sign(&self, event: &mut NewEvent) -> Result<(), Error> {
        self.check_namespace(&event.namespace)?;
        if self.verbatim {
            return Ok(());
        }
        check_own(&event.namespace)?;
        if event.stream.as_str().starts_with('$') {
            let stream = &event.stream;
            return Err(forbidden(format!(
                "{stream} is written by Tenon alone; streams of your own begin with something other than `$`"
            )));
        }
        // An operator may pass on whom it acts for; an instance is who it is.
        if self.within.is_some() || event.metadata.actor.is_none() {
            event.metadata.actor = Some(self.actor.clone());
        }
        Ok(())
    }

    /// The list within what the caller may see.
    pub(crate) fn narrow_streams(&self, query: StreamsQuery) -> Result<StreamsQuery, Error> {
        let Query { scope, namespace, .. } = self.narrow(query.events())?;
        Ok(StreamsQuery { scope, namespace, ..query })
    }

    /// The query within what the caller may see.
    pub(crate) fn narrow(&self, query: Query) -> Result<Query, Error> {
        if let Some(namespace) = &query.namespace {
            self.check_namespace(namespace)?;
        }
        if query.scope != Scope::User && !self.verbatim {
            return Err(forbidden("Tenon's own streams are not served".to_owned()));
        }
        Ok(Query { namespace: query.namespace.or_else(|| self.within.clone()), ..query })
    }

    /// The query for one stream.
    pub(crate) fn stream(&self, namespace: Namespace, stream: StreamName) -> Result<Query, Error> {
        self.narrow(Query::stream(namespace, stream))
    }

    /// Whether the caller may see a namespace.
    pub(crate) fn check_namespace(&self, namespace: &Namespace) -> Result<(), Error> {
        match &self.within {
            Some(own) if own != namespace => {
                Err(forbidden(format!("events of namespace {namespace} are not served to one of {own}")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a namespace is one that users may have something in.
pub(crate) fn check_own(namespace: &Namespace) -> Result<(), Error> {
    if namespace.is_reserved() {
        return Err(forbidden(format!(
            "namespace {namespace} is Tenon's own, as are all that begin with `tenon-`; take another"
        )));
    }
    Ok(())
}

fn forbidden(detail: String) -> Error {
    Refusal::new(Code::AccessForbidden, detail).into()
}
