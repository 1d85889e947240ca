//! The server as a caller: sidecars of its own in the data plane, by which it calls services as they call each other. It has
//! one for pushed events and one for sagas, so that policies tell them apart.

use crate::keys::Keys;
use crate::ports::Ports;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tenon_core::platform::{self, State};
use tenon_core::snapshot::Sidecar;
use tenon_core::{InstanceId, ServiceRef};

/// How the server calls services as one caller: an HTTP proxy, and the name and password to show it.
#[derive(Debug, Clone)]
pub struct OwnSidecar {
    /// Where it listens, once a data plane has been told.
    pub outbound: SocketAddr,
    /// The name.
    pub instance: InstanceId,
    /// The password.
    pub secret: String,
    /// Who calls.
    pub service: ServiceRef,
    inbound: SocketAddr,
    credential: [u8; 32],
}

impl OwnSidecar {
    /// One on ports that nobody listens on.
    pub(crate) fn new(keys: &Keys, taken: &BTreeSet<u16>, service: ServiceRef) -> io::Result<Self> {
        let Ok(instance) = InstanceId::new(&format!("tenon-{}", service.name)) else {
            unreachable!("it is a DNS label")
        };
        let [outbound, inbound] = Ports::starting_anywhere().allocate(taken)?;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            outbound: local(outbound),
            inbound: local(inbound),
            secret: keys.instance_secret(&instance),
            credential: keys.instance_credential(&instance),
            instance,
            service,
        })
    }

    /// The ports that it takes.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [self.outbound.port(), self.inbound.port()]
    }

    /// As a data plane is told of it.
    pub(crate) fn sidecar(&self, state: &State) -> Sidecar {
        platform::own_sidecar(state, self.service.clone(), (self.outbound, self.inbound), self.credential)
    }
}
