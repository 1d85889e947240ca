//! The data plane's admin address.

use super::transport::{Call, Transport};
use super::{Error, Options};
use crate::explain::Explanation;
use crate::http::{Liveness, SnapshotView};
use crate::otlp::TracesData;
use tenon_core::RequestId;

/// A client of a data plane's admin address. Each method is one endpoint of [`crate::openapi::ADMIN`].
#[derive(Debug, Clone)]
pub struct DataPlane {
    transport: Transport,
}

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "the endpoints are documented in `openapi::ADMIN`"
)]
impl DataPlane {
    /// A client that calls with these options. No connection is made yet.
    ///
    /// # Errors
    /// [`Error::Address`] if the address is not an `http://` URL.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { transport: Transport::new(options)? })
    }

    pub async fn health(&self) -> Result<Liveness, Error> {
        self.transport.json(Call::get("/health")).await
    }

    pub async fn explain(&self, request: RequestId) -> Result<Explanation, Error> {
        self.transport.json(Call::get(format!("/explain/{request}"))).await
    }

    pub async fn spans_of_trace(&self, trace: u128) -> Result<TracesData, Error> {
        self.transport.json(Call::get(format!("/spans?trace={trace:032x}"))).await
    }

    pub async fn spans_of_request(&self, request: RequestId) -> Result<TracesData, Error> {
        self.transport.json(Call::get(format!("/spans?request={request}"))).await
    }

    pub async fn snapshot(&self) -> Result<SnapshotView, Error> {
        self.transport.json(Call::get("/snapshot")).await
    }

    /// All metrics in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String, Error> {
        self.transport.text(Call::get("/metrics")).await
    }
}
