//! What the tests of processes need: the processes, a proxy such as a sidecar is, a configuration service.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};

/// How long anything is waited for that must happen; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the proxy asks for: `ada:secret`, as in its URL.
const CREDENTIALS: &str = "Basic YWRhOnNlY3JldA==";

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it does not happen")
}

/// A service's process; killed when dropped.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    client: Client,
    child: Mutex<Child>,
    pid: Pid,
}

impl Process {
    pub(crate) async fn rust(name: &'static str, program: &str, proxy: &Proxy) -> Self {
        Self::start(name, Command::new(program), proxy).await
    }

    pub(crate) async fn node(name: &'static str, proxy: &Proxy) -> Self {
        let mut command = Command::new("node");
        command.arg("main.js").current_dir(folder(name));
        Self::start(name, command, proxy).await
    }

    pub(crate) async fn python(name: &'static str, proxy: &Proxy, api: Option<&Api>) -> Self {
        let mut command = Command::new("python3");
        command.args(["-B", "main.py"]).current_dir(folder(name));
        if let Some(api) = api {
            command.env("TENON_API", &api.url).env("TENON_TOKEN", "t0ken");
        }
        Self::start(name, command, proxy).await
    }

    /// The same with its data in this folder.
    pub(crate) async fn python_in(name: &'static str, proxy: &Proxy, data: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-B", "main.py"]).current_dir(folder(name));
        Self::start_in(name, command, proxy, Some(data)).await
    }

    async fn start(name: &'static str, command: Command, proxy: &Proxy) -> Self {
        Self::start_in(name, command, proxy, None).await
    }

    async fn start_in(name: &'static str, mut command: Command, proxy: &Proxy, data: Option<&Path>) -> Self {
        for variable in ["HTTP_PROXY", "http_proxy"] {
            command.env(variable, &proxy.url);
        }
        for variable in ["ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SHOP_DATA_DIR", "REQUEST_METHOD"]
        {
            command.env_remove(variable);
        }
        if let Some(data) = data {
            command.env("SHOP_DATA_DIR", data);
        }
        command.env("PORT", "0").env("TENON_INSTANCE", name).kill_on_drop(true).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let port = announced_port(child.stdout.take().unwrap()).await;
        let address = format!("127.0.0.1:{port}");
        Self { name, address, client: client(), child: Mutex::new(child), pid }
    }

    /// Sends one request: the answer's status and JSON body (null if it is none).
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// Sends a request with headers; status 0 if there is no answer.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(answer) = request.send().await else { return (0, Value::Null) };
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Sends an event in structured mode, as the platform may.
    pub(crate) async fn send_event(&self, event: &Value) -> (u16, Value) {
        let kind = [("content-type", "application/cloudevents+json")];
        let request = self.client.post(format!("http://{}/events", self.address)).body(event.to_string());
        let request = kind.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        answer(request).await
    }

    pub(crate) async fn send_with_key(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("http://{}{path}", self.address));
        answer(request.header("idempotency-key", key).json(body)).await
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid, Signal::TERM).unwrap();
    }

    pub(crate) async fn ended(&self) -> ExitStatus {
        let mut child = self.child.lock().await;
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it does not end").unwrap()
    }

    /// Sends a request's head, waits until the service asks for the body (so it has the request in hand),
    /// tells it to stop, sends the body, and gives the answer's status once the process has ended well.
    pub(crate) async fn finish_after_sigterm(self, path: &str, body: &Value) -> u16 {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.address,
            body.len(),
        );
        let mut connection = TcpStream::connect(&self.address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        connection.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        self.terminate();
        connection.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(self.ended().await.success());
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// An HTTP proxy with credentials that knows where services are by their names.
pub(crate) struct Proxy {
    url: String,
    state: ProxyState,
}

#[derive(Clone)]
struct ProxyState {
    client: Client,
    addresses: Arc<SyncMutex<BTreeMap<String, String>>>,
    called: Arc<SyncMutex<BTreeSet<String>>>,
    gate: Arc<Mutex<()>>,
    arrived: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let state = ProxyState {
            client: client(),
            addresses: Arc::default(),
            called: Arc::default(),
            gate: Arc::default(),
            arrived: watch::Sender::new(0),
        };
        let address = serve(Router::new().fallback(forward).with_state(state.clone())).await;
        Self { url: format!("http://ada:secret@{address}"), state }
    }

    pub(crate) fn route(&self, service: &Process) {
        self.state.addresses.lock().unwrap().insert(service.name.into(), service.address.clone());
    }

    /// The names that were called.
    pub(crate) fn called(&self) -> Vec<String> {
        self.state.called.lock().unwrap().iter().cloned().collect()
    }

    /// Holds requests back until the value is dropped.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        self.state.gate.clone().lock_owned().await
    }

    pub(crate) async fn wait_for_held(&self) {
        let mut arrived = self.state.arrived.subscribe();
        tokio::time::timeout(PATIENCE, arrived.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    }
}

