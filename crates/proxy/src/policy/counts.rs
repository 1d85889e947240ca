//! What rate limits count. Per process, in atomics that all workers share; kept over changes of the configuration for as
//! long as a limit of that name is attached to the same service or route.

use crate::refusal::Refused;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use tenon_core::policy::{Facts, Fields, Source};
use tenon_core::rate::{By, Exceeded, Limit, Shared, Table};
use tenon_core::{Code, PolicyName, RouteName, ServiceRef, Timestamp};

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attached {
    Service(ServiceRef),
    Route(RouteName),
}

/// The counts of one rate limit.
#[derive(Debug)]
pub(crate) enum Counts {
    /// All together.
    One(Shared),
    /// Apart, by a hash that callers can't foresee.
    Many(Table, RandomState),
}

impl Counts {
    pub(crate) fn new(by: &By) -> Self {
        match by {
            By::All => Self::One(Shared::default()),
            _ => Self::Many(Table::new(Table::PLACES), RandomState::new()),
        }
    }

    /// Whether they can count by this.
    pub(crate) const fn fit(&self, by: &By) -> bool {
        matches!((self, by), (Self::One(_), By::All))
            || matches!(self, Self::Many(..)) && !matches!(by, By::All)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Exceeded`] if it comes too early.
    pub(crate) fn admit<H: Fields>(
        &self,
        limit: &Limit,
        facts: &Facts<'_, H>,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        let admitted = match self {
            Self::One(shared) => shared.admit(limit, now),
            Self::Many(table, hasher) => table.admit(key(hasher, &limit.by, facts), limit, now),
        };
        admitted.map(drop)
    }
}

/// What stands for whom a request is counted with.
fn key<H: Fields>(hasher: &RandomState, by: &By, facts: &Facts<'_, H>) -> u64 {
    let mut hash = hasher.build_hasher();
    match by {
        By::All => {}
        By::Source => match facts.source {
            Source::Service(service) => service.hash(&mut hash),
            Source::Gateway => 1_u8.hash(&mut hash),
            Source::Unknown => 2_u8.hash(&mut hash),
        },
        By::Client => network(facts.client).hash(&mut hash),
        By::Header(name) => {
            if let Some(http) = &facts.http {
                http.headers.any(name.as_str(), &mut |value| {
                    value.hash(&mut hash);
                    false
                });
            }
        }
    }
    hash.finish()
}

/// Whom an address belongs to: with IPv6, everybody has 2^64 of them.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// The refusal of a request that came too early, with what draft-ietf-httpapi-ratelimit-headers says of the limit.
pub(super) fn refusal(name: &PolicyName, limit: &Limit, exceeded: Exceeded) -> Refused {
    let detail = format!(
        "policy `{name}` admits {} calls in {:?}, and {} at once; the next is admitted in {} ms",
        limit.requests,
        limit.per,
        limit.burst,
        exceeded.retry_after.as_millis().max(1)
    );
    // A quota is for whole seconds.
    let window = limit.per.as_secs().max(1);
    let quota = u128::from(limit.requests) * u128::from(window) * 1_000_000_000 / limit.per.as_nanos().max(1);
    let refused = Refused::new(Code::MeshRateLimited, detail).by_policy(name);
    refused.retry_after(exceeded.retry_after).limited(format!("\"{name}\";q={quota};w={window}"), name)
}
