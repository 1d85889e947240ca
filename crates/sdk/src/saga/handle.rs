//! The service's side of typed steps: the same constants by which a saga is written say what a handler is given and answers.

use super::{
    Answer, Compensatable, Participant, Pivot, Records, Retriable, SagaCall, Trouble, Undo, Undoing,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenon_core::saga::Direction;

/// A step that is never undone: a [`Pivot`], or one that is [`Retriable`].
pub trait GoesForward {
    /// What it is given.
    type Input: DeserializeOwned;
    /// What it answers.
    type Output: Serialize;
}

impl<I: DeserializeOwned, O: Serialize> GoesForward for Pivot<I, O> {
    type Input = I;
    type Output = O;
}

impl<I: DeserializeOwned, O: Serialize> GoesForward for Retriable<I, O> {
    type Input = I;
    type Output = O;
}

impl<D: Records> Participant<D> {
    /// Answers a call of a step that can be undone, to do it or to undo it, as [`run`](Self::run) does. The body is that of the
    /// request; what a path holds is not in it.
    ///
    /// What was answered when it was done is known from the record, so undoing is told it even if the saga never was.
    /// A body that cannot be read is refused.
    ///
    /// # Errors
    /// [`Trouble::Failed`].
    pub async fn step<I, O>(
        &self,
        _: &Compensatable<I, O>,
        call: &SagaCall,
        body: &[u8],
        run: impl AsyncFnOnce(&mut D::Connection, I) -> Result<O, Trouble>,
        undo: impl AsyncFnOnce(&mut D::Connection, I, Undo<O>) -> Result<(), Trouble>,
    ) -> Result<Answer, Trouble>
    where
        I: DeserializeOwned,
        O: DeserializeOwned + Serialize,
    {
        match call.direction {
            Direction::Do => self.forward(call, body, run).await,
            Direction::Undo => {
                let effect = async |connection: &mut D::Connection, answered: Option<String>| {
                    let Undoing { input, output: told } = read::<Undoing<I, Value>>(body)?;
                    let known = answered.and_then(|text| serde_json::from_str(&text).ok());
                    let told = || serde_json::from_value(told.output()?).ok();
                    undo(connection, input, known.or_else(told).into()).await?;
                    Ok(Value::Null)
                };
                self.run_knowing(call, effect).await
            }
        }
    }

    /// Answers a call of a step that is never undone, as [`run`](Self::run) does. A call to undo it is refused.
    ///
    /// # Errors
    /// [`Trouble::Failed`].
    pub async fn only_forward<S: GoesForward>(
        &self,
        _: &S,
        call: &SagaCall,
        body: &[u8],
        run: impl AsyncFnOnce(&mut D::Connection, S::Input) -> Result<S::Output, Trouble>,
    ) -> Result<Answer, Trouble> {
        match call.direction {
            Direction::Do => self.forward(call, body, run).await,
            Direction::Undo => Ok(Answer::Refused(format!("step `{}` is never undone", call.step))),
        }
    }

    async fn forward<I: DeserializeOwned, O: Serialize>(
        &self,
        call: &SagaCall,
        body: &[u8],
        run: impl AsyncFnOnce(&mut D::Connection, I) -> Result<O, Trouble>,
    ) -> Result<Answer, Trouble> {
        let effect = async |connection: &mut D::Connection, _| {
            let output = run(connection, read(body)?).await?;
            serde_json::to_value(output).map_err(Trouble::failed)
        };
        self.run_knowing(call, effect).await
    }
}

/// Reads a body; an empty one is null.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Trouble> {
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Trouble::refused(format!("the body cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
