//! Sagas for one caller: what they may do, and how it is told. HTTP and gRPC serve the same.

use super::spans::recorded;
use super::told::{event, summary, view};
use super::{Begin, Defined, Filter, Former, MAX_SIGNAL, Sagas, View};
use crate::events::error::Error;
use crate::events::rights::Rights;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::time::Duration;
use tenon_api::http::{
    DecideSaga, DecideSagas, DecidedSaga, DecidedSagas, DecisionDoc, DefinedSaga, FormerSaga, SagaDefinition,
    SagaEvent, SagaList, SagaStepView, SagaView, StartedSaga,
};
use tenon_api::otlp::TracesData;
use tenon_api::system::SagaDoc;
use tenon_core::saga::{Cause, Data, Input, Operator, Saga, SagaName, SignalName, Status, StepIx, StepName};
use tenon_core::trace::Parent;
use tenon_core::{Code, Namespace, Position, Refusal, SagaId};

/// The longest that an answer waits for a saga's end: less than requests may take.
const MOST_WAIT: Duration = Duration::from_secs(25);
/// How many sagas are decided about at once.
const AT_ONCE: usize = 16;

/// Sagas, as one caller may see and change them.
pub(crate) struct Served {
    sagas: Sagas,
    rights: Rights,
}

/// A saga that is to be started.
pub(crate) struct Start {
    pub(crate) namespace: Namespace,
    pub(crate) name: SagaName,
    pub(crate) input: Value,
    pub(crate) key: Option<String>,
    /// The trace that it becomes part of.
    pub(crate) traceparent: Option<String>,
    /// How long to wait for its end.
    pub(crate) wait: Option<Duration>,
}

impl Served {
    pub(crate) fn new(sagas: Sagas, rights: Rights) -> Self {
        Self { sagas, rights }
    }

    /// The namespace that is asked for, or the caller's own.
    pub(crate) fn namespace(&self, asked: Option<Namespace>) -> Result<Namespace, Error> {
        let namespace = asked.unwrap_or_else(|| self.rights.namespace());
        self.rights.check_namespace(&namespace)?;
        Ok(namespace)
    }

    /// The namespace that is asked for; none for all, if the caller may see all.
    fn within(&self, asked: Option<Namespace>) -> Result<Option<Namespace>, Error> {
        let stated = asked.is_some() || self.rights.within().is_some();
        stated.then(|| self.namespace(asked)).transpose()
    }

    pub(crate) async fn start(&self, start: Start) -> Result<StartedSaga, Error> {
        let Start { namespace, name, input, key, traceparent, wait } = start;
        self.rights.check_namespace(&namespace)?;
        let parent = traceparent.and_then(|text| Parent::parse(text.as_bytes()));
        let (trace, kept) = parent.map(|parent| (parent.trace, parent.is_sampled())).unzip();
        let begin = Begin { namespace, name, input, key, trace, kept, actor: Some(self.rights.actor()) };
        let begun = self.sagas.begin(begin).await?;
        let found = match wait {
            Some(within) => self.sagas.wait(begun.view.id, within.min(MOST_WAIT)).await?,
            None => begun.view,
        };
        Ok(StartedSaga { existed: begun.existed, saga: view(&found) })
    }

    /// A saga that the caller may see.
    async fn find(&self, id: SagaId) -> Result<View, Error> {
        let found = self.sagas.view(id).await?;
        self.rights.check_namespace(&found.beginning.namespace)?;
        Ok(found)
    }

    pub(crate) async fn show(&self, id: SagaId, wait: Option<Duration>) -> Result<SagaView, Error> {
        let found = self.find(id).await?;
        match wait.filter(|_| found.instance.ended().is_none()) {
            Some(within) => Ok(view(&self.sagas.wait(id, within.min(MOST_WAIT)).await?)),
            None => Ok(view(&found)),
        }
    }

    pub(crate) async fn history(&self, id: SagaId) -> Result<Vec<SagaEvent>, Error> {
        let found = self.find(id).await?;
        let entries = self.sagas.history(id).await?;
        Ok(entries.into_iter().map(|entry| event(&found.saga, entry)).collect())
    }

