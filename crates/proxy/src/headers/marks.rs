//! What the hops of the mesh tell each other of a request and of its answer. An application passes on what it is told, in both
//! directions, or else the next hop begins anew.

use super::Trust;
use http::{HeaderMap, HeaderName, HeaderValue};
use tenon_api::headers::{ATTEMPT, ERROR, PRIORITY, RETRY};
use tenon_core::priority::Priority;
use tenon_core::retry::NO_RETRY;
use tenon_core::retry::after::PUSHBACK_HEADER;

const ATTEMPT_NAME: HeaderName = HeaderName::from_static(ATTEMPT);
const PRIORITY_NAME: HeaderName = HeaderName::from_static(PRIORITY);
const RETRY_NAME: HeaderName = HeaderName::from_static(RETRY);
const PUSHBACK_NAME: HeaderName = HeaderName::from_static(PUSHBACK_HEADER);

/// What a request says of itself.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Whether it is another try of a request that failed further up.
    pub(crate) repetition: bool,
    /// How much it matters, if it says so.
    pub(crate) priority: Option<Priority>,
}

impl Marks {
    /// What a request's headers say. A stranger's are taken out.
    pub(crate) fn of(headers: &mut HeaderMap, trust: Trust) -> Self {
        if trust == Trust::Stranger {
            headers.remove(ATTEMPT_NAME);
            headers.remove(PRIORITY_NAME);
            return Self::default();
        }
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        Self {
            repetition: text(ATTEMPT_NAME).and_then(|text| text.parse::<u32>().ok()).is_some_and(|it| it > 1),
            priority: text(PRIORITY_NAME).and_then(Priority::parse),
        }
    }
}

/// Says in a request which try it is.
pub(crate) fn set_attempt(headers: &mut HeaderMap, number: u32) {
    headers.insert(ATTEMPT_NAME, HeaderValue::from(number));
}

/// Says in a request how much it matters.
pub(crate) fn set_priority(headers: &mut HeaderMap, priority: Priority) {
    headers.insert(PRIORITY_NAME, HeaderValue::from_static(priority.as_str()));
}

/// Says in an answer that it is not worth another try.
pub(crate) fn set_no_retry(headers: &mut HeaderMap, grpc: bool) {
    headers.insert(RETRY_NAME, HeaderValue::from_static(NO_RETRY));
    if grpc {
        // What gRPC's own clients understand.
        headers.insert(PUSHBACK_NAME, HeaderValue::from_static("-1"));
    }
}

/// Takes out of an application's answer what only the mesh may say: that it is the mesh's own, and why. An application that passes
/// on what it was answered itself would say that it was never asked.
pub(crate) fn strip_claim(headers: &mut HeaderMap) {
    if headers.get(ERROR).is_some_and(|code| code.as_bytes().starts_with(b"mesh.")) {
        headers.remove(ERROR);
    }
}

/// Whether an answer says that it is not worth another try.
pub(crate) fn says_no_retry(headers: &HeaderMap) -> bool {
    headers.get(RETRY_NAME).is_some_and(|value| value.as_bytes() == NO_RETRY.as_bytes())
}

/// What gRPC's pushback says, if there is one.
pub(crate) fn pushback(headers: &HeaderMap) -> Option<&str> {
    // What is not text is no number of milliseconds.
    headers.get(PUSHBACK_NAME).map(|value| value.to_str().unwrap_or_default())
}
