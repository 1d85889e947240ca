use super::*;
use proptest::prelude::*;

#[test]
fn a_service_name_is_a_dns_label() {
    for good in ["a", "payment", "payment-2", "0a"] {
        assert!(ServiceName::new(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "Payment", "a_b", "a.b", &"a".repeat(64)] {
        assert!(ServiceName::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_invalid_name_says_what_is_expected() {
    let error = ServiceName::new("Payment").unwrap_err();
    assert_eq!(error.to_string(), "service name \"Payment\" may hold only a-z, 0-9 and '-'");
}

#[test]
fn a_reference_names_a_namespace_only_when_it_is_not_the_default() {
    let plain: ServiceRef = "payment".parse().unwrap();
    let other: ServiceRef = "payment.billing".parse().unwrap();
    assert_eq!(plain.to_string(), "payment");
    assert_eq!(other.to_string(), "payment.billing");
    assert_eq!("payment.default".parse::<ServiceRef>().unwrap(), plain);
    assert!("payment.a.b".parse::<ServiceRef>().is_err());
}

#[test]
fn another_log_always_supersedes() {
    let at = |log: u8, position| Revision { log: LogId::from_bytes([log; 16]), position: Position(position) };
    assert!(at(1, 5).supersedes(&at(1, 4)));
    assert!(!at(1, 4).supersedes(&at(1, 4)));
    assert!(!at(1, 3).supersedes(&at(1, 4)));
    assert!(at(2, 1).supersedes(&at(1, 4)));
}

proptest! {
    #[test]
    fn reading_what_was_printed_gives_the_same_revision(log: [u8; 16], position: u64) {
        let revision = Revision { log: LogId::from_bytes(log), position: Position(position) };
        prop_assert_eq!(revision.to_string().parse::<Revision>(), Ok(revision));
    }

    #[test]
    fn no_text_makes_a_name_panic(text: String) {
        let _ = ServiceName::new(&text);
        let _ = StreamName::new(&text);
        let _ = text.parse::<ServiceRef>();
        let _ = text.parse::<Revision>();
        let _ = text.parse::<EventId>();
    }

    #[test]
    fn ids_made_later_sort_later(millis in 0..1u64 << 47, random: [u8; 10], other: [u8; 10]) {
        prop_assert!(EventId::from_time(millis, random) < EventId::from_time(millis + 1, other));
    }
}
