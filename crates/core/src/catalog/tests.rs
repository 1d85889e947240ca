use super::*;
use crate::fixtures::{applied, catalog, external, key, managed, name, service, system, value, with_config};
use crate::manifest::ConfigEntry;
use proptest::prelude::*;

fn shop() -> System {
    with_config(
        system(vec![managed("payment", 2, "pay"), external("ledger", &[9_000])]),
        "payment",
        &[("limit", "10")],
    )
}

#[test]
fn a_manifest_that_changes_nothing_is_no_event() {
    let state = catalog(shop());
    let again = |it| decide(&state, &Command::Apply(it)).unwrap();
    assert_eq!(again(applied(shop())), []);
    let commented = Applied { text: "name: shop # ours".into(), ..applied(shop()) };
    assert_eq!(again(commented.clone()), [Event::ManifestApplied(commented)]);
    assert_eq!(again(applied(system(vec![]))).len(), 1);
}

#[test]
fn a_text_that_fits_into_no_event_is_refused() {
    let long = Applied { text: "#".repeat(MAX_TEXT + 1).into(), ..applied(shop()) };
    let refusal = decide(&State::default(), &Command::Apply(long)).unwrap_err();
    assert_eq!(refusal.code, Code::ManifestInvalid);
}

#[test]
fn an_unknown_service_is_refused_with_those_that_there_are() {
    let state = catalog(shop());
    assert!(state.service(&service("payment")).is_ok());
    let refusal = state.service(&service("paymnet")).unwrap_err();
    assert_eq!(refusal.code, Code::RegistryUnknownService);
    assert_eq!(refusal.detail, "there is no service paymnet; there are ledger, payment");
    assert!(State::default().service(&service("payment")).unwrap_err().detail.contains("no manifest"));
}

#[test]
fn a_service_of_another_namespace_is_unknown() {
    assert!(!catalog(shop()).declares(&"payment.elsewhere".parse().unwrap()));
}

#[test]
fn initial_configuration_is_told_by_service() {
    let mut shop = shop();
    let schema = Some(value(r#"{"type":"number"}"#));
    let entry = ConfigEntry { value: value("3"), schema: schema.clone() };
    shop.config.insert(name("ledger"), [(key("depth"), entry)].into());
    let state = catalog(shop);
    assert_eq!(state.config()[&service("payment")][&key("limit")].value, value("10"));
    assert_eq!(state.schema(&service("ledger"), &key("depth")), schema.as_ref());
    assert_eq!(state.schema(&service("payment"), &key("limit")), None);
}

proptest! {
    #[test]
    fn the_last_applied_system_stands(sizes in proptest::collection::vec(0..6u32, 1..6)) {
        let mut state = State::default();
        for replicas in sizes {
            let wanted = applied(system(vec![managed("payment", replicas, "pay")]));
            for event in decide(&state, &Command::Apply(wanted.clone())).unwrap() {
                state.evolve(&event);
            }
            prop_assert_eq!(state.applied(), Some(&wanted));
            prop_assert_eq!(decide(&state, &Command::Apply(wanted)).unwrap(), Vec::new());
        }
    }
}
