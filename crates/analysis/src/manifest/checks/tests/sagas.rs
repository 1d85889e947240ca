//! Sagas.

use super::*;

mod messages;

const SERVICES: [(&str, &[&str]); 2] = [("order", &[]), ("payment", &[])];

fn sagas(text: &str) -> String {
    let open = services(&SERVICES).replace("}]}]", "}, {path: \"/{anything...}\"}]}]");
    open + "sagas:\n" + text
}

/// A saga of two steps, of which the second is as is told.
fn second(step: &str) -> String {
    sagas(&format!(
        "  place-order:
    input: [customer, amount]
    steps:
      create: {{call: {{service: order, method: POST, path: /orders}}, input: {{customer: input.customer}}, output: [id], undo: {{call: {{service: order, method: POST, path: /cancel}}, input: {{id: output.id}}}}}}
      pay: {step}
"
    ))
}

fn found(text: &str) -> Vec<(String, String)> {
    let (_, report) = read(text, "tenon.yaml");
    report.problems.iter().map(|it| (it.path.clone(), it.message.clone())).collect()
}

#[test]
fn a_saga_is_built_with_the_dependencies_that_it_uses() {
    let text = second(
        "{call: {service: payment, method: POST, path: /payments}, kind: pivot, input: {order: steps.create.id, amount: input.amount}}",
    );
    let (system, report) = read(&text, "tenon.yaml");
    assert_eq!(report.problems, []);
    let system = system.unwrap();
    let saga = system.sagas.values().next().unwrap();
    let pay = &saga.steps[1];
    assert_eq!(pay.after, tenon_core::saga::StepSet::one(tenon_core::saga::StepIx(0)));
    assert_eq!(pay.kind, tenon_core::saga::Kind::Pivot);
    assert!(saga.steps[0].undo.is_some());
}

#[test]
fn expressions_are_checked_against_what_is_there() {
    let step = |input: &str| {
        second(&format!(
            "{{call: {{service: payment, method: POST, path: /payments}}, kind: pivot, input: {{a: \"{input}\"}}}}"
        ))
    };
    let path = "sagas.place-order.steps.pay.input";
    for (input, message) in [
        ("input.amout", "`input` has no field `amout`"),
        ("steps.create.nr", "`steps.create` has no field `nr`"),
        ("steps.creat.id", "there is no step `creat`"),
        ("order.id", "there is no variable `order`"),
        ("output.id", "`output` is only there where a step is undone"),
        ("saga.problem", "`saga.problem` is only there where a step is undone"),
        ("pay(input.amount)", "`pay(input.amount)` uses a function `pay` that is not there"),
        ("1 +", "`1 +` is no expression"),
        (
            "input.amount.map(i, i.map(j, j.map(k, k)))",
            "`input.amount.map(i, i.map(j, j.map(k, k)))` goes through lists 3 times",
        ),
    ] {
        assert_eq!(found(&step(input)), [(path.to_owned(), message.to_owned())], "{input}");
    }
    assert_eq!(found(&step("saga.id + string(size(input.customer))")), []);
    let (_, report) = read(&step("input.amount )"), "tenon.yaml");
    let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
    let label = "expected one in the Common Expression Language; `)` cannot stand at its character 14";
    assert_eq!(problem.label, label);
}

#[test]
fn a_step_that_uses_what_is_not_done_before_it_is_found() {
    let text = second("{call: {service: payment, method: POST, path: /pay}, kind: pivot}")
        .replace("id: output.id", "id: steps.pay.id");
    let problems = found(&text);
    assert_eq!(
        problems,
        [(
            "sagas.place-order.steps.create.undo.input".to_owned(),
            "`pay` need not be done before `create`".to_owned()
        )]
    );
}

#[test]
fn a_wrong_shape_is_found_at_its_step() {
    let call = "call: {service: payment, method: POST, path: /pay}";
    for (step, message) in [
        (format!("{{{call}}}"), "nothing undoes the step `pay`"),
        (
            format!("{{{call}, kind: retriable}}"),
            "step `pay` is retriable, but not behind a pivot; let it depend on one",
        ),
    ] {
        assert_eq!(found(&second(&step)), [("sagas.place-order.steps.pay".to_owned(), message.to_owned())]);
    }
    let itself = second(&format!("{{{call}, after: [pay], undo: nothing}}"));
    assert_eq!(
        found(&itself),
        [("sagas.place-order.steps.pay.after[0]".to_owned(), "step `pay` depends on itself".to_owned())]
    );
    let unknown = second(&format!("{{{call}, after: [crate], undo: nothing}}"));
    assert_eq!(
        found(&unknown),
        [("sagas.place-order.steps.pay.after[0]".to_owned(), "there is no step `crate`".to_owned())]
    );
}

