//! `tenon saga retry`, `edit`, `skip`, `done` and `compensate`: about one saga, or about all that wait for somebody.

use super::sagas::done;
use super::text::name;
use crate::cli::{self, Decide};
use crate::failure::{Failure, Outcome};
use crate::render::Screen;
use serde_json::Value;
use tenon_api::client::Client;
use tenon_api::http::{DecideSaga, DecideSagas, DecidedSaga, DecidedSagas, DecisionDoc, SagaState};
use tenon_core::{Code, SagaId, Timestamp};

/// The most sagas in one request.
const PAGE: u64 = 100;

/// Decides about a step, about all of a saga that wait, or about many sagas.
pub(super) async fn steps(screen: Screen, client: &Client, of: &Decide, decision: DecisionDoc) -> Outcome {
    let (Some(id), None) = (&of.id, &of.step) else {
        return decide(screen, client, of.id.as_deref(), &of.many, decision, of.step.clone(), None).await;
    };
    let id: SagaId = name(id)?;
    let view = client.saga(id, None).await?;
    if matches!(view.of.state, SagaState::Completed | SagaState::Compensated | SagaState::Failed) {
        return Err(Failure::new(Code::SagaIllegal, "the saga has ended"));
    }
    let mut all = DecidedSagas::default();
    for step in view.steps.into_iter().filter(|step| step.parked.is_some()) {
        let about = DecideSaga { decision, step: Some(step.name.to_string()), data: None };
        let (code, detail) = match client.decide_saga(id, &about).await {
            Ok(_) => (None, None),
            Err(error) => match error.code() {
                Some(code) => (Some(code.to_string()), Some(error.to_string())),
                None => return Err(error.into()),
            },
        };
        all.decided.push(DecidedSaga { id, step: Some(step.name), code, detail });
    }
    told(screen, &all)
}

/// Decides about a saga, or about many.
pub(super) async fn decide(
    screen: Screen,
    client: &Client,
    id: Option<&str>,
    of: &cli::Many,
    decision: DecisionDoc,
    step: Option<String>,
    data: Option<Value>,
) -> Outcome {
    let Some(id) = id else { return many(screen, client, of, decision, data).await };
    let id: SagaId = name(id)?;
    let view = client.decide_saga(id, &DecideSaga { decision, step, data }).await?;
    done(screen, &view, &format!("decided; {id} is {}", view.of.state))
}

/// Page by page. What was done before a page fails is told all the same.
async fn many(
    screen: Screen,
    client: &Client,
    of: &cli::Many,
    decision: DecisionDoc,
    data: Option<Value>,
) -> Outcome {
    let namespace = of.namespace.as_deref().map(name).transpose()?;
    let mut wanted = DecideSagas {
        decision,
        data,
        name: of.name.as_deref().map(name).transpose()?,
        key: of.key.clone(),
        states: of.state.as_deref().map(states).transpose()?.unwrap_or_default(),
        since: of.since.as_deref().map(|text| time("--since", text)).transpose()?,
        until: of.until.as_deref().map(|text| time("--until", text)).transpose()?,
        step: of.only.clone(),
        before: None,
        limit: Some(PAGE),
    };
    let mut all = DecidedSagas::default();
    loop {
        match client.decide_sagas(namespace.as_ref(), &wanted).await {
            Ok(page) => {
                all.decided.extend(page.decided);
                wanted.before = page.next;
            }
            Err(error) => {
                all.next = wanted.before;
                told(screen, &all)?;
                return Err(error.into());
            }
        }
        if wanted.before.is_none() {
            return told(screen, &all);
        }
    }
}

/// Says what was decided, and fails if any of it was refused.
fn told(screen: Screen, all: &DecidedSagas) -> Outcome {
    let of = |it: &DecidedSaga| match &it.step {
        Some(step) => format!("{} {step}", it.id),
        None => it.id.to_string(),
    };
    let refused = all.decided.iter().filter_map(|it| Some((of(it), it.code.as_ref()?, it.detail.as_ref()?)));
    let refused: Vec<_> = refused.collect();
    for (what, code, detail) in &refused {
        screen.remark(&format!("{what}: {detail} ({code})"));
    }
    let taken = all.decided.len() - refused.len();
    let remark = match (taken, refused.len()) {
        (0, 0) => "nothing of that waits for somebody".to_owned(),
        (taken, 0) => format!("decided about {taken} that waited for somebody"),
        (taken, refused) => format!("decided about {taken} that waited for somebody; {refused} refused"),
    };
    done(screen, all, &remark)?;
    match refused.first() {
        Some((_, code, _)) => Err(Failure::printed(Code::parse(code).unwrap_or(Code::SagaIllegal))),
        None => Ok(()),
    }
}

fn states(text: &str) -> Result<Vec<SagaState>, Failure> {
    let one = |text: &str| {
        serde_json::from_value(Value::from(text)).map_err(|error| invalid(format!("--state: {error}")))
    };
    text.split(',').map(one).collect()
}

fn time(option: &str, text: &str) -> Result<Timestamp, Failure> {
    tenon_api::time::parse(text).map_err(|error| invalid(format!("{option}: {error}")))
}

fn invalid(detail: String) -> Failure {
    Failure::new(Code::RequestInvalid, detail)
}
