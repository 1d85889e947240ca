//! What a data plane is told, as it travels over gRPC and lies on its disk.
//!
//! Life cycle: the server sends [`Part`]s (see `snapshot.proto` for the order); the data plane turns each into
//! the types of `core`, swaps it in, and keeps the whole as [`Stored`]. A message that does not hold what it
//! must is refused whole, with the field's name, and the data plane carries on with what it has.
//!
//! Left out on purpose: when parts are sent (crate `control`) and what becomes of them (crate `proxy`).

mod balancing;
mod changes;
mod decode;
mod encode;
mod load;
mod policy;
mod resilience;
mod routing;
mod security;
mod telemetry;

use crate::proto::snapshot::v1;
use crate::{InvalidMessage, proto};
use prost::Message;
use std::collections::BTreeSet;
use tenon_core::route::Route;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecars};
use tenon_core::{InstanceId, Revision, ServiceRef};

pub use changes::RouteChanges;
pub use proto::snapshot::v1::snapshot_service_client::SnapshotServiceClient;
pub use proto::snapshot::v1::snapshot_service_server::{SnapshotService, SnapshotServiceServer};

/// The largest message of the protocol; both sides set their limits to it.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The version of [`Stored`] that this program writes, and the latest that it reads.
pub const STORED_VERSION: u32 = 1;

/// One message of a watch.
#[allow(clippy::large_enum_variant, reason = "there are few, and each is taken apart where it arrives")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// How requests are routed and treated, in place of what was said before.
    Routes(Routes),
    /// What of the routes is different from what was said before.
    RouteChanges(Box<RouteChanges>),
    /// Who answers for each service, in place of what was said before.
    Endpoints(Endpoints),
    /// Who answers for one service; the others stay as they are.
    ServiceEndpoints(ServiceEndpoints),
    /// The sidecars to host, in place of what was said before.
    Sidecars(Sidecars),
}

/// All endpoints of one service, in place of those it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEndpoints {
    /// Of the endpoints as a whole, once this is applied.
    pub revision: Revision,
    /// The service.
    pub service: ServiceRef,
    /// Its endpoints; the service is taken out if there are none.
    pub endpoints: Vec<Endpoint>,
}

impl ServiceEndpoints {
    /// Makes the change. One of another log, or one that is not newer than what is there, changes nothing and
    /// answers `false`: then the endpoints as a whole are needed, or are there already.
    pub fn apply_to(self, endpoints: &mut Endpoints) -> bool {
        let follows = self.revision.log == endpoints.revision.log
            && self.revision.position >= endpoints.revision.position;
        if !follows {
            return false;
        }
        endpoints.revision = self.revision;
        if self.endpoints.is_empty() {
            endpoints.services.remove(&self.service);
        } else {
            endpoints.services.insert(self.service, self.endpoints);
        }
        true
    }
}

/// What a data plane asks with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Which data plane asks, for people; at most 128 bytes.
    pub node: String,
    /// The routes that it has.
    pub routes: Option<Revision>,
    /// The endpoints that it has.
    pub endpoints: Option<Revision>,
    /// The sidecars that it has.
    pub sidecars: Option<Revision>,
    /// The instances whose sidecars it hosts, if it hosts those only and no gateway. Empty for the data plane of all
    /// instances that Tenon runs.
    pub instances: BTreeSet<InstanceId>,
}

/// What a data plane keeps on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The routes that it last had.
    pub routes: Option<Routes>,
    /// The endpoints that it last had.
    pub endpoints: Option<Endpoints>,
    /// The sidecars that it last had.
    pub sidecars: Option<Sidecars>,
}

impl Stored {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = v1::StoredSnapshot {
            format_version: STORED_VERSION,
            routes: self.routes.as_ref().map(Into::into),
            endpoints: self.endpoints.as_ref().map(Into::into),
            sidecars: self.sidecars.as_ref().map(Into::into),
        };
        stored.encode_to_vec()
    }

    /// Bytes that add routes to the gateway's, put after those of a file that has a gateway: parts of a message that occurs
    /// again are joined (as Protocol Buffers have it). So a long file can be written piece by piece.
    pub fn more_routes<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Vec<u8> {
        let routes = routes.into_iter().map(Into::into).collect();
        let gateway = Some(v1::Gateway { routes, ..Default::default() });
        let routes = Some(v1::Routes { gateway, ..Default::default() });
        v1::StoredSnapshot { routes, ..Default::default() }.encode_to_vec()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`StoredError`] if the file is of a later version, damaged, or does not hold what it must; a data plane
    /// then starts with nothing and waits for a server.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let stored = v1::StoredSnapshot::decode(bytes)?;
        if stored.format_version == 0 || stored.format_version > STORED_VERSION {
            return Err(StoredError::Version { found: stored.format_version });
        }
        Ok(stored.try_into()?)
    }
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StoredError {
    /// It is not of a version that this program knows.
    #[error("the snapshot has format version {found}; this program reads versions 1 to {STORED_VERSION}")]
    Version {
        /// Its version; 0 if it states none.
        found: u32,
    },
    /// It is not a snapshot at all.
    #[error("the snapshot is damaged")]
    Damaged(#[from] prost::DecodeError),
    /// A field does not hold what it must.
    #[error("the snapshot is not valid")]
    Invalid(#[from] InvalidMessage),
}

#[cfg(test)]
mod tests;
