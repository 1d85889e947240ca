//! `tenon saga …`.

use super::decide::{decide, steps};
use super::text::{json_or_word, name};
use crate::cli::{self, SagaCommand};
use crate::failure::{Failure, Outcome};
use crate::render::{Cell, Screen, Tone, plain, span, toned};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_api::client::{Client, SagaQuery};
use tenon_api::http::{
    DecisionDoc, DefinedSaga, FormerVersion, ParkedStep, ParkedWhy, SagaDefinition, SagaEvent, SagaState,
    SagaStepView, SagaSummary, SagaView, SignalSaga, StartSaga, StepState,
};
use tenon_core::saga::SagaName;
use tenon_core::{Code, Namespace, SagaId, Timestamp};

/// The most characters of what came with an event, in a timeline.
const LONGEST_SAID: usize = 120;

/// The most sagas that are named that stay with a version.
const LISTED: usize = 5;

/// What stands before a step that is undone.
const UNDO: &str = "undo ";

/// How wide the time is where lines come one after the other.
const TIME_COLUMNS: usize = 9;

/// How often a saga that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
        SagaCommand::Retry(of) => steps(screen, client, &of, DecisionDoc::Retry).await,
        SagaCommand::Skip(of) => steps(screen, client, &of, DecisionDoc::Skip).await,
        SagaCommand::Edit(of) => {
            let data = of.payload.as_deref().or(of.with.as_deref()).map(value).transpose()?;
            decide(screen, client, of.id.as_deref(), &of.many, DecisionDoc::Edit, of.step, data).await
        }
        SagaCommand::Done(of) => {
            let data = of.payload.as_deref().or(of.with.as_deref()).map(value).transpose()?;
            decide(screen, client, of.id.as_deref(), &of.many, DecisionDoc::Done, of.step, data).await
        }
        SagaCommand::Compensate(of) => {
            decide(screen, client, of.id.as_deref(), &of.many, DecisionDoc::Compensate, None, None).await
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
            let of: SagaName = name(&options.of.name)?;
            let defined = client.define_saga(within.as_ref(), &of, &document).await?;
            let what = if defined.changed { "is defined" } else { "was so before" };
            let former = former(&of, &defined);
            done(screen, &defined, &format!("{of} {what}, version {}{former}", defined.version))
        }
        SagaCommand::Retire(of) => {
            let retired = client.retire_saga(namespace(&of.within)?.as_ref(), &name(&of.name)?).await?;
            done(screen, &retired, &format!("no more sagas `{}` begin; those that run go on", of.name))
        }
    }
}

/// Which sagas run on former versions, by version.
fn former(name: &SagaName, defined: &DefinedSaga) -> String {
    let mut versions = BTreeMap::<&str, Vec<SagaId>>::new();
    for saga in &defined.running {
        versions.entry(&saga.version).or_default().push(saga.id);
    }
    let some = |(version, mut last): (&str, Vec<SagaId>)| {
        let running = last.len() as u64;
        last.truncate(LISTED);
        let former = FormerVersion { version: version.to_owned(), running, last };
        format!("\n{}", stay(name, &former, defined.more))
    };
    versions.into_iter().map(some).collect()
}

/// Which sagas stay with a version.
pub(super) fn stay(name: &SagaName, former: &FormerVersion, more: bool) -> String {
    let ids: Vec<String> = former.last.iter().map(ToString::to_string).collect();
    let rest = if more || former.running > former.last.len() as u64 { ", …" } else { "" };
    let (sagas, at_least) =
        (if former.running == 1 { "saga" } else { "sagas" }, if more { "at least " } else { "" });
    format!(
        "{at_least}{} {sagas} `{name}` under way, version {}: {}{rest}",
        former.running,
        former.version,
        ids.join(", ")
    )
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
            plain(it.at.iter().map(|step| at(it, step)).chain(put_off(it)).collect::<Vec<_>>().join(", ")),
        ]
    };
    screen.result(&list, |list| (head, list.sagas.iter().map(row).collect()))?;
    if list.next.is_some() {
        screen.remark("there may be more: `--limit` says how many are shown, `--until` where to go on");
    }
    Ok(())
}

/// A step, and why it waits for somebody if it does.
fn at(of: &SagaSummary, step: &str) -> String {
    match of.parked.iter().find(|parked| parked.step.as_str() == step) {
        Some(parked) => format!("{step}: {}", parked.why),
        None => step.to_owned(),
    }
}

fn put_off(of: &SagaSummary) -> Option<String> {
    of.put_off.as_ref().map(|why| format!("put off: {why}"))
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
    let id = id(&options.of)?;
    if options.follow {
        follow(screen, client, id).await
    } else {
        tell(screen, client, id, options.wait).await
    }
}