/// Passes a request in absolute form on to the service that its host names.
async fn forward(State(state): State<ProxyState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.headers.get("proxy-authorization").is_none_or(|sent| sent != CREDENTIALS) {
        return StatusCode::PROXY_AUTHENTICATION_REQUIRED.into_response();
    }
    state.arrived.send_modify(|count| *count += 1);
    drop(state.gate.lock().await);
    let Some(name) = parts.uri.host().map(str::to_owned) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    assert_eq!(parts.headers.get("host").and_then(|host| host.to_str().ok()), Some(&*name));
    state.called.lock().unwrap().insert(name.clone());
    let Some(address) = state.addresses.lock().unwrap().get(&name).cloned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut outgoing = state.client.request(parts.method, format!("http://{address}{}", parts.uri.path()));
    for header in ["content-type", "idempotency-key"] {
        if let Some(value) = parts.headers.get(header) {
            outgoing = outgoing.header(header, value);
        }
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let Ok(answer) = outgoing.body(body).send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

/// A configuration service with one key, `limit`, whose changes can be watched.
pub(crate) struct Api {
    pub(crate) url: String,
    state: ApiState,
}

#[derive(Clone)]
struct ApiState {
    limit: Arc<SyncMutex<Value>>,
    watcher: Arc<SyncMutex<Option<mpsc::Sender<String>>>>,
    watches: watch::Sender<u32>,
}

impl Api {
    pub(crate) async fn start(limit: u64) -> Self {
        let state = ApiState {
            limit: Arc::new(SyncMutex::new(json!(limit))),
            watcher: Arc::default(),
            watches: watch::Sender::new(0),
        };
        let routes = Router::new()
            .route("/v1/config/recommendation/limit", get(read_limit))
            .route("/v1/config/recommendation", get(watch_config))
            .with_state(state.clone());
        Self { url: format!("http://{}", serve(routes).await), state }
    }

    pub(crate) async fn wait_for_watch(&self) {
        let mut watches = self.state.watches.subscribe();
        tokio::time::timeout(PATIENCE, watches.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    }

    /// Changes the value and tells the watcher so, as one event over two chunks.
    pub(crate) async fn change(&self, new: Value) {
        let old = std::mem::replace(&mut *self.state.limit.lock().unwrap(), new.clone());
        let change = json!({"key": "limit", "old": old, "new": new, "revision": "1"});
        let watcher = self.state.watcher.lock().unwrap().clone().unwrap();
        watcher.send(format!(": comment\n\nevent: change\ndata: {change}\n")).await.unwrap();
        watcher.send("\n".into()).await.unwrap();
    }

    /// Ends the watch, and changes the value while nobody watches.
    pub(crate) fn lose_watch(&self, new: u64) {
        *self.state.limit.lock().unwrap() = json!(new);
        self.state.watcher.lock().unwrap().take();
    }
}

async fn read_limit(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    if headers.get("authorization").is_none_or(|sent| sent != "Bearer t0ken") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let value = state.limit.lock().unwrap().clone();
    Json(json!({"key": "limit", "value": value, "revision": "1"})).into_response()
}

async fn watch_config(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Response {
    assert_eq!(query.as_deref(), Some("watch=true"));
    let (watcher, events) = mpsc::channel(16);
    *state.watcher.lock().unwrap() = Some(watcher);
    state.watches.send_modify(|count| *count += 1);
    let stream = futures_util::stream::unfold(events, async |mut events: mpsc::Receiver<String>| {
        Some((Ok::<_, std::io::Error>(events.recv().await?), events))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
}

fn folder(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(service)
}

/// Reads the port that a service says it listens on, and goes on reading so that its output never blocks it.
async fn announced_port(stdout: ChildStdout) -> u16 {
    let mut lines = BufReader::new(stdout).lines();
    let reading = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it ended before it started");
            if line.contains("started") {
                let port = line.rsplit(['=', ':']).next().and_then(|text| text.parse().ok());
                return port.unwrap_or_else(|| panic!("no port in {line:?}"));
            }
        }
    };
    let port = tokio::time::timeout(PATIENCE, reading).await.expect("it does not start");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}
