//! What an instance is started with, as one number, and what instances are called.

use crate::id::{InstanceId, ServiceName};
use crate::manifest::{Process, Service, Workload};

/// A hash of everything that a process is started with. Two processes of a service with the same hash are
/// interchangeable. It is recorded, so it must never be computed otherwise (a test holds it to known values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecHash(pub u64);

/// The specification of a service that Tenon runs; `None` for one that runs elsewhere. It covers the command,
/// the folder, the environment, the version, the secrets that are injected and the resources; not the number
/// of replicas, nor how the service is checked and called.
pub fn spec_hash(service: &Service) -> Option<SpecHash> {
    let Workload::Process(process) = &service.workload else { return None };
    let mut hash = Fnv::new();
    hash.process(process);
    hash.text(service.version.as_str());
    hash.number(service.data.len() as u64);
    for store in &service.data {
        hash.text(&store.name);
        hash.optional(store.connection.as_ref().map(|secret| secret.0.as_str()));
    }
    hash.number(u64::from(service.resources.cpu_millis));
    hash.number(service.resources.memory_bytes);
    Some(SpecHash(hash.0))
}

/// What an instance is called, for example `payment-2-7f3a09c1`: its service (cut, so that the whole is a DNS
/// label), its slot and a random number. The number keeps an id from being used twice; whoever draws it draws
/// again if the id is taken.
pub fn instance_id(service: &ServiceName, slot: u32, random: u32) -> InstanceId {
    let ending = format!("-{slot}-{random:08x}");
    let name = service.as_str();
    let kept = name.get(..name.len().min(MAX_LABEL - ending.len())).unwrap_or(name);
    InstanceId::new(&format!("{kept}{ending}")).expect(
        "a prefix of a DNS label, '-', digits and hexadecimal digits of at most 63 bytes are a DNS label",
    )
}

/// The most bytes of a DNS label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// FNV-1a with 64 bits (G. Fowler, L. C. Noll, K.-P. Vo; draft-eastlake-fnv): stable over versions and machines,
/// which the standard library's hashes are not.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// The length goes first, so that "a","bc" and "ab","c" differ.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.bytes(&[u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    fn process(&mut self, process: &Process) {
        self.number(process.command.len() as u64);
        for part in &process.command {
            self.text(part);
        }
        self.optional(process.working_directory.as_deref());
        self.number(process.env.len() as u64);
        for (name, value) in &process.env {
            self.text(name);
            self.text(value);
        }
    }
}
