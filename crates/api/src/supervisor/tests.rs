use super::*;
use serde_json::json;

fn spawn() -> Spawn {
    Spawn {
        instance: "payment-1".parse().unwrap(),
        service: "payment".parse().unwrap(),
        command: vec!["./payment".into(), "--fast".into()],
        working_directory: Some("services/payment".into()),
        env: [("TENON_TOKEN".to_owned(), "hush".to_owned())].into(),
        secrets: [("DATABASE_URL".to_owned(), "PAYMENT_DB".to_owned())].into(),
        log_file: FileName::log_of(&"payment-1".parse().unwrap()),
    }
}

#[test]
fn the_form_on_the_wire_is_fixed() {
    let request = Request { id: 7, call: Call::Spawn(Box::new(spawn())) };
    let expected = json!({"id": 7, "call": {"spawn": {
        "instance": "payment-1",
        "service": "payment",
        "command": ["./payment", "--fast"],
        "working_directory": "services/payment",
        "env": {"TENON_TOKEN": "hush"},
        "secrets": {"DATABASE_URL": "PAYMENT_DB"},
        "log_file": "payment-1.log",
    }}});
    assert_eq!(serde_json::to_value(&request).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Request>(expected).unwrap(), request);

    let stop = Call::Stop { instance: "payment-1".parse().unwrap(), grace: Duration::from_secs(10) };
    assert_eq!(
        serde_json::to_value(&stop).unwrap(),
        json!({"stop": {"instance": "payment-1", "grace_ms": 10_000}})
    );
    assert_eq!(serde_json::to_value(Call::List).unwrap(), json!("list"));
}

#[test]
fn every_message_survives_the_wire() {
    let process = Process {
        instance: "payment-1".parse().unwrap(),
        service: "payment.bank".parse().unwrap(),
        pid: 4_711,
        started_at: Timestamp::from_micros(1_700_000_000_000_001),
    };
    let exited = |ending| Exited {
        instance: "payment-1".parse().unwrap(),
        pid: 4_711,
        ending,
        at: Timestamp::from_micros(1_700_000_000_000_002),
    };
    let reply = |outcome| Message::Reply { id: 7, outcome };
    let refusal = Refusal::new(Code::RegistryUnknownInstance, "payment-1 does not run");
    for message in [
        reply(Outcome::Welcome { version: PROTOCOL_VERSION, pid: 1 }),
        reply(Outcome::Spawned(process.clone())),
        reply(Outcome::Stopping),
        reply(Outcome::Listing { running: vec![process], ended: vec![exited(Ending::Code(3))] }),
        reply(refusal.into()),
        Message::Exited(exited(Ending::Signal(9))),
        Message::ShuttingDown,
    ] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message, "{text}");
    }
}

#[test]
fn secrets_are_not_shown_in_debug_output() {
    let shown = format!("{:?}", Request { id: 1, call: Call::Spawn(Box::new(spawn())) });
    assert!(shown.contains("TENON_TOKEN"));
    assert!(!shown.contains("hush"));
}

#[test]
fn a_file_name_cannot_leave_its_folder() {
    for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a\0"] {
        assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
    }
    assert_eq!("payment-1.log.1".parse::<FileName>().unwrap().as_str(), "payment-1.log.1");
}

#[test]
fn what_the_protocol_does_not_know_is_refused() {
    for text in [r#"{"id":1,"call":"reboot"}"#, r#"{"id":1,"call":"list","more":1}"#, r#"{"call":"list"}"#] {
        assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
    }
}
