//! A request's path in its one spelling ([`tenon_core::path`]).

use http::Uri;
use http::uri::PathAndQuery;
use tenon_core::path::{self, MalformedEscape};

/// The URI with its path in its one spelling; `None` if it is that already.
///
/// # Errors
/// [`MalformedEscape`].
pub(crate) fn normalise(uri: &Uri) -> Result<Option<Uri>, MalformedEscape> {
    let Some(spelled) = path::normalise(uri.path())? else { return Ok(None) };
    let text = match uri.query() {
        None => spelled,
        Some(query) => format!("{spelled}?{query}"),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| MalformedEscape)?);
    Uri::from_parts(parts).map(Some).map_err(|_| MalformedEscape)
}

#[cfg(test)]
mod tests;
