use super::*;
use crate::fixtures::{catalog, external, id, local, managed, millis, registration, service, stamp, system};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn shop() -> catalog::State {
    catalog(system(vec![managed("payment", 1, "pay"), external("ledger", &[9_000])]))
}

fn evidence() -> Evidence {
    Evidence::new("GET /health", "status 200", Duration::from_millis(3))
}

fn record(of: &str, instance: &str, to: Status) -> Command {
    Command::RecordHealth { service: service(of), instance: id(instance), to, evidence: evidence() }
}

fn register(of: &str, instance: &str) -> Command {
    Command::Register(registration(of, instance, 9_000))
}

fn remove(of: &str, instance: &str) -> Command {
    let reason = DeregisterReason::Requested;
    Command::Deregister { service: service(of), instance: id(instance), reason }
}

/// The registry after commands that are all accepted.
fn after(commands: &[Command]) -> State {
    let mut state = State::default();
    for (index, command) in commands.iter().enumerate() {
        for event in decide(&state, &shop(), command).unwrap() {
            state.evolve(&stamp(1 + index as u64, millis(index as u64)), &event);
        }
    }
    state
}

fn refused(state: &State, command: &Command) -> Code {
    decide(state, &shop(), command).unwrap_err().code
}

#[test]
fn a_duplicate_instance_id_is_refused_even_for_another_service() {
    let state = after(&[register("payment", "a")]);
    assert_eq!(refused(&state, &register("payment", "a")), Code::RegistryDuplicateInstance);
    assert_eq!(refused(&state, &register("ledger", "a")), Code::RegistryDuplicateInstance);
}

#[test]
fn an_id_is_free_again_after_deregistration() {
    let state = after(&[register("payment", "a"), remove("payment", "a"), register("ledger", "a")]);
    assert_eq!(state.get(&id("a")).unwrap().registration.service, service("ledger"));
}

#[test]
fn lookup_tells_unknown_services_and_unhealthy_ones_apart() {
    let catalog = shop();
    let lookup = |state: &State, of: &str| {
        state.lookup(&catalog, &service(of)).map(|it| it.len()).map_err(|it| it.code)
    };
    let state = after(&[register("payment", "a")]);
    assert_eq!(lookup(&state, "nobody"), Err(Code::RegistryUnknownService));
    assert_eq!(lookup(&state, "ledger"), Err(Code::RegistryNoHealthyInstance));
    assert_eq!(lookup(&state, "payment"), Err(Code::RegistryNoHealthyInstance));
    let state = after(&[register("payment", "a"), record("payment", "a", Status::Healthy)]);
    assert_eq!(lookup(&state, "payment"), Ok(1));
}

#[test]
fn unknown_services_and_instances_are_different_errors() {
    let state = after(&[register("payment", "a")]);
    for command in [remove, |of: &str, it: &str| record(of, it, Status::Healthy)] {
        assert_eq!(refused(&state, &command("nobody", "a")), Code::RegistryUnknownService);
        assert_eq!(refused(&state, &command("ledger", "a")), Code::RegistryUnknownInstance);
        assert_eq!(refused(&state, &command("payment", "b")), Code::RegistryUnknownInstance);
    }
}

#[test]
fn a_draining_instance_is_not_called_whatever_its_health() {
    let drain = Command::Drain { service: service("payment"), instance: id("a") };
    let state = after(&[register("payment", "a"), record("payment", "a", Status::Healthy), drain.clone()]);
    assert!(state.lookup(&shop(), &service("payment")).is_err());
    assert_eq!(state.get(&id("a")).unwrap().status, Status::Healthy);
    assert_eq!(decide(&state, &shop(), &drain).unwrap(), [], "draining twice is no event");
}

#[test]
fn a_verdict_is_recorded_with_what_it_changes_and_once() {
    let state = after(&[register("payment", "a")]);
    let events = decide(&state, &shop(), &record("payment", "a", Status::Healthy)).unwrap();
    let [Event::InstanceHealthChanged { from, to, evidence: kept, .. }] = &events[..] else { panic!() };
    assert_eq!((*from, *to, kept), (Status::Unknown, Status::Healthy, &evidence()));
    assert_eq!(decide(&state, &shop(), &record("payment", "a", Status::Unknown)).unwrap(), []);
}

#[test]
fn labels_change_without_losing_health() {
    let labels = Labels { weight: 5, ..Labels::default() };
    let update = Command::Update { service: service("payment"), instance: id("a"), labels: labels.clone() };
    let state = after(&[register("payment", "a"), record("payment", "a", Status::Healthy), update.clone()]);
    let instance = state.get(&id("a")).unwrap();
    assert!(instance.is_callable());
    assert_eq!(instance.registration.labels, labels);
    assert_eq!(instance.changed_at, millis(2));
    assert_eq!(decide(&state, &shop(), &update).unwrap(), []);
}

