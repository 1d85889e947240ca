//! Requests, and what comes back.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// How long an answer may take: longer than a call may inside of the system.
const LONGEST: Duration = Duration::from_secs(120);

/// A client that goes straight to where it is told. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status; 0 if there was no answer.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, or why there was no answer.
    pub(crate) text: String,
}

impl Http {
    pub(crate) fn new() -> Self {
        let builder = Client::builder().no_proxy().timeout(LONGEST);
        // A connection that is closed for being idle, just as it is used again, is nobody's failure.
        Self { client: builder.pool_idle_timeout(Duration::from_secs(5)).build().unwrap() }
    }

    /// The same with a connection for each request.
    pub(crate) fn on_fresh_connections() -> Self {
        let builder = Client::builder().no_proxy().timeout(LONGEST);
        Self { client: builder.pool_max_idle_per_host(0).build().unwrap() }
    }

    /// `GET`.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(self.request(Method::GET, url)).await
    }

    /// Any method with a JSON body and an idempotency key.
    pub(crate) async fn post(&self, url: &str, body: &Value, key: &str) -> Answer {
        let request = self.request(Method::POST, url).header("idempotency-key", key);
        self.send(request.json(body)).await
    }

    /// A request, to be completed.
    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        exchange(request).await.unwrap_or_else(|error| Answer {
            status: 0,
            headers: HeaderMap::new(),
            text: chain(&error),
        })
    }
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header's text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The same, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The code of a problem, if it has this status and is one.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> String {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
        answer.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn exchange(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
