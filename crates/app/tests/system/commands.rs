//! The commands: what they print, where to, and how they exit.

use crate::support::process::{Signal, send};
use crate::support::{Folder, System, eventually, payment, quote_route, system_of, worker};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

fn manifest() -> String {
    let route = "{name: work, matches: [{path: {value: /work}}, {path: {value: /status}}], backends: [{service: worker}]}";
    let services = [payment(2), worker("worker", &["team: tests", "context: testing"])];
    system_of(&services, &quote_route(&[route]))
}

/// The texts at a key of each item of a list, sorted.
fn texts(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let mut texts: Vec<String> = items.map(|it| it[key].as_str().unwrap().to_owned()).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn what_runs_is_shown_as_tables_and_as_json() {
    let system = System::start(&manifest()).await;
    system.has_data_plane().await;
    let tenon = system.tenon();

    let status = tenon.json(&["status"]).await;
    assert_eq!((&status["system"], &status["services"]), (&json!("test"), &json!(2)));
    assert_eq!((&status["instances"]["healthy"], &status["supervisor"]), (&json!(3), &json!(true)));
    assert!(system.urls.gateway.ends_with(status["gateway"].as_str().unwrap()), "{status}");
    let table = tenon.run(&["status"]).await.succeeded();
    assert!(table.out.contains("3 of 3 healthy") && table.err.is_empty(), "{table:?}");

    let services = tenon.json(&["services"]).await;
    assert_eq!(texts(&services["services"], "service"), ["payment", "worker"]);
    let table = tenon.run(&["services"]).await.succeeded();
    assert!(table.out.starts_with("SERVICE") && table.out.contains("2/2"), "{table:?}");

    let instances = tenon.json(&["instances"]).await;
    assert_eq!(texts(&instances["instances"], "service"), ["payment", "payment", "worker"]);
    let of_worker = tenon.json(&["instances", "worker"]).await;
    assert_eq!(texts(&of_worker["instances"], "status"), ["healthy"]);
    assert_eq!(of_worker["instances"][0]["evidence"]["check"], "GET /health");
    let table = tenon.run(&["instances", "worker"]).await.succeeded();
    assert!(table.out.contains("GET /health: "), "{table:?}");
    assert_eq!(table.out.lines().count(), 2);
    assert!(!table.out.contains('\u{1b}'), "no colour where there is no terminal");
}

#[tokio::test]
async fn configuration_is_read_changed_compared_and_rolled_back() {
    let config = "config: {worker: {size: {value: 3, schema: {type: integer}}}}";
    let system = System::start(&format!("{}{config}", manifest())).await;
    let tenon = system.tenon();
    let mut watch = tenon.follow(&["config", "watch", "worker", "-o", "json"]);
    let first = tenon.json(&["config", "set", "worker", "limit", "5"]).await;
    let second = tenon.json(&["config", "set", "worker", "limit", "{\"max\": 6}"]).await;
    tenon.run(&["config", "set", "worker", "greeting", "good day"]).await.succeeded();

    assert_eq!(tenon.run(&["config", "get", "worker", "limit"]).await.succeeded().out, "{\"max\":6}\n");
    assert_eq!(tenon.run(&["config", "get", "worker", "greeting"]).await.succeeded().out, "\"good day\"\n");
    let all = tenon.json(&["config", "get", "worker"]).await;
    assert_eq!(texts(&all["entries"], "key"), ["greeting", "limit", "size"]);

    let history = tenon.json(&["config", "history", "worker"]).await;
    assert_eq!(history["records"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&history["records"][1]["old"], &history["records"][1]["new"]),
        (&json!(5), &json!({"max": 6}))
    );
    assert!(history["records"][0]["by"].as_str().unwrap().starts_with("cli"));

    let revision = first["revision"].as_str().unwrap();
    let diff = tenon.json(&["config", "diff", "worker", revision]).await;
    assert_eq!(texts(&diff["changes"], "key"), ["greeting", "limit"]);
    tenon.run(&["config", "rollback", "worker", revision]).await.succeeded();
    let all = tenon.json(&["config", "get", "worker"]).await;
    assert_eq!(
        (texts(&all["entries"], "key"), &all["entries"][0]["value"]),
        (vec!["limit".to_owned(), "size".to_owned()], &json!(5))
    );

    // Whoever changes on the basis of what is no longer so is refused.
    let stale = second["revision"].as_str().unwrap();
    tenon.run(&["config", "set", "worker", "limit", "8", "--if-revision", stale]).await.exited(5);
    let said = tenon.run(&["config", "set", "worker", "size", "great"]).await.exited(3);
    assert!(said.err.contains("size"), "{}", said.err);
    tenon.run(&["config", "unset", "worker", "limit"]).await.succeeded();
    tenon.run(&["config", "get", "worker", "limit"]).await.exited(4);

    let seen: Value = serde_json::from_str(&watch.find("\"greeting\"").await).unwrap();
    assert_eq!((seen.get("old"), &seen["new"]), (None, &json!("good day")));
    let seen: Value = serde_json::from_str(&watch.find("\"limit\"").await).unwrap();
    assert_eq!((&seen["old"], &seen["new"]), (&json!({"max": 6}), &json!(5)));
}

#[tokio::test]
async fn logs_show_what_was_printed_and_follow_what_comes() {
    let system = System::start(&manifest()).await;
    let tenon = system.tenon();
    let said = async || {
        let said = tenon.run(&["logs", "worker"]).await.succeeded();
        said.out.contains(" started").then_some(())
    };
    eventually("what was printed is kept", said).await;
    let mut follow = tenon.follow(&["logs", "-f", "worker", "-o", "json"]);
    follow.find("started").await;
    let instance = system.instances("worker").await[0].clone();
    for text in ["one", "two"] {
        let url = format!("http://{}/print?text=line-{text}", instance.address);
        system.http.get(&url).await.expect(200);
        let line: Value = serde_json::from_str(&follow.find(&format!("line-{text}")).await).unwrap();
        let expected = (json!(instance.id.as_str()), json!("out"), json!(format!("line-{text}")));
        assert_eq!(
            (&line["instance"], &line["stream"], &line["text"]),
            (&expected.0, &expected.1, &expected.2)
        );
    }
    let last = tenon.run(&["logs", "worker", "-n", "1"]).await.succeeded();
    assert_eq!(last.out.lines().count(), 1, "{last:?}");
    assert!(last.out.contains("line-two"), "{last:?}");
}

#[tokio::test]
async fn what_is_followed_goes_on_over_a_restart_of_the_server() {
    let system = System::start(&manifest()).await;
    let tenon = system.tenon();
    let instance = system.instances("worker").await[0].clone();
    let mut logs = tenon.follow(&["logs", "-f", "worker", "-o", "json"]);
    logs.find("started").await;
    let mut watch = tenon.follow(&["config", "watch", "worker", "-o", "json"]);
    let set = async |value: u32| tenon.json(&["config", "set", "worker", "limit", &value.to_string()]).await;
    // The watch has begun once it tells a change; what was set before it began it need not tell.
    let mut value = 0;
    while !watch.has("\"limit\"").await {
        value += 1;
        set(value).await;
    }

    let first = system.role("server").await;
    send(first, Signal::KILL);
    system.role_other_than("server", first).await;
    eventually("the server answers", async || system.api.health().await.ok()).await;
    set(1_000).await;
    watch.find("\"new\":1000").await;
    system.http.get(&format!("http://{}/print?text=line-after", instance.address)).await.expect(200);
    logs.find("line-after").await;
}

#[tokio::test]
async fn a_refused_request_is_explained_and_a_stopped_service_starts_again() {
    let system = System::start(&manifest()).await;
    let tenon = system.tenon();
    tenon.run(&["stop", "worker"]).await.succeeded();
    eventually("the worker is gone", async || system.instances("worker").await.is_empty().then_some(()))
        .await;
    assert_eq!(tenon.json(&["services"]).await["services"][1]["stopped"], true);

    let refused = system.get("/work").await;
    let id = refused.header("x-request-id").to_owned();
    assert_eq!(refused.header("tenon-error"), "mesh.service-unavailable");
    assert_eq!(refused.problem(503), "mesh.service-unavailable");
    let story = tenon.run(&["explain", &id]).await.succeeded();
    for part in [id.as_str(), "GET /work", "503 mesh.service-unavailable", "the gateway", "route work"] {
        assert!(story.out.contains(part), "{part} is missing:\n{}", story.out);
    }
    let story = tenon.json(&["explain", &id]).await;
    assert_eq!((&story["request_id"], &story["hops"][0]["destination"]), (&json!(id), &json!("worker")));

    // Nothing of the sort is known, or can be.
    let unknown = "01890000-0000-7000-8000-000000000000";
    tenon.run(&["explain", unknown]).await.exited(4);
    tenon.run(&["explain", "yesterday's"]).await.exited(3);

    tenon.run(&["start", "worker"]).await.succeeded();
    system.has_healthy("worker", 1).await;
    let works = async || (system.get("/work").await.status == 200).then_some(());
    eventually("the worker is called again", works).await;
}

#[tokio::test]
async fn a_request_that_was_tried_in_vain_is_explained_try_by_try() {
    let system = System::start(&manifest()).await;
    let answer = system.get("/status?code=503").await.expect(503);
    assert_eq!(
        (answer.text.as_str(), answer.header("tenon-error")),
        ("as told", ""),
        "the service's own answer"
    );
    let story = system.tenon().json(&["explain", answer.header("x-request-id")]).await;
    let attempts = story["hops"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 4, "once and three retries: {story}");
    assert!(attempts.iter().all(|it| it["status"] == 503), "{story}");
    let text = system.tenon().run(&["explain", answer.header("x-request-id")]).await.succeeded();
    assert!(text.out.contains("attempt 4"), "{}", text.out);
}

#[tokio::test]
async fn a_service_that_runs_elsewhere_is_checked_and_called_but_not_run() {
    let address = elsewhere();
    let service = format!(
        "  elsewhere:\n    addresses: [\"{address}\"]\n    interfaces: [{{name: api, endpoints: [{{path: /}}]}}]",
    );
    let route = "gateway: {routes: [{name: all, backends: [{service: elsewhere}]}]}";
    let system = System::begin(Folder::with(&system_of(&[service], route)), &[]).await;
    let called = async || (system.get("/").await.text == "from elsewhere").then_some(());
    eventually("it is called", called).await;
    let services = system.tenon().run(&["services"]).await.succeeded();
    assert!(services.out.contains("healthy, runs elsewhere"), "{}", services.out);
    for arguments in [&["stop", "elsewhere"][..], &["scale", "elsewhere", "2"]] {
        let said = system.tenon().run(arguments).await.exited(5);
        assert!(said.err.contains("is not run by Tenon"), "{}", said.err);
    }
}

/// A server that answers every request the same; it ends with the tests.
fn elsewhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}from elsewhere").as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn a_service_is_scaled_up_and_down() {
    let system = System::start(&manifest()).await;
    let tenon = system.tenon();
    tenon.run(&["scale", "worker", "3"]).await.succeeded();
    system.has_healthy("worker", 3).await;
    tenon.run(&["scale", "worker", "1"]).await.succeeded();
    system.has_healthy("worker", 1).await;
    let said = tenon.run(&["scale", "worker", "1001"]).await.exited(3);
    assert!(said.err.contains("1000"), "{}", said.err);
}

