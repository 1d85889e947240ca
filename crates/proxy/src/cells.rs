//! What a process knows of services and instances besides its configuration: breakers, ejections, retry budgets, requests
//! in flight. One of each for the whole process, so that thresholds mean what they say, in atomics that all workers
//! share. They survive changes of the configuration for as long as it names the service or instance.

use crate::policy::{Attached, Counts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tenon_core::availability::Mode;
use tenon_core::balance::{self, Config, FAILURE_LATENCY, Measured, Table};
use tenon_core::rate::Limit;
use tenon_core::retry::budget;
use tenon_core::{InstanceId, PolicyName, ServiceRef, Timestamp};
use tenon_core::{breaker, concurrency, limit, outlier, quantile};

/// Of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCells {
    /// What all calls may spend on retries.
    pub(crate) budget: budget::Shared,
    /// Calls in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
    /// How many of them there may be, where that is found by itself.
    pub(crate) concurrency: concurrency::Shared,
    /// How long tries take, where that decides when another goes out beside them.
    pub(crate) latency: quantile::Shared,
    /// Calls that wait for an instance.
    pub(crate) pending: Arc<limit::Shared>,
    /// When its instances were last compared, in microseconds.
    pub(crate) compared: AtomicU64,
    /// How long its instances take to answer as a rule, where its balancing looks at that.
    pub(crate) mean_latency: balance::Shared,
    /// How it stood with its instances when they last changed.
    mode: AtomicU8,
}

impl ServiceCells {
    /// Remembers how it stands with the instances, and says so if that has changed.
    pub(crate) fn in_mode(&self, service: &ServiceRef, mode: Mode) {
        if self.mode.swap(mode as u8, Ordering::Relaxed) == mode as u8 {
            return;
        }
        match mode {
            Mode::Normal => tracing::info!(%service, "only healthy instances are called again"),
            Mode::Guarded => tracing::warn!(
                %service,
                "most instances seem to have failed at once, which is likelier their checks' failure; they are called on"
            ),
            Mode::Panic => tracing::warn!(%service, "too few instances are healthy; all of them are called"),
        }
    }
}

/// Of one instance.
#[derive(Debug, Default)]
pub(crate) struct InstanceCells {
    /// Fed with the outcome of each attempt.
    pub(crate) outlier: outlier::Shared,
    /// Attempts in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
    /// How long it takes to answer, where its service's balancing looks at that.
    pub(crate) latency: balance::Shared,
    /// How often it failed of late, likewise.
    pub(crate) failures: balance::Shared,
    /// How the last attempt found it, as far as that says something.
    contact: AtomicU8,
}

/// How an attempt found an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Contact {
    /// It answered, or has not been asked.
    Answers = 0,
    /// The connection broke.
    Broke = 1,
    /// There was no connection.
    Refuses = 2,
}

impl InstanceCells {
    pub(crate) fn contact(&self) -> Contact {
        match self.contact.load(Ordering::Relaxed) {
            0 => Contact::Answers,
            1 => Contact::Broke,
            _ => Contact::Refuses,
        }
    }

    /// How an attempt has found it. Where nobody listens, a connection that breaks after that says nothing new.
    pub(crate) fn found(&self, contact: Contact) {
        let known = self.contact();
        if contact == Contact::Answers && known != Contact::Answers {
            self.contact.store(contact as u8, Ordering::Relaxed);
        } else if contact > known {
            self.contact.fetch_max(contact as u8, Ordering::Relaxed);
        }
    }

    /// Remembers for balancing how an attempt ended that took so long. A failure counts as slow, however fast it came.
    pub(crate) fn measured(&self, of: &ServiceCells, took: Duration, succeeded: bool, now: Timestamp) {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        if succeeded {
            self.latency.add(Measured::Peak(micros(took)), now);
            of.mean_latency.add(Measured::Mean(micros(took)), now);
        } else {
            let usual = of.mean_latency.now(now).unwrap_or_default().saturating_mul(2);
            self.latency.add(Measured::Peak(micros(took.max(FAILURE_LATENCY)).max(usual)), now);
            self.failures.add(Measured::More(1), now);
        }
    }
}

/// All cells of a process; used when the configuration changes only.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    services: BTreeMap<ServiceRef, Arc<ServiceCells>>,
    breakers: BTreeMap<ServiceRef, Arc<breaker::Shared>>,
    instances: BTreeMap<(ServiceRef, InstanceId), Arc<InstanceCells>>,
    limits: BTreeMap<(Attached, PolicyName), Arc<Counts>>,
    /// The tables in use, so that a change elsewhere does not make them anew.
    tables: BTreeMap<ServiceRef, Vec<Arranged>>,
}

/// A table and what it was made of.
#[derive(Debug)]
struct Arranged {
    config: Config,
    members: Vec<(usize, InstanceId, u32)>,
    table: Arc<Table>,
}

impl Cells {
    /// The cells of a service, made if there are none.
    pub(crate) fn service(&mut self, service: &ServiceRef) -> Arc<ServiceCells> {
        Arc::clone(self.services.entry(service.clone()).or_default())
    }

    /// The breaker of a service, made if there is none with this window: another window begins afresh.
    pub(crate) fn breaker(&mut self, service: &ServiceRef, window: breaker::Window) -> Arc<breaker::Shared> {
        match self.breakers.get(service).filter(|it| it.fits(window)) {
            Some(breaker) => Arc::clone(breaker),
            None => {
                let breaker = Arc::new(breaker::Shared::with(window));
                self.breakers.insert(service.clone(), Arc::clone(&breaker));
                breaker
            }
        }
    }

    /// The cells of an instance, made if there are none.
    pub(crate) fn instance(&mut self, service: &ServiceRef, instance: &InstanceId) -> Arc<InstanceCells> {
        Arc::clone(self.instances.entry((service.clone(), instance.clone())).or_default())
    }

    /// What a rate limit counts where it is attached, made if it is not there or counts something else.
    pub(crate) fn counts(&mut self, to: Attached, policy: &PolicyName, limit: &Limit) -> Arc<Counts> {
        let counts =
            self.limits.entry((to, policy.clone())).or_insert_with(|| Arc::new(Counts::new(&limit.by)));
        if !counts.fit(&limit.by) {
            *counts = Arc::new(Counts::new(&limit.by));
        }
        Arc::clone(counts)
    }

    /// The table of these instances of a service: where each stands, its name and its weight.
    pub(crate) fn table(
        &mut self,
        service: &ServiceRef,
        config: &Config,
        members: Vec<(usize, InstanceId, u32)>,
    ) -> Arc<Table> {
        let known = self.tables.entry(service.clone()).or_default();
        if let Some(known) = known.iter().find(|it| it.members == members && it.config == *config) {
            return Arc::clone(&known.table);
        }
        let named = members.iter().map(|(index, instance, weight)| balance::Member {
            index: *index,
            name: instance.as_str(),
            weight: *weight,
        });
        let table = Arc::new(Table::new(config, named));
        known.push(Arranged { config: config.clone(), members, table: Arc::clone(&table) });
        table
    }

    /// Forgets what nobody else refers to any more.
    pub(crate) fn forget_unused(&mut self) {
        self.tables.retain(|_, tables| {
            tables.retain(|it| Arc::strong_count(&it.table) > 1);
            !tables.is_empty()
        });
        self.services.retain(|_, cells| Arc::strong_count(cells) > 1);
        self.breakers.retain(|_, breaker| Arc::strong_count(breaker) > 1);
        self.instances.retain(|_, cells| Arc::strong_count(cells) > 1);
        self.limits.retain(|_, counts| Arc::strong_count(counts) > 1);
    }
}
