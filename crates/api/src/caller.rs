//! Who calls: found out by whoever guards the API, and handed on with the request to whoever answers it.

use tenon_core::{Actor, InstanceId, ServiceRef};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Who holds the API's token, and who they say they are.
    Admin(Actor),
    /// An instance, by its secret.
    Instance {
        /// Its id.
        id: InstanceId,
        /// Its service.
        service: ServiceRef,
    },
}

impl Caller {
    /// Who is recorded with a change.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin(actor) => actor.clone(),
            Self::Instance { id, .. } => instance_actor(id),
        }
    }
}

/// How the changes that an instance makes are signed.
pub fn instance_actor(id: &InstanceId) -> Actor {
    match Actor::new(&format!("instance:{id}")) {
        Ok(actor) => actor,
        Err(_) => unreachable!("an instance id is a DNS label, so this is at most 72 printable bytes"),
    }
}
