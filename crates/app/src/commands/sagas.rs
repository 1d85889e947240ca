//! `tenon saga …`.

use super::text::{json_or_text, name};
use crate::cli::{self, SagaCommand};
use crate::failure::{Failure, Outcome};
use crate::render::{Cell, Screen, Tone, plain, span, toned};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_api::client::{Client, SagaQuery};
use tenon_api::http::{
    DecideSaga, DecideSagas, DecisionDoc, DefinedSaga, SagaDefinition, SagaEvent, SagaState, SagaStepView,
    SagaSummary, SagaView, SignalSaga, StartSaga, StepState,
};
use tenon_core::{Code, Namespace, SagaId, Timestamp};

/// The most characters of what came with an event, in a timeline.
const LONGEST_SAID: usize = 120;

/// The longest that the server is asked to wait at once.
const MOST_WAIT: u64 = 20;

/// Carries out a command that needs no server, if it is one.
pub(crate) async fn without_server(screen: Screen, command: &SagaCommand) -> Option<Outcome> {
    match command {
        SagaCommand::Verify(options) => Some(super::saga::verify_all(screen, options)),
        SagaCommand::Conformance(options) => Some(super::conformance::conformance(screen, options).await),
        _ => None,
    }
}

/// Carries out one of the commands of sagas.
pub(crate) async fn sagas(screen: Screen, client: &Client, command: SagaCommand) -> Outcome {
    match command {
        SagaCommand::List(options) => list(screen, client, &options).await,
        SagaCommand::Start(options) => start(screen, client, &options).await,
        SagaCommand::Show(options) => show(screen, client, &options).await,
        SagaCommand::Signal(options) => {
            let signal = SignalSaga { data: payload(options.payload.as_deref())? };
            let view = client.signal_saga(id(&options.of)?, &name(&options.signal)?, &signal).await?;
            done(screen, &view, &format!("{} has the signal; it is {}", view.of.id, view.of.state))
        }
        SagaCommand::Cancel(of) => {
            let view = client.cancel_saga(id(&of)?).await?;
            done(screen, &view, &format!("{} is cancelled; it is {}", view.of.id, view.of.state))
        }
        SagaCommand::Retry(options) => decide(screen, client, &options, DecisionDoc::Retry).await,
        SagaCommand::Skip(options) => decide(screen, client, &options, DecisionDoc::Skip).await,
        SagaCommand::Edit(options) => {
            let data = Some(payload(Some(&options.payload))?);
            one(screen, client, id(&options.of)?, DecisionDoc::Edit, Some(options.step), data).await
        }
        SagaCommand::Done(options) => {
            let output = options.payload.as_deref().map(|text| payload(Some(text))).transpose()?;
            one(screen, client, id(&options.of)?, DecisionDoc::Done, Some(options.step), output).await
        }
        SagaCommand::Compensate(of) => {
            one(screen, client, id(&of)?, DecisionDoc::Compensate, None, None).await
        }
        SagaCommand::Verify(_) | SagaCommand::Conformance(_) => {
            Err(Failure::new(Code::Internal, "this needs no server"))
        }
        SagaCommand::Definitions(within) => definitions(screen, client, &within).await,
        SagaCommand::Define(options) => {
            let unreadable = |problem: String| {
                Failure::new(Code::SagaInvalid, format!("{}: {problem}", options.file.display()))
            };
            let text = std::fs::read(&options.file).map_err(|error| unreadable(error.to_string()))?;
            let document = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
            let within = namespace(&options.of.within)?;
            let defined = client.define_saga(within.as_ref(), &name(&options.of.name)?, &document).await?;
            let what = if defined.changed { "is defined" } else { "was so before" };
            let former = former(&defined);
            done(
                screen,
                &defined,
                &format!("{} {what}, version {}{former}", options.of.name, defined.version),
            )
        }
        SagaCommand::Retire(of) => {
            let retired = client.retire_saga(namespace(&of.within)?.as_ref(), &name(&of.name)?).await?;
            done(screen, &retired, &format!("no more sagas `{}` begin; those that run go on", of.name))
        }
    }
}

/// Which sagas run on former versions, by version.
fn former(defined: &DefinedSaga) -> String {
    let mut versions = BTreeMap::<&str, Vec<String>>::new();
    for saga in &defined.running {
        versions.entry(&saga.version).or_default().push(saga.id.to_string());
    }
    let some = |(version, ids): (&str, Vec<String>)| {
        let shown = ids.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if ids.len() > 3 || defined.more { ", …" } else { "" };
        format!("\n{} stay with version {version}: {shown}{more}", many(ids.len()))
    };
    versions.into_iter().map(some).collect()
}

