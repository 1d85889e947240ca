use super::*;
use tenon_api::system::SagaDoc;
use tenon_core::Namespace;
use tenon_core::saga::SagaName;

/// An order of which the input and the first step's answer are stated; what takes the payment is given what is told.
fn order(given: &str, undone: &str) -> Result<(), String> {
    let action = serde_json::json!({"service": "order", "method": "POST", "path": "/orders"});
    let call = serde_json::json!({"call": {"action": action, "timeout_ms": 1_000}});
    let undo = serde_json::json!({"action": action, "timeout_ms": 1_000, "input": undone});
    let document = serde_json::json!({
        "input": ["customer", "total", "note?"],
        "steps": [
            {"name": "order", "work": call, "undo": undo, "output": ["id", "state?"]},
            {"name": "pay", "kind": "pivot", "work": call, "input": {"what": given}},
        ],
        "output": "steps.pay.receipt",
    });
    let document: SagaDoc = serde_json::from_value(document).unwrap();
    let definition = document.to_definition(Namespace::default(), SagaName::new("order").unwrap()).unwrap();
    check(&definition).map_err(|refusal| {
        assert_eq!(refusal.code, Code::SagaInvalid);
        refusal.detail
    })
}

#[test]
fn a_definition_that_uses_what_is_there_is_taken() {
    assert_eq!(order("steps.order.id", "output.state"), Ok(()));
    assert_eq!(order("has(input.note) ? input.note : saga.key", "saga.problem"), Ok(()));
}

#[test]
fn what_is_not_there_is_named_with_its_place_and_what_was_meant() {
    let known = "expected one of the fields that are declared";
    let functions = "expected an expression that can be evaluated; only CEL's own functions are there";
    for (given, detail) in [
        ("input.totl", format!("`input` has no field `totl` in `input.totl`: {known}; did you mean `total`?")),
        ("input['zz']", format!("`input` has no field `zz` in `input['zz']`: {known}")),
        ("steps.order.nr", format!("`steps.order` has no field `nr` in `steps.order.nr`: {known}")),
        (
            "steps.ordr.id",
            "there is no step `ordr` in `steps.ordr.id`: expected the name of one of the saga's steps; did you mean `order`?".to_owned(),
        ),
        (
            "steps.pay.id",
            "`pay` need not be done before `pay` in `steps.pay.id`: expected a step that it depends on (`after`)".to_owned(),
        ),
        ("twice(input.total)", format!("`twice(input.total)` uses a function `twice` that is not there: {functions}")),
        (
            "1 +",
            "`1 +` is no expression: expected one in the Common Expression Language; something is missing at its end".to_owned(),
        ),
    ] {
        assert_eq!(order(given, "output"), Err(format!("steps[1].input.what: {detail}")));
    }
    let undone = order("1", "steps.pay.id").unwrap_err();
    assert!(undone.starts_with("steps[0].undo.input: `pay` need not be done before `order`"), "{undone}");
}

#[test]
fn all_faults_are_told_up_to_a_number() {
    let many: Vec<String> = (0..12).map(|number| format!("f{number}(input.total)")).collect();
    let told = order(&many.join(" + "), "input.x").unwrap_err();
    assert!(told.starts_with("steps[0].undo.input: `input` has no field `x`"), "{told}");
    assert!(told.contains("; steps[1].input.what: ") && told.ends_with("; and 3 more"), "{told}");
}
