//! A service's side of the shop's sagas: which call of one a request is, and how that is answered.
//!
//! What a call leads to, and the record by which its repeats are known, are one append (`tenon_sdk::Aggregates::take_part`).

use crate::faults::Faults;
use crate::place;
use crate::problem::Problem;
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tenon_sdk::saga::{Answer, Direction, SagaCall, Trouble};

/// The call of a saga that a request is, if it is one.
///
/// # Errors
/// A problem (400) that names the header which is wrong.
pub fn call(headers: &HeaderMap) -> Result<Option<SagaCall>, Problem> {
    let read = SagaCall::read(|name| headers.get(name)?.to_str().ok());
    read.map_err(|error| Problem::new(400, "request.invalid", error.to_string()))
}

/// What a decision of a service is answered with: by what it led to, or by its refusal.
///
/// # Errors
/// The refusal, or that it is none for good.
pub fn told<T: Serialize>(
    call: &SagaCall,
    faults: &Faults,
    decided: Result<T, impl Into<Problem>>,
) -> Result<Value, Trouble> {
    if call.direction == Direction::Do
        && let Some(problem) = faults.refusal()
    {
        return Err(refused(problem));
    }
    match decided {
        Ok(shown) => serde_json::to_value(shown).map_err(Trouble::failed),
        Err(refusal) => Err(refused(refusal.into())),
    }
}

/// To a saga 409 says that the same call is being worked on, so a refusal is 422 there. What cannot be done now is no refusal.
fn refused(problem: Problem) -> Trouble {
    let problem = match problem.status {
        500.. => return Trouble::failed(problem),
        409 => Problem::new(422, problem.code, problem.detail),
        _ => problem,
    };
    serde_json::to_value(problem).map_or_else(Trouble::failed, |document| Trouble::problem(&document))
}

/// What is answered over HTTP.
///
/// # Errors
/// A problem: the refusal, or 503 if nobody knows.
pub fn answered(answer: Result<Answer, Trouble>) -> Result<Response, Problem> {
    match answer {
        Ok(Answer::Done(output)) => Ok((StatusCode::OK, Json(output)).into_response()),
        Ok(refusal @ Answer::Refused(_)) => {
            let body = refusal.body();
            let own = serde_json::from_value::<Problem>(body.clone());
            Err(own.unwrap_or_else(|_| Problem::new(refusal.status(), "request.refused", body.to_string())))
        }
        // Whatever it was: it may be tried again.
        Err(trouble) => Err(Problem::new(503, place::AWAY, chain(&trouble))),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
