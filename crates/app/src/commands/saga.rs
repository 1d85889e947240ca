//! `tenon saga verify`.

use super::check;
use crate::cli::VerifySaga;
use crate::failure::{Failure, Outcome};
use crate::render::{Screen, Tone, span};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use tenon_analysis::saga::{Lapse, Progress, Report, Scope, Verdict, end_told, verify, why_told};
use tenon_core::Code;
use tenon_core::manifest::System;
use tenon_core::saga::{End, Saga, Step, StepName, Work};

/// How wide the bar of progress is.
const WIDTH: usize = 30;

/// Explores what can become of the sagas of a manifest.
pub(crate) fn verify_all(screen: Screen, options: &VerifySaga) -> Outcome {
    let (_, system) = check::load(screen, &options.file)?;
    let sagas = chosen(&system, options)?;
    let scope = scope(options, &sagas)?;
    let mut told = Vec::new();
    let mut broken = false;
    for saga in &sagas {
        let report = explore(screen, saga, &scope);
        broken |= matches!(report.verdict, Verdict::Broken(_));
        if screen.is_json() {
            told.push(as_json(saga, &report, &scope));
        } else {
            tell(screen, saga, &report, &scope)?;
        }
    }
    if screen.is_json() {
        screen.json(&json!({ "sagas": told }))?;
    }
    if broken { Err(Failure::printed(Code::SagaInvalid)) } else { Ok(()) }
}

fn chosen(system: &System, options: &VerifySaga) -> Result<Vec<Saga>, Failure> {
    let wanted = |name: &str| options.saga.as_deref().is_none_or(|only| only == name);
    let chosen = system.sagas.iter().filter(|(name, _)| wanted(name.as_str()));
    let sagas: Vec<Saga> = chosen
        .map(|(_, definition)| Saga::new(definition.clone()))
        .collect::<Result<_, _>>()
        .map_err(|refusal| Failure::new(refusal.code, refusal.detail))?;
    if !sagas.is_empty() {
        return Ok(sagas);
    }
    let known: Vec<&str> = system.sagas.keys().map(tenon_core::saga::SagaName::as_str).collect();
    let message = match (&options.saga, known.is_empty()) {
        (_, true) => format!("{} has no sagas; describe them under `sagas`", options.file.display()),
        (Some(name), false) => format!("there is no saga {name:?}; there are {}", known.join(", ")),
        (None, false) => "there is no saga".to_owned(),
    };
    Err(Failure::new(Code::SagaUnknown, message))
}

fn scope(options: &VerifySaga, sagas: &[Saga]) -> Result<Scope, Failure> {
    let invalid = |message: String| Failure::new(Code::RequestInvalid, message);
    let mut lapses: BTreeMap<StepName, Lapse> = BTreeMap::new();
    for text in &options.lapse {
        let (step, lapse) =
            text.split_once('=').ok_or_else(|| invalid(format!("{text:?} is not of the form STEP=LAPSE")))?;
        if !sagas.iter().any(|saga| saga.named(step).is_some()) {
            return Err(invalid(format!("no saga has a step {step:?}")));
        }
        let lapse = Lapse::parse(lapse).ok_or_else(|| {
            let known: Vec<&str> = Lapse::ALL.iter().map(|lapse| lapse.as_str()).collect();
            invalid(format!("{lapse:?} is none of {}", known.join(", ")))
        })?;
        let named = sagas.iter().filter_map(|saga| saga.get(saga.named(step)?));
        // It is enough that it does something in one of the sagas that have such a step.
        let idle: Option<Vec<&str>> = named.map(|step| idle(step, lapse)).collect();
        if let Some(why) = idle.as_ref().and_then(|all| all.first()) {
            return Err(invalid(format!("`{step}={}` does nothing: {why}", lapse.as_str())));
        }
        let step = StepName::new(step).map_err(|error| invalid(error.to_string()))?;
        lapses.insert(step, lapse);
    }
    Ok(Scope {
        faults: options.faults,
        tries: options.tries,
        states: usize::try_from(options.states).unwrap_or(usize::MAX),
        seed: options.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        lapses,
        ..Scope::default()
    })
}

