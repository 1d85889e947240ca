//! What is known of one instance.

use crate::address::Address;
use crate::health::Status;
use crate::id::{InstanceId, InvalidName, ServiceRef};
use crate::manifest::Version;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A registered instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// What it was registered with; its labels may have been updated since.
    pub registration: Registration,
    /// What is believed of its health.
    pub status: Status,
    /// Whether it is being taken out of service: it is not called any more.
    pub draining: bool,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When its status, its labels or `draining` last changed.
    pub changed_at: Timestamp,
    /// When its status last changed; when it was registered, if it never did.
    pub status_since: Timestamp,
    /// Whether it was ever healthy.
    pub was_healthy: bool,
}

impl Instance {
    /// Its id.
    pub fn id(&self) -> &InstanceId {
        &self.registration.id
    }

    /// Whether it may be called: healthy and not draining.
    pub fn is_callable(&self) -> bool {
        self.status == Status::Healthy && !self.draining
    }

    /// Whether data planes are told of it: it was healthy once and is not draining. While it is unhealthy they call it
    /// only if most of its service's instances seem to be (module [`availability`](crate::availability)).
    pub fn is_listed(&self) -> bool {
        self.was_healthy && !self.draining
    }
}

/// What an instance is registered with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Registration {
    /// Its id, unique among all instances.
    pub id: InstanceId,
    /// The service that it answers for.
    pub service: ServiceRef,
    /// Where its application listens.
    pub address: Address,
    /// What may change while it is registered.
    pub labels: Labels,
    /// How it came to be known.
    pub origin: Origin,
    /// The listeners of its sidecar, if it has one.
    pub sidecar: Option<Sidecar>,
}

/// What may change of an instance while it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    /// Its version.
    pub version: Version,
    /// Its share of the traffic against the others'; 1 by default, 0 for none.
    pub weight: u32,
    /// What else is to be known of it.
    pub metadata: Metadata,
}

impl Default for Labels {
    /// Version 1.0.0, weight 1, nothing else.
    fn default() -> Self {
        Self { version: Version::default(), weight: 1, metadata: Metadata::default() }
    }
}

/// How an instance came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Tenon runs it, as this replica of its service.
    Managed {
        /// Which replica, counted from 1.
        slot: u32,
    },
    /// The manifest says where it runs.
    External,
    /// It registered itself through the API.
    Registered {
        /// How long a heartbeat holds. Without this it is checked as its service's other instances are.
        ttl: Option<Duration>,
    },
}

/// The listeners of an instance's sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sidecar {
    /// Where calls from other processes for the instance come in.
    pub inbound: SocketAddr,
    /// Where the application's own calls come in.
    pub outbound: SocketAddr,
}

/// Free pairs of text: at most 32, keys of 1 to 64 bytes, values of at most 256 bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The most pairs.
    pub const MAX_PAIRS: usize = 32;
    /// The most bytes of a key.
    pub const MAX_KEY: usize = 64;
    /// The most bytes of a value.
    pub const MAX_VALUE: usize = 256;

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`InvalidName`] names the key at fault and the bound.
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, InvalidName> {
        if pairs.len() > Self::MAX_PAIRS {
            return Err(InvalidName::new("metadata", "", "must have at most 32 pairs"));
        }
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > Self::MAX_KEY {
                return Err(InvalidName::new("metadata key", key, "must have 1 to 64 bytes"));
            }
            if value.len() > Self::MAX_VALUE {
                return Err(InvalidName::new("metadata key", key, "must have a value of at most 256 bytes"));
            }
        }
        Ok(Self(pairs))
    }

    /// The pairs.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}
