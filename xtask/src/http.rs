//! A small HTTP client for the demo and the benches: what a caller sees, and how long it took.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::{Duration, Instant};

/// Calls over kept-alive connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status; 0 if there was none.
    pub(crate) status: u16,
    /// The body, or why there was no answer.
    pub(crate) body: Bytes,
    /// The request's id, if the answer tells one.
    pub(crate) request_id: Option<String>,
    /// From the call to the last byte.
    pub(crate) took: Duration,
}

impl Answer {
    /// Whether it is a 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        // A service that closes an idle connection just as it is used again is no failure of the mesh.
        builder.pool_idle_timeout(Duration::from_secs(5)).retry_canceled_requests(true);
        Self { client: builder.build(connector) }
    }

    /// `GET`.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send("GET", url, &[], None).await
    }

    /// Any method, with a JSON body if one is given. Never longer than 35 s.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        json: Option<&serde_json::Value>,
    ) -> Answer {
        let begun = Instant::now();
        let result =
            tokio::time::timeout(Duration::from_secs(35), self.exchange(method, url, headers, json)).await;
        let took = begun.elapsed();
        match result {
            Ok(Ok(answer)) => Answer { took, ..answer },
            Ok(Err(error)) => failure(&error, took),
            Err(_) => failure("no answer for 35 s", took),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        json: Option<&serde_json::Value>,
    ) -> Result<Answer, String> {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match json {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Bytes::from(json.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        let request_id =
            response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.map_err(|error| chain(&error))?.to_bytes();
        Ok(Answer { status, body, request_id, took: Duration::ZERO })
    }
}

fn failure(what: &str, took: Duration) -> Answer {
    Answer { status: 0, body: Bytes::from(what.to_owned()), request_id: None, took }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
