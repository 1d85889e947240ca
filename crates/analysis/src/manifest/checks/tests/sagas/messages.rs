//! Steps that call gRPC methods.

use crate::manifest::{Files, Report, read_with};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenon_core::manifest::System;

const PAYMENTS: &str = r#"syntax = "proto3";
package pay.v1;
import "pay/v1/money.proto";
import "google/protobuf/any.proto";
service Payments {
  rpc Take(Payment) returns (Paid);
  rpc GiveBack(Payment) returns (Paid);
  rpc Watch(Payment) returns (stream Paid);
  rpc Odd(google.protobuf.Any) returns (Paid);
}
message Payment { string order_id = 1; Money amount = 2; }
message Paid { string receipt = 1; Money amount = 2; }
message Unused { string a = 1; }
"#;

const MONEY: &str =
    "syntax = \"proto3\";\npackage pay.v1;\nmessage Money { int64 units = 1; string currency = 2; }\n";

fn read(text: &str, files: &[(&str, &str)]) -> (Option<System>, Report) {
    let files: BTreeMap<String, String> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let files: Arc<dyn Files> = Arc::new(files);
    read_with(text, "tenon.yaml", &files)
}

fn all_files() -> [(&'static str, &'static str); 2] {
    [("protos/pay/v1/payments.proto", PAYMENTS), ("protos/pay/v1/money.proto", MONEY)]
}

/// A saga that takes a payment by this call, with this input, and whose output is this expression.
fn saga(grpc: &str, input: &str, output: &str) -> String {
    format!(
        "name: test
services:
  payment:
    command: [./payment]
    interfaces:
      - name: payments
        protocol: grpc
        protos: [pay/v1/payments.proto]
        proto_root: protos
        endpoints: [{{path: /pay.v1.Payments/Take}}, {{path: /pay.v1.Payments/GiveBack}}]
sagas:
  order:
    input: [order, total]
    steps:
      pay:
        call: {{service: payment, grpc: {grpc}}}
        input: {input}
        undo:
          call: {{service: payment, grpc: pay.v1.Payments/GiveBack}}
          input: {{order_id: input.order, amount: output.amount}}
    output: {output}
"
    )
}

const TAKE: &str = "pay.v1.Payments/Take";
const INPUT: &str = "{orderId: input.order, amount: input.total}";
const OUTPUT: &str = "steps.pay.amount.units + 1";

fn found(text: &str, files: &[(&str, &str)]) -> Vec<(String, String)> {
    let (_, report) = read(text, files);
    report.problems.iter().map(|it| (it.path.clone(), it.message.clone())).collect()
}

#[test]
fn a_saga_takes_along_what_its_methods_are_given_and_answer() {
    let (system, report) = read(&saga(TAKE, INPUT, OUTPUT), &all_files());
    assert_eq!(report.problems, []);
    let system = system.unwrap();
    let definition = system.sagas.values().next().unwrap();
    let (service, protos) = definition.protos.first_key_value().unwrap();
    assert_eq!(service.to_string(), "payment");
    let text = String::from_utf8_lossy(protos.as_bytes());
    assert!(text.contains("GiveBack") && text.contains("Money"), "{text}");
    assert!(!text.contains("Unused") && !text.contains("Watch"), "{text}");
    // What no step calls changes nothing.
    let more = PAYMENTS.replace("message Unused {", "// A comment.\nmessage Unused { string b = 2;");
    let (other, _) =
        read(&saga(TAKE, INPUT, OUTPUT), &[("protos/pay/v1/payments.proto", &more), all_files()[1]]);
    assert_eq!(other.unwrap().sagas, system.sagas);
}

#[test]
fn methods_fields_and_what_is_used_of_answers_must_be_there() {
    let calls = "sagas.order.steps.pay.call.grpc";
    for (text, path, message) in [
        (saga("pay.v1.Payments/Tak", "input", "1"), calls, "`payment` has no method `pay.v1.Payments/Tak`"),
        (
            saga("pay.v1.Payments/Watch", "input", "1"),
            calls,
            "a step cannot call `pay.v1.Payments/Watch`: it streams; a step calls methods that take one message and answer one",
        ),
        (
            saga("pay.v1.Payments/Odd", "input", "1"),
            calls,
            "a step cannot call `pay.v1.Payments/Odd`: its messages have a `google.protobuf.Any`, of whose content nobody knows the form",
        ),
        (
            saga(TAKE, "{order: input.order}", "1"),
            "sagas.order.steps.pay.input.order",
            "`pay.v1.Payment` has no field `order`",
        ),
        (
            saga(TAKE, INPUT, "steps.pay.reciept"),
            "sagas.order.output",
            "`pay.v1.Paid` has no field `reciept`",
        ),
        (
            saga(TAKE, INPUT, "steps.pay.amount.unit"),
            "sagas.order.output",
            "`pay.v1.Money` has no field `unit`",
        ),
        (
            saga(TAKE, INPUT, "1").replace("output.amount", "output.amuont"),
            "sagas.order.steps.pay.undo.input",
            "`pay.v1.Paid` has no field `amuont`",
        ),
        (
            saga(TAKE, INPUT, "1")
                .replace("service: payment, grpc: pay.v1.Payments/Take", "service: payment.far, grpc: a.A/B"),
            calls,
            "`payment.far` is a service of another manifest, so its messages are not known",
        ),
    ] {
        assert_eq!(found(&text, &all_files()), [(path.to_owned(), message.to_owned())]);
    }
    let (_, report) = read(&saga("pay.v1.Payments/Tak", "input", "1"), &all_files());
    assert_eq!(report.problems[0].suggestion.as_deref(), Some(TAKE));
    let declared = saga(TAKE, INPUT, "1").replace("        undo:", "        output: [recept]\n        undo:");
    assert_eq!(found(&declared, &all_files())[0].0, "sagas.order.steps.pay.output[0]");
}

