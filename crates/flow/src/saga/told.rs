//! Sagas as they are told.

use super::{Entry, View};
use serde_json::Value;
use tenon_api::http::{ParkedStep, ParkedWhy, SagaEvent, SagaStepView, SagaSummary, SagaView};
use tenon_core::saga::{
    At, Cause, Data, Direction, End, Event, Goal, Outcome, Progress, Saga, Step, StepIx, Token, Why, Work,
};

pub(crate) fn view(of: &View) -> SagaView {
    let (beginning, instance) = (&of.beginning, &of.instance);
    let steps = of.saga.definition().steps.iter().zip(instance.steps());
    SagaView {
        of: summary(of),
        version: instance.version().to_string(),
        parent: beginning.parent,
        trace: format!("{:032x}", beginning.trace),
        deadline: instance.deadline(),
        queued: instance.is_queued(),
        turned_back: match instance.goal() {
            Goal::Forward => None,
            Goal::Back(why) => Some(cause(&of.saga, why)),
        },
        input: json(instance.input()),
        output: of.output.clone(),
        problem: match instance.goal() {
            Goal::Back(Cause::Failed(step)) => of.problems.get(&step).map(json),
            _ => None,
        },
        steps: steps.zip(0..).map(|((step, at), ix)| step_view(step, at, problem(of, ix))).collect(),
    }
}

/// What was said when a step failed that is not done since.
fn problem(of: &View, step: u8) -> Option<Value> {
    let step = StepIx(step);
    of.problems.get(&step).filter(|_| !of.instance.at(step).is_done()).map(json)
}

pub(crate) fn summary(of: &View) -> SagaSummary {
    let open = of.instance.those(|at| at.is_under_way() || at.is_parked());
    SagaSummary {
        id: of.id,
        namespace: of.beginning.namespace.clone(),
        saga: of.beginning.name.clone(),
        key: of.beginning.key.clone(),
        state: of.instance.status().into(),
        started_at: of.instance.started_at(),
        at: open.iter().filter_map(|step| name(&of.saga, step)).collect(),
        parked: open.iter().filter_map(|step| parked_step(of, step)).collect(),
        put_off: of.put_off.clone(),
    }
}

fn parked_step(of: &View, step: StepIx) -> Option<ParkedStep> {
    Some(ParkedStep { step: of.saga.get(step)?.name.clone(), why: parked(of.instance.at(step))? })
}

/// Why a step waits for somebody, if it does.
fn parked(at: At) -> Option<ParkedWhy> {
    match at {
        At::DoParked(why) => Some(why.into()),
        At::UndoParked => Some(Why::UndoSpent.into()),
        _ => None,
    }
}

fn step_view(step: &Step, progress: &Progress, problem: Option<Value>) -> SagaStepView {
    SagaStepView {
        name: step.name.clone(),
        kind: step.kind.into(),
        state: progress.at.into(),
        until: match progress.at {
            At::Doing { due: until } | At::Undoing { due: until } | At::Waiting { until } => until,
            At::DoLater { until } | At::UndoLater { until } => Some(until),
            _ => None,
        },
        parked: parked(progress.at),
        attempts: progress.attempt,
        output: progress.output.as_ref().map(json),
        problem,
    }
}

/// What happened, as it is told.
pub(crate) fn event(saga: &Saga, entry: Entry) -> SagaEvent {
    let Entry { time, position, actor, event, problem } = entry;
    let problem = problem.as_ref().map(json);
    let of = Told::of(saga, &event, problem.as_ref());
    SagaEvent {
        time,
        position: position.0,
        actor,
        event: event.name().to_owned(),
        step: of.step.and_then(|step| name(saga, step)),
        attempt: of.token.map(|token| token.attempt),
        undo: of.token.is_some_and(|token| token.direction == Direction::Undo),
        detail: of.detail,
        data: of.data.or(problem),
    }
}

/// What there is to tell of an event.
#[derive(Default)]
struct Told {
    step: Option<StepIx>,
    token: Option<Token>,
    detail: Option<String>,
    data: Option<Value>,
}

