//! Fields that belong to one connection (RFC 9110, 7.6.1) or are meant for this proxy alone.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
/// Never a field of HTTP, but the variable `HTTP_PROXY` to programs that are run by CGI's rules.
const PROXY: HeaderName = HeaderName::from_static("proxy");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The most fields that `Connection` may name; more make no sense and are not looked at.
const MAX_NAMED: usize = 32;

/// Takes out what ends here: fields of the connection, those that `Connection` names, credentials for this proxy, and
/// `Expect`, which this hop answers itself. `TE: trailers` stays, since trailers pass.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let trailers = headers.get(header::TE).is_some_and(|value| has_token(value, "trailers"));
    strip_connection(headers, |name| {
        let known = matches!(
            *name,
            header::PROXY_AUTHORIZATION | header::PROXY_AUTHENTICATE | header::EXPECT | header::TE
        );
        known || *name == PROXY || *name == HTTP2_SETTINGS
    });
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of a response what ends here.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_connection(headers, |name| {
        *name == header::PROXY_AUTHENTICATE || *name == PROXY_AUTHENTICATION_INFO
    });
}

/// The protocol that a request wants to change to, if it does (RFC 9110, 7.8). `h2c` is not one: whoever wants
/// HTTP/2 here speaks it at once.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    let protocol = headers.get(header::UPGRADE).filter(|_| asked)?;
    (!has_token(protocol, "h2c")).then(|| protocol.clone())
}

/// Puts the cookies of an HTTP/2 request, which may come in several fields, into one for HTTP/1.1 (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Values that were valid are valid when joined.
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

fn strip_connection(headers: &mut HeaderMap, ends_here: impl Fn(&HeaderName) -> bool) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let ends = |name: &&HeaderName| {
        let of_connection =
            matches!(**name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE);
        of_connection || **name == KEEP_ALIVE || **name == PROXY_CONNECTION || ends_here(name)
    };
    // Few messages hold any of them: one walk over the fields that are there costs less than looking for each that may be.
    while let Some(name) = headers.keys().find(ends).cloned() {
        headers.remove(name);
    }
}

/// The fields that `Connection` names, but for those that say how long the message is or where it goes: taking
/// these out would change what the next hop understands.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .take(MAX_NAMED)
        // What nearly all say, and no field.
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::CONTENT_TYPE))
        .collect()
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    let text: Cow<'_, str> = String::from_utf8_lossy(value.as_bytes());
    text.split(',').any(|part| part.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(token)))
}
