use super::*;
use serde_json::json;

#[test]
fn a_plain_problem_has_the_members_of_rfc_9457_and_the_code() {
    let problem = Problem::new(Code::RegistryDuplicateInstance, "payment-1 is registered already");
    let expected = json!({
        "type": "urn:tenon:error:registry.duplicate-instance",
        "title": "Registry duplicate instance",
        "status": 409,
        "detail": "payment-1 is registered already",
        "code": "registry.duplicate-instance",
    });
    assert_eq!(serde_json::to_value(&problem).unwrap(), expected);
}

#[test]
fn every_code_survives_the_wire() {
    for code in Code::ALL {
        let problem = Problem::new(*code, "why");
        assert_eq!(serde_json::from_slice::<Problem>(&problem.to_json()).unwrap(), problem);
        assert_eq!(problem.to_response().status().as_u16(), code.http_status());
    }
}

#[test]
fn what_explains_the_case_survives_the_wire() {
    let id = RequestId::from_time(1, [7; 10]);
    let problem = Problem {
        component: Some(Component::Outbound),
        sidecar: Some("order-1".parse().unwrap()),
        route: Some("shop".into()),
        destination: Some("payment.bank".parse().unwrap()),
        policy: Some("breaker".into()),
        attempts: Some(3),
        revision: Some("00000000-0000-0000-0000-000000000001@42".parse().unwrap()),
        ..Problem::new(Code::MeshCircuitOpen, "the breaker is open").of_request(id)
    };
    assert_eq!(serde_json::from_slice::<Problem>(&problem.to_json()).unwrap(), problem);
    let response = problem.to_response();
    assert_eq!(response.headers()["tenon-error"], "mesh.circuit-open");
    assert_eq!(response.headers()["x-request-id"], id.to_string().as_str());
    assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
}

#[test]
fn a_problem_with_an_unknown_code_is_not_misread() {
    let text = r#"{"type":"x","title":"x","status":400,"detail":"x","code":"no.such-code"}"#;
    assert!(serde_json::from_str::<Problem>(text).is_err());
}
