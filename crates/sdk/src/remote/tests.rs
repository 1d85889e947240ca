use super::*;
use crate::testing::Reserved;
use axum::Extension;
use axum::serve::ListenerExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tenon_api::caller::Caller;
use tenon_core::{Actor, Timestamp};
use tenon_flow::{EventStore, EventStoreOptions};
use tenon_store::contract::Subject;
use tenon_store::{MemoryLog, MemoryOptions, new_event_id};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A server on a log in memory, and a client of it, each law with its own.
struct Served {
    log: MemoryLog,
    now: Arc<AtomicU64>,
    address: String,
    client: Mutex<RemoteLog>,
    /// Runs the server and the connection; taken out to be shut down.
    runtime: Option<Runtime>,
}

impl Served {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let now = Arc::new(AtomicU64::new(1_000));
        let read = Arc::clone(&now);
        let clock = Arc::new(move || Timestamp::from_micros(read.load(Ordering::Relaxed)));
        let log = MemoryLog::new(MemoryOptions { clock, ..MemoryOptions::default() });
        let options = EventStoreOptions { verbatim: true, ..EventStoreOptions::default() };
        let store = EventStore::new(log.clone().into_log(), options);
        let (address, client) = apart(&runtime, async move {
            let address = serve(&store).await;
            let client = connect(&address).await;
            (address, client)
        });
        Self { log, now, address, client: Mutex::new(client), runtime: Some(runtime) }
    }
}

async fn serve(store: &EventStore) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = store.router().layer(Extension(Caller::Admin(Actor::new("test").unwrap())));
    // As Tenon's own server does it: small answers do not wait for one another.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn connect(address: &str) -> RemoteLog {
    RemoteLog::connect(&RemoteOptions { address: address.to_owned(), token: "t".into() }).await.unwrap()
}

/// Runs something on a runtime, from within another one.
fn apart<T: Send>(runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join().unwrap())
}

impl Subject for Served {
    fn log(&self) -> Arc<dyn Log> {
        self.client.lock().unwrap().clone().into_log()
    }

    fn reopen(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        Box::pin(async {
            self.client.lock().unwrap().close();
            self.log.close();
            self.log.reopen();
            let client = apart(self.runtime.as_ref().unwrap(), connect(&self.address));
            *self.client.lock().unwrap() = client;
            self.log()
        })
    }

    fn set_time(&self, now: Timestamp) -> bool {
        self.now.store(now.as_micros(), Ordering::Relaxed);
        true
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

tenon_store::contract_tests!(Served::new);

fn event(stream: &str) -> NewEvent {
    NewEvent::new(
        tenon_core::Namespace::default(),
        stream.parse().unwrap(),
        "test.Happened.v1".parse().unwrap(),
        bytes::Bytes::from_static(b"{}"),
    )
}

#[tokio::test]
async fn many_appends_are_under_way_at_once() {
    let served = Served::new();
    let log = served.log();
    let appends = (0..2_000).map(|number| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(vec![event(&format!("s-{}", number % 7))], None).await })
    });
    let mut positions = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        positions.push(append.await.unwrap().unwrap().last().0);
    }
    positions.sort_unstable();
    assert!(positions.into_iter().eq(1..=2_000));
}

#[tokio::test]
async fn everything_is_read_in_pages_sent_ahead() {
    let served = Served::new();
    let log = served.log();
    for _ in 0..5 {
        log.append((0..1_000).map(|_| event("a")).collect(), None).await.unwrap();
    }
    let client = served.client.lock().unwrap().clone();
    let mut pages = client.pages(Query::user(), Position::START, Direction::Forward, None).await.unwrap();
    let mut positions = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        positions.extend(page.events.iter().map(|event| event.position.0));
    }
    assert!(positions.into_iter().eq(1..=5_000));
}

#[tokio::test]
async fn a_server_that_went_away_and_came_back_is_found_again_and_answers_are_unknown_meanwhile() {
    let log = MemoryLog::default();
    let store = EventStore::new(log.clone().into_log(), EventStoreOptions::default());
    let reserved = Reserved::new();
    let (at, listener) = (reserved.address, reserved.listen());
    let router = || store.router().layer(Extension(Caller::Admin(Actor::new("test").unwrap())));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let first = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = listener.into_std().unwrap();
    let served = router();
    first.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let ended = axum::serve(listener, served).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        ended.await
    });
    let client = connect(&format!("http://{at}")).await;
    let mut subscription = client.clone().into_log().subscribe(Query::user(), Position::START);
    client.append(vec![event("a")], None).await.unwrap();
    subscription.next().await.unwrap();
    // Everything of the first server is gone at once.
    drop(stop);
    first.shutdown_background();
    let late = event("a");
    let error = loop {
        match client.append(vec![late.clone()], None).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Unknown(_) | AppendError::Unavailable(_)), "{error:?}");
    let listener = reserved.listen();
    let served = router();
    tokio::spawn(async move { axum::serve(listener, served).await });
    let again = event("b");
    while client.append(vec![again.clone()], None).await.is_err() {
        tokio::task::yield_now().await;
    }
    loop {
        let event = subscription.next().await.unwrap();
        if event.id == again.id {
            break;
        }
    }
    assert_ne!(again.id, new_event_id());
}

#[tokio::test]
async fn a_wrong_address_and_a_refusing_server_are_told_apart() {
    let nowhere = RemoteOptions { address: "no address".into(), token: "t".into() };
    assert!(matches!(RemoteLog::connect(&nowhere).await, Err(ConnectError::Invalid { .. })));
    let store = EventStore::new(MemoryLog::default().into_log(), EventStoreOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = store.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let error = RemoteLog::connect(&RemoteOptions { address, token: "t".into() }).await.unwrap_err();
    assert_eq!(error.code(), tenon_core::Code::AccessUnauthenticated);
}
