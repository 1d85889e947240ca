use super::*;
use serde_json::json;
use tenon_api::system::SagaDoc;
use tenon_core::Namespace;
use tenon_core::saga::SagaName;

#[test]
fn an_attempt_that_was_answered_is_not_said_to_have_no_answer() {
    let said = |outcome, problem: Value| failed_saying(outcome, Some(&problem));
    let of_service = "which does not tell whether it was done";
    for (problem, told) in [
        (json!({"status": 500}), format!("answered 500, {of_service}")),
        (json!({"status": 409, "detail": "busy"}), format!("answered 409, {of_service}")),
        (json!({"code": "ABORTED", "detail": "busy"}), format!("answered ABORTED, {of_service}")),
        (json!({"code": "mesh.timeout", "status": 504}), "no answer".to_owned()),
        (json!({"detail": "it answered too much"}), "nobody knows whether it was done".to_owned()),
    ] {
        assert_eq!(said(Outcome::Unknown, problem), told);
    }
    assert_eq!(failed_saying(Outcome::Unknown, None), "no answer");
    let busy = json!({"status": 429});
    assert_eq!(said(Outcome::Unsent, busy.clone()), "answered 429, before it was looked at");
    assert_eq!(said(Outcome::Unsent, json!({"code": "mesh.service-unavailable", "status": 503})), "not sent");
    assert_eq!(said(Outcome::Refused, busy), "refused");
}

#[test]
fn a_signal_that_did_not_come_is_told_from_one_that_did() {
    let waits = json!({"signal": {"name": "approved", "timeout_ms": 10, "late": "continue"}});
    let document = json!({"steps": [{"name": "approval", "work": waits}, {"name": "pause", "work": {"timer": {"delay_ms": 5}}}]});
    let document: SagaDoc = serde_json::from_value(document).unwrap();
    let name = SagaName::new("order").unwrap();
    let saga = Saga::new(document.to_definition(Namespace::default(), name).unwrap()).unwrap();
    let told = |step: usize, output: Option<&str>| {
        let token = Token { step: saga.steps().nth(step).unwrap(), direction: Direction::Do, attempt: 1 };
        let event = Event::Succeeded { token, output: output.map(Data::new) };
        let of = Told::of(&saga, &event, None);
        (of.detail, of.data)
    };
    let lapsed = "no signal came in time; the saga goes on without it".to_owned();
    assert_eq!(told(0, None), (Some(lapsed), None));
    assert_eq!(told(0, Some("null")), (None, Some(Value::Null)));
    assert_eq!(told(1, None), (None, None));
}