/// Prints what happens until it has ended: a line each, or a document each.
async fn follow(screen: Screen, client: &Client, id: SagaId) -> Outcome {
    let mut shown = 0;
    loop {
        let view = client.saga(id, None).await?;
        let events = client.saga_history(id).await?.events;
        let width = view.steps.iter().map(|step| UNDO.len() + step.name.as_str().len()).max().unwrap_or(0);
        for event in events.iter().skip(shown) {
            match screen.is_json() {
                true => screen.line(&serde_json::to_string(event).map_err(std::io::Error::other)?)?,
                false => screen.table(&["", "", "", "", ""], &[line(&view, &events, event, width)])?,
            }
        }
        shown = events.len();
        if has_ended(view.of.state) {
            return waited(view.of.state);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
        screen.json(&view)?;
    } else {
        let history = client.saga_history(id).await?;
        facts(screen, &view)?;
        table_of_steps(screen, &view)?;
        timeline(screen, &view, &history.events)?;
        ways_on(screen, &view)?;
    }
    match wait {
        Some(_) => waited(view.of.state),
        None => Ok(()),
    }
}

/// The exit code of whoever waited for a saga's end, lest a script take one that was undone as done.
fn waited(state: SagaState) -> Outcome {
    let exit = match state {
        SagaState::Completed => return Ok(()),
        SagaState::Compensated => 10,
        SagaState::Failed => 11,
        SagaState::Parked => 13,
        SagaState::Started
        | SagaState::StepExecuting
        | SagaState::StepCompleted
        | SagaState::StepFailed
        | SagaState::Compensating => 12,
    };
    Err(Failure::told(exit))
}

/// What may be typed about each step that waits for somebody, or about a saga that was put off.
fn ways_on(screen: Screen, view: &SagaView) -> Outcome {
    let id = view.of.id;
    let mut rows = Vec::new();
    for ParkedStep { step, why } in &view.of.parked {
        let of_step = |command: &str, more: &str, what: &'static str| {
            vec![plain(format!("tenon saga {command} {id} {step}{more}")), toned(what, Tone::Faint)]
        };
        rows.push(of_step("retry", "", "call it again"));
        if *why == ParkedWhy::PivotUnknown {
            rows.push(of_step("done", " [OUTPUT]", "it was done; go forward"));
            let compensate = plain(format!("tenon saga compensate {id}"));
            rows.push(vec![compensate, toned("it was not done; undo the rest", Tone::Faint)]);
            continue;
        }
        rows.push(of_step("edit", " INPUT", "send something else"));
        let (done, skip) = match why {
            ParkedWhy::UndoSpent => ("it was undone by hand", "leave it as it is"),
            ParkedWhy::Spent | ParkedWhy::PivotUnknown => ("it was done by hand", "leave it out"),
        };
        rows.push(of_step("done", if *why == ParkedWhy::UndoSpent { "" } else { " [OUTPUT]" }, done));
        rows.push(of_step("skip", "", skip));
    }
    let step = view.of.at.first().cloned().or_else(|| Some(view.steps.first()?.name.to_string()));
    if let Some(step) = step.filter(|_| rows.is_empty() && view.of.put_off.is_some()) {
        let retry = plain(format!("tenon saga retry {id} {step}"));
        rows.push(vec![retry, toned("take it up again", Tone::Faint)]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    Ok(screen.table(&["WHAT SOMEBODY MAY DECIDE", ""], &rows)?)
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
        ("put off", view.of.put_off.clone()),
        ("queued", view.queued.then(|| "it waits for others with the same value".to_owned())),
        ("output", view.output.as_ref().map(Value::to_string)),
    ];
    rows.extend(more.into_iter().filter_map(|(name, value)| Some((name, plain(value?)))));
    let rows: Vec<Vec<Cell>> =
        rows.into_iter().map(|(name, value)| vec![toned(name, Tone::Faint), value]).collect();
    Ok(screen.table(&["", ""], &rows)?)
}

fn table_of_steps(screen: Screen, view: &SagaView) -> Outcome {
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
    let rows: Vec<Vec<Cell>> = events.iter().map(|event| line(view, events, event, 0)).collect();
    Ok(screen.table(&["TIME", "STEP", "WHAT HAPPENED", "", ""], &rows)?)
}

/// An event among all, with its step in so many columns at least.
fn line(view: &SagaView, events: &[SagaEvent], event: &SagaEvent, width: usize) -> Vec<Cell> {
    let began = events.first().map_or(view.of.started_at, |event| event.time);
    // Which attempt it is, if it is not the first of its direction.
    let of = |it: &&SagaEvent| it.step == event.step && it.undo == event.undo && it.attempt.is_some();
    let first = events.iter().find(of).and_then(|first| first.attempt);
    let again = event.attempt.zip(first).and_then(|(attempt, first)| attempt.checked_sub(first));
    let again = again.filter(|more| *more > 0).map(|more| format!("#{}", more + 1));
    let tone = match event.event.as_str() {
        "Succeeded" | "Started" | "Ended" => Tone::Good,
        "Parked" | "LeftBehind" | "TurnedBack" => Tone::Bad,
        "Deferred" | "GaveUp" | "Repeated" | "Doubted" | "Overdue" => Tone::Warning,
        _ => Tone::Plain,
    };
    let way = if event.undo { UNDO } else { "" };
    let step = event.step.as_ref().map(|step| format!("{way}{step}")).unwrap_or_default();
    let by = event.actor.as_ref().map(|actor| format!("by {actor}"));
    let more: Vec<String> = [event.detail.clone(), said(event), by].into_iter().flatten().collect();
    let time = format!("+{}", since(event.time, began));
    let columns = if width == 0 { 0 } else { TIME_COLUMNS };
    vec![
        toned(format!("{time:<columns$}"), Tone::Faint),
        plain(format!("{step:<width$}")),
        toned(happened(event), tone),
        plain(again.unwrap_or_default()),
        toned(more.join("  "), Tone::Faint),
    ]
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
            match data.as_object() {
                _ if !known.is_empty() => known.join(": "),
                // What was answered stands beside it.
                Some(own) if own.keys().all(|name| name == "status") => return None,
                _ => data.to_string(),
            }
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
    text.map_or(Ok(Value::Null), value)
}

/// What was typed: JSON, a text, or the content of a file.
fn value(text: &str) -> Result<Value, Failure> {
    let Some(file) = text.strip_prefix('@') else { return json_or_word("what was typed", text) };
    let read = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let content = read.map_err(|error| Failure::new(Code::RequestInvalid, format!("{file}: {error}")))?;
    json_or_word(if file == "-" { "standard input" } else { file }, &content)
}

pub(super) fn done(screen: Screen, answer: &impl Serialize, remark: &str) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(answer)?);
    }
    screen.remark(remark);
    Ok(())
}
