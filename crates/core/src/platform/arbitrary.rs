//! Commands and events in any order, from a universe small enough that they meet.

use super::{Command, Event};
use crate::catalog::{self, Applied};
use crate::config;
use crate::duty::{self, Duty, Epoch};
use crate::fixtures::{
    applied, external, id, key, local, managed, millis, registration, service, system, value, with_config,
};
use crate::health::{Evidence, Status};
use crate::id::{InstanceId, Position, ServerId, ServiceRef};
use crate::registry::{self, DeregisterReason, Labels, Origin, Registration};
use crate::runtime::{self, Exit, Ports, SpecHash, StopReason};
use proptest::prelude::*;
use std::time::Duration;

/// What a server may be asked, without the actions of a plan.
pub(super) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => manifest().prop_map(|it| Command::Catalog(catalog::Command::Apply(it))),
        6 => registry_command().prop_map(Command::Registry),
        3 => config_command().prop_map(Command::Config),
        3 => runtime_command().prop_map(Command::Runtime),
        1 => (a_duty(), a_server()).prop_map(|(duty, server)| Command::Duty(duty::Command::Take { duty, server })),
        1 => (a_service(), an_instance())
            .prop_map(|(service, instance)| Command::GiveUp { service, instance }),
    ]
}

/// Anything that could stand in a log, in whatever order.
pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => manifest().prop_map(|it| Event::Catalog(catalog::Event::ManifestApplied(it))),
        6 => registry_event().prop_map(Event::Registry),
        3 => config_event().prop_map(Event::Config),
        6 => runtime_event().prop_map(Event::Runtime),
        1 => duty_event().prop_map(Event::Duty),
    ]
}

fn a_duty() -> impl Strategy<Value = Duty> {
    prop_oneof![Just(Duty::Health), Just(Duty::Runtime)]
}

fn a_server() -> impl Strategy<Value = ServerId> {
    (0..3u8).prop_map(|number| ServerId::from_bytes([number; 16]))
}

fn duty_event() -> impl Strategy<Value = duty::Event> {
    (a_duty(), a_server(), 0..4u64).prop_map(|(duty, server, epoch)| duty::Event::DutyTaken {
        duty,
        server,
        epoch: Epoch(epoch),
    })
}

fn a_service() -> impl Strategy<Value = ServiceRef> + Clone {
    prop_oneof![Just(service("payment")), Just(service("ledger")), Just(service("nobody"))]
}

/// Ids of those that register themselves and of those that tests start.
fn an_instance() -> impl Strategy<Value = InstanceId> + Clone {
    prop_oneof![(0..3u8).prop_map(|it| id(&format!("i{it}"))), (1..8u16).prop_map(|it| id(&format!("p{it}")))]
}

fn a_status() -> impl Strategy<Value = Status> + Clone {
    prop_oneof![1 => Just(Status::Unknown), 3 => Just(Status::Healthy), 1 => Just(Status::Unhealthy)]
}

fn manifest() -> impl Strategy<Value = Applied> {
    let command = prop_oneof![Just("pay"), Just("pay --faster")];
    let limit = proptest::option::of(0..3u8);
    (0..3u32, command, 0..4usize, limit).prop_map(|(replicas, command, count, limit)| {
        let payment = (count < 3).then(|| managed("payment", replicas, command));
        let ledger = (count > 0).then(|| external("ledger", &[9_000, 9_001, 9_000][..count]));
        let limit = limit.map(|it| it.to_string());
        let values: Vec<_> = limit.iter().map(|it| ("limit", it.as_str())).collect();
        applied(with_config(system(payment.into_iter().chain(ledger).collect()), "payment", &values))
    })
}

fn evidence() -> Evidence {
    Evidence::new("GET /health", "status 200", Duration::ZERO)
}

fn labels() -> impl Strategy<Value = Labels> {
    (0..3u32).prop_map(|weight| Labels { weight, ..Labels::default() })
}

fn registry_command() -> impl Strategy<Value = registry::Command> {
    use registry::Command::{Deregister, Drain, RecordHealth, Register, Update};
    let new = (a_service(), an_instance(), 0..4u8).prop_map(|(service, id, ttl)| {
        let ttl = (ttl > 0).then(|| Duration::from_secs(u64::from(ttl)));
        let origin = Origin::Registered { ttl };
        Registration { id, service, origin, ..registration("payment", "x", 9_500) }
    });
    let of = || (a_service(), an_instance());
    prop_oneof![
        3 => new.prop_map(Register),
        4 => (of(), a_status()).prop_map(|((service, instance), to)| {
            RecordHealth { service, instance, to, evidence: evidence() }
        }),
        1 => (of(), labels()).prop_map(|((service, instance), labels)| Update { service, instance, labels }),
        1 => of().prop_map(|(service, instance)| Drain { service, instance }),
        1 => of().prop_map(|(service, instance)| {
            Deregister { service, instance, reason: DeregisterReason::Requested }
        }),
    ]
}

