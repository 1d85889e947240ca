//! Who starts sagas: over one connection, with as little work as there can be, since whoever calls shares the machine with what is
//! measured.

use super::Side;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(35);

/// A connection, and what is the same each time.
pub(super) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    target: Uri,
    headers: HeaderMap,
}

impl Caller {
    pub(super) async fn connect(side: &Side) -> Result<Self, String> {
        Self::try_connect(side).await.map_err(|error| format!("{}: {error}", side.url))
    }

    async fn try_connect(side: &Side) -> Result<Self, Box<dyn std::error::Error>> {
        let url: Uri = side.url.parse()?;
        let authority = url.authority().ok_or("it names no server")?;
        let stream = TcpStream::connect(authority.as_str()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Whoever sends is told why it ended.
        tokio::spawn(connection);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::try_from(authority.as_str())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &side.headers {
            headers.insert(*name, HeaderValue::try_from(value.as_str())?);
        }
        let target = url.path_and_query().ok_or("it names no path")?.clone();
        Ok(Self { sender, target: target.into(), headers })
    }

    /// Starts a saga: what is answered when it has ended.
    pub(super) async fn start(&mut self, body: &Value) -> Result<Bytes, String> {
        let answered = timeout(PATIENCE, self.exchange(body)).await;
        answered.map_err(|_| format!("no answer for {PATIENCE:?}"))?.map_err(|error| error.to_string())
    }

    async fn exchange(&mut self, body: &Value) -> hyper::Result<Bytes> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}
