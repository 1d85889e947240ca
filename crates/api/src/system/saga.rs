//! Sagas, as a manifest and the log have them.

use super::{BackoffDoc, PriorityDoc, keyed, within};
use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::mirror::mirror;
use crate::saga::protos::cut;
use crate::text::millis::round_up;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tenon_core::retry::Backoff;
use tenon_core::saga::{
    Action, Call, Definition, Expr, Fields, InputOf, Kind, Late, MAX_PROTOS, OnUndoFailure, Protos, Retry,
    Saga, SagaName, Step, StepIx, StepSet, Undo, UndoWork, Work,
};
use tenon_core::{Namespace, ServiceRef};

/// A saga: steps over several services that are done wholly or undone wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaDoc {
    /// Its steps.
    pub steps: Vec<SagaStepDoc>,
    /// The fields that it is given, and no others; `name?` may be absent. Anything is, if they are not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<String>>,
    /// How long the whole may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How much its calls matter.
    #[serde(default = "normal")]
    pub priority: PriorityDoc,
    /// An expression (CEL): sagas with the same value run one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialize_by: Option<String>,
    /// What it answers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<SagaInputDoc>,
    /// Of each service that it calls over gRPC: what the methods are given and answer, a `google.protobuf.FileDescriptorSet` in
    /// base64. `protoc --include_imports --descriptor_set_out` makes one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub protos: BTreeMap<String, String>,
}

/// A step of a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaStepDoc {
    /// Its name.
    pub name: String,
    /// The steps that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Whether it can be undone.
    #[serde(default = "compensatable")]
    pub kind: SagaKindDoc,
    /// What it does.
    pub work: SagaWorkDoc,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<SagaInputDoc>,
    /// The fields that are answered, and no others; `name?` may be absent. Expressions that use others are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Vec<String>>,
    /// How often and how soon it is tried.
    #[serde(default)]
    pub retry: SagaRetryDoc,
    /// What undoes it. A call before the pivot has to state it, even if it is `"nothing"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<SagaUndoneDoc>,
}

/// What undoes a step, or that nothing has to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SagaUndoneDoc {
    /// It leaves nothing behind.
    Nothing(SagaNothingDoc),
    /// What undoes it.
    By(Box<SagaUndoDoc>),
}

/// Nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SagaNothingDoc {
    /// The word.
    Nothing,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SagaWorkDoc {
    /// A service is called.
    Call {
        /// What is called.
        action: SagaActionDoc,
        /// How long to wait for the answer.
        timeout_ms: u64,
    },
    /// An event from outside is waited for.
    Signal {
        /// Its name.
        name: String,
        /// How long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
        /// What happens then.
        #[serde(default = "fail")]
        late: SagaLateDoc,
    },
    /// Time passes.
    Timer {
        /// How much.
        delay_ms: u64,
    },
    /// Another saga is run.
    Saga {
        /// Its name.
        name: String,
    },
}

/// What is called: a method and path, or a gRPC method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaActionDoc {
    /// The service: its name, or `name.namespace`.
    pub service: String,
    /// The HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path; its variables are fields of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The gRPC method, `package.Service/Method`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
}

/// What is sent: an expression (CEL), or one for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SagaInputDoc {
    /// The value of one expression.
    Whole(String),
    /// An object.
    Fields(BTreeMap<String, String>),
}

/// How often and how soon something is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaRetryDoc {
    /// The tries, the first included.
    pub tries: u32,
    /// How long to wait between them.
    pub backoff: BackoffDoc,
}

impl<'de> Deserialize<'de> for SagaUndoneDoc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = SagaUndoneDoc;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that says what undoes the step, or the text `nothing`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "nothing" => Ok(SagaUndoneDoc::Nothing(SagaNothingDoc::Nothing)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Box::deserialize(MapAccessDeserializer::new(map)).map(SagaUndoneDoc::By)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// What undoes a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SagaUndoDoc {
    /// What is called; if null, the saga that the step ran is reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<SagaActionDoc>,
    /// How long to wait for the answer.
    #[serde(default)]
    pub timeout_ms: u64,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<SagaInputDoc>,
    /// How often and how soon it is tried.
    #[serde(default)]
    pub retry: SagaRetryDoc,
    /// What happens when that is spent.
    #[serde(default = "park")]
    pub on_failure: OnUndoFailureDoc,
}

mirror! {
    /// Whether a step can be undone.
    SagaKindDoc of Kind {
        /// Before the pivot: it can be undone.
        Compensatable,
        /// The point of no return.
        Pivot,
        /// Behind the pivot: it is tried until it is done.
        Retriable,
    }
}

mirror! {
    /// What becomes of a step whose signal does not come in time.
    SagaLateDoc of Late {
        /// It fails.
        Fail,
        /// It is done, without an output.
        Continue,
    }
}

