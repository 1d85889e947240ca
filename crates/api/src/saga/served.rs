//! Sagas over gRPC (`proto/tenon/saga/v1/saga.proto`): the same as over HTTP, as messages.

use crate::InvalidMessage;
use crate::http::{
    DecidedSaga, DecidedSagas, DecisionDoc, DefinedSaga, FormerSaga, ParkedStep, ParkedWhy, SagaDefinition,
    SagaEvent, SagaList, SagaState, SagaStepView, SagaSummary, SagaView, StartedSaga, StepState,
};
use crate::invalid::{Checked, each, nested, parsed, stated};
use crate::proto::saga::v1;
use crate::system::SagaKindDoc;
use serde_json::Value;
use tenon_core::Timestamp;

/// An enum of the messages that has the variants of one of the documents, and one for none.
macro_rules! known {
    ($message:ident of $document:ident: $($variant:ident)*) => {
        impl From<$document> for v1::$message {
            fn from(value: $document) -> Self {
                match value { $($document::$variant => Self::$variant,)* }
            }
        }

        impl v1::$message {
            /// What it stands for, if it is stated.
            pub fn known(self) -> Option<$document> {
                match self {
                    Self::Unspecified => None,
                    $(Self::$variant => Some($document::$variant),)*
                }
            }
        }
    };
}

known!(State of SagaState: Started StepExecuting StepCompleted StepFailed Compensating Parked Completed Compensated Failed);
known!(Kind of SagaKindDoc: Compensatable Pivot Retriable);
known!(StepState of StepState: Idle Doing Waiting DoLater Parked Done LeftOut NotDone Doubtful Undoing UndoLater UndoParked
    Undone LeftBehind);
known!(Decision of DecisionDoc: Retry Edit Skip Done Compensate);

/// Reads JSON; nothing is null.
///
/// # Errors
/// It is none; `field` is named.
pub fn json(field: &str, text: &str) -> Result<Value, InvalidMessage> {
    match text {
        "" => Ok(Value::Null),
        _ => serde_json::from_str(text)
            .map_err(|error| InvalidMessage::new(field, format_args!("is not JSON: {error}"))),
    }
}

fn json_or_none(field: &str, text: Option<String>) -> Checked<Option<Value>> {
    text.map(|text| json(field, &text)).transpose()
}

fn written(value: Option<Value>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn micros(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::as_micros)
}

impl From<StartedSaga> for v1::StartResponse {
    fn from(started: StartedSaga) -> Self {
        Self { existed: started.existed, saga: Some(started.saga.into()) }
    }
}

impl TryFrom<v1::StartResponse> for StartedSaga {
    type Error = InvalidMessage;

    fn try_from(message: v1::StartResponse) -> Checked<Self> {
        Ok(Self { existed: message.existed, saga: nested("saga", message.saga)? })
    }
}

