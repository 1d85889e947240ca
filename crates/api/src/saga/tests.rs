use super::*;
use proptest::prelude::*;
use tenon_core::Timestamp;
use tenon_core::saga::{Cause, Data, Direction, End, Outcome, SignalName, StepIx, Token, Why};

fn token() -> impl Strategy<Value = Token> {
    (any::<u8>(), any::<bool>(), any::<u32>()).prop_map(|(step, undo, attempt)| Token {
        step: StepIx(step),
        direction: if undo { Direction::Undo } else { Direction::Do },
        attempt,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let time = || any::<u64>().prop_map(Timestamp::from_micros);
    let data = || any::<String>().prop_map(|text| Data::new(&text));
    let step = || any::<u8>().prop_map(StepIx);
    let outcome = || {
        prop::sample::select(vec![
            Outcome::Refused,
            Outcome::Unsent,
            Outcome::Unknown,
            Outcome::Late,
            Outcome::Dropped,
            Outcome::LeftBehind,
        ])
    };
    let cause = prop_oneof![
        step().prop_map(Cause::Failed),
        prop::sample::select(vec![Cause::Cancelled, Cause::Deadline, Cause::Parent, Cause::Operator])
    ];
    prop_oneof![
        (
            any::<[u8; 16]>(),
            any::<u8>(),
            data(),
            any::<u64>(),
            time(),
            proptest::option::of(time()),
            any::<bool>()
        )
            .prop_map(|(version, steps, input, seed, at, deadline, queued)| Event::Started {
                version: Version(version),
                steps,
                input,
                seed,
                at,
                deadline,
                queued
            }),
        prop::sample::select(vec![Event::Admitted, Event::Overdue, Event::PivotDenied, Event::Reverted]),
        (token(), proptest::option::of(time())).prop_map(|(token, due)| Event::Began { token, due }),
        (token(), proptest::option::of(time())).prop_map(|(token, due)| Event::Repeated { token, due }),
        (token(), proptest::option::of(time())).prop_map(|(token, until)| Event::Waited { token, until }),
        (token(), proptest::option::of(data()))
            .prop_map(|(token, output)| Event::Succeeded { token, output }),
        (token(), outcome(), time()).prop_map(|(token, outcome, until)| Event::Deferred {
            token,
            outcome,
            until
        }),
        (token(), outcome(), any::<bool>()).prop_map(|(token, outcome, may_have_run)| Event::GaveUp {
            token,
            outcome,
            may_have_run
        }),
        (token(), outcome(), prop::sample::select(vec![Why::PivotUnknown, Why::Spent, Why::UndoSpent]))
            .prop_map(|(token, outcome, why)| Event::Parked { token, outcome, why }),
        (token(), outcome()).prop_map(|(token, outcome)| Event::LeftBehind { token, outcome }),
        ("[a-z][a-z0-9_]{0,8}", data())
            .prop_map(|(name, data)| Event::Signalled { name: SignalName::new(&name).unwrap(), data }),
        cause.prop_flat_map(|cause| prop::sample::select(vec![
            Event::Doubted { cause },
            Event::TurnedBack { cause }
        ])),
        (step(), time()).prop_map(|(step, until)| Event::Retried { step, until }),
        (step(), data()).prop_map(|(step, input)| Event::Edited { step, input }),
        (step(), proptest::option::of(data()))
            .prop_map(|(step, output)| Event::SettledByHand { step, output }),
        step().prop_map(|step| Event::Skipped { step }),
        prop::sample::select(vec![End::Completed, End::Compensated, End::Failed])
            .prop_map(|end| Event::Ended { end }),
    ]
}

proptest! {
    #[test]
    fn what_happened_reads_back_as_it_was_written(
        events in proptest::collection::vec(event(), 0..8),
        problem: Option<String>,
        defined_at: Option<u64>,
    ) {
        let beginning = Beginning {
            namespace: Namespace::default(),
            name: SagaName::new("order").unwrap(),
            key: Some("7".to_owned()),
            turn: None,
            parent: Some(SagaId::from_bytes([3; 16])),
            trace: 9,
            kept: Some(false),
            defined_at: defined_at.map(Position),
        };
        let server = ServerId::from_bytes([1; 16]);
        let progress = Progress { beginning: Some(beginning), events, server, problem };
        prop_assert_eq!(Progress::decode(&progress.encode()).unwrap(), progress);
    }

    #[test]
    fn bytes_that_are_no_record_are_an_error_or_a_record(bytes: Vec<u8>) {
        for of in [DEFINED, RETIRED] {
            _ = Record::decode(of, &bytes);
        }
        _ = Progress::decode(&bytes);
    }
}

#[test]
fn the_ids_of_a_snapshot_read_back() {
    let ids = [SagaId::from_bytes([1; 16]), SagaId::from_bytes([2; 16])];
    assert_eq!(decode_running(&encode_running(ids)).unwrap(), ids);
}

#[test]
fn a_record_has_the_bytes_that_it_always_had() {
    let token = Token { step: StepIx(2), direction: Direction::Undo, attempt: 3 };
    let event = Event::Deferred { token, outcome: Outcome::Unknown, until: Timestamp::from_micros(5) };
    let server = ServerId::from_bytes([7; 16]);
    let progress = Progress { beginning: None, events: vec![event], server, problem: None };
    let hex: String = progress.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "12140a0844656665727265641002180120032805300\
        31a1007070707070707070707070707070707"
            .replace(char::is_whitespace, "")
    );
}

#[test]
fn a_definition_without_grpc_is_written_as_it_always_was() {
    let document = serde_json::json!({"steps": [
        {"name": "order", "work": {"call": {"action": {"service": "order", "method": "POST", "path": "/"}, "timeout_ms": 5}},
         "undo": {"action": {"service": "order", "method": "DELETE", "path": "/"}, "timeout_ms": 5}}
    ]});
    let document: SagaDoc = serde_json::from_value(document).unwrap();
    let name = SagaName::new("order").unwrap();
    let definition = document.to_definition(Namespace::default(), name).unwrap();
    assert!(!String::from_utf8_lossy(&written(&definition)).contains("protos"));
    assert_eq!(version_of(&definition).to_string(), "2ed71c3a2f588a25fefbc5986638f52d");
}
