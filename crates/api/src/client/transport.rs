//! One call: what is sent, and how the answer is read.

use super::{Error, Events, Options};
use crate::{Problem, headers, problem};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::Duration;
use tenon_core::Revision;

/// The largest answer that is read, streams aside.
const MAX_BODY: usize = 64 << 20;

/// How much of an answer that is not Tenon's is shown, in characters.
const EXCERPT: usize = 200;

/// What is sent.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), headers: HeaderMap::new(), body: None }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn query_if(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let refused = |error: serde_json::Error| Error::Address {
            address: self.path.clone(),
            problem: format!("the request cannot be written as JSON: {error}"),
        };
        self.body = Some(serde_json::to_vec(body).map_err(refused)?);
        self.header(header::CONTENT_TYPE, "application/json");
        Ok(self)
    }

    /// A body that is no JSON document.
    pub(super) fn raw(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self.header(header::CONTENT_TYPE, content_type);
        self
    }

    /// Resume a stream after this revision.
    pub(super) fn after(mut self, revision: Option<Revision>) -> Self {
        if let Some(revision) = revision {
            self.header(HeaderName::from_static("last-event-id"), &revision.to_string());
        }
        self
    }

    /// Change nothing unless this is still the revision.
    pub(super) fn only_if(mut self, revision: Option<Revision>) -> Self {
        if let Some(revision) = revision {
            self.header(header::IF_MATCH, &format!("\"{revision}\""));
        }
        self
    }

    fn header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}

/// What calls go through.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    address: String,
    timeout: Duration,
}

impl Transport {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let invalid =
            |problem: &str| Error::Address { address: options.address.clone(), problem: problem.to_owned() };
        let url = reqwest::Url::parse(&options.address)
            .map_err(|_| invalid("it is not a URL such as http://127.0.0.1:7420"))?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(invalid("it is not a URL that begins with http://"));
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = &options.token {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| invalid("the token holds characters that a header may not"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(actor) = &options.actor {
            let value =
                HeaderValue::try_from(actor.as_str()).map_err(|_| invalid("the actor is not ASCII"))?;
            headers.insert(headers::ACTOR, value);
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.timeout)
            .read_timeout(options.silence)
            .default_headers(headers)
            .build()
            .map_err(|error| invalid(&error.to_string()))?;
        let address = options.address.trim_end_matches('/').to_owned();
        Ok(Self { http, address, timeout: options.timeout })
    }

    /// Makes a call whose answer is one JSON document.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let (status, body) = self.body(call).await?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(status, &error.to_string()))
    }

    /// Makes a call whose answer is text.
    pub(super) async fn text(&self, call: Call) -> Result<String, Error> {
        let (status, body) = self.body(call).await?;
        String::from_utf8(body).map_err(|error| self.unexpected(status, &error.to_string()))
    }

    /// Makes a call whose answer is a stream of events.
    pub(super) async fn events<T: DeserializeOwned>(&self, call: Call) -> Result<Events<T>, Error> {
        let head = tokio::time::timeout(self.timeout, self.send(call, None)).await;
        let response = match head {
            Ok(response) => self.accepted(response?).await?,
            Err(_) => return Err(Error::Timeout { address: self.address.clone() }),
        };
        if !has_type(&response, "text/event-stream") {
            return Err(self.unexpected(response.status().as_u16(), "it is not a stream of events"));
        }
        Ok(Events::new(response, self.address.clone()))
    }

    async fn body(&self, call: Call) -> Result<(u16, Vec<u8>), Error> {
        let response = self.accepted(self.send(call, Some(self.timeout)).await?).await?;
        let status = response.status().as_u16();
        Ok((status, self.read(response).await?))
    }

    async fn send(&self, call: Call, timeout: Option<Duration>) -> Result<Response, Error> {
        let url = format!("{}{}", self.address, call.path);
        let mut request = self.http.request(call.method, url).headers(call.headers);
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|error| Error::of(&self.address, error))
    }

    /// Passes a success on and turns everything else into an error.
    async fn accepted(&self, response: Response) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let is_problem = has_type(&response, problem::CONTENT_TYPE);
        let body = self.read(response).await?;
        if is_problem && let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Err(Error::Refused(Box::new(problem)));
        }
        let excerpt: String = String::from_utf8_lossy(&body).chars().take(EXCERPT).collect();
        Err(self.unexpected(status.as_u16(), &excerpt))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Error::of(&self.address, error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.unexpected(status, &format!("it is longer than {MAX_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unexpected(&self, status: u16, problem: &str) -> Error {
        Error::Unexpected { address: self.address.clone(), status, problem: problem.to_owned() }
    }
}

/// Whether the response is of this media type, whatever its parameters.
fn has_type(response: &Response, wanted: &str) -> bool {
    let own = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    own.and_then(|value| value.split(';').next()).is_some_and(|own| own.trim().eq_ignore_ascii_case(wanted))
}