mirror! {
    /// What happens when a step cannot be undone.
    OnUndoFailureDoc of OnUndoFailure {
        /// It waits for somebody, and the others are undone.
        Park,
        /// It is left as it is.
        Skip,
        /// It waits for somebody, and so do the others.
        Escalate,
    }
}

fn normal() -> PriorityDoc {
    PriorityDoc::Default
}

fn compensatable() -> SagaKindDoc {
    SagaKindDoc::Compensatable
}

fn fail() -> SagaLateDoc {
    SagaLateDoc::Fail
}

fn park() -> OnUndoFailureDoc {
    OnUndoFailureDoc::Park
}

impl Default for SagaRetryDoc {
    fn default() -> Self {
        Retry::default().into()
    }
}

impl From<&Definition> for SagaDoc {
    fn from(definition: &Definition) -> Self {
        Self {
            steps: definition.steps.iter().map(|it| step_doc(it, &definition.steps)).collect(),
            input: fields_doc(definition.input.as_ref()),
            deadline_ms: definition.deadline.map(round_up),
            priority: definition.priority.into(),
            serialize_by: definition.serialize_by.as_ref().map(|it| it.as_str().to_owned()),
            output: input_doc(&definition.output),
            protos: definition.protos.iter().map(protos_doc).collect(),
        }
    }
}

impl SagaDoc {
    /// The definition, as the saga of this name.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the field.
    pub fn to_definition(&self, namespace: Namespace, name: SagaName) -> Result<Definition, InvalidMessage> {
        let mut definition = Definition {
            namespace,
            name,
            steps: each("steps", &self.steps, |it| step(it, &self.steps))?,
            input: fields("input", self.input.as_deref())?,
            deadline: self.deadline_ms.map(Duration::from_millis),
            priority: self.priority.into(),
            serialize_by: self.serialize_by.as_deref().map(|text| expr("serialize_by", text)).transpose()?,
            output: input("output", self.output.as_ref())?,
            protos: keyed("protos", &self.protos, |_, text| protos(text))?,
        };
        if !definition.protos.is_empty() {
            cut(&mut definition).map_err(|refusal| InvalidMessage::new("protos", refusal.detail))?;
        }
        let saga = Saga::new(definition).map_err(|refusal| InvalidMessage::new("steps", refusal.detail))?;
        Ok(saga.definition().clone())
    }

    /// Whether something undoes a call must be said, lest it be forgotten. What is in the log is not asked again.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the step.
    pub fn check_undo_is_stated(&self) -> Result<(), InvalidMessage> {
        let is_bare = |step: &SagaStepDoc| {
            let is_call = matches!(step.work, SagaWorkDoc::Call { .. });
            is_call && step.kind == SagaKindDoc::Compensatable && step.undo.is_none()
        };
        match self.steps.iter().find(|step| is_bare(step)) {
            None => Ok(()),
            Some(step) => Err(InvalidMessage::new(
                "steps",
                format_args!(
                    "nothing undoes the step `{}`; give it an `undo`. If it only reads, state `\"undo\": \"nothing\"`; if it is \
                     the last that may fail, `\"kind\": \"pivot\"`",
                    step.name
                ),
            )),
        }
    }
}

impl SagaDoc {
    /// Whether everything that it states has an effect where it stands. What is in the log is not asked again.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the place.
    pub fn check_effects(&self) -> Result<(), InvalidMessage> {
        self.steps.iter().enumerate().try_for_each(|(number, step)| {
            step.idle().map_or(Ok(()), |(place, problem)| {
                let place = format!("steps[{number}].{place}");
                Err(InvalidMessage::new(place, problem))
            })
        })
    }
}

impl SagaStepDoc {
    /// What would do nothing where it stands, and why. What should be undone by a call is told with the shape.
    fn idle(&self) -> Option<(&'static str, String)> {
        if matches!(self.work, SagaWorkDoc::Signal { timeout_ms: None, late: SagaLateDoc::Continue, .. }) {
            let why = "`late` has no effect here: without a `timeout_ms` the signal is never late";
            return Some(("work.signal.late", why.to_owned()));
        }
        let reverts = match &self.undo {
            Some(SagaUndoneDoc::By(undo)) if undo.action.is_none() => Some(undo),
            _ => None,
        };
        let stated = [
            // Those that are not stated have this.
            ("retry", self.retry != SagaRetryDoc::default()),
            ("input", self.input.is_some()),
            ("output", self.output.is_some()),
            ("undo", matches!(self.undo, Some(SagaUndoneDoc::Nothing(_)))),
            ("undo.timeout_ms", reverts.is_some_and(|undo| undo.timeout_ms != 0)),
            ("undo.input", reverts.is_some_and(|undo| undo.input.is_some())),
        ];
        let (does, idle): (_, &[&str]) = match (&self.work, self.kind) {
            (SagaWorkDoc::Signal { .. }, _) => ("waits for a signal", &["retry", "input", "undo"]),
            (SagaWorkDoc::Timer { .. }, _) => ("lets time pass", &["retry", "input", "output", "undo"]),
            (SagaWorkDoc::Saga { .. }, _) => {
                ("runs a saga, which is reverted", &["undo.timeout_ms", "undo.input"])
            }
            (_, SagaKindDoc::Pivot) => ("is the pivot, which is never undone", &["undo"]),
            (_, SagaKindDoc::Retriable) => ("is behind the pivot, where nothing is undone", &["undo"]),
            (_, SagaKindDoc::Compensatable) => return None,
        };
        let (place, _) = stated.into_iter().find(|(place, is_stated)| *is_stated && idle.contains(place))?;
        let key = place.rsplit('.').next().unwrap_or(place);
        Some((place, format!("`{key}` has no effect here: step `{}` {does}; leave it out", self.name)))
    }
}

