//! Sagas.

use super::transport::Call;
use super::{Client, Error};
use crate::http::{
    Changed, DecideSaga, DecideSagas, DecidedSagas, DefinedSaga, SagaDefinitionList, SagaHistory, SagaList,
    SagaView, SignalSaga, StartSaga, StartedSaga,
};
use crate::otlp::TracesData;
use crate::system::SagaDoc;
use http::Method;
use tenon_core::saga::{SagaName, SignalName};
use tenon_core::{Namespace, SagaId};

/// Which sagas are asked for.
#[derive(Debug, Default, Clone)]
pub struct SagaQuery {
    /// Only those of this namespace.
    pub namespace: Option<Namespace>,
    /// Only those of this name.
    pub name: Option<String>,
    /// Only the one with this key.
    pub key: Option<String>,
    /// Only those in these states, separated by commas.
    pub state: Option<String>,
    /// Only those that began at this time or later.
    pub since: Option<String>,
    /// Only those that began before this time.
    pub until: Option<String>,
    /// The rest of a list.
    pub before: Option<u64>,
    /// The most sagas.
    pub limit: Option<u64>,
}

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "the endpoints are documented in `openapi::SAGAS`"
)]
impl Client {
    pub async fn sagas(&self, of: &SagaQuery) -> Result<SagaList, Error> {
        let call = Call::get("/v1/sagas")
            .query_if("namespace", of.namespace.as_ref())
            .query_if("name", of.name.as_ref())
            .query_if("key", of.key.as_ref())
            .query_if("state", of.state.as_ref())
            .query_if("since", of.since.as_ref())
            .query_if("until", of.until.as_ref())
            .query_if("before", of.before)
            .query_if("limit", of.limit);
        self.transport.json(call).await
    }

    /// Answers when it has ended, or after `wait_ms`.
    pub async fn start_saga(
        &self,
        namespace: Option<&Namespace>,
        name: &SagaName,
        start: &StartSaga,
        wait_ms: Option<u64>,
    ) -> Result<StartedSaga, Error> {
        let call = Call::new(Method::POST, format!("/v1/sagas/{name}"))
            .query_if("namespace", namespace)
            .query_if("wait_ms", wait_ms);
        self.transport.json(call.body(start)?).await
    }

    pub async fn saga(&self, id: SagaId, wait_ms: Option<u64>) -> Result<SagaView, Error> {
        self.transport.json(Call::get(format!("/v1/sagas/{id}")).query_if("wait_ms", wait_ms)).await
    }

    pub async fn saga_history(&self, id: SagaId) -> Result<SagaHistory, Error> {
        self.transport.json(Call::get(format!("/v1/sagas/{id}/history"))).await
    }

    pub async fn saga_spans(&self, trace: u128) -> Result<TracesData, Error> {
        self.transport.json(Call::get(format!("/v1/saga-spans?trace={trace:032x}"))).await
    }

    pub async fn signal_saga(
        &self,
        id: SagaId,
        name: &SignalName,
        signal: &SignalSaga,
    ) -> Result<SagaView, Error> {
        let call = Call::new(Method::POST, format!("/v1/sagas/{id}/signals/{name}"));
        self.transport.json(call.body(signal)?).await
    }

    pub async fn cancel_saga(&self, id: SagaId) -> Result<SagaView, Error> {
        self.transport.json(Call::new(Method::POST, format!("/v1/sagas/{id}/cancel"))).await
    }

    pub async fn decide_saga(&self, id: SagaId, decision: &DecideSaga) -> Result<SagaView, Error> {
        let call = Call::new(Method::POST, format!("/v1/sagas/{id}/decisions"));
        self.transport.json(call.body(decision)?).await
    }

    pub async fn decide_sagas(
        &self,
        namespace: Option<&Namespace>,
        decision: &DecideSagas,
    ) -> Result<DecidedSagas, Error> {
        let call = Call::new(Method::POST, "/v1/saga-decisions").query_if("namespace", namespace);
        self.transport.json(call.body(decision)?).await
    }

    pub async fn saga_definitions(&self, namespace: Option<&Namespace>) -> Result<SagaDefinitionList, Error> {
        self.transport.json(Call::get("/v1/saga-definitions").query_if("namespace", namespace)).await
    }

    pub async fn define_saga(
        &self,
        namespace: Option<&Namespace>,
        name: &SagaName,
        definition: &SagaDoc,
    ) -> Result<DefinedSaga, Error> {
        let call = Call::new(Method::PUT, format!("/v1/saga-definitions/{name}"));
        self.transport.json(call.query_if("namespace", namespace).body(definition)?).await
    }

    pub async fn retire_saga(
        &self,
        namespace: Option<&Namespace>,
        name: &SagaName,
    ) -> Result<Changed, Error> {
        let call = Call::new(Method::DELETE, format!("/v1/saga-definitions/{name}"));
        self.transport.json(call.query_if("namespace", namespace)).await
    }
}