#[tokio::test]
async fn what_cannot_be_done_has_its_exit_code_and_says_why_on_standard_error() {
    let system = System::start(&manifest()).await;
    let tenon = system.tenon();
    for (arguments, code, reason) in [
        (&["instances", "paymnt"][..], 4, "paymnt"),
        (&["stop", "paymnt"], 4, "paymnt"),
        (&["logs", "paymnt"], 4, "paymnt"),
        (&["config", "get", "worker", "colour"], 4, "colour"),
        (&["config", "diff", "worker", "yesterday"], 3, "yesterday"),
        (&["config", "get", "Worker"], 3, "Worker"),
        (&["scale", "worker", "many"], 2, "many"),
        (&["frobnicate"], 2, "frobnicate"),
    ] {
        let said = tenon.run(arguments).await.exited(code);
        assert_eq!(said.out, "", "{arguments:?}: standard output is for data");
        assert!(said.err.contains(reason), "{arguments:?}: {}", said.err);
    }
    let nobody = ["--api", "http://127.0.0.1:9", "status"];
    let said = tenon.run(&nobody).await.exited(6);
    assert!(said.err.contains("127.0.0.1:9"), "{}", said.err);
}

#[tokio::test]
async fn without_a_system_commands_say_that_nothing_runs() {
    let folder = Folder::with(&manifest());
    for arguments in [&["status"][..], &["services"], &["config", "get", "worker"], &["logs", "worker"]] {
        let said = folder.tenon().run(arguments).await.exited(6);
        assert!(said.out.is_empty() && said.err.contains("tenon up"), "{said:?}");
    }
    // Nor is there a data folder to be found from elsewhere.
    let elsewhere = Folder::with(&manifest());
    let said = elsewhere.tenon().run_without_data(&["status"]).await.exited(6);
    assert!(said.err.contains("--data"), "{said:?}");
}