fn many(sagas: usize) -> String {
    if sagas == 1 { "1 saga that runs".to_owned() } else { format!("{sagas} sagas that run") }
}

async fn list(screen: Screen, client: &Client, options: &cli::ListSagas) -> Outcome {
    let query = SagaQuery {
        namespace: namespace(&options.within)?,
        name: options.name.clone(),
        key: options.key.clone(),
        state: options.state.clone(),
        since: options.since.clone(),
        until: options.until.clone(),
        before: None,
        limit: Some(options.limit),
    };
    let list = client.sagas(&query).await?;
    let head = vec!["SAGA", "NAME", "KEY", "STATE", "STARTED", "AT"];
    let row = |it: &SagaSummary| {
        vec![
            plain(it.id.to_string()),
            plain(it.saga.as_str()),
            plain(it.key.clone().unwrap_or_default()),
            toned(it.state.to_string(), tone(it.state)),
            toned(it.started_at.to_string(), Tone::Faint),
            plain(it.at.join(",")),
        ]
    };
    Ok(screen.result(&list, |list| (head, list.sagas.iter().map(row).collect()))?)
}

async fn start(screen: Screen, client: &Client, options: &cli::StartSaga) -> Outcome {
    let within = namespace(&options.of.within)?;
    let start = StartSaga { input: payload(options.input.as_deref())?, key: options.key.clone() };
    let begun = client.start_saga(within.as_ref(), &name(&options.of.name)?, &start, None).await?;
    if let Some(seconds) = options.wait {
        return tell(screen, client, begun.saga.of.id, Some(seconds)).await;
    }
    let what = if begun.existed { "had been started before" } else { "is started" };
    let remark =
        format!("{} {what}; `tenon saga show {}` tells how it fares", begun.saga.of.saga, begun.saga.of.id);
    if screen.is_json() {
        return Ok(screen.json(&begun)?);
    }
    screen.line(&begun.saga.of.id.to_string())?;
    screen.remark(&remark);
    Ok(())
}

async fn show(screen: Screen, client: &Client, options: &cli::ShowSaga) -> Outcome {
    tell(screen, client, id(&options.of)?, options.wait).await
}

/// Tells how a saga is, as soon as it has ended or so many seconds are over.
async fn tell(screen: Screen, client: &Client, id: SagaId, wait: Option<u64>) -> Outcome {
    let mut left = wait.unwrap_or_default();
    let view = loop {
        let now = left.min(MOST_WAIT);
        let view = client.saga(id, (now > 0).then_some(now * 1_000)).await?;
        left -= now;
        if left == 0 || has_ended(view.of.state) {
            break view;
        }
    };
    if screen.is_json() {
        return Ok(screen.json(&view)?);
    }
    let history = client.saga_history(id).await?;
    facts(screen, &view)?;
    steps(screen, &view)?;
    timeline(screen, &view, &history.events)
}

fn has_ended(state: SagaState) -> bool {
    matches!(state, SagaState::Completed | SagaState::Compensated | SagaState::Failed)
}

fn facts(screen: Screen, view: &SagaView) -> Outcome {
    let mut rows = vec![
        ("saga", plain(format!("{} in {}, {}", view.of.saga, view.of.namespace, view.of.id))),
        ("state", toned(view.of.state.to_string(), tone(view.of.state))),
        ("started", plain(view.of.started_at.to_string())),
        ("trace", plain(view.trace.clone())),
        ("input", plain(view.input.to_string())),
    ];
    let more = [
        ("key", view.of.key.clone()),
        ("turned back", view.turned_back.clone()),
        ("queued", view.queued.then(|| "it waits for others with the same value".to_owned())),
        ("output", view.output.as_ref().map(Value::to_string)),
    ];
    rows.extend(more.into_iter().filter_map(|(name, value)| Some((name, plain(value?)))));
    let rows: Vec<Vec<Cell>> =
        rows.into_iter().map(|(name, value)| vec![toned(name, Tone::Faint), value]).collect();
    Ok(screen.table(&["", ""], &rows)?)
}

