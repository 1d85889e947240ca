use super::*;
use serde_json::json;

/// A story that uses every member.
pub(crate) fn explanation() -> Explanation {
    let attempt = Attempt {
        instance: Some("payment-1".parse().unwrap()),
        choice: Some("round-robin".into()),
        address: Some("127.0.0.1:20001".parse().unwrap()),
        after: Duration::from_micros(150),
        duration: Duration::from_micros(900),
        status: None,
        outcome: "connection refused".into(),
        decision: "all retries have been used".into(),
    };
    let hop = Hop {
        component: Component::Outbound,
        sidecar: Some("order-1".parse().unwrap()),
        at: Timestamp::from_micros(1_772_366_400_000_250),
        duration: Duration::from_micros(1_200),
        source: Some("order".parse().unwrap()),
        destination: Some("payment".parse().unwrap()),
        method: "POST".into(),
        path: "/charges".into(),
        status: 502,
        code: Some(Code::MeshNetwork),
        reason: "no connection to payment-1".into(),
        route: Some("pay".into()),
        policy: Some("retry".into()),
        timeout: Some(Duration::from_secs(30)),
        revision: Some("00000000-0000-0000-0000-000000000001@42".parse().unwrap()),
        attempts: vec![attempt],
    };
    Explanation { request_id: RequestId::from_bytes([7; 16]), hops: vec![hop] }
}

#[test]
fn a_story_survives_the_wire() {
    let story = explanation();
    let text = serde_json::to_string(&story).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), story);
}

#[test]
fn timings_are_microseconds_and_what_says_nothing_is_absent() {
    let mut story = explanation();
    story.hops[0].code = None;
    story.hops[0].attempts[0].address = None;
    let json = serde_json::to_value(&story).unwrap();
    let hop = &json["hops"][0];
    assert_eq!(hop["at"], "2026-03-01T12:00:00.000250Z");
    assert_eq!((&hop["duration_us"], &hop["timeout_ms"]), (&json!(1_200), &json!(30_000)));
    assert_eq!(hop.get("code"), None);
    assert_eq!(hop["attempts"][0].get("address"), None);
    assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), story);
}
