//! Events pushed to a service that Tenon does not run: over gRPC, through an outage, past a breaker, and between data planes.

use crate::sidecar::{Sidecar, start_with_sidecars};
use crate::support::{Folder, System, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tenon_api::bus::consumer::{CloudEvent, ConsumerService, ConsumerServiceServer, DeliverResponse};
use tenon_api::http::HealthStatus;
use tokio::net::{TcpListener, TcpSocket};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// A consumer over gRPC, which refuses what it is told to.
#[derive(Clone, Default)]
struct Consumer(Arc<Mutex<Consumed>>);

#[derive(Default)]
struct Consumed {
    /// How often each event is still refused, by its id.
    refused: BTreeMap<String, u32>,
    /// What was given: the id, and how often it was given.
    given: Vec<(String, u32)>,
}

#[tonic::async_trait]
impl ConsumerService for Consumer {
    async fn deliver(&self, request: Request<CloudEvent>) -> Result<Response<DeliverResponse>, Status> {
        let header = |name: &str| request.metadata().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("tenon-subscription"), "numbers");
        let attempt = header("tenon-delivery").parse().unwrap();
        let id = request.into_inner().id;
        let mut consumed = self.0.lock().unwrap();
        consumed.given.push((id.clone(), attempt));
        match consumed.refused.get_mut(&id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(Status::unavailable("not now"))
            }
            _ => Ok(Response::new(DeliverResponse {})),
        }
    }
}