fn steps(screen: Screen, view: &SagaView) -> Outcome {
    screen.line("")?;
    let row = |step: &SagaStepView| {
        let state = match step.state {
            StepState::Done | StepState::Undone => Tone::Good,
            StepState::Parked | StepState::UndoParked | StepState::LeftBehind => Tone::Bad,
            StepState::Doubtful | StepState::DoLater | StepState::UndoLater => Tone::Warning,
            _ => Tone::Plain,
        };
        let why = step.parked.map(|why| why.to_string());
        let until = step.until.map(|until| format!("until {until}"));
        vec![
            plain(step.name.as_str()),
            toned(step.kind.to_string(), Tone::Faint),
            toned(step.state.to_string(), state),
            plain(step.attempts.to_string()),
            plain(why.or(until).or(step.output.as_ref().map(Value::to_string)).unwrap_or_default()),
        ]
    };
    let rows: Vec<Vec<Cell>> = view.steps.iter().map(row).collect();
    Ok(screen.table(&["STEP", "KIND", "STATE", "ATTEMPTS", ""], &rows)?)
}

/// What happened, by the time since the beginning.
fn timeline(screen: Screen, view: &SagaView, events: &[SagaEvent]) -> Outcome {
    screen.line("")?;
    let began = events.first().map_or(view.of.started_at, |event| event.time);
    // Which attempt it is, if it is not the first of its direction.
    let again = |event: &SagaEvent| {
        let of = |it: &&SagaEvent| it.step == event.step && it.undo == event.undo && it.attempt.is_some();
        let first = events.iter().find(of).and_then(|first| first.attempt)?;
        event
            .attempt
            .and_then(|attempt| attempt.checked_sub(first))
            .filter(|more| *more > 0)
            .map(|more| more + 1)
    };
    let row = |event: &SagaEvent| {
        let tone = match event.event.as_str() {
            "Succeeded" | "Started" | "Ended" => Tone::Good,
            "Parked" | "LeftBehind" | "TurnedBack" => Tone::Bad,
            "Deferred" | "GaveUp" | "Repeated" | "Doubted" | "Overdue" => Tone::Warning,
            _ => Tone::Plain,
        };
        let way = if event.undo { "undo " } else { "" };
        let step = event.step.as_ref().map(|step| format!("{way}{step}")).unwrap_or_default();
        let by = event.actor.as_ref().map(|actor| format!("by {actor}"));
        let more: Vec<String> = [event.detail.clone(), said(event), by].into_iter().flatten().collect();
        vec![
            toned(format!("+{}", since(event.time, began)), Tone::Faint),
            plain(step),
            toned(happened(event), tone),
            plain(again(event).map(|number| format!("#{number}")).unwrap_or_default()),
            toned(more.join("  "), Tone::Faint),
        ]
    };
    let rows: Vec<Vec<Cell>> = events.iter().map(row).collect();
    Ok(screen.table(&["TIME", "STEP", "WHAT HAPPENED", "", ""], &rows)?)
}

/// An event in words.
fn happened(event: &SagaEvent) -> String {
    let words = match (event.event.as_str(), event.undo) {
        ("Started", _) => "the saga is started",
        ("Admitted", _) => "it is its turn",
        ("Began", _) => "called",
        ("Repeated", _) => "called again: nobody knows what became of it",
        ("Waited", _) => "waited for",
        ("Succeeded", false) => "done",
        ("Succeeded", true) => "undone",
        ("Deferred", _) => "not answered well",
        ("GaveUp", _) => "given up",
        ("Parked", _) => "waits for somebody",
        ("LeftBehind", _) => "left as it is",
        ("Signalled", _) => "a signal comes",
        ("Doubted", _) => "to be turned back",
        ("TurnedBack", _) => "the saga is turned back",
        ("Overdue", _) => "its deadline passes",
        ("Retried", _) => "to be tried again",
        ("Edited", _) => "given another input",
        ("SettledByHand", _) => "done by hand",
        ("Skipped", _) => "left out",
        ("PivotDenied", _) => "was not done",
        ("Reverted", _) => "the saga is reverted",
        ("Ended", _) => "the saga ends",
        (other, _) => other,
    };
    words.to_owned()
}

/// What came with it, in short: of a problem its code and its sentence. What was given to a saga and answered by a step stands
/// above.
fn said(event: &SagaEvent) -> Option<String> {
    let data = event.data.as_ref()?;
    let field = |name: &str| data.get(name).and_then(Value::as_str);
    let text = match event.event.as_str() {
        "Started" | "Succeeded" => return None,
        "Deferred" | "GaveUp" | "Parked" | "LeftBehind" => {
            let known: Vec<&str> = [field("code"), field("detail")].into_iter().flatten().collect();
            if known.is_empty() { data.to_string() } else { known.join(": ") }
        }
        _ => data.to_string(),
    };
    let short: String = text.chars().take(LONGEST_SAID).collect();
    Some(if short.len() < text.len() { short + "…" } else { short })
}