    /// The spans of a trace's sagas, so far as the caller may see them.
    pub(crate) async fn spans(&self, trace: u128) -> Result<TracesData, Error> {
        let found = self.sagas.spans_of_trace(trace).await?;
        let seen = found.into_iter().filter(|it| self.rights.check_namespace(&it.namespace).is_ok());
        Ok(recorded(seen.flat_map(|it| it.spans).collect()))
    }

    /// What fits the filter, within what the caller may see. A name is one of a namespace.
    pub(crate) async fn list(&self, filter: Filter) -> Result<SagaList, Error> {
        let namespace = match (filter.namespace, &filter.name) {
            (None, Some(_)) => Some(self.namespace(None)?),
            (namespace, _) => self.within(namespace)?,
        };
        let page = self.sagas.list(Filter { namespace, ..filter }).await?;
        let sagas = page.sagas.iter().map(summary).collect();
        Ok(SagaList { sagas, next: page.next.map(|position| position.0) })
    }

    async fn tell(
        &self,
        id: SagaId,
        input: impl FnOnce(&View) -> Result<Input, Error>,
    ) -> Result<SagaView, Error> {
        let found = self.find(id).await?;
        let told = self.sagas.tell(id, input(&found)?, Some(self.rights.actor())).await?;
        Ok(view(&told))
    }

    pub(crate) async fn signal(&self, id: SagaId, name: SignalName, data: &Value) -> Result<SagaView, Error> {
        let data = data.to_string();
        if data.len() > MAX_SIGNAL {
            return Err(invalid(format!("a signal brings at most {MAX_SIGNAL} bytes")));
        }
        self.tell(id, |_| Ok(Input::Signal { name, data: Data::new(&data) })).await
    }

    pub(crate) async fn cancel(&self, id: SagaId) -> Result<SagaView, Error> {
        self.tell(id, |_| Ok(Input::Cancel { cause: Cause::Cancelled })).await
    }

    pub(crate) async fn decide(&self, id: SagaId, decision: DecideSaga) -> Result<SagaView, Error> {
        let DecideSaga { decision, step, data } = decision;
        let data = data.map(|data| Data::new(&data.to_string()));
        self.tell(id, |found| {
            let step = || step_of(&found.saga, step.as_deref());
            Ok(Input::Operator(match decision {
                DecisionDoc::Retry => Operator::Retry(step()?),
                DecisionDoc::Edit => Operator::Edit(step()?, data.ok_or_else(no_input)?),
                DecisionDoc::Skip => Operator::Skip(step()?),
                DecisionDoc::Done => Operator::MarkDone(step()?, data),
                DecisionDoc::Compensate => Operator::Compensate,
            }))
        })
        .await
    }

    /// Decides about some sagas that wait for somebody, and says of each what came of it.
    pub(crate) async fn decide_all(
        &self,
        namespace: Option<Namespace>,
        wanted: DecideSagas,
        limit: usize,
    ) -> Result<DecidedSagas, Error> {
        let DecideSagas { decision, data, name, key, states, since, until, step, before, limit: _ } = wanted;
        if decision == DecisionDoc::Edit && data.is_none() {
            return Err(no_input());
        }
        let states = match states.is_empty() {
            true => [Status::Parked].into(),
            false => states.into_iter().map(Status::from).collect(),
        };
        let before = before.map(Position);
        let found = self.list(Filter { namespace, name, key, states, since, until, before, limit }).await?;
        let about = DecideSaga { decision, step, data };
        let decided = stream::iter(found.sagas).map(|saga| self.decide_about(saga.id, &about));
        let decided: Vec<Vec<DecidedSaga>> = decided.buffered(AT_ONCE).collect().await;
        Ok(DecidedSagas { decided: decided.into_iter().flatten().collect(), next: found.next })
    }