impl Consumer {
    /// Serves until the test ends.
    fn serve(&self, listener: TcpListener) {
        let router = Routes::new(ConsumerServiceServer::new(self.clone())).into_axum_router();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    fn refuses(&self, id: &str, times: u32) {
        self.0.lock().unwrap().refused.insert(id.to_owned(), times);
    }

    /// How often an event was given when it was given last, if it was.
    fn given(&self, id: &str) -> Vec<u32> {
        let consumed = self.0.lock().unwrap();
        consumed.given.iter().filter(|(given, _)| given == id).map(|(_, attempt)| *attempt).collect()
    }
}

/// A consumer at an address, which is given numbers one at a time, and each twice at most.
fn manifest(runs: &str, more: &str) -> String {
    format!(
        "name: test
services:
  consumer:
    {runs}
    interfaces:
      - {{name: events, protocol: grpc, endpoints: [{{path: /tenon.bus.v1.ConsumerService/Deliver}}]}}
    health: {{tcp: {{}}, interval: 100ms, timeout: 5s, unhealthy_threshold: 1, healthy_threshold: 1}}
subscriptions:
  numbers:
    types: [number.counted]
    start: beginning
    push: {{service: consumer, mode: grpc}}
    order_by: none
    in_flight: 1
    max_deliveries: 2
    backoff: {{delay: {{fixed: 20ms}}, jitter: none}}
traffic:
  consumer: {{retry: {{max_retries: 0}}{more}}}
"
    )
}

/// A system whose consumer is known to be well, or to be out.
async fn started(manifest: &str, status: HealthStatus) -> System {
    // Whoever is out is not waited for besides: it is tried again and again.
    let hold = if status == HealthStatus::Unknown { "100ms" } else { "60s" };
    let system = System::begin(Folder::with(manifest).holding(hold), &[]).await;
    eventually("the consumer is known", async || {
        let known = system.api.instances().await.ok()?;
        (known.instances.first()?.status == status).then_some(())
    })
    .await;
    system
}

async fn publish(system: &System, ids: &[&str]) {
    for id in ids {
        let publish = ["topics", "publish", "number.counted", "{}", "--id", id];
        system.tenon().run(&publish).await.succeeded();
    }
}

async fn status(system: &System) -> Value {
    system.tenon().json(&["subscriptions", "show", "numbers"]).await["status"].clone()
}

/// How often the data plane refused with a code.
async fn refusals(system: &System, code: &str) -> f64 {
    let metrics = system.http.get(&format!("{}/metrics", system.urls.admin)).await.text;
    let of_code = |line: &&str| line.starts_with("tenon_errors_total") && line.contains(code);
    let count = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    metrics.lines().filter(of_code).filter_map(count).sum()
}

async fn acked(system: &System, count: u32) -> Value {
    eventually("all is acknowledged", async || {
        let status = status(system).await;
        (status["acked"] == count).then_some(status)
    })
    .await
}

#[tokio::test]
async fn a_consumer_over_grpc_acknowledges_refuses_and_is_given_again_what_was_parked() {
    let consumer = Consumer::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let runs = format!("addresses: [\"{}\"]", listener.local_addr().unwrap());
    consumer.serve(listener);
    let system = started(&manifest(&runs, ""), HealthStatus::Healthy).await;
    consumer.refuses("b", 1);
    consumer.refuses("c", 2);
    publish(&system, &["a", "b", "c", "d"]).await;
    // The last acknowledgement may come before the last refusal.
    eventually("all is acknowledged or parked", async || {
        let status = status(&system).await;
        (status["acked"] == 3 && status["parked"] == 1 && status["failed"] == 3).then_some(())
    })
    .await;
    assert_eq!((consumer.given("a"), consumer.given("b")), (vec![1], vec![1, 2]));
    let parked =
        system.tenon().json(&["parked", "list", "numbers"]).await["parked"][0]["position"].to_string();
    system.tenon().run(&["parked", "retry", "numbers", &parked]).await.succeeded();
    acked(&system, 4).await;
    assert_eq!(consumer.given("c"), [1, 2, 1]);
}

#[tokio::test]
async fn while_a_service_is_out_its_events_wait_and_none_is_parked() {
    // Bound, so that nobody else takes the port, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let runs = format!("addresses: [\"{}\"]", socket.local_addr().unwrap());
    let system = started(&manifest(&runs, ""), HealthStatus::Unknown).await;
    publish(&system, &["a", "b"]).await;
    // Each is tried much more often than it may be given.
    let tried = async || (refusals(&system, "mesh.service-unavailable").await >= 6.0).then_some(());
    eventually("they were tried", tried).await;
    let before = status(&system).await;
    assert_eq!((&before["acked"], &before["failed"], &before["parked"]), (&json!(0), &json!(0), &json!(0)));

    let consumer = Consumer::default();
    consumer.serve(socket.listen(64).unwrap());
    let status = acked(&system, 2).await;
    assert_eq!((&status["failed"], &status["parked"]), (&json!(0), &json!(0)));
    assert_eq!((consumer.given("a"), consumer.given("b")), (vec![1], vec![1]));
}

#[tokio::test]
async fn while_the_breaker_is_open_events_wait_and_none_is_parked() {
    let consumer = Consumer::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let runs = format!("addresses: [\"{}\"]", listener.local_addr().unwrap());
    consumer.serve(listener);
    let breaker = ", breaker: {failure_threshold: 1, open_timeout: 5s, permitted_half_open_calls: 1}";
    let system = started(&manifest(&runs, breaker), HealthStatus::Healthy).await;
    // It opens the breaker, which refuses the event more often than it may be given.
    consumer.refuses("a", 1);
    publish(&system, &["a", "b"]).await;
    let status = acked(&system, 2).await;
    assert_eq!((&status["failed"], &status["parked"]), (&json!(1), &json!(0)));
    assert_eq!((consumer.given("a"), consumer.given("b")), (vec![1, 2], vec![1]));
    assert!(refusals(&system, "mesh.circuit-open").await >= 2.0);
}

#[tokio::test]
async fn events_cross_to_a_sidecar_of_its_own_over_mutual_tls() {
    let consumer = Consumer::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    consumer.serve(listener);
    let system = start_with_sidecars(&manifest("command: [shop-payment]\n    replicas: 0", "")).await;
    publish(&system, &["a"]).await;
    // Nothing else gets there, and the inbound side takes nobody that does not show who it is.
    let sidecar = Sidecar::start(&system, "consumer", &address).await;
    let status = acked(&system, 1).await;
    assert_eq!((&status["parked"], consumer.given("a").len()), (&json!(0), 1));
    let inbound = system.instances("consumer").await[0].sidecar.unwrap().inbound;
    let refused = system.http.get(&format!("http://{inbound}/")).await;
    assert!(refused.text.contains("mesh.identity-required"), "{}", refused.text);
    sidecar.end().await;
}