#[test]
fn a_full_registry_refuses_more() {
    let mut state = State::default();
    for index in 0..MAX_INSTANCES {
        let new = registration("payment", &format!("i{index}"), 9_000);
        state.evolve(&stamp(1, millis(0)), &Event::InstanceRegistered(new));
    }
    assert_eq!(refused(&state, &register("payment", "a")), Code::RegistryFull);
    assert_eq!(refused(&state, &register("payment", "i7")), Code::RegistryDuplicateInstance);
}

#[test]
fn a_time_to_live_that_cannot_be_kept_is_refused() {
    let ttl = Some(Duration::from_millis(999));
    let short = Registration { origin: Origin::Registered { ttl }, ..registration("payment", "a", 1) };
    assert_eq!(refused(&State::default(), &Command::Register(short)), Code::RequestInvalid);
}

#[test]
fn metadata_is_bounded() {
    let pairs = |count: usize, key: usize, value: usize| {
        let pair = |index: usize| (format!("{index:0>key$}"), "v".repeat(value));
        Metadata::new((0..count).map(pair).collect())
    };
    assert!(pairs(Metadata::MAX_PAIRS, Metadata::MAX_KEY, Metadata::MAX_VALUE).is_ok());
    assert!(pairs(Metadata::MAX_PAIRS + 1, 1, 1).is_err());
    assert!(pairs(1, Metadata::MAX_KEY + 1, 1).is_err());
    assert!(pairs(1, 1, Metadata::MAX_VALUE + 1).is_err());
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let service = prop_oneof![Just(service("payment")), Just(service("ledger")), Just(service("gone"))];
    let status = prop_oneof![Just(Status::Unknown), Just(Status::Healthy), Just(Status::Unhealthy)];
    (service, 0..4u16, status, 0..6u8).prop_map(|(service, number, to, kind)| {
        let instance = id(&format!("i{number}"));
        match kind {
            0 | 1 => {
                let new = registration("payment", instance.as_str(), 9_000 + number);
                Event::InstanceRegistered(Registration { service, address: local(9_000 + number), ..new })
            }
            2 => {
                let reason = DeregisterReason::Ended;
                Event::InstanceDeregistered { service, instance, reason }
            }
            3 => {
                let from = Status::Unknown;
                Event::InstanceHealthChanged { service, instance, from, to, evidence: evidence() }
            }
            4 => {
                let labels = Labels { weight: u32::from(number), ..Labels::default() };
                Event::InstanceUpdated { service, instance, labels }
            }
            _ => Event::InstanceDraining { service, instance },
        }
    })
}

proptest! {
    #[test]
    fn lookup_returns_exactly_the_healthy_instances_of_the_named_service(
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let catalog = shop();
        let mut state = State::default();
        for (index, event) in events.iter().enumerate() {
            state.evolve(&stamp(1 + index as u64, millis(index as u64)), event);
        }
        prop_assert!(state.is_consistent());
        for of in ["payment", "ledger"] {
            let of = service(of);
            let found: BTreeSet<_> = match state.lookup(&catalog, &of) {
                Ok(found) => found.into_iter().map(|it| it.id().clone()).collect(),
                Err(refusal) => {
                    prop_assert_eq!(refusal.code, Code::RegistryNoHealthyInstance);
                    BTreeSet::new()
                }
            };
            let expected: BTreeSet<_> = state
                .all()
                .filter(|it| it.registration.service == of && it.status == Status::Healthy && !it.draining)
                .map(|it| it.id().clone())
                .collect();
            prop_assert_eq!(found, expected);
        }
        prop_assert!(state.lookup(&catalog, &service("gone")).is_err(), "not declared");
    }

    #[test]
    fn every_change_of_what_may_be_called_is_told(events in proptest::collection::vec(event(), 0..60)) {
        let mut state = State::default();
        for (index, event) in events.iter().enumerate() {
            let before = state.clone();
            let changed = state.evolve(&stamp(1 + index as u64, millis(index as u64)), event);
            prop_assert_eq!(changed.is_some(), before != state);
            let callable = |state: &State, of: &ServiceRef| -> Vec<_> {
                let found = state.instances(of).filter(|it| it.is_callable());
                found.map(|it| it.registration.clone()).collect()
            };
            for of in ["payment", "ledger", "gone"] {
                let of = service(of);
                let told = changed.as_ref().is_some_and(|it| it.endpoints && it.service == of);
                prop_assert!(told || callable(&before, &of) == callable(&state, &of));
            }
        }
    }
}
