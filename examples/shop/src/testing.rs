//! Services started in the test's own process, on free ports, spoken to without any proxy.

use crate::problem::Problem;
use crate::service::{Platform, Settings, serve};
use axum::{Extension, Router};
use reqwest::{Client, Method};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenon_api::caller::Caller;
use tenon_core::{Actor, ServerId};
use tenon_flow::saga::participants::{GrpcAnswer, HttpAnswer, HttpCall, OverHttp, Unanswered, Web};
use tenon_flow::{EventStore, EventStoreOptions, SagaOptions, Sagas};
use tenon_sdk::store::{BoxFuture, Log, system_clock};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// An answer: status and JSON body (null if there is none).
pub(crate) type Answer = (u16, Value);

/// An address where nobody can listen, so that every connection is refused.
pub(crate) const NOBODY: &str = "http://127.0.0.1:0";

/// A service that runs until this value is dropped.
pub(crate) struct Running {
    base: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Serves these routes on a free port.
    pub(crate) async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, router, async {
            let _ = stopped.await;
        }));
        Self { base, client: client(), stop: Some(stop), served }
    }

    /// Starts a service that needs no peers.
    pub(crate) async fn start(name: &'static str, start: fn(&Settings) -> Result<Router, Problem>) -> Self {
        Self::serve(start(&Settings::ephemeral(name)).unwrap()).await
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[("idempotency-key", key)], Some(body)).await
    }

    /// Waits until this is shown: what is read may be behind what was done.
    pub(crate) async fn shows(&self, path: &str, expected: &Value) {
        eventually(&format!("{path} shows {expected}"), async || self.get(path).await.1 == *expected).await;
    }

    /// Sends a request as somebody who waits as long as anybody may, unless its headers say otherwise.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if headers.iter().all(|(name, _)| *name != "tenon-timeout-ms") {
            request = request.header("tenon-timeout-ms", "60000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Tells the service to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap().unwrap();
    }
}

/// Waits until something holds; the test fails if it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(120), waiting).await.is_ok(), "never: {what}");
}

/// A client that no environment variable sends through a proxy.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// Where services are, by their names.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<BTreeMap<String, String>>>);

impl Places {
    pub(crate) fn put(&self, name: &str, base: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), base.to_owned());
    }
}

impl Web for Places {
    fn call(&self, call: HttpCall, _most: usize) -> BoxFuture<'_, Result<HttpAnswer, Unanswered>> {
        Box::pin(async move {
            let base = self.0.lock().unwrap().get(&call.service.to_string()).cloned();
            let base = base.ok_or_else(|| Unanswered::Unsent("nobody".into()))?;
            let request =
                client().request(call.method, format!("{base}{}", call.target)).headers(call.headers);
            let sent = request.body(call.body).timeout(call.within).send().await;
            let answer = sent.map_err(|error| match error.is_connect() {
                true => Unanswered::Unsent(error.to_string()),
                false => Unanswered::Lost(error.to_string()),
            })?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body = answer.bytes().await.map_err(|error| Unanswered::Lost(error.to_string()))?;
            Ok(HttpAnswer { status, headers, body })
        })
    }

    fn call_grpc(&self, _: HttpCall, _: usize) -> BoxFuture<'_, Result<GrpcAnswer, Unanswered>> {
        Box::pin(async { Err(Unanswered::Unsent("nobody speaks gRPC here".into())) })
    }
}

/// The platform's sagas, as the manifest has them, on a log; they call the services at these places.
pub(crate) async fn platform(log: &Arc<dyn Log>, places: &Places) -> Platform {
    let store = EventStore::new(Arc::clone(log), EventStoreOptions::default());
    let server = ServerId::from_bytes([1; 16]);
    let options = SagaOptions { leases: None, server, clock: system_clock() };
    let sagas = Sagas::start(&store, Arc::new(OverHttp(places.clone())), options).await.unwrap();
    let (system, report) = tenon_analysis::manifest::read(include_str!("../tenon.yaml"), "tenon.yaml");
    for definition in system.unwrap_or_else(|| panic!("{report:?}")).sagas.into_values() {
        sagas.define(definition, true, None).await.unwrap();
    }
    let caller = Extension(Caller::Admin(Actor::new("test").unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = sagas.router().layer(caller);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Platform { address, token: "t".into() }
}
