//! Calls from outside.

use crate::support::*;
use http::{Request, Response};
use std::time::Duration;
use tenon_api::snapshot::RouteChanges;
use tenon_core::manifest::{Mtls, Security, Traffic};

fn from_outside(uri: &str) -> Request<Body> {
    Request::get(uri).header("host", "shop.example").body(full("")).unwrap()
}

async fn ask(mesh: &Mesh, request: Request<Body>) -> Reply {
    Client::connect(mesh.gateway.address).await.send(request).await
}

#[tokio::test]
async fn each_request_goes_where_its_route_leads() {
    let (order, stock) = (App::saying("order").await, App::saying("stock").await);
    let mesh = Mesh::new()
        .service("order", Traffic::default(), &[&order])
        .service("stock", Traffic::default(), &[&stock])
        .gateway(vec![route("orders", "/orders", &[("order", 1)]), route("stock", "/stock", &[("stock", 1)])])
        .applied()
        .await;
    assert_eq!(ask(&mesh, from_outside("/orders/17?x=1")).await.text(), "order");
    assert_eq!(ask(&mesh, from_outside("/stock")).await.text(), "stock");
    // However the path is spelled.
    assert_eq!(ask(&mesh, from_outside("/orders/../%73tock")).await.text(), "stock");

    let reply = ask(&mesh, from_outside("/elsewhere")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (404, "gateway.route-not-found"));
    assert_eq!(reply.json()["component"], "gateway");
    assert_eq!(ask(&mesh, from_outside("/stock%zz")).await.status, 400);
}

#[tokio::test]
async fn one_route_changes_and_the_others_stay() {
    let (order, stock) = (App::saying("order").await, App::saying("stock").await);
    let mesh = Mesh::new()
        .service("order", Traffic::default(), &[&order])
        .service("stock", Traffic::default(), &[&stock])
        .gateway(vec![route("orders", "/orders", &[("order", 1)]), route("stock", "/stock", &[("stock", 1)])])
        .applied()
        .await;
    let mut routes = mesh.plane.snapshot().routes.unwrap();
    let before = routes.clone();
    routes.revision.position.0 += 1;
    routes.gateway.as_mut().unwrap().routes[1] = route("stock", "/shelf", &[("stock", 1)]);
    let changes = RouteChanges::between(&before, &routes).unwrap();
    assert_eq!((changes.set.len(), changes.removed.len()), (1, 0));
    assert!(mesh.plane.apply_route_changes(changes.clone()));
    assert_eq!(ask(&mesh, from_outside("/shelf")).await.text(), "stock");
    assert_eq!(ask(&mesh, from_outside("/stock")).await.status, 404);
    assert_eq!(ask(&mesh, from_outside("/orders/17")).await.text(), "order");
    assert_eq!(mesh.plane.snapshot().routes, Some(routes));
    // It follows from what was there before, not from what is there now.
    assert!(!mesh.plane.apply_route_changes(changes));
}

#[tokio::test]
async fn backends_share_by_weight() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let mesh = Mesh::new()
        .service("old", Traffic::default(), &[&old])
        .service("new", Traffic::default(), &[&new])
        .gateway(vec![route("all", "/", &[("old", 9), ("new", 1)])])
        .applied()
        .await;
    let mut client = Client::connect(mesh.gateway.address).await;
    for _ in 0..500 {
        client.send(from_outside("/")).await;
    }
    // 50 expected, with a standard deviation of 6.7.
    assert!((10..=100).contains(&new.hits()), "{}", new.hits());
    assert_eq!(old.hits() + new.hits(), 500);
}

#[tokio::test]
async fn what_a_stranger_says_of_himself_is_replaced() {
    let app = App::start(|request: Request<_>| async move {
        let text = |name: &str| request.headers().get(name).map(|it| it.to_str().unwrap().to_string());
        let names = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "host"];
        Response::new(full(serde_json::json!(names.map(text)).to_string()))
    })
    .await;
    let mesh = Mesh::new()
        .service("stock", Traffic::default(), &[&app])
        .gateway(vec![route("all", "/", &[("stock", 1)])])
        .applied()
        .await;
    let mut request = from_outside("/");
    let id = "01980000-0000-7000-8000-000000000001";
    for (name, value) in [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("x-request-id", id),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let reply = ask(&mesh, request).await;
    let said = reply.json();
    assert_eq!((&said[0], &said[1], &said[2]), (&"127.0.0.1".into(), &"shop.example".into(), &"http".into()));
    assert_ne!(said[3], id);
    assert_eq!(said[3], reply.header("x-request-id"));
    assert_eq!(said[4], "shop.example");
}

#[tokio::test]
async fn a_routes_time_out_counts() {
    let app = App::start(|_| std::future::pending()).await;
    let mut slow = route("slow", "/", &[("stock", 1)]);
    slow.rules[0].timeout = Some(Duration::from_millis(50));
    let mesh = Mesh::new().service("stock", Traffic::default(), &[&app]).gateway(vec![slow]).applied().await;
    let reply = ask(&mesh, from_outside("/")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (504, "mesh.timeout"));
    assert_eq!(reply.json()["route"], "slow");
}

#[tokio::test]
async fn the_inbound_side_leads_to_its_own_application_only() {
    let (app, other) = (App::saying("mine").await, App::saying("other").await);
    let security = Security { mtls: Mtls::Permissive, ..Security::default() };
    let mut mesh = Mesh::new().service("stock", Traffic::default(), &[&other]).service(
        "order",
        Traffic { security, ..Traffic::default() },
        &[],
    );
    mesh.application = app.address;
    let mesh = mesh.applied().await;
    let mut client = Client::connect(mesh.inbound.address).await;
    assert_eq!(client.send(from_outside("/")).await.text(), "mine");
    assert_eq!(client.send(get("http://stock/")).await.text(), "mine");
    app.kill().await;
    let reply = client.send(from_outside("/")).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (502, "mesh.unreachable"));
    assert_eq!(reply.json()["component"], "inbound");
}

#[tokio::test]
async fn a_balancer_in_front_says_whom_a_connection_comes_from() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    let app = App::start(|request: Request<_>| async move {
        Response::new(full(request.headers()["x-forwarded-for"].as_bytes().to_vec()))
    })
    .await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).gateway(vec![route(
        "all",
        "/",
        &[("payment", 1)],
    )]);
    if let Some(gateway) = &mut mesh.routes.gateway {
        gateway.proxy_protocol = true;
    }
    let mesh = mesh.applied().await;
    let request = b"GET / HTTP/1.1\r\nhost: payment\r\nconnection: close\r\n\r\n";
    let said = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\x1f\x90\0\x50";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (first, source) in [(&said[..], "203.0.113.7"), (&local[..], "127.0.0.1")] {
        let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
        stream.write_all(&[first, request].concat()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with(source), "{answer}");
    }
    // Nobody else is heard.
    let mut stream = TcpStream::connect(mesh.gateway.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!((answer.len(), app.hits()), (0, 2));
}