#[test]
fn services_of_sagas_must_be_there() {
    let text = second("{call: {service: paymnt, method: POST, path: /pay}, kind: pivot}");
    assert_eq!(
        found(&text),
        [("sagas.place-order.steps.pay.call.service".to_owned(), "there is no service `paymnt`".to_owned())]
    );
}

#[test]
fn a_saga_that_is_run_can_be_reverted_and_does_not_run_who_runs_it() {
    let child = |kind: &str| {
        second("{saga: child}")
            + &format!(
                "  child:\n    steps:\n      one: {{call: {{service: payment, method: POST, path: /x}}, {kind}}}\n"
            )
    };
    assert_eq!(found(&child("undo: nothing")), []);
    let path = "sagas.place-order.steps.pay.saga".to_owned();
    assert_eq!(
        found(&child("kind: pivot")),
        [(path.clone(), "`child` has a pivot, so it could not be reverted".to_owned())]
    );
    let messages: Vec<String> = found(&second("{saga: place-order}")).into_iter().map(|it| it.1).collect();
    assert_eq!(messages, ["`place-order` runs itself in the end"]);
    assert_eq!(found(&second("{saga: chld}")), [(path, "there is no saga `chld`".to_owned())]);
}

#[test]
fn a_saga_that_is_run_is_given_what_it_states() {
    let child = |input: &str| {
        second(&format!("{{saga: child{input}}}"))
            + "  child:\n    input: [amount, \"note?\"]\n    steps:\n      one: {call: {service: payment, method: POST, path: /x}, undo: nothing, input: {note: input.note}}\n"
    };
    let path = "sagas.place-order.steps.pay.input".to_owned();
    for fits in [", input: {amount: input.amount}", ", input: input"] {
        assert_eq!(found(&child(fits)), [], "{fits}");
    }
    for (input, message) in [
        ("", "the saga `child` is not given `amount`"),
        (", input: {note: input.amount}", "the saga `child` is not given `amount`"),
        (", input: {amount: input.amount, nte: \"1\"}", "the saga `child` has no field `nte` in its input"),
    ] {
        assert_eq!(found(&child(input)), [(path.clone(), message.to_owned())]);
    }
}

#[test]
fn a_circle_is_told_where_a_step_states_its_part_of_it() {
    let pay = "call: {service: payment, method: POST, path: /pay}, kind: pivot";
    let circle =
        "step `create` depends on itself in the end, by way of `pay`; take one dependency of the circle away";
    let text = second(&format!("{{{pay}, input: {{order: steps.create.id}}}}"));
    for (from, to, place) in [
        ("{customer: input.customer}", "{customer: input.customer, by: \"steps['pay'].id\"}", "input"),
        ("{customer: input.customer}", "{customer: input.customer}, after: [pay]", "after[0]"),
    ] {
        let path = format!("sagas.place-order.steps.create.{place}");
        assert_eq!(found(&text.replace(from, to)), [(path, circle.to_owned())]);
    }
}

#[test]
fn keys_that_would_do_nothing_are_errors() {
    let call = "call: {service: payment, method: POST, path: /pay}";
    let waits = "step `pay` waits for a signal";
    for (step, key, message) in [
        (
            "{signal: {name: go}, timeout: 3s}".to_owned(),
            "timeout",
            format!("`timeout` has no effect here: {waits}"),
        ),
        (
            "{signal: {name: go}, retry: {tries: 2}}".to_owned(),
            "retry",
            format!("`retry` has no effect here: {waits}"),
        ),
        (
            "{signal: {name: go}, undo: nothing}".to_owned(),
            "undo",
            format!("`undo` has no effect here: {waits}"),
        ),
        (
            "{timer: 1s, input: {a: \"1\"}}".to_owned(),
            "input",
            "`input` has no effect here: step `pay` lets time pass".to_owned(),
        ),
        (
            format!("{{{call}, kind: pivot, undo: nothing}}"),
            "undo",
            "`undo` has no effect here: step `pay` is the pivot, which is never undone".to_owned(),
        ),
        (
            "{signal: {name: go, late: continue}}".to_owned(),
            "signal.late",
            "`late` has no effect here: without a `timeout` the signal is never late".to_owned(),
        ),
    ] {
        assert_eq!(
            found(&second(&step)),
            [(format!("sagas.place-order.steps.pay.{key}"), message)],
            "{step}"
        );
    }
    assert_eq!(found(&second("{signal: {name: go, late: continue, timeout: 1s}, output: [by]}")), []);
}

