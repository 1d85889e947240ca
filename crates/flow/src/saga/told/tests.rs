use super::*;
use serde_json::json;

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
