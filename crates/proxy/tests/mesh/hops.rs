//! Retries over several hops: one hop at most tries a failed request again, however many there are.

use crate::support::*;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_core::retry::{Delay, Policy, budget};

const HOPS: usize = 5;
const REQUESTS: u64 = 200;

/// What a service passes on of the requests that it gets, and of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    /// The ids that tracing libraries pass on, and no header of an answer.
    Ids,
    /// What marks a retry, in both directions.
    Marks,
    Nothing,
}

impl Passes {
    fn down(self, headers: &HeaderMap) -> Vec<(&'static str, String)> {
        let names: &[&str] = match self {
            Self::Ids => &["x-request-id", "tenon-attempt"],
            Self::Marks => &["tenon-attempt"],
            Self::Nothing => &[],
        };
        let value = |name: &&'static str| Some((*name, headers.get(*name)?.to_str().ok()?.to_owned()));
        names.iter().filter_map(value).collect()
    }
}

/// A service that asks the next one, by the sidecar at `sidecar`, and answers 503 if that does.
async fn asking(next: usize, sidecar: SocketAddr, passes: Passes) -> App {
    App::start(move |request: Request<Incoming>| async move {
        let mut on = get(&format!("http://hop{next}/"));
        for (name, value) in passes.down(request.headers()) {
            on.headers_mut().insert(name, value.parse().unwrap());
        }
        let below = Client::connect(sidecar).await.send(on).await;
        let told = below.headers.get("tenon-retry").filter(|_| passes == Passes::Marks);
        let mut answer = Response::builder().status(below.status);
        if let Some(told) = told {
            answer = answer.header("tenon-retry", told);
        }
        answer.body(full("from below")).unwrap()
    })
    .await
}

async fn failing() -> App {
    App::start(|request: Request<Incoming>| async move {
        request.into_body().collect().await.unwrap();
        Response::builder().status(503).body(full("busy")).unwrap()
    })
    .await
}

/// How many requests arrive at each of five services of which the last always fails.
async fn arrived(passes: Passes) -> Vec<u64> {
    let mut mesh = Mesh::new();
    let retry = Policy { delay: Delay::Fixed(Duration::ZERO), ..Policy::default() };
    let budget = budget::Config { percent: 19, per_second: 0, burst: 1 };
    // No breaker helps.
    let breaker = tenon_core::breaker::Config { failure_threshold: u32::MAX, ..Default::default() };
    let traffic = Traffic { retry, budget, breaker, ..Traffic::default() };
    let mut apps = Vec::new();
    for hop in 1..=HOPS {
        let app =
            if hop == HOPS { failing().await } else { asking(hop + 1, mesh.outbound.address, passes).await };
        mesh = mesh.service(&format!("hop{hop}"), traffic.clone(), &[&app]);
        apps.push(app);
    }
    let mesh = mesh.applied().await;
    let mut client = mesh.client().await;
    for _ in 0..REQUESTS {
        assert_eq!(client.send(get("http://hop1/")).await.status, 503);
    }
    apps.iter().map(App::hits).collect()
}

#[tokio::test]
async fn five_hops_cost_less_than_a_fifth_more_if_services_pass_on_ids() {
    let arrived = arrived(Passes::Ids).await;
    assert_eq!(arrived[..HOPS - 1], [REQUESTS; HOPS - 1], "{arrived:?}");
    let last = arrived[HOPS - 1];
    assert!(last > REQUESTS && last * 100 < REQUESTS * 120, "{arrived:?}");
}

#[tokio::test]
async fn five_hops_cost_less_than_a_fifth_more_if_services_pass_on_marks() {
    let arrived = arrived(Passes::Marks).await;
    assert!(arrived.iter().all(|arrived| arrived * 100 < REQUESTS * 120), "{arrived:?}");
}

#[tokio::test]
async fn budgets_multiply_where_services_pass_on_nothing() {
    let arrived = arrived(Passes::Nothing).await;
    assert!(arrived[HOPS - 1] > REQUESTS * 2, "{arrived:?}");
}

#[tokio::test]
async fn a_request_that_is_another_try_is_tried_once_unless_nobody_processed_it() {
    let (busy, good) = (failing().await, App::saying("ok").await);
    let gone = nobody();
    let mesh = Mesh::new()
        .service("busy", Traffic::default(), &[&busy])
        .service_at("mixed", Traffic::default(), &[gone.address, good.address])
        .applied()
        .await;
    let mut client = mesh.client().await;
    let again = |uri: &str| {
        let mut request = get(uri);
        request.headers_mut().insert("tenon-attempt", "2".parse().unwrap());
        request
    };
    let reply = client.send(again("http://busy/")).await;
    assert_eq!((reply.status.as_u16(), reply.header("tenon-retry")), (503, "no"));
    assert_eq!(busy.hits(), 1);
    for _ in 0..4 {
        assert_eq!(client.send(again("http://mixed/")).await.text(), "ok");
    }
}

#[tokio::test]
async fn a_stranger_cannot_mark_its_requests() {
    let app = App::start(|request: Request<Incoming>| async move {
        let told = |name: &str| request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        Response::new(full(format!("{:?} {:?}", told("tenon-attempt"), told("tenon-priority"))))
    })
    .await;
    let mesh = Mesh::new();
    let mesh =
        mesh.service("shop", Traffic::default(), &[&app]).gateway(vec![route("all", "/", &[("shop", 1)])]);
    let mesh = mesh.applied().await;
    let marked = || {
        Request::get("/")
            .header("host", "shop.example")
            .header("tenon-attempt", "2")
            .header("tenon-priority", "critical")
            .body(full(""))
            .unwrap()
    };
    let reply = Client::connect(mesh.gateway.address).await.send(marked()).await;
    assert_eq!(reply.text(), "None None");
}

#[tokio::test]
async fn each_try_says_which_it_is() {
    let app = App::start(|request: Request<Incoming>| async move {
        match request.headers().get("tenon-attempt").map(|it| it.to_str().unwrap().to_owned()) {
            Some(number) if number == "3" => Response::new(full(number)),
            _ => Response::builder().status(503).body(full("")).unwrap(),
        }
    })
    .await;
    let mesh = Mesh::new().service("shop", Traffic::default(), &[&app]).applied().await;
    assert_eq!(mesh.get("http://shop/").await.text(), "3");
}