impl From<SagaView> for v1::Saga {
    fn from(view: SagaView) -> Self {
        let SagaView {
            of,
            version,
            parent,
            trace,
            deadline,
            queued,
            turned_back,
            input,
            output,
            problem,
            steps,
        } = view;
        Self {
            of: Some(of.into()),
            version,
            parent: parent.map(|parent| parent.to_string()),
            trace,
            deadline_micros: micros(deadline),
            queued,
            turned_back,
            input: input.to_string(),
            output: written(output),
            problem: written(problem),
            steps: steps.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Saga> for SagaView {
    type Error = InvalidMessage;

    fn try_from(message: v1::Saga) -> Checked<Self> {
        Ok(Self {
            of: nested("of", message.of)?,
            version: message.version,
            parent: message.parent.map(|text| parsed("parent", &text)).transpose()?,
            trace: message.trace,
            deadline: message.deadline_micros.map(Timestamp::from_micros),
            queued: message.queued,
            turned_back: message.turned_back,
            input: json("input", &message.input)?,
            output: json_or_none("output", message.output)?,
            problem: json_or_none("problem", message.problem)?,
            steps: each("steps", message.steps, SagaStepView::try_from)?,
        })
    }
}

impl From<SagaSummary> for v1::Summary {
    fn from(summary: SagaSummary) -> Self {
        let SagaSummary { id, namespace, saga, key, state, started_at, at, parked: waiting, put_off } =
            summary;
        let parked = |it: ParkedStep| v1::ParkedStep { step: it.step.to_string(), why: why(it.why).into() };
        Self {
            id: id.to_string(),
            namespace: namespace.to_string(),
            name: saga.to_string(),
            key,
            state: v1::State::from(state).into(),
            started_at_micros: started_at.as_micros(),
            at,
            parked: waiting.into_iter().map(parked).collect(),
            put_off,
        }
    }
}

impl TryFrom<v1::Summary> for SagaSummary {
    type Error = InvalidMessage;

    fn try_from(message: v1::Summary) -> Checked<Self> {
        Ok(Self {
            id: parsed("id", &message.id)?,
            namespace: parsed("namespace", &message.namespace)?,
            saga: parsed("name", &message.name)?,
            key: message.key,
            state: stated("state", message.state, v1::State::known)?,
            started_at: Timestamp::from_micros(message.started_at_micros),
            at: message.at,
            parked: each("parked", message.parked, ParkedStep::try_from)?,
            put_off: message.put_off,
        })
    }
}

impl TryFrom<v1::ParkedStep> for ParkedStep {
    type Error = InvalidMessage;

    fn try_from(message: v1::ParkedStep) -> Checked<Self> {
        let why = ParkedWhy::from(stated("why", message.why, v1::Why::known)?);
        Ok(Self { step: parsed("step", &message.step)?, why })
    }
}

fn why(of: ParkedWhy) -> v1::Why {
    v1::Why::from(tenon_core::saga::Why::from(of))
}

impl From<SagaStepView> for v1::Step {
    fn from(step: SagaStepView) -> Self {
        let SagaStepView { name, kind, state, until, parked, attempts, output, problem } = step;
        Self {
            name: name.to_string(),
            kind: v1::Kind::from(kind).into(),
            state: v1::StepState::from(state).into(),
            until_micros: micros(until),
            parked: parked.map_or(v1::Why::Unspecified, why).into(),
            attempts,
            output: written(output),
            problem: written(problem),
        }
    }
}

impl TryFrom<v1::Step> for SagaStepView {
    type Error = InvalidMessage;

    fn try_from(message: v1::Step) -> Checked<Self> {
        let parked = match message.parked {
            0 => None,
            number => Some(ParkedWhy::from(stated("parked", number, v1::Why::known)?)),
        };
        Ok(Self {
            name: parsed("name", &message.name)?,
            kind: stated("kind", message.kind, v1::Kind::known)?,
            state: stated("state", message.state, v1::StepState::known)?,
            until: message.until_micros.map(Timestamp::from_micros),
            parked,
            attempts: message.attempts,
            output: json_or_none("output", message.output)?,
            problem: json_or_none("problem", message.problem)?,
        })
    }
}

impl From<SagaEvent> for v1::Event {
    fn from(of: SagaEvent) -> Self {
        let SagaEvent { time, position, actor, event, step, attempt, undo, detail, data } = of;
        Self {
            time_micros: time.as_micros(),
            position,
            actor: actor.map(|actor| actor.to_string()),
            event,
            step,
            attempt,
            undo,
            detail,
            data: written(data),
        }
    }
}

impl TryFrom<v1::Event> for SagaEvent {
    type Error = InvalidMessage;

    fn try_from(message: v1::Event) -> Checked<Self> {
        Ok(Self {
            time: Timestamp::from_micros(message.time_micros),
            position: message.position,
            actor: message.actor.map(|text| parsed("actor", &text)).transpose()?,
            event: message.event,
            step: message.step,
            attempt: message.attempt,
            undo: message.undo,
            detail: message.detail,
            data: json_or_none("data", message.data)?,
        })
    }
}

impl From<SagaList> for v1::ListResponse {
    fn from(list: SagaList) -> Self {
        Self { sagas: list.sagas.into_iter().map(Into::into).collect(), next: list.next }
    }
}

impl TryFrom<v1::ListResponse> for SagaList {
    type Error = InvalidMessage;

    fn try_from(message: v1::ListResponse) -> Checked<Self> {
        Ok(Self { sagas: each("sagas", message.sagas, SagaSummary::try_from)?, next: message.next })
    }
}

impl From<DecidedSagas> for v1::DecideAllResponse {
    fn from(of: DecidedSagas) -> Self {
        let decided = |it: DecidedSaga| v1::Decided {
            id: it.id.to_string(),
            step: it.step.map(|step| step.to_string()).unwrap_or_default(),
            code: it.code.unwrap_or_default(),
            detail: it.detail.unwrap_or_default(),
        };
        Self { decided: of.decided.into_iter().map(decided).collect(), next: of.next }
    }
}

impl From<DefinedSaga> for v1::DefineResponse {
    fn from(of: DefinedSaga) -> Self {
        let former = |it: FormerSaga| v1::Former {
            id: it.id.to_string(),
            version: it.version,
            state: v1::State::from(it.state).into(),
        };
        let running = of.running.into_iter().map(former).collect();
        Self { version: of.version, changed: of.changed, running, more: of.more }
    }
}

impl From<SagaDefinition> for v1::Definition {
    fn from(of: SagaDefinition) -> Self {
        let SagaDefinition { namespace, name, version, declared, definition } = of;
        // Texts, numbers, lists and maps with texts as keys always serialise.
        let definition = serde_json::to_string(&definition).unwrap_or_default();
        Self { namespace: namespace.to_string(), name: name.to_string(), version, declared, definition }
    }
}

impl TryFrom<v1::Definition> for SagaDefinition {
    type Error = InvalidMessage;

    fn try_from(message: v1::Definition) -> Checked<Self> {
        let document = serde_json::from_str(&message.definition);
        Ok(Self {
            namespace: parsed("namespace", &message.namespace)?,
            name: parsed("name", &message.name)?,
            version: message.version,
            declared: message.declared,
            definition: document.map_err(|error| InvalidMessage::new("definition", error))?,
        })
    }
}