/// Why a lapse at a step could do nothing, if so.
fn idle(step: &Step, lapse: Lapse) -> Option<&'static str> {
    match (&step.work, lapse) {
        (Work::Signal { .. } | Work::Timer(_), _) => Some("the step only waits, and calls no service"),
        (Work::Child(_), _) => Some("the step runs a saga; state the lapse of one of that saga's steps"),
        (Work::Call { .. }, Lapse::UndoesNothing | Lapse::Hangs) if step.undo.is_none() => {
            Some("nothing undoes the step, so its service is never asked to")
        }
        (Work::Call { .. }, _) => None,
    }
}

/// Explores, with a bar of progress where somebody looks.
fn explore(screen: Screen, saga: &Saga, scope: &Scope) -> Report {
    let name = saga.definition().name.clone();
    let live = screen.is_live();
    let mut shown = 0;
    let report = verify(saga, scope, &mut |progress: Progress| {
        // Small sagas are done before anybody could read it.
        if live && progress.states >= 20_000 && progress.states >= shown + 20_000 {
            shown = progress.states;
            let full = (WIDTH * progress.states / progress.budget.max(1)).min(WIDTH);
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full));
            // Nobody is left to tell when standard error is closed.
            let _ = write!(
                std::io::stderr().lock(),
                "\r{name} {bar} {} states of at most {}",
                progress.states,
                progress.budget
            );
        }
    });
    if shown > 0 {
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
    }
    report
}

fn tell(screen: Screen, saga: &Saga, report: &Report, scope: &Scope) -> Outcome {
    let name = &saga.definition().name;
    let steps = match saga.len() {
        1 => "1 step".to_owned(),
        many => format!("{many} steps"),
    };
    let looked = format!("{} states in {}", report.states, span(report.took));
    let (tone, line) = match &report.verdict {
        Verdict::Verified => {
            (Tone::Good, format!("verified: {steps}, {looked} with {}", at_most(scope.faults)))
        }
        Verdict::Bounded => {
            (Tone::Warning, format!("bounded: {looked}, and there are more; nothing was broken in these"))
        }
        Verdict::Broken(story) => (Tone::Bad, format!("broken: {} ({looked})", story.broken)),
    };
    screen.line(&screen.tone_out(&format!("{name}: {line}"), tone))?;
    if let Verdict::Broken(story) = &report.verdict {
        let which =
            if story.shortest { "The shortest schedule that breaks it" } else { "A schedule that breaks it" };
        screen.line(&format!("{which}:\n{story}"))?;
        return Ok(());
    }
    let ends: Vec<&str> = report.ends.iter().copied().map(end_told).collect();
    screen.line(&format!("  it can end {}", ends.join(", ")))?;
    if report.ends.contains(&End::Failed) {
        screen.line(
            "  failed: a step that cannot be undone is left as it is, as its `on_failure: skip` says",
        )?;
    }
    for (step, why) in &report.parks {
        screen.line(&format!("  `{step}` can come to wait for somebody: {}", why_told(*why)))?;
    }
    Ok(())
}

fn at_most(faults: u8) -> String {
    match faults {
        0 => "no faults".to_owned(),
        1 => "at most 1 fault".to_owned(),
        many => format!("at most {many} faults"),
    }
}

fn as_json(saga: &Saga, report: &Report, scope: &Scope) -> Value {
    let (verdict, story) = match &report.verdict {
        Verdict::Verified => ("verified", Value::Null),
        Verdict::Bounded => ("bounded", Value::Null),
        Verdict::Broken(story) => {
            let lines = story.lines.iter().map(|line| json!({"what": line.what, "then": line.then}));
            let lines: Vec<Value> = lines.collect();
            ("broken", json!({"broken": story.broken, "shortest": story.shortest, "schedule": lines}))
        }
    };
    let parks = report.parks.iter().map(|(step, why)| json!({"step": step.as_str(), "why": why_told(*why)}));
    json!({
        "saga": saga.definition().name.as_str(),
        "verdict": verdict,
        "states": report.states,
        "depth": report.depth,
        "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        "faults": scope.faults,
        "tries": scope.tries,
        "ends": report.ends.iter().copied().map(end_told).collect::<Vec<_>>(),
        "parks": parks.collect::<Vec<_>>(),
        "story": story,
    })
}
