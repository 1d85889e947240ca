//! One data plane takes over from another: no connection is lost, and whoever fails leaves the other as it was.

use crate::support::{App, Client, Mesh, full, get};
use http::Response;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::manifest::Traffic;
use tenon_proxy::handover::{self, Inheritance, TakeoverError};
use tenon_proxy::{Plane, PlaneConfig, subscribe};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, watch};

const LINGER: Duration = Duration::from_secs(60);

/// A socket, in a folder of its own, at which a data plane hands over.
fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    (folder, path)
}

/// Lets go once somebody has taken over.
async fn give(listener: &UnixListener, plane: &Plane) {
    handover::give(listener, plane).await.complete(plane, LINGER).await;
}

/// A data plane that has taken over from the one at `path`, on one worker where that has two.
async fn take(path: &Path) -> Plane {
    let (takeover, Inheritance { sockets, snapshot }) = handover::ask(path).await.unwrap().unwrap();
    let plane = Plane::inherit(PlaneConfig { workers: 1, ..PlaneConfig::default() }, sockets).unwrap();
    subscribe::apply_stored(&plane, snapshot);
    takeover.complete(&plane).await.unwrap();
    plane
}

#[tokio::test]
async fn the_next_data_plane_serves_where_the_one_before_did_which_lets_its_connections_go() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let admin = mesh.plane.admin().await;
    let (_folder, path) = socket();
    let listener = handover::listen(&path).unwrap();
    let mut kept = mesh.client().await;
    assert_eq!(kept.send(get("http://payment/")).await.text(), "paid");

    let ((), next) = tokio::join!(give(&listener, &mesh.plane), take(&path));
    assert_eq!(next.snapshot(), mesh.plane.snapshot());
    assert_eq!(next.admin().await, admin);

    // A connection that was there is served, and told that this was the last time.
    let last = kept.send(get("http://payment/")).await;
    assert_eq!((last.text(), last.header("connection")), ("paid", "close"));
    for _ in 0..20 {
        let reply = mesh.get("http://payment/").await;
        assert_eq!((reply.text(), reply.header("connection")), ("paid", ""));
        let id = reply.header("x-request-id").parse().unwrap();
        assert!(next.explain(id).is_some() && mesh.plane.explain(id).is_none());
    }
}

#[tokio::test]
async fn a_request_in_hand_is_answered_by_the_data_plane_that_it_came_to() {
    let (arrived, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&arrived), Arc::clone(&gate));
    let app = App::start(move |_| {
        let (told, waits) = (Arc::clone(&told), Arc::clone(&waits));
        async move {
            told.notify_one();
            waits.notified().await;
            Response::new(full("paid"))
        }
    })
    .await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (_folder, path) = socket();
    let listener = handover::listen(&path).unwrap();
    let mut client = mesh.client().await;
    let asking = tokio::spawn(async move { client.send(get("http://payment/")).await });
    arrived.notified().await;
    let ((), _next) = tokio::join!(give(&listener, &mesh.plane), take(&path));
    gate.notify_one();
    assert_eq!(asking.await.unwrap().text(), "paid");
}

#[tokio::test]
async fn connections_that_wait_to_be_taken_are_not_lost() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (_folder, path) = socket();
    let listener = handover::listen(&path).unwrap();
    let outbound = mesh.outbound.address;
    let (stop, stopped) = watch::channel(false);
    let knocking = tokio::spawn(async move {
        let mut answered = 0;
        while !*stopped.borrow() {
            assert_eq!(Client::connect(outbound).await.send(get("http://payment/")).await.text(), "paid");
            answered += 1;
        }
        answered
    });
    let ((), _next) = tokio::join!(give(&listener, &mesh.plane), take(&path));
    mesh.get("http://payment/").await;
    stop.send_replace(true);
    assert!(knocking.await.unwrap() > 0);
}

#[tokio::test]
async fn a_taker_that_gives_up_leaves_the_data_plane_as_it_is() {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    let (_folder, path) = socket();
    let listener = handover::listen(&path).unwrap();
    let vain = async {
        // One that dies with all that it was given, one that talks nonsense, one that says nothing.
        drop(handover::ask(&path).await.unwrap().unwrap());
        UnixStream::connect(&path).await.unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(UnixStream::connect(&path).await.unwrap());
        assert_eq!(mesh.get("http://payment/").await.text(), "paid");
        take(&path).await
    };
    let ((), _next) = tokio::join!(give(&listener, &mesh.plane), vain);
    assert_eq!(mesh.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn nobody_to_take_over_from_is_no_error_and_one_who_refuses_is() {
    let (_folder, path) = socket();
    assert!(handover::ask(&path).await.unwrap().is_none());
    let listener = handover::listen(&path).unwrap();
    let refusing = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // `Abandoned`.
        stream.write_all(&[5, 0, 0, 0, 0]).await.unwrap();
        stream
    };
    let (_stream, answer) = tokio::join!(refusing, handover::ask(&path));
    assert!(matches!(answer, Err(TakeoverError::Abandoned)));
    drop(listener);
    assert!(handover::ask(&path).await.unwrap().is_none());
}
