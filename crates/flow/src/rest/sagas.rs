//! Sagas over HTTP: the paths of `api::openapi::SAGAS`.

use super::form::{self, Asked};
use super::reply::{self, Failure, Reply};
use super::{LIMIT, MOST};
use crate::events::EventStore;
use crate::saga::served::{Served, Start, key_of};
use crate::saga::{Filter, Sagas};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post, put};
use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tenon_api::http::{
    Changed, DecideSagas, SagaDefinitionList, SagaHistory, SagaState, SignalSaga, StartSaga,
};
use tenon_core::saga::Status;
use tenon_core::{Namespace, Position, Revision, Timestamp};

#[derive(Clone)]
struct Paths {
    store: EventStore,
    sagas: Sagas,
}

/// The paths.
pub(crate) fn router(store: EventStore, sagas: Sagas) -> Router {
    Router::new()
        .route("/v1/sagas", get(list))
        .route("/v1/sagas/{saga}", get(show).post(start))
        .route("/v1/sagas/{saga}/history", get(history))
        .route("/v1/sagas/{saga}/signals/{signal}", post(signal))
        .route("/v1/sagas/{saga}/cancel", post(cancel))
        .route("/v1/sagas/{saga}/decisions", post(decide))
        .route("/v1/saga-decisions", post(decide_all))
        .route("/v1/saga-spans", get(spans))
        .route("/v1/saga-definitions", get(definitions))
        .route("/v1/saga-definitions/{name}", put(define).delete(retire))
        .method_not_allowed_fallback(super::unknown)
        .with_state(Paths { store, sagas })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    namespace: Option<String>,
    name: Option<String>,
    key: Option<String>,
    state: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<u64>,
    limit: Option<u64>,
    wait_ms: Option<u64>,
}

impl Wanted {
    fn namespace(&self) -> Result<Option<Namespace>, Failure> {
        self.namespace.as_deref().map(|text| form::name("namespace", text)).transpose()
    }

    fn wait(&self) -> Option<Duration> {
        self.wait_ms.map(Duration::from_millis)
    }
}

impl Paths {
    fn asked(&self, asked: &Asked) -> Result<(Served, Wanted), Failure> {
        Ok((Served::new(self.sagas.clone(), asked.rights(&self.store)?), asked.query()?))
    }
}

async fn list(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    let time = |field: &str, text: &Option<String>| -> Result<Option<Timestamp>, Failure> {
        let parsed = text.as_deref().map(tenon_api::time::parse).transpose();
        parsed.map_err(|error| reply::invalid(format!("{field}: {error}")).into())
    };
    let filter = Filter {
        namespace: wanted.namespace()?,
        name: wanted.name.as_deref().map(|text| form::name("name", text)).transpose()?,
        key: wanted.key.clone(),
        states: states(wanted.state.as_deref())?,
        since: time("since", &wanted.since)?,
        until: time("until", &wanted.until)?,
        before: wanted.before.map(Position),
        limit: limit(wanted.limit),
    };
    reply::json(&served.list(filter).await?)
}

fn limit(asked: Option<u64>) -> usize {
    usize::try_from(asked.unwrap_or(LIMIT).clamp(1, MOST)).unwrap_or(usize::MAX)
}

fn states(text: Option<&str>) -> Result<BTreeSet<Status>, Failure> {
    let one = |text: &str| {
        let state = serde_json::from_value::<SagaState>(Value::from(text));
        state.map(Status::from).map_err(|error| reply::invalid(format!("state: {error}")).into())
    };
    text.into_iter().flat_map(|text| text.split(',')).map(one).collect()
}

async fn start(State(paths): State<Paths>, asked: Asked, body: Body) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    let (namespace, name) = (served.namespace(wanted.namespace()?)?, asked.parameter("saga")?);
    let StartSaga { input, key } = reply::read(body).await?;
    let header = asked.text(&HeaderName::from_static("idempotency-key"))?;
    let key = key_of(key, header)?;
    let (traceparent, wait) = (asked.traceparent(), wanted.wait());
    reply::json(&served.start(Start { namespace, name, input, key, traceparent, wait }).await?)
}

async fn show(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    reply::json(&served.show(asked.parameter("saga")?, wanted.wait()).await?)
}

async fn history(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, _) = paths.asked(&asked)?;
    reply::json(&SagaHistory { events: served.history(asked.parameter("saga")?).await? })
}

async fn spans(State(paths): State<Paths>, asked: Asked) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OfTrace {
        trace: String,
    }
    let served = Served::new(paths.sagas.clone(), asked.rights(&paths.store)?);
    let OfTrace { trace } = asked.query()?;
    let wanted = u128::from_str_radix(&trace, 16).ok().filter(|_| trace.len() == 32);
    let wanted = wanted.ok_or_else(|| reply::invalid("trace: must be 32 hexadecimal digits"))?;
    reply::json(&served.spans(wanted).await?)
}

async fn signal(State(paths): State<Paths>, asked: Asked, body: Body) -> Reply {
    let (served, _) = paths.asked(&asked)?;
    let SignalSaga { data } = reply::read(body).await?;
    reply::json(&served.signal(asked.parameter("saga")?, asked.parameter("signal")?, &data).await?)
}

async fn cancel(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, _) = paths.asked(&asked)?;
    reply::json(&served.cancel(asked.parameter("saga")?).await?)
}

async fn decide(State(paths): State<Paths>, asked: Asked, body: Body) -> Reply {
    let (served, _) = paths.asked(&asked)?;
    let decision = reply::read(body).await?;
    reply::json(&served.decide(asked.parameter("saga")?, decision).await?)
}

async fn decide_all(State(paths): State<Paths>, asked: Asked, body: Body) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    let decision: DecideSagas = reply::read(body).await?;
    let most = limit(decision.limit);
    reply::json(&served.decide_all(wanted.namespace()?, decision, most).await?)
}

async fn definitions(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    reply::json(&SagaDefinitionList { definitions: served.definitions(wanted.namespace()?)? })
}

async fn define(State(paths): State<Paths>, asked: Asked, body: Body) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    let document = reply::read(body).await?;
    reply::json(&served.define(wanted.namespace()?, asked.parameter("name")?, document).await?)
}

async fn retire(State(paths): State<Paths>, asked: Asked) -> Reply {
    let (served, wanted) = paths.asked(&asked)?;
    served.retire(wanted.namespace()?, &asked.parameter("name")?).await?;
    let log = paths.store.log();
    reply::json(&Changed { revision: Revision { log: log.id(), position: log.head() } })
}