fn protos_doc((service, protos): (&ServiceRef, &Protos)) -> (String, String) {
    (service.to_string(), BASE64.encode(protos.as_bytes()))
}

fn protos(text: &str) -> Checked<Protos> {
    // More than is left of them after they are cut.
    const MOST: usize = 16 * MAX_PROTOS;
    if text.len() > MOST {
        return Err(InvalidMessage::new("", format_args!("has {} bytes; {MOST} is the most", text.len())));
    }
    let bytes = BASE64.decode(text);
    let bytes = bytes.map_err(|error| InvalidMessage::new("", format_args!("is not base64: {error}")))?;
    Ok(Protos::new(&bytes))
}

fn step_doc(step: &Step, all: &[Step]) -> SagaStepDoc {
    let named = |step: StepIx| Some(all.get(step.index())?.name.to_string());
    SagaStepDoc {
        name: step.name.to_string(),
        after: step.after.iter().filter_map(named).collect(),
        kind: step.kind.into(),
        work: match &step.work {
            Work::Call { action, timeout } => {
                SagaWorkDoc::Call { action: action.into(), timeout_ms: round_up(*timeout) }
            }
            Work::Signal { name, timeout, late } => SagaWorkDoc::Signal {
                name: name.to_string(),
                timeout_ms: timeout.map(round_up),
                late: (*late).into(),
            },
            Work::Timer(delay) => SagaWorkDoc::Timer { delay_ms: round_up(*delay) },
            Work::Child(name) => SagaWorkDoc::Saga { name: name.to_string() },
        },
        input: input_doc(&step.input),
        output: fields_doc(step.output.as_ref()),
        retry: step.retry.into(),
        undo: match &step.undo {
            Some(undo) => Some(SagaUndoneDoc::By(Box::new(undo_doc(undo)))),
            None => is_bare(step).then_some(SagaUndoneDoc::Nothing(SagaNothingDoc::Nothing)),
        },
    }
}

/// Whether it is one of those that have to state what undoes them.
fn is_bare(step: &Step) -> bool {
    step.kind == Kind::Compensatable && matches!(step.work, Work::Call { .. }) && step.undo.is_none()
}

fn undo_doc(undo: &Undo) -> SagaUndoDoc {
    let (action, timeout_ms) = match &undo.work {
        UndoWork::Call { action, timeout } => (Some(action.into()), round_up(*timeout)),
        UndoWork::Revert => (None, 0),
    };
    SagaUndoDoc {
        action,
        timeout_ms,
        input: input_doc(&undo.input),
        retry: undo.retry.into(),
        on_failure: undo.on_failure.into(),
    }
}

fn fields_doc(fields: Option<&Fields>) -> Option<Vec<String>> {
    fields.map(|fields| fields.written().collect())
}

fn input_doc(input: &InputOf) -> Option<SagaInputDoc> {
    match input {
        InputOf::Nothing => None,
        InputOf::Whole(expr) => Some(SagaInputDoc::Whole(expr.as_str().to_owned())),
        InputOf::Fields(fields) => {
            let field = |(name, expr): (&String, &Expr)| (name.clone(), expr.as_str().to_owned());
            Some(SagaInputDoc::Fields(fields.iter().map(field).collect()))
        }
    }
}

impl From<&Action> for SagaActionDoc {
    fn from(action: &Action) -> Self {
        let none = Self { service: action.service.to_string(), method: None, path: None, grpc: None };
        match &action.call {
            Call::Http { method, path } => {
                Self { method: Some(method.as_str().to_owned()), path: Some(path.to_string()), ..none }
            }
            Call::Grpc(method) => Self { grpc: Some(method.to_string()), ..none },
        }
    }
}