#[test]
fn the_variables_of_a_path_are_looked_for_where_they_are_sent() {
    let step = |input: &str, undone: &str| {
        second(&format!(
            "{{call: {{service: payment, method: POST, path: \"/pay/{{id}}\"}}, input: {input}, undo: {{call: {{service: payment, method: POST, path: \"/back/{{id}}\"}}, input: {undone}}}}}"
        ))
    };
    assert_eq!(found(&step("{id: steps.create.id}", "{id: steps.create.id}")), []);
    let place = |of: &str| format!("sagas.place-order.steps.pay.{of}");
    let text = step("{id: steps.create.id}", "{idd: steps.create.id}");
    let (_, report) = read(&text, "tenon.yaml");
    assert_eq!(
        found(&text),
        [(
            place("undo.input"),
            "what undoes `pay` has `{id}` in its path, which its input does not state".to_owned()
        )]
    );
    assert_eq!(report.problems[0].suggestion.as_deref(), Some("idd"));
    assert_eq!(
        found(&step("input", "{id: input.amount}")),
        [(place("input"), "step `pay` has `{id}` in its path, which its input does not state".to_owned())]
    );
}

#[test]
fn what_a_saga_that_is_a_step_does_not_answer_is_not_there() {
    let text = second("{saga: child}")
        + "      end: {call: {service: payment, method: POST, path: /x}, kind: pivot, input: {a: steps.pay.nosuch}}\n"
        + "  child:\n    steps:\n      one: {call: {service: payment, method: POST, path: /x}, undo: nothing}\n    output: {r: steps.one.z}\n";
    let place = "sagas.place-order.steps.end.input".to_owned();
    assert_eq!(found(&text), [(place, "`steps.pay` has no field `nosuch`".to_owned())]);
}

#[test]
fn a_mistake_is_told_once_and_what_follows_from_it_is_not() {
    let call = "call: {service: payment, method: POST, path: /pay}";
    for (step, place) in [
        (format!("{{{call}, kind: pivot, timeout: 0s}}"), "timeout"),
        (format!("{{{call}, kind: pivot, retry: {{tries: 0}}}}"), "retry.tries"),
        (format!("{{{call}, undu: nothing}}"), "undu"),
        (format!("{{{call}, kind: retriable, after: [creat]}}"), "after[0]"),
        (format!("{{{call}, kind: pivot, input: {{a: steps.pay.id}}}}"), "input"),
    ] {
        let places: Vec<String> = found(&second(&step)).into_iter().map(|it| it.0).collect();
        assert_eq!(places, [format!("sagas.place-order.steps.pay.{place}")], "{step}");
    }
}

#[test]
fn a_service_without_http_is_not_called_over_it() {
    let text = second("{call: {service: payment, method: POST, path: /payments}, kind: pivot}");
    let http = "endpoints: [{path: /payment}, {path: \"/{anything...}\"}]";
    assert!(text.contains(http));
    let text = text.replace(http, "protocol: grpc, endpoints: [{path: /pay.v1.Payments/Take}]");
    let place = "sagas.place-order.steps.pay.call.service".to_owned();
    assert_eq!(found(&text), [(place, "`payment` has no HTTP interface".to_owned())]);
}

#[test]
fn a_service_has_an_endpoint_for_what_a_step_calls() {
    let step = |method: &str, path: &str| {
        let call = format!(
            "{{call: {{service: payment, method: {method}, path: {path}}}, kind: pivot, input: {{id: input.amount}}}}"
        );
        second(&call).replace(
            "{path: /payment}, {path: \"/{anything...}\"}",
            "{path: \"/payments/{payment}\", method: POST}, {path: \"/files/{rest...}\"}",
        )
    };
    for (method, path) in
        [("POST", "/payments/7"), ("POST", "\"/payments/{id}\""), ("GET", "\"/files/{id}/x\"")]
    {
        assert_eq!(found(&step(method, path)), [], "{method} {path}");
    }
    for (method, path) in [("PSOT", "/payments/7"), ("POST", "/payment/7"), ("POST", "\"/payments/{id}/x\"")]
    {
        let message = format!("no endpoint of `payment` accepts {method} {}", path.trim_matches('"'));
        let place = "sagas.place-order.steps.pay.call.path".to_owned();
        assert_eq!(found(&step(method, path)), [(place, message)]);
    }
}
