//! Sagas over HTTP: the paths of `api::openapi::SAGAS`.

mod told;

use super::form::{self, Asked};
use super::reply::{self, Failure, Reply};
use super::{LIMIT, MOST};
use crate::events::EventStore;
use crate::events::rights::Rights;
use crate::saga::{Begin, Defined, Filter, MAX_SIGNAL, Sagas, View};
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
    Changed, DecideSaga, DecisionDoc, DefinedSaga, SagaDefinition, SagaDefinitionList, SagaHistory, SagaList,
    SagaState, SignalSaga, StartSaga, StartedSaga,
};
use tenon_api::system::SagaDoc;
use tenon_core::saga::{Cause, Data, Input, Operator, Saga, SagaName, SignalName, Status, StepIx};
use tenon_core::trace::Parent;
use tenon_core::{Code, Namespace, Position, Refusal, Revision, SagaId, Timestamp};
use told::{event, summary, view};

/// The longest that an answer waits for a saga's end.
const MOST_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Served {
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
        .route("/v1/saga-definitions", get(definitions))
        .route("/v1/saga-definitions/{name}", put(define).delete(retire))
        .method_not_allowed_fallback(super::unknown)
        .with_state(Served { store, sagas })
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
    fn wait(&self) -> Option<Duration> {
        self.wait_ms.map(|millis| Duration::from_millis(millis).min(MOST_WAIT))
    }
}

impl Served {
    fn asked(&self, asked: &Asked) -> Result<(Rights, Wanted), Failure> {
        Ok((asked.rights(&self.store)?, asked.query()?))
    }

    /// The saga that the path names, if the caller may see it.
    async fn saga(&self, asked: &Asked) -> Result<(Rights, View, Wanted), Failure> {
        let (rights, wanted) = self.asked(asked)?;
        let id: SagaId = asked.parameter("saga")?;
        let view = self.sagas.view(id).await?;
        rights.check_namespace(&view.beginning.namespace)?;
        Ok((rights, view, wanted))
    }

    async fn tell(&self, asked: &Asked, input: impl FnOnce(&View) -> Result<Input, Failure>) -> Reply {
        let (rights, found, _) = self.saga(asked).await?;
        let told = self.sagas.tell(found.id, input(&found)?, Some(rights.actor())).await?;
        reply::json(&view(&told))
    }
}

/// The namespace that is asked for, or the caller's own.
fn namespace(rights: &Rights, wanted: &Wanted) -> Result<Namespace, Failure> {
    let namespace = match wanted.namespace.as_deref() {
        Some(text) => form::name("namespace", text)?,
        None => rights.namespace(),
    };
    rights.check_namespace(&namespace)?;
    Ok(namespace)
}

async fn list(State(served): State<Served>, asked: Asked) -> Reply {
    let (rights, wanted) = served.asked(&asked)?;
    let time = |field: &str, text: &Option<String>| -> Result<Option<Timestamp>, Failure> {
        let parsed = text.as_deref().map(tenon_api::time::parse).transpose();
        parsed.map_err(|error| reply::invalid(format!("{field}: {error}")).into())
    };
    let stated = wanted.namespace.is_some() || wanted.name.is_some() || rights.within().is_some();
    let filter = Filter {
        namespace: stated.then(|| namespace(&rights, &wanted)).transpose()?,
        name: wanted.name.as_deref().map(|text| form::name("name", text)).transpose()?,
        key: wanted.key.clone(),
        states: states(wanted.state.as_deref())?,
        since: time("since", &wanted.since)?,
        until: time("until", &wanted.until)?,
        before: wanted.before.map(Position),
        limit: usize::try_from(wanted.limit.unwrap_or(LIMIT).clamp(1, MOST)).unwrap_or(usize::MAX),
    };
    let page = served.sagas.list(filter).await?;
    let sagas = page.sagas.iter().map(summary).collect();
    reply::json(&SagaList { sagas, next: page.next.map(|position| position.0) })
}

fn states(text: Option<&str>) -> Result<BTreeSet<Status>, Failure> {
    let one = |text: &str| {
        let state = serde_json::from_value::<SagaState>(Value::from(text));
        state.map(Status::from).map_err(|error| reply::invalid(format!("state: {error}")).into())
    };
    text.into_iter().flat_map(|text| text.split(',')).map(one).collect()
}

async fn start(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (rights, wanted) = served.asked(&asked)?;
    let namespace = namespace(&rights, &wanted)?;
    let name: SagaName = asked.parameter("saga")?;
    let StartSaga { input, key } = reply::read(body).await?;
    let header = asked.text(&HeaderName::from_static("idempotency-key"))?;
    let key = key.or_else(|| header.map(|text| text.trim_matches('"').to_owned()));
    let parent = asked.traceparent().and_then(|text| Parent::parse(text.as_bytes()));
    let trace = parent.map(|parent| parent.trace);
    let begin = Begin { namespace, name, input, key, trace, actor: Some(rights.actor()) };
    let begun = served.sagas.begin(begin).await?;
    let found = match wanted.wait() {
        Some(within) => served.sagas.wait(begun.view.id, within).await?,
        None => begun.view,
    };
    reply::json(&StartedSaga { existed: begun.existed, saga: view(&found) })
}

