use super::{Progress, Record};
use bytes::Bytes;
use std::time::Duration;
use tenon_core::group::{
    Cause, Checkpoint, Config, Counts, Definition, Delivered, Filter, Form, Key, Open, Ordering, Parked,
    ParkedKey, Start, WhenFull,
};
use tenon_core::retry::{Backoff, Delay, Jitter};
use tenon_core::{EventId, EventType, Namespace, Position, ServerId, StreamName, Tag, Timestamp};

fn definition() -> Definition {
    Definition {
        namespace: Namespace::new("shop").unwrap(),
        name: "billing".parse().unwrap(),
        filter: Filter {
            types: [EventType::new("payment.completed").unwrap()].into(),
            tags: [Tag::new("region:eu").unwrap()].into(),
            prefix: Some(StreamName::new("payment/").unwrap()),
        },
        start: Start::Time(Timestamp::from_micros(1_700_000_000_000_000)),
        ordering: Ordering::Tag("customer:".to_owned()),
        config: Config {
            ack_deadline: Duration::from_secs(5),
            in_flight: 10,
            deliveries: 3,
            backoff: Backoff {
                delay: Delay::Linear { base: Duration::from_millis(5), increment: Duration::from_millis(10) },
                jitter: Jitter::Decorrelated,
                max_delay: Duration::from_secs(1),
            },
            dedup: 100,
            capacity: 200,
            when_full: WhenFull::Reject,
            parked_key: ParkedKey::Continue,
            most_parked: 7,
        },
        delivered: Delivered::Push {
            service: "billing".parse().unwrap(),
            path: "/events".to_owned(),
            form: Form::Structured,
        },
        declared: false,
    }
}

fn records() -> [Record; 3] {
    let id = EventId::from_bytes([7; 16]);
    let parked = |key: Option<u64>, attempts, cause| Parked {
        key: key.map(Key),
        attempts,
        since: Timestamp::from_micros(1_700_000_000_000_001),
        cause,
    };
    let checkpoint = Checkpoint {
        to: Position(400),
        open: vec![
            Open { at: Position(300), key: Some(Key(5)), attempts: 2, due: Timestamp::from_micros(9) },
            Open { at: Position(399), key: None, attempts: 0, due: Timestamp::ZERO },
        ],
        parked: [
            (Position(17), parked(Some(8), 3, Cause::Overdue)),
            (Position(250), parked(None, 1, Cause::Left)),
        ]
        .into(),
        counts: Counts { acked: 390, failed: 9, dropped: 1, duplicates: 2, discarded: 3, gone: 4 },
    };
    let server = ServerId::from_bytes([9; 16]);
    [
        Record::Defined { definition: Box::new(definition()), from: Position(12), id },
        Record::Deleted { namespace: Namespace::default(), name: "billing".parse().unwrap() },
        Record::Progress(Progress { id, epoch: 3, server, number: 1, checkpoint }),
    ]
}

#[test]
fn what_is_kept_is_read_again() {
    for record in records() {
        let (event_type, payload) = record.encode();
        assert_eq!(Record::decode(event_type, &payload).unwrap(), record);
    }
}

#[test]
fn what_was_once_kept_stays_readable() {
    let golden = include_str!("golden.hex");
    let lines: Vec<&str> = golden.lines().collect();
    assert_eq!(lines.len(), records().len());
    for (line, record) in lines.into_iter().zip(records()) {
        let (event_type, payload) = record.encode();
        assert_eq!(Record::decode(event_type, &unhex(line)).unwrap(), record);
        assert_eq!(hex(&payload), line);
    }
}

#[test]
fn a_definition_that_states_only_its_name_has_the_defaults() {
    let message = super::v1::Definition { name: "billing".to_owned(), ..Default::default() };
    let read = Definition::try_from(message).unwrap();
    let expected = Definition::of_types(Namespace::default(), "billing".parse().unwrap(), [].into());
    assert_eq!(read, expected);
}

#[test]
fn what_is_wrong_is_named() {
    let mut message = super::v1::Definition::from(&definition());
    message.filter.as_mut().unwrap().types.push(String::new());
    let error = Definition::try_from(message).unwrap_err();
    assert_eq!(error.field, "filter.types[1]");
    let checkpoint = super::v1::Checkpoint { open_at: vec![1], ..Default::default() };
    assert!(Checkpoint::try_from(checkpoint).is_err());
}

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