    /// Decides about each step of a saga that waits, or about the step that is named, if it does.
    async fn decide_about(&self, id: SagaId, about: &DecideSaga) -> Vec<DecidedSaga> {
        let of = |step: Option<StepName>, answer: Result<SagaView, Error>| {
            let why = answer.err().map(Refusal::from);
            let (code, detail) = why.map(|why| (why.code.to_string(), why.detail)).unzip();
            DecidedSaga { id, step, code, detail }
        };
        let found = match self.show(id, None).await {
            Ok(found) => found,
            Err(error) => return vec![of(None, Err(error))],
        };
        let is_meant = |step: &SagaStepView| {
            step.parked.is_some() && about.step.as_ref().is_none_or(|only| *only == step.name.as_str())
        };
        let waiting: Vec<StepName> = found.steps.into_iter().filter(is_meant).map(|step| step.name).collect();
        if about.decision == DecisionDoc::Compensate && !waiting.is_empty() {
            let about = DecideSaga { step: None, ..about.clone() };
            let answer = match found.turned_back {
                None => self.decide(id, about).await,
                Some(why) => Err(illegal(format!("the saga is turned back already: {why}"))),
            };
            return vec![of(None, answer)];
        }
        let mut decided = Vec::new();
        for step in waiting {
            let about = DecideSaga { step: Some(step.to_string()), ..about.clone() };
            decided.push(of(Some(step), self.decide(id, about).await));
        }
        decided
    }

    pub(crate) fn definitions(&self, namespace: Option<Namespace>) -> Result<Vec<SagaDefinition>, Error> {
        let within = self.within(namespace)?;
        let of = |it: &Defined| within.as_ref().is_none_or(|within| *within == it.definition.namespace);
        let told = |it: Defined| SagaDefinition {
            namespace: it.definition.namespace.clone(),
            name: it.definition.name.clone(),
            version: it.version.to_string(),
            declared: it.declared,
            definition: (&it.definition).into(),
        };
        Ok(self.sagas.definitions().into_iter().filter(of).map(told).collect())
    }

    pub(crate) async fn define(
        &self,
        namespace: Option<Namespace>,
        name: SagaName,
        document: SagaDoc,
    ) -> Result<DefinedSaga, Error> {
        self.rights.check_operator("defining sagas, which call services")?;
        let namespace = self.namespace(namespace)?;
        self.check_free(&namespace, &name)?;
        let stated = document.check_undo_is_stated().and_then(|()| document.check_effects());
        let definition = stated
            .and_then(|()| document.to_definition(namespace, name))
            .map_err(|error| Refusal::new(Code::SagaInvalid, error.to_string()))?;
        let defined = self.sagas.define(definition, false, Some(self.rights.actor())).await?;
        let former =
            |it: Former| FormerSaga { id: it.id, version: it.version.to_string(), state: it.status.into() };
        let running = defined.former.into_iter().map(former).collect();
        let (version, changed) = (defined.version.to_string(), defined.changed);
        Ok(DefinedSaga { version, changed, running, more: defined.more })
    }

    pub(crate) async fn retire(&self, namespace: Option<Namespace>, name: &SagaName) -> Result<(), Error> {
        self.rights.check_operator("retiring sagas")?;
        let namespace = self.namespace(namespace)?;
        self.check_free(&namespace, name)?;
        Ok(self.sagas.retire(&namespace, name, Some(self.rights.actor())).await?)
    }

    /// What the manifest declares changes with the manifest.
    fn check_free(&self, namespace: &Namespace, name: &SagaName) -> Result<(), Error> {
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

/// The key with which a saga is started, which may be stated twice: in what is sent, and in the header or metadata `idempotency-key`.
pub(crate) fn key_of(key: Option<String>, header: Option<&str>) -> Result<Option<String>, Error> {
    let header = header.map(|text| text.trim_matches('"'));
    match (&key, header) {
        (Some(key), Some(header)) if key != header => Err(invalid(format!(
            "key: is {key:?}, but the header idempotency-key is {header:?}; state one of them"
        ))),
        _ => Ok(key.or_else(|| header.map(str::to_owned))),
    }
}

fn step_of(saga: &Saga, name: Option<&str>) -> Result<StepIx, Error> {
    let name = name.ok_or_else(|| invalid("step: is missing"))?;
    saga.named(name).ok_or_else(|| illegal(format!("the saga has no step `{name}`")))
}

fn no_input() -> Error {
    invalid("data: `edit` needs what is to be sent instead")
}

fn illegal(detail: String) -> Error {
    Refusal::new(Code::SagaIllegal, detail).into()
}

fn invalid(detail: impl Into<String>) -> Error {
    Refusal::new(Code::RequestInvalid, detail).into()
}
