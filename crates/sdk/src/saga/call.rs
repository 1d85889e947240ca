//! A call of a saga, as its headers say.

use http::HeaderName;
use tenon_api::headers;
use tenon_core::SagaId;
use tenon_core::saga::barrier::Ask;
use tenon_core::saga::{Direction, StepName};

/// A call that a saga makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaCall {
    /// The saga.
    pub saga: SagaId,
    /// Its step.
    pub step: StepName,
    /// Whether it is to be done or undone.
    pub direction: Direction,
    /// How often the step was refused and is tried under a new key.
    pub round: u32,
    /// Which attempt at the step it is, over both directions. It means nothing to the outcome.
    pub attempt: u32,
}

/// Why a request that claims to be a saga's call is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {header} must be {expected}; it is {found:?}")]
pub struct InvalidCall {
    header: String,
    expected: &'static str,
    found: Option<String>,
}

impl SagaCall {
    /// Reads the headers of a request, each by its name in lower case; none if no saga has made it.
    ///
    /// # Errors
    /// [`InvalidCall`] names the header that is missing or wrong.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Self>, InvalidCall> {
        let found = |name: &HeaderName| header(name.as_str());
        let Some(saga) = found(&headers::SAGA) else { return Ok(None) };
        let wrong = |name: HeaderName, expected| {
            let found = found(&name).map(str::to_owned);
            InvalidCall { header: name.to_string(), expected, found }
        };
        let number = |name: HeaderName| {
            let number = found(&name).and_then(|text| text.parse().ok());
            number.ok_or_else(|| wrong(name, "a number"))
        };
        let step = found(&headers::SAGA_STEP).and_then(|text| StepName::new(text).ok());
        Ok(Some(Self {
            saga: saga.parse().map_err(|_| wrong(headers::SAGA, "a saga's id"))?,
            step: step.ok_or_else(|| wrong(headers::SAGA_STEP, "a step's name"))?,
            direction: match found(&headers::SAGA_DIRECTION) {
                Some("do") => Direction::Do,
                Some("undo") => Direction::Undo,
                _ => return Err(wrong(headers::SAGA_DIRECTION, "`do` or `undo`")),
            },
            round: number(headers::SAGA_ROUND)?,
            attempt: number(headers::SAGA_ATTEMPT)?,
        }))
    }

    /// What the barrier is asked.
    pub(crate) fn ask(&self) -> Ask {
        match self.direction {
            Direction::Do => Ask::Do(self.round),
            Direction::Undo => Ask::Undo,
        }
    }
}
