//! A gRPC call of one message that is answered by one, as HTTP/2 has it
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tenon_api::headers::GRPC_TIMEOUT;

/// How many bytes come before a message.
pub(crate) const PREFIX: usize = 5;

/// The message as the body of a request, with the headers that make a request one.
pub(crate) fn request(message: &[u8], within: Duration, headers: &mut HeaderMap) -> Bytes {
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0); // not compressed
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // At most eight digits.
    let millis = within.as_millis().min(99_999_999);
    if let Ok(timeout) = HeaderValue::try_from(format!("{millis}m")) {
        headers.insert(GRPC_TIMEOUT, timeout);
    }
    body.freeze()
}

/// The message of an answer's body, or what the body is instead.
pub(crate) fn answered(mut body: Bytes) -> Result<Bytes, &'static str> {
    if body.is_empty() {
        return Err("it answered no message");
    }
    if body.len() < PREFIX {
        return Err("its message was cut off");
    }
    let (compressed, length) = (body.get_u8(), body.get_u32());
    if compressed != 0 {
        return Err("its message is compressed, which it was not asked to be");
    }
    match usize::try_from(length).map(|length| body.len().cmp(&length)) {
        Ok(std::cmp::Ordering::Equal) => Ok(body),
        Ok(std::cmp::Ordering::Less) | Err(_) => Err("its message was cut off"),
        Ok(std::cmp::Ordering::Greater) => Err("it answered more than one message"),
    }
}
