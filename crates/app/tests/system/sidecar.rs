//! A second data plane: `tenon sidecar` beside a process that Tenon does not run.

use crate::support::{Folder, System, eventually, payment, quote_route, system_of};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

/// A service of which Tenon runs nothing, and one that it runs and the first calls.
fn manifest(more: &str) -> String {
    let ledger = "  ledger:
    command: [shop-payment]
    replicas: 0
    interfaces: [{name: api, endpoints: [{path: /}]}]
    depends_on: [payment]"
        .to_owned();
    let route = "{name: ledger, matches: [{path: {type: PathPrefix, value: /ledger}}], backends: [{service: ledger}]}";
    system_of(&[payment(1), ledger], &format!("{more}{}", quote_route(&[route])))
}

/// A system to which sidecars come. A call that finds their listeners not there yet is told soon, to be sent again.
pub(crate) async fn start_with_sidecars(manifest: &str) -> System {
    System::start_in(Folder::with(manifest).holding("2s")).await
}

/// `tenon sidecar`, and what it says of itself.
pub(crate) struct Sidecar {
    child: Child,
    instance: String,
    proxy: String,
}

impl Sidecar {
    pub(crate) async fn start(system: &System, service: &str, application: &str) -> Self {
        let state = system.folder.path().join(format!("sidecar-{service}"));
        let state = state.to_str().unwrap().to_owned();
        let mut command = system.tenon().command(&["sidecar", service, application, "--state", &state]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = async |name: &str| {
            let line = lines.next_line().await.unwrap().unwrap();
            line.strip_prefix(name).unwrap().to_owned()
        };
        let instance = line("TENON_INSTANCE=").await;
        let proxy = line("HTTP_PROXY=http://").await;
        Self { child, instance, proxy }
    }

    /// Calls as the process beside it: the answer's status line and body.
    async fn call(&self, uri: &str) -> String {
        let (credentials, address) = self.proxy.split_once('@').unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let host = uri.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let encoded = base64(credentials);
        let request = format!(
            "GET {uri} HTTP/1.1\r\nhost: {host}\r\nproxy-authorization: Basic {encoded}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Ends it as a service manager does.
    pub(crate) async fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// RFC 4648, 4.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            encoded.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    encoded
}

/// What [`ledger`] answers with 503.
pub(crate) const FAILING: &str = "/failing";

/// A process that nobody supervises: it answers everything else with `noted`.
pub(crate) async fn ledger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let failing = format!("GET {FAILING} ");
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let answer: &[u8] = if buffer[..count].starts_with(failing.as_bytes()) {
                        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nfailing"
                    } else {
                        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nnoted"
                    };
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn calls_cross_two_data_planes_both_ways_until_the_sidecar_leaves() {
    let system = start_with_sidecars(&manifest("")).await;
    let sidecar = Sidecar::start(&system, "ledger", &ledger().await).await;
    // From the gateway, which lives in the other data plane, to the sidecar.
    eventually("the gateway reaches the process", async || {
        let answer = system.get("/ledger/x").await;
        (answer.status == 200 && answer.text == "noted").then_some(())
    })
    .await;
    // And from the process to a service that Tenon runs.
    eventually("the process reaches the other service", async || {
        sidecar.call("http://payment/quote?amount=1.00").await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    // Nobody gets by without showing who it is.
    let instances = system.instances("ledger").await;
    assert_eq!(instances[0].id.to_string(), sidecar.instance);
    let inbound = instances[0].sidecar.unwrap().inbound;
    let refused = system.http.get(&format!("http://{inbound}/")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("mesh.identity-required"), "{}", refused.text);
    sidecar.end().await;
    assert!(system.instances("ledger").await.is_empty());
}

#[tokio::test]
async fn certificates_change_under_load_and_no_call_fails() {
    // The first one ends before the second change: each is in use.
    let system = start_with_sidecars(&manifest("mesh: {certificate_ttl: 12s}\n")).await;
    let sidecar = Sidecar::start(&system, "ledger", &ledger().await).await;
    eventually("the process reaches the other service", async || {
        sidecar.call("http://payment/quote?amount=1.00").await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    let certificate = || {
        let file = system.folder.path().join("sidecar-ledger/identities/ledger.default.pem");
        std::fs::read_to_string(file).unwrap()
    };
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let calling = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !stop.load(Ordering::SeqCst) {
            ticks.tick().await;
            let answer = sidecar.call("http://payment/quote?amount=1.00").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            served.fetch_add(1, Ordering::SeqCst);
        }
    };
    let changing = async {
        for _ in 0..2 {
            let before = certificate();
            eventually("there is a new certificate", async || (certificate() != before).then_some(())).await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(calling, changing);
    assert!(served.load(Ordering::SeqCst) > 0);
    sidecar.end().await;
}
