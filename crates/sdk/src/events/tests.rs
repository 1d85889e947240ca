use super::*;
use crate::testing::{Event as Account, namespace};
use proptest::prelude::*;
use tenon_core::{Position, Timestamp};

fn stream() -> StreamName {
    StreamName::new("account-1").unwrap()
}

fn stored(event_type: &str, data: &str) -> Event {
    let NewEvent { id, namespace, stream, tags, metadata, .. } =
        encode(&Account::Closed, &namespace(), &stream()).unwrap();
    let event_type = EventType::new(event_type).unwrap();
    let data = Bytes::copy_from_slice(data.as_bytes());
    Event {
        position: Position(1),
        time: Timestamp::ZERO,
        id,
        namespace,
        stream,
        event_type,
        tags,
        data,
        metadata,
    }
}

fn read(event_type: &str, data: &str) -> Result<Option<Account>, EventsError> {
    decode(&stored(event_type, data))
}

#[test]
fn a_fact_is_a_type_with_its_data_as_json() {
    let new = encode(&Account::Opened { owner: "ada".into() }, &namespace(), &stream()).unwrap();
    assert_eq!(new.event_type.as_str(), "test.account.Opened.v1");
    assert_eq!(new.data, r#"{"owner":"ada"}"#);
    assert_eq!(new.tags, [Tag::new("owner:ada").unwrap()].into());
    let new = encode(&Account::Closed, &namespace(), &stream()).unwrap();
    assert_eq!((new.event_type.as_str(), &new.data[..]), ("test.account.Closed.v1", &b"null"[..]));
}

#[test]
fn an_event_of_another_area_is_none_and_an_unknown_one_of_this_area_an_error() {
    assert_eq!(read("other.account.Opened.v1", "{}"), Ok(None));
    assert_eq!(read("test.accounts.Opened.v1", "{}"), Ok(None));
    let unknown = |event_type: &str| Err(EventsError::Unknown(EventType::new(event_type).unwrap()));
    assert_eq!(read("test.account.Frozen.v1", "{}"), unknown("test.account.Frozen.v1"));
    assert_eq!(read("test.account.Opened.v2", "{}"), unknown("test.account.Opened.v2"));
}

#[test]
fn data_of_a_former_version_is_understood_by_upcasting() {
    assert_eq!(read("test.account.Deposited.v1", "7"), Ok(Some(Account::Deposited { amount: 7 })));
    assert_eq!(
        read("test.account.Deposited.v2", r#"{"amount":7}"#),
        Ok(Some(Account::Deposited { amount: 7 }))
    );
    assert!(matches!(read("test.account.Deposited.v2", "7"), Err(EventsError::Data { .. })));
}

#[test]
fn an_event_about_somebody_who_was_forgotten_is_passed_over() {
    let mut event = stored("test.account.Opened.v1", "");
    assert!(decode::<Account>(&event).is_err());
    event.metadata.other.insert("tenon.withheld".into(), "forgotten".into());
    assert_eq!(decode::<Account>(&event), Ok(None));
    event.metadata.other.insert("tenon.withheld".into(), "unreadable".into());
    assert!(decode::<Account>(&event).is_err());
}

#[test]
fn data_cannot_bring_a_second_fact_along() {
    for data in [r#"null},"Opened":{"owner":"eve""#, r#"null,"Opened":{"owner":"eve"}"#, "", "null}"] {
        assert!(matches!(read("test.account.Closed.v1", data), Err(EventsError::Data { .. })), "{data}");
    }
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct NotAnEnum {
    one: u8,
    two: u8,
}

impl Events for NotAnEnum {
    type Codec = Json;
    const AREA: &'static str = "test.other";
    const FACTS: &'static [Fact] = &[Fact::v1("two")];
}

#[test]
fn what_is_no_listed_variant_is_refused() {
    let refused = encode(&NotAnEnum { one: 1, two: 2 }, &namespace(), &stream()).unwrap_err();
    assert_eq!(refused.to_string(), r#"test.other has no fact "one"; add it to FACTS"#);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(owner in ".{0,20}", amount: u32) {
        for event in [Account::Opened { owner: owner.replace(|c: char| !c.is_ascii_graphic(), "x") }, Account::Deposited { amount }, Account::Closed] {
            let new = encode(&event, &namespace(), &stream()).unwrap();
            let text = std::str::from_utf8(&new.data).unwrap();
            prop_assert_eq!(read(new.event_type.as_str(), text), Ok(Some(event)));
        }
    }

    #[test]
    fn no_data_makes_reading_panic(data in ".{0,60}", fact in "(Opened|Deposited|Closed|x)", version in 0u32..4) {
        let _ = read(&format!("test.account.{fact}.v{version}"), &data);
    }
}
