use super::*;
use crate::testing::{self, name, service_ref, socket, span};
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tenon_core::catalog::{self, Applied};
use tenon_core::health::{Evidence, Status};
use tenon_core::registry::{self, DeregisterReason, Labels, Metadata, Registration, Sidecar};
use tenon_core::runtime::{self, Exit, Ports, SpecHash, StopReason};
use tenon_core::{ServerId, config, duty};

mod golden;

fn labels() -> impl Strategy<Value = Labels> {
    let metadata = btree_map("[a-z]{1,8}", ".{0,16}", 0..4).prop_map(|pairs| Metadata::new(pairs).unwrap());
    (testing::version(), any::<u32>(), metadata).prop_map(|(version, weight, metadata)| Labels {
        version,
        weight,
        metadata,
    })
}

fn registration() -> impl Strategy<Value = Registration> {
    let origin = prop_oneof![
        any::<u32>().prop_map(|slot| registry::Origin::Managed { slot }),
        Just(registry::Origin::External),
        option::of(span()).prop_map(|ttl| registry::Origin::Registered { ttl }),
    ];
    let sidecar = (socket(), socket()).prop_map(|(inbound, outbound)| Sidecar { inbound, outbound });
    (name(), service_ref(), testing::address(), labels(), origin, option::of(sidecar)).prop_map(
        |(id, service, address, labels, origin, sidecar)| Registration {
            id,
            service,
            address,
            labels,
            origin,
            sidecar,
        },
    )
}

const STATUSES: [Status; 3] = [Status::Unknown, Status::Healthy, Status::Unhealthy];

const DEREGISTER_REASONS: [DeregisterReason; 4] = [
    DeregisterReason::Requested,
    DeregisterReason::Ended,
    DeregisterReason::Unhealthy,
    DeregisterReason::Removed,
];

const STOP_REASONS: [StopReason; 5] = [
    StopReason::ServiceStopped,
    StopReason::ScaledDown,
    StopReason::ServiceRemoved,
    StopReason::Replaced,
    StopReason::Unhealthy,
];

fn registry_event() -> impl Strategy<Value = registry::Event> {
    use registry::Event;
    let evidence =
        (".{0,16}", ".{0,16}", span()).prop_map(|(check, answer, took)| Evidence::new(&check, &answer, took));
    prop_oneof![
        registration().prop_map(Event::InstanceRegistered),
        (service_ref(), name(), labels()).prop_map(|(service, instance, labels)| Event::InstanceUpdated {
            service,
            instance,
            labels
        }),
        (service_ref(), name(), select(&DEREGISTER_REASONS[..])).prop_map(|(service, instance, reason)| {
            Event::InstanceDeregistered { service, instance, reason }
        }),
        (service_ref(), name(), select(&STATUSES[..]), select(&STATUSES[..]), evidence).prop_map(
            |(service, instance, from, to, evidence)| Event::InstanceHealthChanged {
                service,
                instance,
                from,
                to,
                evidence,
            }
        ),
        (service_ref(), name()).prop_map(|(service, instance)| Event::InstanceDraining { service, instance }),
    ]
}

fn config_event() -> impl Strategy<Value = config::Event> {
    use config::{Event, Origin};
    let origin = || select(&[Origin::Manifest, Origin::Hand][..]);
    prop_oneof![
        (service_ref(), testing::key(), testing::value(), origin())
            .prop_map(|(service, key, value, origin)| Event::ValueSet { service, key, value, origin }),
        (service_ref(), testing::key(), origin()).prop_map(|(service, key, origin)| Event::ValueRemoved {
            service,
            key,
            origin
        }),
    ]
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        any::<i32>().prop_map(Exit::Exited),
        any::<i32>().prop_map(Exit::Signalled),
        Just(Exit::Lost),
        ".{0,16}".prop_map(Exit::StartFailed),
    ]
}

