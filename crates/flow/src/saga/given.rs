//! Whether something that somebody gives can be used: the input of a saga that starts, what is to be sent instead to a step that waits, and
//! what one that was done by hand answers.

use super::participants::sendable;
use super::{MAX_DATA, Shared, View, invalid};
use serde_json::Value;
use tenon_core::saga::{At, Data, Definition, StepIx, UndoWork, Work};
use tenon_core::{Refusal, SagaId};

/// How many of the fields that a saga has are named to whoever did not know them.
const MOST_NAMED: usize = 20;

/// Whether a saga can be started with an input.
pub(super) fn fits(definition: &Definition, input: &Value) -> Result<(), Refusal> {
    misfit(definition, input).map_or(Ok(()), |problem| Err(invalid(format!("input: {problem}"))))
}

/// Why a saga cannot be started with an input, if so.
fn misfit(definition: &Definition, input: &Value) -> Option<String> {
    let stated = definition.input.as_ref()?;
    let problem = match input {
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            stated.misfit(&names)?.to_string()
        }
        // Who gives nothing gives no fields.
        Value::Null => stated.misfit(&[])?.to_string(),
        _ => "it is no object".to_owned(),
    };
    let mut fields: Vec<String> = stated.written().take(MOST_NAMED + 1).collect();
    if fields.len() > MOST_NAMED {
        fields.truncate(MOST_NAMED);
        fields.push("…".to_owned());
    }
    let fields = if fields.is_empty() { "no fields".to_owned() } else { fields.join(", ") };
    Some(format!("{problem}; saga `{}` is given {fields}", definition.name))
}

/// Whether what a step is to be sent, or was answered by hand, has no more bytes than it may.
pub(super) fn bounded(data: &Data) -> Result<(), Refusal> {
    match data.as_str().len() {
        0..=MAX_DATA => Ok(()),
        bytes => Err(invalid(format!("data: it has {bytes} bytes; {MAX_DATA} is the most"))),
    }
}

impl Shared {
    /// Whether what a step that waits is to be sent instead can be sent.
    pub(super) async fn can_send(&self, id: SagaId, step: StepIx, data: &Data) -> Result<(), Refusal> {
        let View { beginning, saga, instance, .. } = self.view(id).await?;
        let Some(of) = saga.get(step).filter(|_| instance.at(step).is_parked()) else { return Ok(()) };
        let known = self.definitions.version(instance.version()).await?;
        let input = serde_json::from_str(data.as_str());
        let input: Value = input.map_err(|error| invalid(format!("data: {error}")))?;
        let undo = of.undo.as_ref().map(|undo| &undo.work);
        let called = match (instance.at(step), undo, &of.work) {
            (At::UndoParked, Some(UndoWork::Call { action, .. }), _) => Some(action),
            (At::UndoParked, _, _) => None,
            (_, _, Work::Call { action, .. }) => Some(action),
            (_, _, Work::Child(_) | Work::Signal { .. } | Work::Timer(_)) => None,
        };
        let problem = match (called, &of.work) {
            _ if data.as_str().len() > MAX_DATA => {
                Some(format!("it has {} bytes; {MAX_DATA} is the most", data.as_str().len()))
            }
            (Some(action), _) => sendable(action, known.methods.called(action).as_deref(), &input).err(),
            (None, Work::Child(name)) if instance.at(step) != At::UndoParked => {
                let child = self.definitions.get(&beginning.namespace, name);
                child.and_then(|child| misfit(child.saga.definition(), &input))
            }
            (None, _) => {
                Some("nothing is sent there; try it again, or say that it was done by hand".to_owned())
            }
        };
        match problem {
            None => Ok(()),
            Some(problem) => {
                Err(invalid(format!("data: {problem}, so step `{}` cannot be sent it", of.name)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