impl Told {
    fn of(saga: &Saga, event: &Event, problem: Option<&Value>) -> Self {
        let token = |token: &Token| Self { step: Some(token.step), token: Some(*token), ..Self::default() };
        let failed = |outcome: &Outcome| failed_saying(*outcome, problem);
        let because = |of: &Token, outcome: &Outcome| Self { detail: Some(failed(outcome)), ..token(of) };
        let detail = |detail: String| Self { detail: Some(detail), ..Self::default() };
        let step = |step: &StepIx| Self { step: Some(*step), ..Self::default() };
        match event {
            Event::Started { input, .. } => Self { data: Some(json(input)), ..Self::default() },
            Event::Began { token: of, .. } | Event::Repeated { token: of, .. } => token(of),
            Event::Waited { token: of, until } => {
                Self { detail: until.map(|until| format!("until {until}")), ..token(of) }
            }
            Event::Succeeded { token: of, output: None } if waits_for_a_signal(saga, of.step) => Self {
                detail: Some("no signal came in time; the saga goes on without it".to_owned()),
                ..token(of)
            },
            Event::Succeeded { token: of, output } => Self { data: output.as_ref().map(json), ..token(of) },
            Event::Deferred { token: of, outcome, until } => {
                Self { detail: Some(format!("{}; again at {until}", failed(outcome))), ..token(of) }
            }
            Event::GaveUp { token: of, outcome, may_have_run } => {
                let unsure = *may_have_run && *outcome != Outcome::LeftBehind;
                let more = if unsure { "; it may have run" } else { "" };
                Self { detail: Some(format!("{}{more}", failed(outcome))), ..token(of) }
            }
            Event::Parked { token: of, outcome, .. } | Event::LeftBehind { token: of, outcome } => {
                because(of, outcome)
            }
            Event::Signalled { name, data } => {
                Self { data: Some(json(data)), ..detail(format!("signal `{name}`")) }
            }
            Event::Doubted { cause: why } | Event::TurnedBack { cause: why } => detail(cause(saga, *why)),
            Event::Retried { step: of, .. } | Event::Skipped { step: of } => step(of),
            Event::Edited { step: of, input } => Self { data: Some(json(input)), ..step(of) },
            Event::SettledByHand { step: of, output } => Self { data: output.as_ref().map(json), ..step(of) },
            Event::Ended { end } => detail(
                match end {
                    End::Completed => "every step was done",
                    End::Compensated => "every step that may have run was undone",
                    End::Failed => "something was left as it is",
                }
                .to_owned(),
            ),
            Event::Admitted | Event::Overdue | Event::PivotDenied | Event::Reverted => Self::default(),
        }
    }
}

fn waits_for_a_signal(saga: &Saga, step: StepIx) -> bool {
    saga.get(step).is_some_and(|step| matches!(step.work, Work::Signal { .. }))
}

pub(super) fn failed(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "refused",
        Outcome::Unsent => "not sent",
        Outcome::Unknown => "no answer",
        Outcome::Late => "the signal is late",
        Outcome::Dropped => "no longer wanted",
        Outcome::LeftBehind => "it left something as it is",
    }
}

/// The same, with what was answered, if anything was.
fn failed_saying(outcome: Outcome, problem: Option<&Value>) -> String {
    match (outcome, problem, problem.and_then(answered)) {
        (Outcome::Unknown, _, Some(Answered::By(status))) => {
            format!("answered {status}, which does not tell whether it was done")
        }
        (Outcome::Unsent, _, Some(Answered::By(status))) => {
            format!("answered {status}, before it was looked at")
        }
        // What is known of that stands beside it.
        (Outcome::Unknown, Some(_), None) => "nobody knows whether it was done".to_owned(),
        (outcome, ..) => failed(outcome).to_owned(),
    }
}

/// Who answered.
enum Answered {
    /// The service: the status of HTTP, or the name of gRPC's.
    By(String),
    /// The mesh, in its place.
    Mesh,
}

/// Who answered, as what is kept of a failure tells: an answer over HTTP has its status there, one over gRPC a code.
fn answered(problem: &Value) -> Option<Answered> {
    let code = problem.get("code").and_then(Value::as_str);
    match (code, problem.get("status").and_then(Value::as_u64)) {
        (Some(code), _) if code.starts_with("mesh.") => Some(Answered::Mesh),
        (_, Some(status)) => Some(Answered::By(status.to_string())),
        (Some(code), None) => Some(Answered::By(code.to_owned())),
        (None, None) => None,
    }
}

pub(super) fn cause(saga: &Saga, cause: Cause) -> String {
    match cause {
        Cause::Failed(step) => format!("step `{}` failed", name(saga, step).unwrap_or_default()),
        Cause::Cancelled => "it was cancelled".to_owned(),
        Cause::Deadline => "its deadline passed".to_owned(),
        Cause::Parent => "the saga that it is a step of was turned back".to_owned(),
        Cause::Operator => "an operator said so".to_owned(),
    }
}

fn name(saga: &Saga, step: StepIx) -> Option<String> {
    saga.get(step).map(|step| step.name.to_string())
}

fn json(data: &Data) -> Value {
    serde_json::from_str(data.as_str()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