fn instance_event() -> impl Strategy<Value = runtime::Event> {
    use runtime::Event;
    let ports = any::<(u16, u16, u16)>().prop_map(|(application, inbound, outbound)| Ports {
        application,
        inbound,
        outbound,
    });
    prop_oneof![
        (name(), service_ref(), any::<u32>(), any::<u64>(), ports).prop_map(
            |(instance, service, slot, spec, ports)| Event::InstanceStarting {
                instance,
                service,
                slot,
                spec: SpecHash(spec),
                ports,
            }
        ),
        (name(), service_ref(), any::<u32>(), any::<u64>()).prop_map(|(instance, service, pid, micros)| {
            Event::InstanceStarted { instance, service, pid, started_at: Timestamp::from_micros(micros) }
        }),
        (name(), service_ref(), select(&STOP_REASONS[..]))
            .prop_map(|(instance, service, reason)| Event::InstanceStopping { instance, service, reason }),
        (name(), service_ref(), exit()).prop_map(|(instance, service, exit)| Event::InstanceExited {
            instance,
            service,
            exit
        }),
    ]
}

fn service_event() -> impl Strategy<Value = runtime::Event> {
    use runtime::Event;
    prop_oneof![
        service_ref().prop_map(|service| Event::ServiceStarted { service }),
        service_ref().prop_map(|service| Event::ServiceStopped { service }),
        (service_ref(), option::of(any::<u32>()))
            .prop_map(|(service, replicas)| Event::ServiceScaled { service, replicas }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let manifest = (testing::system(), ".{0,64}")
        .prop_map(|(system, text)| Applied { system: system.into(), text: text.into() });
    prop_oneof![
        1 => manifest.prop_map(|it| Event::Catalog(catalog::Event::ManifestApplied(it))),
        4 => registry_event().prop_map(Event::Registry),
        2 => config_event().prop_map(Event::Config),
        4 => instance_event().prop_map(Event::Runtime),
        2 => service_event().prop_map(Event::Runtime),
        1 => duty_event().prop_map(Event::Duty),
    ]
}

fn duty_event() -> impl Strategy<Value = duty::Event> {
    (select(&duty::Duty::ALL[..]), any::<[u8; 16]>(), any::<u64>()).prop_map(|(duty, server, epoch)| {
        duty::Event::DutyTaken { duty, server: ServerId::from_bytes(server), epoch: duty::Epoch(epoch) }
    })
}

proptest! {
    #[test]
    fn every_event_survives_the_log(event in event()) {
        let (event_type, payload) = encode(&event);
        prop_assert_eq!(decode(&event_type, &payload), Ok(event));
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over(event in event()) {
        let (event_type, payload) = encode(&event);
        // Field 1,000 of any message, a varint.
        let with_more = [&payload[..], &[0xc0, 0x3e, 0x01]].concat();
        prop_assert_eq!(decode(&event_type, &with_more), Ok(event));
    }

    #[test]
    fn damaged_payloads_never_panic(event in event(), at: proptest::sample::Index, with: u8) {
        let (event_type, payload) = encode(&event);
        let mut damaged = payload.to_vec();
        let at = at.index(damaged.len());
        damaged[at] = with;
        let _ = decode(&event_type, &damaged);
        let _ = decode(&event_type, &damaged[..at]);
    }
}

#[test]
fn an_unknown_type_and_a_bad_payload_are_told_apart() {
    let unknown = EventType::new("tenon.registry.InstanceBlessed.v1").unwrap();
    assert_eq!(decode(&unknown, &[]), Err(DecodeError::UnknownType(unknown.clone())));

    let known = EventType::new("tenon.registry.InstanceDraining.v1").unwrap();
    assert!(matches!(decode(&known, &[0xff]), Err(DecodeError::Damaged { .. })));
    let Err(DecodeError::Invalid { source, .. }) = decode(&known, &[]) else {
        panic!("it lacks its instance")
    };
    assert_eq!(source.to_string(), "instance: is missing");
}
