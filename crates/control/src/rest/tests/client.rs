//! A server on an ephemeral port, and a client that holds its token.

use crate::testing::{LONG, bare, external, managed, system, with_config};
use crate::{Keys, Manifest, SagaChange, Server, ServerConfig};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tenon_api::http::{ChangedSaga, Finding, FormerVersion, Severity};
use tenon_api::system::SagaDoc;
use tenon_core::manifest::System;
use tenon_core::saga::SagaName;
use tenon_core::{Refusal, Revision};
use tenon_store::log::BoxFuture;
use tenon_store::{Log, MemoryLog};

/// A server and what it needs.
pub(super) struct Api {
    pub(super) server: Server,
    pub(super) keys: Keys,
    pub(super) log: Arc<dyn Log>,
    client: reqwest::Client,
    folder: Arc<tempfile::TempDir>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) json: Value,
}

impl Reply {
    /// The document, if the request succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json
    }

    /// The code of the problem, if it failed, once the answer has been held to be a problem in form.
    #[track_caller]
    pub(super) fn code(self) -> String {
        assert!(!self.status.is_success(), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let code = self.json["code"].as_str().unwrap().to_owned();
        assert_eq!(self.headers["tenon-error"], code);
        assert_eq!(self.json["status"], self.status.as_u16());
        assert_eq!(self.json["type"], format!("urn:tenon:error:{code}"));
        assert_eq!(self.json["component"], "server");
        code
    }
}

impl Api {
    /// On an empty log, with the shop applied: `payment` runs nowhere yet, `order` is run by Tenon.
    pub(super) async fn with_shop() -> Self {
        let api = Self::start().await;
        api.put("/v1/system", json!({"manifest": "shop"})).await.ok();
        api
    }

    /// On an empty log in memory.
    pub(super) async fn start() -> Self {
        Self::on(MemoryLog::default().into_log(), Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// On a log, with the keys and the output in a folder.
    pub(super) async fn on(log: Arc<dyn Log>, folder: Arc<tempfile::TempDir>) -> Self {
        let keys = Keys::open(&folder.path().join("keys")).unwrap();
        let server = Server::start(ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            hosts: BTreeSet::from(["tenon.test".to_owned()]),
            log: Arc::clone(&log),
            leases: None,
            keys: keys.clone(),
            supervisor: None,
            output: folder.path().join("logs"),
            read_manifest: Arc::new(|text, name, _| read_manifest(text, name)),
            concerned: Arc::new(concerned),
            more: axum::Router::new(),
        });
        Self { server: server.await.unwrap(), keys, log, client: reqwest::Client::new(), folder }
    }

    /// Stops the server and starts another one on the same log and folder.
    pub(super) async fn restart(self) -> Self {
        let Self { server, log, folder, .. } = self;
        server.stop().await;
        Self::on(log, folder).await
    }

    pub(super) fn output(&self) -> PathBuf {
        let output = self.folder.path().join("logs");
        std::fs::create_dir_all(&output).unwrap();
        output
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// A request without a token.
    pub(super) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).timeout(LONG)
    }

    /// A request with the API's token.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.keys.api_token())
    }

    /// A request with an instance's secret.
    pub(super) fn as_instance(&self, id: &str, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.keys.instance_secret(&crate::testing::id(id)))
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        send(self.request(Method::DELETE, path)).await
    }

    /// Registers an instance of `payment` that sends heartbeats.
    pub(super) async fn register(&self, id: &str) -> Value {
        let body = json!({"id": id, "address": "127.0.0.1:9999", "ttl_ms": 60_000});
        self.post("/v1/services/payment/instances", body).await.ok()
    }

    pub(super) async fn beat(&self, id: &str) -> Value {
        self.put(&format!("/v1/services/payment/instances/{id}/heartbeat"), json!(null)).await.ok()
    }

    pub(super) async fn set(&self, key: &str, value: Value) -> Value {
        self.put(&format!("/v1/config/payment/{key}"), json!({"value": value})).await.ok()
    }

    /// Opens a stream of events.
    pub(super) async fn events(&self, path: &str, last_event_id: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { response, text: String::new() }
    }
}

pub(super) async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Reply { status, headers, json }
}

/// A stream of server-sent events.
pub(super) struct Events {
    response: reqwest::Response,
    text: String,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) data: Value,
}

impl Events {
    /// The next one; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = tokio::time::timeout(LONG, self.response.chunk()).await.expect("no event came");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    pub(super) async fn data(&mut self) -> Value {
        self.next().await.expect("the stream ended").data
    }
}

/// An event; none for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim_start().to_owned())
    };
    let data = serde_json::from_str(&field("data")?).unwrap();
    Some(Event { id: field("id"), name: field("event"), data })
}

/// The revision in a document.
pub(super) fn revision(document: &Value) -> Revision {
    document["revision"].as_str().unwrap().parse().unwrap()
}

/// The manifests of the tests go by name.
fn read_manifest(text: &str, name: &str) -> Result<Manifest, Vec<Finding>> {
    let positive = Some(r#"{"type": "integer", "minimum": 1}"#);
    let shop = || system([bare("payment"), managed("order", 2)]);
    let system = match text {
        "shop" => with_config(shop(), "payment", "limit", "100", positive),
        "shop with another limit" => with_config(shop(), "payment", "limit", "250", positive),
        "shop with a bad limit" => with_config(shop(), "payment", "limit", "-1", positive),
        "shop with a saga" => with_saga(shop(), 1),
        "shop with another saga" => with_saga(shop(), 2),
        "only elsewhere" => system([external("stock", &["127.0.0.1:9".parse().unwrap()])]),
        _ => return Err(vec![finding(Severity::Error, &format!("{name} says {text:?}"))]),
    };
    Ok(Manifest { system, findings: vec![finding(Severity::Warning, "a test is no system")] })
}

/// One runs of every saga that was there before.
fn concerned(changes: Vec<SagaChange>) -> BoxFuture<'static, Result<Vec<ChangedSaga>, Refusal>> {
    let of = |SagaChange { before, after }| {
        let (version, name) =
            (after.as_ref().map(|_| "2".to_owned()), after.or(before.clone()).unwrap().name);
        let former = before.map(|_| FormerVersion { version: "1".into(), running: 1, last: Vec::new() });
        ChangedSaga { name, version, former: former.into_iter().collect(), more: false }
    };
    let changed = changes.into_iter().map(of).collect();
    Box::pin(async { Ok(changed) })
}

/// A saga that only lets time pass.
fn with_saga(system: System, seconds: u64) -> System {
    let step = json!({"name": "rest", "work": {"timer": {"delay_ms": seconds * 1_000}}});
    let document: SagaDoc = serde_json::from_value(json!({"steps": [step]})).unwrap();
    let name = SagaName::new("nap").unwrap();
    let definition = document.to_definition(system.namespace.clone(), name.clone()).unwrap();
    System { sagas: [(name, definition)].into(), ..system }
}

fn finding(severity: Severity, message: &str) -> Finding {
    Finding {
        severity,
        rule: "manifest.test".into(),
        message: message.into(),
        line: Some(1),
        column: None,
        help: None,
    }
}
