//! What an instance is started with, as one number, and what instances are called.

use crate::fnv::Fnv;
use crate::id::{InstanceId, ServiceName};
use crate::manifest::{Process, Service, Workload};

/// A hash of everything that a process is started with. Two processes of a service with the same hash are
/// interchangeable. It is recorded, so it must never be computed otherwise (a test holds it to a known value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecHash(pub u64);

/// The specification of a service that Tenon runs; `None` for one that runs elsewhere. It covers the command,
/// the folder, the environment, the version, the secrets that are injected and the resources; not the number
/// of replicas, nor how the service is checked and called.
pub fn spec_hash(service: &Service) -> Option<SpecHash> {
    let Workload::Process(process) = &service.workload else { return None };
    let mut hash = Fnv::new();
    add_process(&mut hash, process);
    hash.text(service.version.as_str());
    hash.number(service.data.len() as u64);
    for store in &service.data {
        hash.text(&store.name);
        hash.optional(store.connection.as_ref().map(|secret| secret.0.as_str()));
    }
    hash.number(u64::from(service.resources.cpu_millis));
    hash.number(service.resources.memory_bytes);
    Some(SpecHash(hash.finish()))
}

/// What an instance is called, for example `payment-2-7f3a09c1`: its service (cut, so that the whole is a DNS
/// label), its slot and a random number. The number keeps an id from being used twice; whoever draws it draws
/// again if the id is taken.
pub fn instance_id(service: &ServiceName, slot: u32, random: u32) -> InstanceId {
    InstanceId::with_ending(service, &format!("-{slot}-{random:08x}"))
}

fn add_process(hash: &mut Fnv, process: &Process) {
    hash.number(process.command.len() as u64);
    for part in &process.command {
        hash.text(part);
    }
    hash.optional(process.working_directory.as_deref());
    hash.number(process.env.len() as u64);
    for (name, value) in &process.env {
        hash.text(name);
        hash.text(value);
    }
}
