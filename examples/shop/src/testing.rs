//! Services started in the test's own process, on free ports, spoken to without any proxy.

use crate::call::Peer;
use crate::order::Peers;
use crate::problem::Problem;
use crate::service::{Settings, serve};
use axum::Router;
use reqwest::{Client, Method};
use serde_json::Value;
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

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
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

/// A client that no environment variable sends through a proxy.
pub(crate) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// The order service's peers at these addresses.
pub(crate) fn peers(payment: &str, inventory: &str, notification: &str) -> Peers {
    let peer = |name, base: &str| Peer::new(client(), name, base);
    Peers {
        payment: peer("payment", payment),
        inventory: peer("inventory", inventory),
        notification: peer("notification", notification),
    }
}
