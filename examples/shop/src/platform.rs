//! The sagas that the platform runs for the shop, over its HTTP API with an ordinary client.

use crate::context::{Context, TRACEPARENT};
use crate::problem::Problem;
use crate::service::Platform;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::time::Duration;

/// How long to wait before the platform is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(50);

/// What is left of the caller's time for everything else.
const MARGIN: Duration = Duration::from_millis(250);

/// The longest that one answer is waited for.
const MOST_WAIT: Duration = Duration::from_secs(20);

/// The sagas of the platform. Clones share connections.
#[derive(Debug, Clone)]
pub struct Sagas {
    client: Client,
    platform: Option<Platform>,
}

/// A saga, as far as the shop looks at it.
#[derive(Debug, Clone, Deserialize)]
pub struct Saga {
    /// How it is.
    pub state: String,
    /// What the service said whose refusal turned it back.
    #[serde(default)]
    pub problem: Option<Value>,
}

impl Saga {
    /// Whether nothing more happens to it.
    pub fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "compensated" | "failed")
    }
}

impl Sagas {
    /// Those of a platform; without one none can be run.
    ///
    /// # Errors
    /// A problem (503) if no HTTP client can be made.
    pub fn new(platform: Option<Platform>) -> Result<Self, Problem> {
        let client = Client::builder().no_proxy().connect_timeout(Duration::from_secs(1)).build();
        Ok(Self { client: client.map_err(unavailable)?, platform })
    }

    /// Runs a saga and waits for its end, as long as the caller does. With a key it is the same one however often it is asked
    /// for, so a platform that is away is asked again.
    ///
    /// # Errors
    /// A problem (503) if the platform has not said by then that the saga has begun, or (409) if one has under this key, with another
    /// input.
    pub async fn run(
        &self,
        name: &str,
        key: &str,
        input: &Value,
        context: &Context,
    ) -> Result<Saga, Problem> {
        let body = json!({"input": input, "key": key});
        self.ask(Method::POST, &format!("/v1/sagas/{name}"), Some(&body), context).await
    }

    /// Waits for the end of a saga, as long as the caller does.
    ///
    /// # Errors
    /// As [`Sagas::run`].
    pub async fn wait(&self, id: &str, context: &Context) -> Result<Saga, Problem> {
        self.ask(Method::GET, &format!("/v1/sagas/{id}"), None, context).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        context: &Context,
    ) -> Result<Saga, Problem> {
        loop {
            let left = context.left().saturating_sub(MARGIN).min(MOST_WAIT);
            match self.ask_once(method.clone(), path, body, left, context).await {
                Err(problem) if problem.status == 503 && left > AGAIN => {
                    tracing::debug!(%problem, "the platform is asked again");
                    tokio::time::sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }

    async fn ask_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
        context: &Context,
    ) -> Result<Saga, Problem> {
        let Some(Platform { address, token }) = &self.platform else {
            return Err(unavailable("the service does not run under Tenon"));
        };
        let url = format!("{address}{path}?wait_ms={}", wait.as_millis());
        let mut request = self.client.request(method, url).bearer_auth(token).timeout(wait + MARGIN);
        if let Some(traceparent) = &context.traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(unavailable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unavailable)?;
        match status {
            StatusCode::OK => serde_json::from_str(&text).map_err(unavailable),
            StatusCode::CONFLICT => Err(Problem::new(409, "order.saga-differs", text)),
            // A saga of the manifest may not have been made yet.
            _ => Err(unavailable(format!("{status}: {text}"))),
        }
    }
}

fn unavailable(error: impl Display) -> Problem {
    let detail = format!("orders cannot be processed now, send it again with the same key: {error}");
    Problem::new(503, "order.unavailable", detail)
}
