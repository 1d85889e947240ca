//! Sagas over real processes: a participant in Python with no packages, and a server that is killed.

use crate::support::process::{Signal, send};
use crate::support::{Folder, System, eventually, program, python, within};
use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a saga may take on a machine with much else to do: its calls are hundreds of transactions in one file.
const LONGEST: Duration = Duration::from_secs(240);

fn manifest(folder: &Folder) -> String {
    format!(
        "name: test
services:
  bank:
    command: [\"{}\", \"{}\"]
    env: {{LEDGER: \"{}\"}}
    interfaces:
      - {{name: steps, endpoints: [{{path: \"/{{anything...}}\"}}]}}
    health: {{http: {{path: /health}}, interval: 1s, timeout: 1s}}
",
        python(),
        program("participant.py"),
        folder.path().join("ledger.sqlite").display(),
    )
}

fn call() -> Value {
    json!({"action": {"service": "bank", "method": "POST", "path": "/do"}, "timeout_ms": 10_000})
}

fn step(name: &str, after: &[&str], kind: &str) -> Value {
    let backoff = json!({"delay": {"fixed": {"delay_ms": 100}}, "jitter": "none", "max_delay_ms": 100});
    let retry = json!({"tries": 100, "backoff": backoff});
    let mut step = json!({"name": name, "after": after, "kind": kind, "work": {"call": call()}, "input": "input", "retry": retry});
    if kind == "compensatable" {
        step["undo"] = call();
        step["undo"]["retry"] = retry;
    }
    step
}

/// Two beside each other, one after them, the pivot, and one behind it.
fn order() -> Value {
    json!({"output": "steps.order.id", "steps": [
        step("order", &[], "compensatable"),
        step("payment", &[], "compensatable"),
        step("stock", &["order", "payment"], "compensatable"),
        step("confirm", &[], "pivot"),
        step("mail", &["confirm"], "retriable"),
    ]})
}

async fn start() -> System {
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    folder.write_manifest(&manifest(&folder));
    let system = System::start_in(Rc::clone(&folder)).await;
    let file = folder.path().join("order.json");
    std::fs::write(&file, order().to_string()).unwrap();
    system.tenon().run(&["saga", "define", "order", file.to_str().unwrap()]).await.succeeded();
    system
}

/// What the participant's own ledger has of each saga.
async fn ledger(system: &System) -> BTreeMap<String, Vec<String>> {
    let address = system.has_healthy("bank", 1).await[0].address.clone();
    let answer = system.http.get(&format!("http://{address}/ledger")).await;
    let mut ledger: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (saga, step) in serde_json::from_value::<Vec<(String, String)>>(answer.json()).unwrap() {
        ledger.entry(saga).or_default().push(step);
    }
    ledger
}

/// Starts a saga under a key, again and again until it is known to be started.
async fn begin(system: &System, number: u32) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let input = match number % 5 {
        0 => json!({"refuse": "confirm"}),
        1 => json!({"refuse": "stock"}),
        2 => json!({"lose": "payment"}),
        _ => json!({}),
    };
    let body = json!({"input": input, "key": format!("order-{number}")});
    eventually("a saga is started", async || {
        let url = format!("{}/v1/sagas/order", system.urls.api);
        let request = client.post(url).bearer_auth(&system.token).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.ok()?;
        let document: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        document["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn sagas_leave_nothing_half_done_when_the_server_is_killed_under_load() {
    let system = start().await;
    let mut started = BTreeMap::new();
    for number in 0..120 {
        if number % 30 == 15 {
            let server = system.role("server").await;
            send(server, Signal::KILL);
        }
        started.insert(begin(&system, number).await, number);
    }
    let ended = async |id: &str| {
        let view = system.api.saga(id.parse().unwrap(), None).await.ok()?;
        let state = view.of.state.to_string();
        ["completed", "compensated", "failed"].contains(&state.as_str()).then_some(state)
    };
    let mut states = BTreeMap::new();
    for id in started.keys() {
        states.insert(id.clone(), within(LONGEST, "a saga ends", async || ended(id).await).await);
    }
    let ledger = ledger(&system).await;
    for (id, number) in &started {
        let done = ledger.get(id).cloned().unwrap_or_default();
        let all = ["confirm", "mail", "order", "payment", "stock"];
        match number % 5 {
            0 | 1 => assert!(done.is_empty() && states[id] == "compensated", "{id} {}: {done:?}", states[id]),
            _ => assert!(done == all && states[id] == "completed", "{id} {}: {done:?}", states[id]),
        }
    }
    assert_eq!(started.len(), 120, "each key is one saga");
}

#[tokio::test]
async fn a_saga_is_started_shown_and_found_on_the_command_line() {
    let system = start().await;
    let tenon = system.tenon();
    let input = "{\"refuse\": \"confirm\"}";
    let shown = tenon.run(&["saga", "start", "order", input, "--key", "7", "--wait", "60"]).await.exited(10);
    assert!(shown.out.contains("compensated"), "{}", shown.out);
    assert!(shown.out.contains("step `confirm` failed"), "{}", shown.out);
    assert!(shown.out.contains("undo payment"), "{}", shown.out);
    let list = tenon.json(&["saga", "list", "--state", "compensated"]).await;
    assert_eq!(list["sagas"][0]["key"], "7");
    let id = list["sagas"][0]["id"].as_str().unwrap();
    let ended = tenon.run(&["saga", "retry", id]).await.exited(5);
    assert!(ended.err.contains("the saga has ended"), "{}", ended.err);
    let broken = tenon.run(&["saga", "start", "order", "{\"refuse\": "]).await.exited(3);
    assert!(broken.err.contains("line 1 column"), "{}", broken.err);
    let followed = tenon.run(&["saga", "show", id, "--follow"]).await.exited(10).out;
    let lines: Vec<&str> = followed.lines().collect();
    assert!(lines[0].contains("the saga is started") && lines[lines.len() - 1].contains("the saga ends"));
    // What the manifest's expressions are checked for, a definition's are.
    let mut wrong = order();
    wrong["output"] = json!("steps.ordr.id");
    let file = system.folder.path().join("wrong.json");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let refused = tenon.run(&["saga", "define", "wrong", file.to_str().unwrap()]).await.exited(3);
    assert!(
        refused.err.contains("there is no step `ordr`") && refused.err.contains("`order`?"),
        "{}",
        refused.err
    );
    let unknown = tenon.run(&["saga", "start", "nothing"]).await.exited(4);
    assert!(unknown.err.contains("there is no saga `nothing`"), "{}", unknown.err);
    let list = tenon.run(&["saga", "definitions"]).await.succeeded();
    assert!(list.out.contains("order,payment,stock,confirm,mail"), "{}", list.out);
}

/// A pivot whose answer is lost, and a step behind it that is refused; both are tried once.
fn unlucky() -> Value {
    let mut steps = [step("pay", &[], "pivot"), step("mail", &["pay"], "retriable")];
    steps.iter_mut().for_each(|step| step["retry"]["tries"] = json!(1));
    json!({"steps": steps})
}

#[tokio::test]
async fn somebody_decides_about_all_sagas_that_wait_on_the_command_line() {
    let system = start().await;
    let tenon = system.tenon();
    let file = system.folder.path().join("unlucky.json");
    std::fs::write(&file, unlucky().to_string()).unwrap();
    tenon.run(&["saga", "define", "unlucky", file.to_str().unwrap()]).await.succeeded();
    let parked = async |input: &str, key: &str| {
        let started = tenon.json(&["saga", "start", "unlucky", input, "--key", key]).await;
        let id = started["id"].as_str().unwrap().to_owned();
        let is_parked = async || {
            let list = tenon.json(&["saga", "list", "--name", "unlucky", "--key", key]).await;
            (list["sagas"][0]["state"] == "parked").then_some(())
        };
        eventually("the saga waits for somebody", is_parked).await;
        id
    };
    let refused = parked("{\"refuse\": \"mail\"}", "1").await;
    let lost = parked("{\"lose\": \"pay\"}", "2").await;
    // What is shown says what may be typed.
    let shown = tenon.run(&["saga", "show", &refused]).await.succeeded();
    assert!(shown.out.contains(&format!("tenon saga retry {refused} mail")), "{}", shown.out);
    let list = tenon.run(&["saga", "list", "--state", "parked"]).await.succeeded();
    assert!(list.out.contains("pay: pivot-unknown") && list.out.contains("mail: spent"), "{}", list.out);
    // Behind the pivot nothing is undone; what was done is told, and that not all was is the exit code.
    let told = tenon.run(&["saga", "compensate", "--all", "--name", "unlucky"]).await.exited(5);
    assert!(told.err.contains(&refused) && !told.err.contains(&lost), "{}", told.err);
    assert!(told.err.contains("decided about 1 that waited for somebody; 1 refused"), "{}", told.err);
    let nothing = ["saga", "skip", "--all", "--step", "pay"];
    let nothing = tenon.run(&nothing).await.succeeded();
    assert!(nothing.err.contains("nothing of that waits"), "{}", nothing.err);
    let edit = ["saga", "edit", "--all", "--step", "mail", "--with", "{}", "--since", "2020-01-01T00:00:00Z"];
    let edited = tenon.json(&edit).await;
    assert_eq!(edited["decided"], json!([{"id": refused, "step": "mail"}]));
    let ended = tenon.json(&["saga", "show", &refused, "--wait", "60"]).await;
    assert_eq!(ended["state"], "completed");
}

#[tokio::test]
async fn a_saga_is_a_trace_with_its_steps_and_the_calls_below_them() {
    let system = start().await;
    let tenon = system.tenon();
    let input = "{\"refuse\": \"confirm\"}";
    let started = tenon.json(&["saga", "start", "order", input]).await;
    let (id, trace) = (started["id"].as_str().unwrap(), started["trace"].as_str().unwrap());
    let shown = tenon.run(&["saga", "show", id, "--wait", "60"]).await.exited(10);
    assert!(shown.out.contains(trace), "{}", shown.out);
    let told = tenon.run(&["trace", trace]).await.succeeded().out;
    let lines: Vec<&str> = told.lines().collect();
    let after = |what: &str, from: usize| {
        let found = lines.iter().skip(from).position(|line| line.trim_start().starts_with(what));
        found.map(|found| found + from).unwrap_or_else(|| panic!("{what}: {told}"))
    };
    let root = after("saga order  compensated", 0);
    assert_eq!(lines[root + 1].trim(), "because step `confirm` failed");
    let step = after("do confirm #", root);
    assert!(lines[step].contains("refused"), "{told}");
    // The mesh continues it: the server's sidecar, and the service's behind it.
    assert!(lines[step + 1].contains(": POST /do  422"), "{told}");
    assert!(lines[step + 2].contains("→ POST bank at bank-1-"), "{told}");
    after("undo order #", step);
    // It outlives the data plane's memory, and the server.
    let before = tenon.json(&["trace", trace]).await;
    send(system.role("server").await, Signal::KILL);
    let again = eventually("the server is back", async || {
        let told = tenon.run(&["trace", trace, "-o", "json"]).await;
        let told: Value = serde_json::from_str(&told.out).ok()?;
        (told == before).then_some(())
    });
    again.await;
}

/// A collector of spans, and what it was sent.
async fn collector() -> (String, Rc<RefCell<mpsc::UnboundedReceiver<Value>>>) {
    let (taken, all) = mpsc::unbounded_channel();
    let take = move |Json(body): Json<Value>| async move {
        // The test may have ended.
        _ = taken.send(body);
        Json(json!({}))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, Rc::new(RefCell::new(all)))
}

#[tokio::test]
async fn the_spans_of_sagas_are_sent_to_a_collector_as_sampling_says() {
    let (address, sent) = collector().await;
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    let telemetry = format!("telemetry: {{otlp: \"{address}\", sampling: 0.0}}\n");
    folder.write_manifest(&format!("{}{telemetry}", manifest(&folder)));
    let system = System::start_in(Rc::clone(&folder)).await;
    let file = folder.path().join("order.json");
    std::fs::write(&file, order().to_string()).unwrap();
    let tenon = system.tenon();
    tenon.run(&["saga", "define", "order", file.to_str().unwrap()]).await.succeeded();
    system.has_healthy("bank", 1).await;
    let run = async |input: &str| {
        let waits = ["saga", "start", "order", input, "--wait", "60", "-o", "json"];
        let ended = tenon.run(&waits).await.json();
        (ended["id"].as_str().unwrap().to_owned(), ended["trace"].as_str().unwrap().to_owned())
    };
    let (quiet, _) = run("{}").await;
    let (failed, trace) = run("{\"refuse\": \"confirm\"}").await;
    let recorder = |resource: &Value| resource["resource"]["attributes"][0]["value"]["stringValue"].clone();
    let spans = within(LONGEST, "the collector has the saga that failed", async || {
        let body = sent.borrow_mut().try_recv().ok()?;
        let own = body["resourceSpans"].as_array()?.iter().find(|it| recorder(it) == "saga.tenon")?;
        Some(own["scopeSpans"][0]["spans"].as_array().unwrap().clone())
    })
    .await;
    // The one that went well came before it, and is not there.
    let text = json!(spans).to_string();
    assert!(text.contains(&failed) && !text.contains(&quiet), "{text}");
    assert!(spans.iter().all(|it| it["traceId"] == *trace), "{text}");
    let names: Vec<&str> = spans.iter().map(|it| it["name"].as_str().unwrap()).collect();
    for name in ["saga order", "do order", "do confirm", "undo order", "undo stock"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let of = |name: &str| spans.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("do confirm")["parentSpanId"], of("saga order")["spanId"]);
    assert_eq!((&of("saga order")["status"]["code"], &of("do order")["kind"]), (&json!(2), &json!(3)));
}

/// A saga of the manifest, which waits for a signal and then calls. The participant is told which step to refuse.
fn declared(folder: &Folder, refuse: &str) -> String {
    format!(
        "{}sagas:
  trip:
    steps:
      approval:
        signal: {{name: approved}}
      book:
        call: {{service: bank, method: POST, path: /do}}
        kind: pivot
        after: [approval]
        input: {{refuse: \"'{refuse}'\"}}
",
        manifest(folder)
    )
}

#[tokio::test]
async fn a_saga_of_the_manifest_goes_on_as_it_began_when_the_manifest_changes() {
    let folder = Rc::new(Folder::with("name: test\nservices: {}\n"));
    folder.write_manifest(&declared(&folder, "nothing"));
    let system = System::start_in(Rc::clone(&folder)).await;
    let tenon = system.tenon();
    let version = async || {
        let list = tenon.json(&["saga", "definitions"]).await;
        list["definitions"][0]["version"].as_str().map(str::to_owned)
    };
    let first = eventually("the saga is there", version).await;
    let started = tenon.json(&["saga", "start", "trip", "{}"]).await;
    let id = started["id"].as_str().unwrap();
    folder.write_manifest(&declared(&folder, "book"));
    let changed = tenon.run(&["up"]).await.succeeded();
    let stays = format!("1 saga `trip` under way, version {first}: {id}");
    assert!(changed.err.contains(&stays) && changed.err.contains("saga trip is changed"), "{}", changed.err);
    eventually("the manifest's change is there", async || version().await.filter(|it| *it != first)).await;
    tenon.run(&["saga", "signal", id, "approved"]).await.succeeded();
    // Under the new version it would be refused.
    let ended = tenon.json(&["saga", "show", id, "--wait", "60"]).await;
    assert_eq!((ended["state"].as_str(), ended["version"].as_str()), (Some("completed"), Some(&*first)));
    // What is no longer declared can no longer be started.
    folder.write_manifest(&manifest(&folder));
    let removed = tenon.json(&["up"]).await;
    assert_eq!(removed["sagas"], json!([{"name": "trip", "version": null, "former": [], "more": false}]));
    let gone = async || (version().await.is_none()).then_some(());
    eventually("the saga is retired", gone).await;
    tenon.run(&["saga", "start", "trip", "{}"]).await.exited(4);
}

#[tokio::test]
async fn a_participant_in_python_keeps_the_contract() {
    let system = start().await;
    let address = system.has_healthy("bank", 1).await[0].address.clone();
    let url = |path: &str| format!("http://{address}{path}");
    let (work, probe) = (url("/do"), url("/ledger"));
    let tested = system.tenon().run(&["saga", "conformance", &work, "--probe", &probe]).await.succeeded();
    assert!(tested.out.contains("undoing what never came succeeds") && !tested.out.contains("broken"));
    assert!(tested.err.contains("what comes after a refusal was not tested"), "{}", tested.err);
    let refusing = r#"{"refuse": "conformance"}"#;
    let tested = ["saga", "conformance", &work, "--probe", &probe, "--refused-input"];
    let kept = system.tenon().run(&[&tested[..], &[refusing]].concat()).await.succeeded();
    assert!(kept.out.contains("undoing what was refused succeeds") && !kept.out.contains("broken"));
    let forgetting = r#"{"refuse": "conformance", "forget": true}"#;
    let forgot = system.tenon().run(&[&tested[..], &[forgetting]].concat()).await.exited(3);
    let broken: Vec<&str> = forgot.out.lines().filter(|line| line.contains("broken")).collect();
    assert!(broken.len() == 1 && broken[0].contains("refused again under its key"), "{}", forgot.out);
    // What is no JSON is refused, and nothing is sent.
    let broken = ["saga", "conformance", "http://127.0.0.1:1/do", "--undo-input", "{\"saga\": \"{saga}\""];
    let broken = system.tenon().run(&broken).await.exited(3);
    for (arguments, problem) in [
        (vec!["ftp://x"], "does not begin with http://"),
        (vec!["http://127.0.0.1:1", "--undo-method", "FOO BAR"], "is no method of HTTP"),
    ] {
        let refused =
            system.tenon().run(&[&["saga", "conformance"], &arguments[..]].concat()).await.exited(3);
        assert!(refused.err.contains(problem), "{}", refused.err);
    }
    assert!(broken.err.contains("--undo-input begins as JSON does"), "{}", broken.err);
    let nobody = system.tenon().run(&["saga", "conformance", "http://127.0.0.1:1/do"]).await.exited(6);
    assert!(nobody.err.contains("Connection refused"), "{}", nobody.err);
    // Whoever answers everything with success keeps nothing.
    let (tenon, ledger) = (system.tenon(), url("/ledger"));
    let careless = ["saga", "conformance", &ledger, "--method", "GET", "--undo-method", "GET"];
    let careless = tenon.run(&careless).await.exited(3);
    assert!(careless.out.contains("broken"), "{}", careless.out);
}
