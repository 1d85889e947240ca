//! Which instances get which requests.

use crate::support::*;
use http::{Response, StatusCode};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::availability::Locality;
use tenon_core::balance::{Config, HashOn, Strategy, Subset};
use tenon_core::manifest::Traffic;
use tenon_core::retry;
use tenon_core::snapshot::Endpoint;
use tenon_proxy::PlaneConfig;

fn balanced(balance: Config) -> Traffic {
    Traffic { balance, ..Traffic::default() }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn endpoints_of<'a>(mesh: &'a mut Mesh, name: &str) -> &'a mut Vec<Endpoint> {
    mesh.endpoints.services.get_mut(&service(name)).unwrap()
}

async fn hits(mesh: &Mesh, apps: &[&App], calls: usize) -> Vec<u64> {
    let before: Vec<u64> = apps.iter().map(|app| app.hits()).collect();
    let mut client = mesh.client().await;
    for _ in 0..calls {
        assert_eq!(client.send(get("http://payment/")).await.status, StatusCode::OK);
    }
    apps.iter().zip(before).map(|(app, before)| app.hits() - before).collect()
}

#[tokio::test]
async fn every_strategy_reaches_somebody() {
    let apps = [App::saying("a").await, App::saying("b").await];
    for strategy in Strategy::ALL {
        let mesh = Mesh::new().service("payment", balanced(Config::of(strategy)), &[&apps[0], &apps[1]]);
        let mesh = mesh.applied().await;
        let reply = mesh.get("http://payment/").await;
        assert_eq!(reply.status, StatusCode::OK, "{strategy}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_same_header_leads_to_the_same_instance() {
    let apps = [App::saying("a").await, App::saying("b").await, App::saying("c").await];
    for strategy in [Strategy::RingHash, Strategy::Maglev] {
        let balance = Config { hash_on: HashOn::Header("x-user".parse().unwrap()), ..Config::of(strategy) };
        let mesh = Mesh::new().service("payment", balanced(balance), &[&apps[0], &apps[1], &apps[2]]);
        let mesh = mesh.applied().await;
        let mut client = mesh.client().await;
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..20 {
            let mut answers = Vec::new();
            for _ in 0..3 {
                let mut request = get("http://payment/");
                request.headers_mut().insert("x-user", user.to_string().parse().unwrap());
                answers.push(client.send(request).await.text().to_owned());
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{strategy}");
            seen.extend(answers);
        }
        assert_eq!(seen.len(), 3, "{strategy}: different users go to different instances");
    }
}

#[tokio::test]
async fn a_client_is_kept_with_its_instance_by_a_cookie() {
    let apps = [App::saying("a").await, App::saying("b").await];
    let ttl = Some(Duration::from_secs(60));
    let hash_on = HashOn::Cookie { name: "place".parse().unwrap(), ttl };
    let balance = Config { hash_on, ..Config::of(Strategy::Maglev) };
    let mesh = Mesh::new().service("payment", balanced(balance), &[&apps[0], &apps[1]]).applied().await;
    let mut client = mesh.client().await;
    for _ in 0..10 {
        let first = client.send(get("http://payment/")).await;
        let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
        assert!(cookie.starts_with("place="), "{cookie}");
        let mut again = get("http://payment/");
        again.headers_mut().insert("cookie", cookie.parse().unwrap());
        let again = client.send(again).await;
        assert_eq!((again.text(), again.header("set-cookie")), (first.text(), ""));
    }
}

#[tokio::test]
async fn a_tenth_goes_to_a_canary_evenly() {
    let (stable, canary) = (App::saying("stable").await, App::saying("canary").await);
    let version = |version: &str| Subset::new(pairs(&[("version", version)])).unwrap();
    let mut route = route("payment", "/", &[("payment", 9), ("payment", 1)]);
    route.rules[0].backends[0].subset = version("1.0.0");
    route.rules[0].backends[1].subset = version("2.0.0");
    let mut mesh =
        Mesh::new().service("payment", Traffic::default(), &[&stable, &canary]).gateway(vec![route]);
    endpoints_of(&mut mesh, "payment")[1].version = "2.0.0".parse().unwrap();
    mesh.apply().await;
    let mut client = Client::connect(mesh.gateway.address).await;
    for turn in 1..=10 {
        for _ in 0..20 {
            let request = http::Request::get("/").header("host", "shop").body(full("")).unwrap();
            client.send(request).await;
        }
        // One connection is one worker's. By dice, 20 of 200 would be 20 give or take 4, and 9 at times.
        assert!(canary.hits().abs_diff(2 * turn) <= 2, "{} of {}", canary.hits(), 20 * turn);
    }
    // Who asks for no version gets any.
    assert_eq!(hits(&mesh, &[&stable, &canary], 10).await, [5, 5]);
}

#[tokio::test]
async fn a_service_s_subset_holds_for_all_its_calls() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let subset = Subset::new(pairs(&[("track", "new")])).unwrap();
    let mut mesh =
        Mesh::new().service("payment", balanced(Config { subset, ..Config::default() }), &[&old, &new]);
    endpoints_of(&mut mesh, "payment")[1].metadata = pairs(&[("track", "new")]);
    mesh.apply().await;
    assert_eq!(hits(&mesh, &[&old, &new], 6).await, [0, 6]);
}

#[tokio::test]
async fn near_instances_are_preferred_until_they_are_too_few() {
    let apps = [App::saying("near").await, App::saying("far").await, App::saying("near too").await];
    let place = |zone: &str| pairs(&[("region", "north"), ("zone", zone)]);
    let config = PlaneConfig { locality: Locality::of(&place("a")), ..PlaneConfig::default() };
    let mut mesh =
        Mesh::with_config(config).service("payment", Traffic::default(), &[&apps[0], &apps[1], &apps[2]]);
    for (index, zone) in ["a", "b", "a"].into_iter().enumerate() {
        endpoints_of(&mut mesh, "payment")[index].metadata = place(zone);
    }
    mesh.apply().await;
    let all = [&apps[0], &apps[1], &apps[2]];
    assert_eq!(hits(&mesh, &all, 10).await, [5, 0, 5]);
    endpoints_of(&mut mesh, "payment")[0].healthy = false;
    mesh.apply().await;
    let spilled = hits(&mesh, &all, 200).await;
    assert_eq!(spilled[0], 0);
    // Half of the near ones carry 70 %.
    assert!((30..=95).contains(&spilled[1]), "{spilled:?}");
}

#[tokio::test]
async fn unhealthy_instances_are_called_only_when_too_few_are_healthy() {
    let apps = [App::saying("a").await, App::saying("b").await, App::saying("c").await];
    let all = [&apps[0], &apps[1], &apps[2]];
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &all);
    endpoints_of(&mut mesh, "payment")[0].healthy = false;
    mesh.apply().await;
    assert_eq!(hits(&mesh, &all, 6).await, [0, 3, 3]);
    endpoints_of(&mut mesh, "payment")[1].healthy = false;
    mesh.apply().await;
    assert_eq!(hits(&mesh, &all, 6).await, [2, 2, 2]);
    let metrics = mesh.admin("/metrics").await;
    let line = "tenon_balance_mode{destination=\"payment\",subset=\"\"} 2";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

#[tokio::test]
async fn whoever_fails_fast_attracts_no_load() {
    let failing = App::start(|_| async {
        let mut response = Response::new(full("no"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    let working = [App::saying("a").await, App::saying("b").await, App::saying("c").await];
    for strategy in [Strategy::LeastRequests, Strategy::LeastConnections, Strategy::PeakEwma] {
        let mut traffic = balanced(Config::of(strategy));
        traffic.breaker.failure_threshold = 1_000;
        traffic.outlier.consecutive_failures = 0;
        traffic.retry = retry::Policy { max_retries: 0, ..traffic.retry };
        let apps = [&failing, &working[0], &working[1], &working[2]];
        let mesh = Mesh::new().service("payment", traffic, &apps).applied().await;
        let before = failing.hits();
        let mut client = mesh.client().await;
        for _ in 0..200 {
            client.send(get("http://payment/")).await;
        }
        let failed = failing.hits() - before;
        assert!(failed <= 20, "{strategy}: {failed} of 200, where a quarter would be 50");
    }
}

#[tokio::test]
async fn an_explanation_says_how_an_instance_was_chosen() {
    let failing = App::start(|_| async {
        let mut response = Response::new(full("no"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&failing, &failing, &failing]);
    for endpoint in &mut endpoints_of(&mut mesh, "payment")[..2] {
        endpoint.healthy = false;
    }
    mesh.apply().await;
    let reply = mesh.get("http://payment/").await;
    let told = mesh.admin(&format!("/explain/{}", reply.header("x-request-id"))).await;
    let choice = told.json()["hops"][0]["attempts"][0]["choice"].clone();
    assert_eq!(choice, "round-robin, healthy or not, because too few are healthy");
}