impl From<Retry> for SagaRetryDoc {
    fn from(retry: Retry) -> Self {
        let Backoff { delay, jitter, max_delay } = retry.backoff;
        let backoff =
            BackoffDoc { delay: delay.into(), jitter: jitter.into(), max_delay_ms: round_up(max_delay) };
        Self { tries: retry.tries, backoff }
    }
}

fn step(doc: &SagaStepDoc, all: &[SagaStepDoc]) -> Checked<Step> {
    let numbered = |name: &String| {
        let number = all.iter().position(|step| step.name == *name);
        let number = number.and_then(|number| u8::try_from(number).ok());
        number.map(StepIx).ok_or_else(|| InvalidMessage::new("", format_args!("there is no step {name:?}")))
    };
    let after: Vec<StepIx> = each("after", &doc.after, numbered)?;
    Ok(Step {
        name: parsed("name", &doc.name)?,
        after: after.into_iter().collect::<StepSet>(),
        kind: doc.kind.into(),
        work: work(&doc.work).map_err(|error| error.within("work"))?,
        input: input("input", doc.input.as_ref())?,
        output: fields("output", doc.output.as_deref())?,
        retry: retry(&doc.retry).map_err(|error| error.within("retry"))?,
        undo: match &doc.undo {
            Some(SagaUndoneDoc::By(it)) => Some(undo(it).map_err(|error| error.within("undo"))?),
            Some(SagaUndoneDoc::Nothing(_)) | None => None,
        },
    })
}

fn work(doc: &SagaWorkDoc) -> Checked<Work> {
    Ok(match doc {
        SagaWorkDoc::Call { action: it, timeout_ms } => {
            Work::Call { action: action(it)?, timeout: Duration::from_millis(*timeout_ms) }
        }
        SagaWorkDoc::Signal { name, timeout_ms, late } => Work::Signal {
            name: parsed("name", name)?,
            timeout: timeout_ms.map(Duration::from_millis),
            late: (*late).into(),
        },
        SagaWorkDoc::Timer { delay_ms } => Work::Timer(Duration::from_millis(*delay_ms)),
        SagaWorkDoc::Saga { name } => Work::Child(parsed("name", name)?),
    })
}

fn action(doc: &SagaActionDoc) -> Checked<Action> {
    let call = match (&doc.method, &doc.path, &doc.grpc) {
        (Some(method), Some(path), None) => Call::Http {
            method: tenon_core::manifest::HttpMethod::new(method)
                .map_err(|error| InvalidMessage::new("method", error))?,
            path: tenon_core::manifest::PathPattern::new(path)
                .map_err(|error| InvalidMessage::new("path", error))?,
        },
        (None, None, Some(method)) => Call::Grpc(method.as_str().into()),
        _ => return Err(InvalidMessage::new("action", "has to have `method` and `path`, or `grpc`")),
    };
    Ok(Action { service: parsed("service", &doc.service)?, call })
}

fn undo(doc: &SagaUndoDoc) -> Checked<Undo> {
    let work = match &doc.action {
        Some(it) => UndoWork::Call { action: action(it)?, timeout: Duration::from_millis(doc.timeout_ms) },
        None => UndoWork::Revert,
    };
    Ok(Undo {
        work,
        input: input("input", doc.input.as_ref())?,
        retry: retry(&doc.retry).map_err(|error| error.within("retry"))?,
        on_failure: doc.on_failure.into(),
    })
}

fn retry(doc: &SagaRetryDoc) -> Checked<Retry> {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let max_delay = Duration::from_millis(within("backoff.max_delay_ms", doc.backoff.max_delay_ms, 0..=DAY)?);
    let backoff = Backoff { delay: doc.backoff.delay.into(), jitter: doc.backoff.jitter.into(), max_delay };
    Ok(Retry { tries: doc.tries, backoff })
}

fn input(field: &str, doc: Option<&SagaInputDoc>) -> Checked<InputOf> {
    Ok(match doc {
        None => InputOf::Nothing,
        Some(SagaInputDoc::Whole(text)) => InputOf::Whole(expr(field, text)?),
        Some(SagaInputDoc::Fields(fields)) => {
            let read = |(name, text): (&String, &String)| {
                Ok((name.clone(), expr(&format!("{field}.{name}"), text)?))
            };
            InputOf::Fields(fields.iter().map(read).collect::<Checked<_>>()?)
        }
    })
}

fn fields(field: &str, doc: Option<&[String]>) -> Checked<Option<Fields>> {
    let read = |names: &[String]| Fields::new(names.iter().map(String::as_str));
    doc.map(read).transpose().map_err(|error| InvalidMessage::new(field, error))
}

fn expr(field: &str, text: &str) -> Checked<Expr> {
    Expr::new(text).map_err(|error| InvalidMessage::new(field, error))
}