fn config_command() -> impl Strategy<Value = config::Command> {
    use config::Command::{Remove, Rollback, Set};
    prop_oneof![
        3 => (a_service(), 0..3u8, proptest::option::of(0..5u64)).prop_map(|(service, text, expected)| {
            let expected = expected.map(Position);
            Set { service, key: key("limit"), value: value(&text.to_string()), expected }
        }),
        1 => a_service().prop_map(|service| Remove { service, key: key("limit"), expected: None }),
        1 => a_service().prop_map(|service| Rollback { service, to: [(key("burst"), value("1"))].into() }),
    ]
}

fn runtime_command() -> impl Strategy<Value = runtime::Command> {
    use runtime::Command::{ReportExited, ScaleService, StartService, StopService};
    prop_oneof![
        1 => a_service().prop_map(|service| StartService { service }),
        1 => a_service().prop_map(|service| StopService { service }),
        1 => (a_service(), 0..4u32).prop_map(|(service, replicas)| ScaleService { service, replicas }),
        3 => an_instance().prop_map(|instance| ReportExited { instance, exit: Exit::Signalled(9) }),
    ]
}

fn registry_event() -> impl Strategy<Value = registry::Event> {
    use registry::Event::{
        InstanceDeregistered, InstanceDraining, InstanceHealthChanged, InstanceRegistered, InstanceUpdated,
    };
    let of = || (a_service(), an_instance());
    prop_oneof![
        3 => (of(), 1..4u16).prop_map(|((service, id), port)| {
            let new = registration("payment", "x", port);
            InstanceRegistered(Registration { id, service, address: local(port), ..new })
        }),
        3 => (of(), a_status(), a_status()).prop_map(|((service, instance), from, to)| {
            InstanceHealthChanged { service, instance, from, to, evidence: evidence() }
        }),
        1 => (of(), labels())
            .prop_map(|((service, instance), labels)| InstanceUpdated { service, instance, labels }),
        1 => of().prop_map(|(service, instance)| InstanceDraining { service, instance }),
        1 => of().prop_map(|(service, instance)| {
            InstanceDeregistered { service, instance, reason: DeregisterReason::Ended }
        }),
    ]
}

fn config_event() -> impl Strategy<Value = config::Event> {
    (a_service(), 0..3u8, any::<bool>()).prop_map(|(service, text, by_hand)| {
        let origin = if by_hand { config::Origin::Hand } else { config::Origin::Manifest };
        let key = key("limit");
        match text {
            0 => config::Event::ValueRemoved { service, key, origin },
            _ => config::Event::ValueSet { service, key, value: value(&text.to_string()), origin },
        }
    })
}

fn runtime_event() -> impl Strategy<Value = runtime::Event> {
    use runtime::Event::{
        InstanceExited, InstanceStarted, InstanceStarting, InstanceStopping, ServiceScaled, ServiceStarted,
        ServiceStopped,
    };
    let of = || (a_service(), an_instance());
    prop_oneof![
        1 => a_service().prop_map(|service| ServiceStarted { service }),
        1 => a_service().prop_map(|service| ServiceStopped { service }),
        1 => (a_service(), proptest::option::of(0..u32::MAX))
            .prop_map(|(service, replicas)| ServiceScaled { service, replicas: replicas.map(|it| it % 9) }),
        4 => (of(), 0..4u32, any::<u64>(), any::<u16>()).prop_map(|((service, instance), slot, spec, port)| {
            let ports = Ports { application: port, inbound: port, outbound: port };
            InstanceStarting { instance, service, slot, spec: SpecHash(spec), ports }
        }),
        2 => (of(), any::<u64>()).prop_map(|((service, instance), at)| {
            InstanceStarted { instance, service, pid: 1, started_at: millis(at) }
        }),
        1 => of().prop_map(|(service, instance)| {
            InstanceStopping { instance, service, reason: StopReason::Unhealthy }
        }),
        2 => of().prop_map(|(service, instance)| InstanceExited { instance, service, exit: Exit::Lost }),
    ]
}
