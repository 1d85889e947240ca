//! Responses whose length two programs could read in two ways. The library would read them in one of them.

use http::{HeaderMap, header};

/// Whether a response says in one way only how long it is.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err("Content-Length is given more than once");
    }
    if length.is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err("Content-Length is not one number");
    }
    let Some(coding) = headers.get(header::TRANSFER_ENCODING) else { return Ok(()) };
    if length.is_some() {
        return Err("both Content-Length and Transfer-Encoding say how long the body is");
    }
    let only = headers.get_all(header::TRANSFER_ENCODING).iter().nth(1).is_none();
    if !only || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err("Transfer-Encoding is not exactly `chunked`");
    }
    Ok(())
}