#[tokio::test]
async fn check_reports_every_mistake_and_needs_no_system() {
    let good = Folder::with(&manifest());
    let said = good.tenon().run(&["check"]).await.succeeded();
    assert!(said.out.contains("2 services") && said.err.is_empty(), "{said:?}");

    let mistakes = manifest()
        .replace("team", "taem")
        .replace("backends: [{service: worker}]", "backends: [{service: wroker}]");
    let bad = Folder::with(&mistakes);
    let said = bad.tenon().run(&["check"]).await.exited(3);
    assert!(said.out.is_empty(), "{said:?}");
    for part in ["did you mean `team`?", "did you mean `worker`?", "tenon.yaml:"] {
        assert!(said.err.contains(part), "{part} is missing:\n{}", said.err);
    }
    let report = bad.tenon().run(&["check", "-o", "json"]).await.exited(3).json();
    assert_eq!((&report["ok"], report["problems"].as_array().unwrap().len()), (&json!(false), 2));
    bad.tenon().run(&["up"]).await.exited(3);
    bad.tenon().run(&["check", "nowhere.yaml"]).await.exited(4);
}

const SAGAS: &str = "
sagas:
  place-order:
    input: [customer]
    steps:
      create_order:
        call: {service: payment, method: POST, path: /orders}
        input: {customer: input.customer}
        output: [id]
        undo: {call: {service: payment, method: POST, path: /orders/cancel}, input: {id: output.id}}
      take_payment:
        call: {service: worker, method: POST, path: /payments}
        input: {order: steps.create_order.id}
        undo: {call: {service: worker, method: POST, path: /refunds}, input: {order: steps.create_order.id}}
      confirm:
        call: {service: payment, method: POST, path: /confirm}
        kind: pivot
        after: [take_payment]