#[test]
fn a_service_without_protos_is_told_what_to_add() {
    let text = saga(TAKE, "input", "1")
        .replace("        protos: [pay/v1/payments.proto]\n        proto_root: protos\n", "");
    let (_, report) = read(&text, &[]);
    let problem = &report.problems[0];
    assert_eq!(problem.message, "nothing says what the methods of `payment` are given and answer");
    let help = "name the .proto files under `protos:` of the gRPC interface of `payment`";
    assert_eq!(problem.help.as_deref(), Some(help));
    assert_eq!(report.problems.len(), 2, "one for each call");
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    let text = saga(TAKE, INPUT, OUTPUT);
    let wrong = |payments: &str| found(&text, &[("protos/pay/v1/payments.proto", payments), all_files()[1]]);
    let path = "services.payment.interfaces[0].protos[0]";
    let at = |place: &str, found: Vec<(String, String)>| {
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, path);
        assert!(found[0].1.starts_with(&format!("protos/pay/v1/{place}: ")), "{found:?}");
    };
    at("payments.proto:12:30", wrong(&PAYMENTS.replace("string receipt = 1;", "strin receipt 1;")));
    at("payments.proto:12:16", wrong(&PAYMENTS.replace("string receipt", "Strings receipt")));
    at("payments.proto:3:1", wrong(&PAYMENTS.replace("pay/v1/money.proto", "pay/v1/nothing.proto")));
    let money = [all_files()[0], ("protos/pay/v1/money.proto", "syntax = \"proto3\"\n")];
    at("money.proto", found(&text, &money));
    let message = "`protos/pay/v1/payments.proto` was not sent along with the manifest";
    assert_eq!(found(&text, &[]), [(path.to_owned(), message.to_owned())]);
    let outside = text.replace("protos: [pay/", "protos: [../pay/");
    assert!(found(&outside, &all_files())[0].1.contains("must be below `proto_root`"));
}

#[test]
fn a_method_that_no_interface_has_is_a_warning() {
    let text = saga(TAKE, INPUT, OUTPUT).replace("{path: /pay.v1.Payments/Take}, ", "");
    let (system, report) = read(&text, &all_files());
    assert!(system.is_some());
    let problem = &report.problems[0];
    assert_eq!(
        (problem.code(), problem.path.as_str(), problem.message.as_str()),
        (
            "manifest.saga-not-accepted",
            "sagas.order.steps.pay.call.grpc",
            "no gRPC endpoint of `payment` accepts calls to /pay.v1.Payments/Take"
        )
    );
}

#[test]
fn what_is_too_much_is_refused() {
    let text = saga(TAKE, INPUT, OUTPUT);
    let deep = format!("syntax = \"proto3\";\n{}{}", "message A {".repeat(100_000), "}".repeat(100_000));
    let found = found(&text, &[("protos/pay/v1/payments.proto", &deep)]);
    assert!(found[0].1.contains("braces on more than 64 levels"), "{found:?}");
    // Each method has a message of its own of some 100 KiB.
    let fields: String =
        (1..3_000).map(|it| format!("string a_field_with_a_long_name_{it} = {it};")).collect();
    let payments =
        PAYMENTS.replace("message Paid {", &format!("message Paid {{ message Long {{ {fields} }}"));
    let files = [("protos/pay/v1/payments.proto", payments.as_str()), all_files()[1]];
    let (head, saga) = text.split_once("  order:\n").unwrap();
    let sagas: String = (0..6).map(|it| format!("  order{it}:\n{saga}")).collect();
    let (system, report) = read(&format!("{head}{sagas}"), &files);
    assert!(system.is_none());
    let problem = &report.problems[0];
    assert_eq!((problem.code(), problem.path.as_str()), ("manifest.too-large", "sagas"), "{problem:?}");
}