fn since(time: Timestamp, began: Timestamp) -> String {
    let passed: Duration = time.since(began);
    match passed.as_secs() {
        0 => format!("{:.1}ms", passed.as_secs_f64() * 1e3),
        _ => span(passed),
    }
}

/// Decides about a step, about all of a saga that wait, or about all sagas that wait.
async fn decide(screen: Screen, client: &Client, options: &cli::Decide, decision: DecisionDoc) -> Outcome {
    if let (Some(id), Some(step)) = (&options.id, &options.step) {
        return one(screen, client, name(id)?, decision, Some(step.clone()), None).await;
    }
    let mut decided = Vec::new();
    match &options.id {
        Some(of) => {
            let id = name(of)?;
            let view = client.saga(id, None).await?;
            for step in view.steps.iter().filter(|step| step.parked.is_some()) {
                let decision = DecideSaga { decision, step: Some(step.name.to_string()), data: None };
                client.decide_saga(id, &decision).await?;
                decided.push(format!("{id} {}", step.name));
            }
        }
        None => {
            let of = options.name.as_deref().map(name).transpose()?;
            let all = DecideSagas { decision, name: of, step: options.step.clone(), limit: Some(1_000) };
            for step in client.decide_sagas(None, &all).await?.decided {
                match step.detail {
                    Some(detail) => screen.remark(&format!("{} {}: {detail}", step.id, step.step)),
                    None => decided.push(format!("{} {}", step.id, step.step)),
                }
            }
        }
    }
    let steps = if decided.len() == 1 { "step" } else { "steps" };
    done(screen, &decided, &format!("{} {steps} that waited for somebody", decided.len()))
}

async fn one(
    screen: Screen,
    client: &Client,
    id: SagaId,
    decision: DecisionDoc,
    step: Option<String>,
    data: Option<Value>,
) -> Outcome {
    let view = client.decide_saga(id, &DecideSaga { decision, step, data }).await?;
    done(screen, &view, &format!("decided; {id} is {}", view.of.state))
}

async fn definitions(screen: Screen, client: &Client, within: &cli::Within) -> Outcome {
    let list = client.saga_definitions(namespace(within)?.as_ref()).await?;
    let head = vec!["SAGA", "NAMESPACE", "STEPS", "VERSION", "FROM"];
    let row = |it: &SagaDefinition| {
        let steps: Vec<&str> = it.definition.steps.iter().map(|step| step.name.as_str()).collect();
        vec![
            plain(it.name.as_str()),
            plain(it.namespace.as_str()),
            toned(steps.join(","), Tone::Good),
            toned(it.version.clone(), Tone::Faint),
            toned(if it.declared { "manifest" } else { "api" }, Tone::Faint),
        ]
    };
    Ok(screen.result(&list, |list| (head, list.definitions.iter().map(row).collect()))?)
}

fn tone(state: SagaState) -> Tone {
    match state {
        SagaState::Completed => Tone::Good,
        SagaState::Compensated | SagaState::Compensating | SagaState::StepFailed => Tone::Warning,
        SagaState::Parked | SagaState::Failed => Tone::Bad,
        SagaState::Started | SagaState::StepExecuting | SagaState::StepCompleted => Tone::Plain,
    }
}

fn id(of: &cli::OneSaga) -> Result<SagaId, Failure> {
    name(&of.id)
}

fn namespace(within: &cli::Within) -> Result<Option<Namespace>, Failure> {
    within.namespace.as_deref().map(name).transpose()
}

/// What was typed: JSON, a text, the content of a file, or nothing.
fn payload(text: Option<&str>) -> Result<Value, Failure> {
    let Some(text) = text else { return Ok(Value::Null) };
    let Some(file) = text.strip_prefix('@') else { return Ok(json_or_text(text)) };
    let read = std::fs::read_to_string(file);
    let content = read.map_err(|error| Failure::new(Code::RequestInvalid, format!("{file}: {error}")))?;
    Ok(json_or_text(&content))
}

fn done(screen: Screen, answer: &impl Serialize, remark: &str) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(answer)?);
    }
    screen.remark(remark);
    Ok(())
}