";

#[tokio::test]
async fn sagas_are_verified_and_what_breaks_them_is_told_as_a_story() {
    let folder = Folder::with(&(manifest() + SAGAS));
    folder.tenon().run(&["check"]).await.succeeded();
    let said = folder.tenon().run(&["saga", "verify"]).await.succeeded();
    assert!(said.out.starts_with("place-order: verified: 3 steps, "), "{said:?}");
    assert!(said.out.contains("`confirm` can come to wait for somebody"), "{said:?}");

    let lapse = ["saga", "verify", "--saga", "place-order", "--lapse", "take_payment=repeats"];
    let said = folder.tenon().run(&lapse).await.exited(3);
    assert!(said.out.contains("1. the saga is started"), "{said:?}");
    assert!(said.out.contains("Broken: a step took effect twice."), "{said:?}");

    let bounded = ["saga", "verify", "--states", "100", "-o", "json"];
    let said = folder.tenon().run(&bounded).await.succeeded().json();
    assert_eq!(said["sagas"][0]["verdict"], "bounded");

    folder.tenon().run(&["saga", "verify", "--saga", "other"]).await.exited(4);
    folder.tenon().run(&["saga", "verify", "--lapse", "nothing"]).await.exited(3);
    let idle = folder.tenon().run(&["saga", "verify", "--lapse", "confirm=undoes-nothing"]).await.exited(3);
    assert!(idle.err.contains("nothing undoes the step"), "{}", idle.err);
    let without = Folder::with(&manifest());
    without.tenon().run(&["saga", "verify"]).await.exited(4);
}

#[tokio::test]
async fn the_schema_and_the_completions_are_data() {
    let folder = Folder::with(&manifest());
    let schema = folder.tenon().run(&["schema"]).await.succeeded();
    assert_eq!(schema.json()["type"], "object");
    let completions = folder.tenon().run(&["completions", "bash"]).await.succeeded();
    assert!(completions.out.contains("_tenon") && completions.err.is_empty());
    let help = folder.tenon().run(&["--help"]).await.succeeded();
    assert!(help.out.contains("Examples:") && help.out.contains("Exit codes:"), "{}", help.out);
}

#[tokio::test]
async fn a_trace_is_shown_as_a_tree_from_the_gateway_through_a_sidecar() {
    let route = "{name: call, matches: [{path: {type: Exact, value: /call}}], backends: [{service: caller}]}";
    let services = [payment(1), worker("caller", &["depends_on: [payment]"])];
    let system = System::start(&system_of(&services, &quote_route(&[route]))).await;
    let answer = system.get("/quote?amount=100.00").await.expect(200);
    let told = system.tenon().run(&["trace", answer.header("x-request-id")]).await.succeeded();
    assert!(told.out.contains("gateway: GET quote /quote  200"), "{}", told.out);
    assert!(told.out.contains("→ GET payment at payment-1-"), "{}", told.out);
    let traces = system.tenon().json(&["trace", answer.header("x-request-id")]).await;
    let trace =
        traces["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].as_str().unwrap().to_owned();
    assert_eq!(system.tenon().json(&["trace", &trace]).await, traces);
    system.tenon().run(&["trace", "4bf92f3577b34da6a3ce929d0e0e4736"]).await.exited(4);
    system.tenon().run(&["trace", "yesterday's"]).await.exited(3);
}