async fn show(State(served): State<Served>, asked: Asked) -> Reply {
    let (_, found, wanted) = served.saga(&asked).await?;
    match wanted.wait().filter(|_| found.instance.ended().is_none()) {
        Some(within) => reply::json(&view(&served.sagas.wait(found.id, within).await?)),
        None => reply::json(&view(&found)),
    }
}

async fn history(State(served): State<Served>, asked: Asked) -> Reply {
    let (_, found, _) = served.saga(&asked).await?;
    let entries = served.sagas.history(found.id).await?;
    let events = entries.into_iter().map(|entry| event(&found.saga, entry)).collect();
    reply::json(&SagaHistory { events })
}

async fn signal(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let name: SignalName = asked.parameter("signal")?;
    let SignalSaga { data } = reply::read(body).await?;
    let data = data.to_string();
    if data.len() > MAX_SIGNAL {
        return Err(reply::invalid(format!("a signal brings at most {MAX_SIGNAL} bytes")).into());
    }
    served.tell(&asked, |_| Ok(Input::Signal { name, data: Data::new(&data) })).await
}

async fn cancel(State(served): State<Served>, asked: Asked) -> Reply {
    served.tell(&asked, |_| Ok(Input::Cancel { cause: Cause::Cancelled })).await
}

async fn decide(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let DecideSaga { decision, step, data } = reply::read(body).await?;
    let data = data.map(|data| Data::new(&data.to_string()));
    served
        .tell(&asked, |found| {
            let step = || step_of(&found.saga, step.as_deref());
            Ok(Input::Operator(match decision {
                DecisionDoc::Retry => Operator::Retry(step()?),
                DecisionDoc::Edit => {
                    let missing = || reply::invalid("data: `edit` needs what is to be sent instead");
                    Operator::Edit(step()?, data.ok_or_else(missing)?)
                }
                DecisionDoc::Skip => Operator::Skip(step()?),
                DecisionDoc::Done => Operator::MarkDone(step()?, data),
                DecisionDoc::Compensate => Operator::Compensate,
            }))
        })
        .await
}

fn step_of(saga: &Saga, name: Option<&str>) -> Result<StepIx, Failure> {
    let name = name.ok_or_else(|| reply::invalid("step: is missing"))?;
    let missing = || Refusal::new(Code::SagaIllegal, format!("the saga has no step `{name}`"));
    Ok(saga.named(name).ok_or_else(missing)?)
}

async fn definitions(State(served): State<Served>, asked: Asked) -> Reply {
    let (rights, wanted) = served.asked(&asked)?;
    let stated = wanted.namespace.is_some() || rights.within().is_some();
    let within = stated.then(|| namespace(&rights, &wanted)).transpose()?;
    let of = |it: &Defined| within.as_ref().is_none_or(|within| *within == it.definition.namespace);
    let definitions = served.sagas.definitions().into_iter().filter(of).map(|it| SagaDefinition {
        namespace: it.definition.namespace.clone(),
        name: it.definition.name.clone(),
        version: it.version.to_string(),
        declared: it.declared,
        definition: (&it.definition).into(),
    });
    reply::json(&SagaDefinitionList { definitions: definitions.collect() })
}

async fn define(State(served): State<Served>, asked: Asked, body: Body) -> Reply {
    let (rights, wanted) = served.asked(&asked)?;
    rights.check_operator("defining sagas, which call services")?;
    let document: SagaDoc = reply::read(body).await?;
    let (namespace, name) = (namespace(&rights, &wanted)?, asked.parameter("name")?);
    served.check_free(&namespace, &name)?;
    let definition = document
        .to_definition(namespace, name)
        .map_err(|error| Refusal::new(Code::SagaInvalid, error.to_string()))?;
    let defined = served.sagas.define(definition, false, Some(rights.actor())).await?;
    reply::json(&DefinedSaga { version: defined.version.to_string(), changed: defined.changed })
}

async fn retire(State(served): State<Served>, asked: Asked) -> Reply {
    let (rights, wanted) = served.asked(&asked)?;
    rights.check_operator("retiring sagas")?;
    let (namespace, name) = (namespace(&rights, &wanted)?, asked.parameter("name")?);
    served.check_free(&namespace, &name)?;
    served.sagas.retire(&namespace, &name, Some(rights.actor())).await?;
    let log = served.store.log();
    reply::json(&Changed { revision: Revision { log: log.id(), position: log.head() } })
}

impl Served {
    /// What the manifest declares changes with the manifest.
    fn check_free(&self, namespace: &Namespace, name: &SagaName) -> Result<(), Failure> {
        let is_it = |it: &Defined| it.definition.namespace == *namespace && it.definition.name == *name;
        match self.sagas.definitions().iter().find(|it| is_it(it)) {
            Some(it) if it.declared => {
                let detail = format!("saga `{name}` is in the manifest; change or remove it there");
                Err(Refusal::new(Code::SagaInvalid, detail).into())
            }
            _ => Ok(()),
        }
    }
}
