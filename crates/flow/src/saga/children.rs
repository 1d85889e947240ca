//! Sagas that are steps of others.

use super::journal::{Found, Loaded, Writing, append, load, unchanged};
use super::participants::{Called, Failure};
use super::{Begin, Shared, View, names};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::saga::Beginning;
use tenon_core::saga::{Data, End, Input, Outcome, SagaName};
use tenon_core::{Code, Position, Refusal, SagaId};

/// How long to wait for an end before looking whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The saga that another one is a step of.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepOf {
    pub(super) id: SagaId,
    /// As of which event of the definitions it began.
    pub(super) defined_at: Position,
}

impl StepOf {
    pub(super) fn of(id: SagaId, at: &Loaded) -> Self {
        // What earlier versions have begun, began with what there was by then.
        Self { id, defined_at: at.beginning.defined_at.unwrap_or(at.first) }
    }
}

impl Shared {
    /// Runs a saga as a step, and waits for its end. Its key makes sure that there is one at most.
    pub(super) async fn run_child(
        self: &Arc<Self>,
        parent: StepOf,
        of: &Beginning,
        name: SagaName,
        key: String,
        input: Option<Value>,
    ) -> Called {
        let begin = Begin {
            namespace: of.namespace.clone(),
            name,
            input: input.unwrap_or(Value::Null),
            key: Some(key),
            trace: Some(of.trace),
            kept: of.kept,
            actor: None,
        };
        let begun = self.begin(begin, Some(parent)).await.map_err(|refusal| failure(&refusal))?;
        loop {
            let waited = self.wait(begun.view.id, LOOK_EVERY).await;
            let view = waited.map_err(|refusal| failure(&refusal))?;
            match view.instance.ended() {
                Some(End::Completed) => {
                    return Ok(view.output.map(|output| Data::new(&output.to_string())));
                }
                Some(End::Compensated) => return Err(Outcome::Refused.into()),
                Some(End::Failed) => return Err(left_behind(&view)),
                None if self.stop.is_cancelled() => return Err(Outcome::Unknown.into()),
                None => {}
            }
        }
    }

    /// Undoes a saga that was run as a step: if it never began, it never will.
    pub(super) async fn revert_child(
        self: &Arc<Self>,
        parent: StepOf,
        of: &Beginning,
        name: &SagaName,
        key: String,
    ) -> Called {
        let ids = names::ids_of(&of.namespace, name, &key);
        let Some(id) =
            self.settled(ids, parent, of, name, &key).await.map_err(|refusal| failure(&refusal))?
        else {
            return Ok(None);
        };
        match self.tell(id, Input::Revert, None).await {
            Ok(_) => {}
            Err(refusal) => return Err(failure(&refusal)),
        }
        loop {
            let view = self.wait(id, LOOK_EVERY).await.map_err(|refusal| failure(&refusal))?;
            match view.instance.ended() {
                Some(End::Compensated) => return Ok(None),
                Some(End::Failed) => return Err(left_behind(&view)),
                Some(End::Completed) => return Err(Outcome::Refused.into()),
                None if self.stop.is_cancelled() => return Err(Outcome::Unknown.into()),
                None => {}
            }
        }
    }

    /// Which of the ids is the child's; none if it has not begun, and then it never will.
    async fn settled(
        &self,
        ids: [SagaId; 2],
        parent: StepOf,
        of: &Beginning,
        name: &SagaName,
        key: &str,
    ) -> Result<Option<SagaId>, Refusal> {
        let beginning = Beginning {
            namespace: of.namespace.clone(),
            name: name.clone(),
            key: Some(key.to_owned()),
            turn: None,
            parent: Some(parent.id),
            trace: of.trace,
            kept: of.kept,
            defined_at: Some(parent.defined_at),
        };
        let writing = Writing {
            id: ids[0],
            beginning: &beginning,
            first: true,
            events: &[],
            server: Some(self.server),
            told: false,
            actor: None,
            problem: None,
        };
        let never = append(self.store.log(), writing.to_events(), unchanged(&ids, Position::START)).await;
        if never.is_ok() {
            return Ok(None);
        }
        for id in ids {
            match load(self.store.log(), id).await? {
                Found::Saga(_) => return Ok(Some(id)),
                Found::Never => return Ok(None),
                Found::Nothing => {}
            }
        }
        never.map(|_| None).map_err(Into::into)
    }
}

/// It is over, and something was left as it is, by a policy or by somebody.
fn left_behind(view: &View) -> Failure {
    let problem =
        format!("saga `{}` ({}) has failed: it left something as it is", view.beginning.name, view.id);
    Failure::saying(Outcome::LeftBehind, &problem)
}

fn failure(refusal: &Refusal) -> Failure {
    let outcome = match refusal.code {
        Code::SagaUnknown | Code::SagaIllegal | Code::SagaInvalid | Code::RequestInvalid => Outcome::Refused,
        Code::ServerOverloaded => Outcome::Unsent,
        _ => Outcome::Unknown,
    };
    Failure::saying(outcome, &refusal.to_string())
}
