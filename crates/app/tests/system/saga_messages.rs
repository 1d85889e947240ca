//! Sagas over gRPC: a participant written with grpcio, behind the sidecars.

use crate::support::{Folder, System, eventually, program, python};
use serde_json::{Value, json};
use std::rc::Rc;

fn manifest(step: &str) -> String {
    format!(
        "name: test
services:
  payment:
    command: [\"{}\", \"{}\"]
    interfaces:
      - name: payments
        protocol: grpc
        protos: [payments.proto]
        proto_root: protos
        endpoints: [{{path: /pay.v1.Payments/Take}}, {{path: /pay.v1.Payments/GiveBack}}]
    health: {{grpc: {{}}, interval: 1s, timeout: 1s}}
sagas:
  order:
    input: [order, cents, card]
    steps:
      pay:
        call: {{service: payment, grpc: pay.v1.Payments/Take}}
        input: {{order_id: input.order, cents: input.cents + 1, card: input.card}}
        retry: {{delay: {{fixed: 20ms}}}}
        undo:
          call: {{service: payment, grpc: pay.v1.Payments/GiveBack}}
          input: {{order_id: input.order}}
      also:
        call: {{service: payment, grpc: pay.v1.Payments/Take}}
        {step}
        undo:
          call: {{service: payment, grpc: pay.v1.Payments/GiveBack}}
          input: {{order_id: input.order}}
    output: {{receipt: steps.pay.receipt, twice: steps.pay.cents * 2, noted: steps.pay.note != null}}
",
        python(),
        program("payments.py"),
    )
}

/// Takes it once more from a card.
fn also(card: &str) -> String {
    format!("input: {{order_id: steps.pay.receipt, cents: \"1\", card: \"'{card}'\"}}")
}

async fn start(step: &str) -> System {
    let folder = Rc::new(Folder::with(&manifest(step)));
    std::fs::create_dir(folder.path().join("protos")).unwrap();
    let proto = folder.path().join("protos/payments.proto");
    std::fs::copy(program("payments.proto"), proto).unwrap();
    let system = System::start_in(folder).await;
    let defined = async || {
        let list = system.tenon().json(&["saga", "definitions"]).await;
        list["definitions"][0]["version"].as_str().map(str::to_owned)
    };
    eventually("the saga is there", defined).await;
    system
}

async fn run(system: &System, input: Value) -> Value {
    let input = input.to_string();
    let waits = ["saga", "start", "order", &input, "--wait", "60", "-o", "json"];
    system.tenon().run(&waits).await.json()
}

/// The participant says that it did this, no more and no less. What it prints is kept a little later.
async fn did(system: &System, what: &str, expected: &[&str]) {
    let said = async || {
        let said = system.tenon().run(&["logs", "payment"]).await.succeeded().out;
        let lines = said.lines().filter_map(|line| Some(line[line.find(what)?..].to_owned()));
        let lines: Vec<String> = lines.collect();
        (lines.len() >= expected.len()).then_some(lines)
    };
    assert_eq!(eventually("it says what it did", said).await, expected);
}

#[tokio::test]
async fn a_saga_runs_over_grpc_and_the_same_call_comes_again_when_its_answer_was_lost() {
    let system = start(&also("good")).await;
    let ended = run(&system, json!({"order": "o1", "cents": 299, "card": "lost"})).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    assert_eq!(ended["output"], json!({"receipt": "receipt of o1", "twice": 600, "noted": false}));
    let id = ended["id"].as_str().unwrap();
    let calls = [("pay", 1), ("pay", 2), ("also", 1)];
    let calls = calls.map(|(step, attempt)| format!("called {id}/{step}/do/0 {attempt}"));
    did(&system, "called", &calls.each_ref().map(String::as_str)).await;
    did(&system, "took", &["took o1 300", "took receipt of o1 1"]).await;
}

#[tokio::test]
async fn a_refusal_over_grpc_turns_the_saga_back_with_the_services_own_words() {
    let system = start(&also("empty")).await;
    let ended = run(&system, json!({"order": "o1", "cents": 299, "card": "good"})).await;
    assert_eq!(ended["state"], "compensated", "{ended}");
    assert_eq!(ended["problem"], json!({"code": "FAILED_PRECONDITION", "detail": "the card is empty: 0 €"}));
    did(&system, "gave back", &["gave back o1"]).await;
    let id = ended["id"].as_str().unwrap();
    let shown = system.tenon().run(&["saga", "show", id]).await.succeeded().out;
    assert!(shown.contains("the card is empty: 0 €"), "{shown}");
}

#[tokio::test]
async fn an_input_that_is_no_message_is_a_refusal_by_its_step_that_names_the_field() {
    let system = start("input: {order_id: input.order, cents: \"1.5\"}").await;
    let ended = run(&system, json!({"order": "o1", "cents": 1, "card": "good"})).await;
    assert_eq!(ended["state"], "compensated", "{ended}");
    let detail = ended["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("cents"), "{detail}");
}

#[tokio::test]
async fn a_message_that_changes_is_a_new_version_and_one_that_no_step_uses_is_none() {
    let system = start(&also("good")).await;
    let proto = system.folder.path().join("protos/payments.proto");
    let changed = async |from: &str, to: &str| {
        let text = std::fs::read_to_string(&proto).unwrap().replace(from, to);
        std::fs::write(&proto, text).unwrap();
        system.tenon().run(&["up"]).await.succeeded().err
    };
    let told = changed("// Never set.", "// Not set.\n  // Ever.").await;
    assert!(told.contains("has not changed"), "{told}");
    let told = changed("message Payment {", "message Unused {}\nmessage Payment {").await;
    assert!(told.contains("has not changed"), "{told}");
    let told = changed("string card = 3;", "string card = 3;\n  string bank = 4;").await;
    assert!(told.contains("saga order is changed"), "{told}");
    let wrong = system.folder.path().join("protos/payments.proto");
    std::fs::write(wrong, "syntax = \"proto3\";\nmessage {}\n").unwrap();
    let refused = system.tenon().run(&["up"]).await.exited(3);
    assert!(refused.err.contains("protos/payments.proto:2:9"), "{}", refused.err);
}

#[tokio::test]
async fn a_participant_over_grpc_keeps_the_contract() {
    let system = start(&also("good")).await;
    let address = system.has_healthy("payment", 1).await[0].address.clone();
    let [take, give_back] =
        ["Take", "GiveBack"].map(|method| format!("grpc://{address}/pay.v1.Payments/{method}"));
    let folder = system.folder.path().join("protos");
    let described = ["--proto", "payments.proto", "--proto-root", folder.to_str().unwrap()];
    let input = "{\"order_id\": \"{saga}\", \"cents\": 1}";
    let tested =
        ["saga", "conformance", &take, "--undo-url", &give_back, "--input", input, "--undo-input", input];
    let refused = ["--refused-input", "{\"order_id\": \"{saga}\", \"cents\": 1, \"card\": \"empty\"}"];
    let tested = system.tenon().run(&[&tested[..], &refused, &described].concat()).await.succeeded();
    assert!(tested.out.contains("undoing what never came succeeds") && !tested.out.contains("broken"));
    assert!(tested.out.contains("undoing what was refused succeeds"), "{}", tested.out);
    // And the checker is told nothing new by messages.
    let file = system.folder.manifest();
    let verified = system.tenon().run(&["saga", "verify", file.to_str().unwrap(), "--faults", "1"]).await;
    assert!(verified.succeeded().out.contains("order: verified: 2 steps"));
    let unknown = take.replace("Take", "Tak");
    let unknown = system.tenon().run(&[&["saga", "conformance", &unknown][..], &described].concat()).await;
    assert!(unknown.err.contains("there is no method `pay.v1.Payments/Tak`"), "{}", unknown.err);
}
