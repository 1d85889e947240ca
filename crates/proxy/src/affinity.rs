//! What of a request decides where hashing sends it, and the cookie for a client that has none yet.

use crate::outgoing::Outgoing;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tenon_core::balance::{Config, CookieName, HashOn, Key, key};

/// Where a request's like go.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    /// What hashing goes by; `None` if the request has nothing of the kind.
    pub(crate) key: Option<Key>,
    /// The cookie that the client is given with the response.
    cookie: Option<HeaderValue>,
}

impl Affinity {
    /// Of a request whose forwarding headers are complete.
    pub(crate) fn of(config: &Config, outgoing: &Outgoing) -> Self {
        if !config.strategy.is_hashing() {
            return Self::default();
        }
        let headers = outgoing.headers();
        let found = match &config.hash_on {
            HashOn::Path => Some(key(outgoing.path().as_bytes())),
            HashOn::Header(name) => headers.get(name.as_str()).map(|value| key(value.as_bytes())),
            HashOn::Client => client(headers).map(key),
            HashOn::Cookie { name, ttl } => match cookie(headers, name) {
                Some(value) => Some(key(value)),
                None => return Self::begin(name, *ttl),
            },
        };
        Self { key: found, cookie: None }
    }

    /// Of a client that has no cookie yet.
    fn begin(name: &CookieName, ttl: Option<Duration>) -> Self {
        let value = format!("{:016x}", fastrand::u64(..));
        let age = ttl.map(|ttl| format!("; Max-Age={}", ttl.as_secs())).unwrap_or_default();
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}");
        Self { key: Some(key(value.as_bytes())), cookie: HeaderValue::try_from(cookie).ok() }
    }

    /// Gives the client its cookie, if it has none.
    pub(crate) fn mark(self, response: &mut HeaderMap) {
        if let Some(cookie) = self.cookie {
            response.append(SET_COOKIE, cookie);
        }
    }
}

/// The address of the client, as far back as it is known.
fn client(headers: &HeaderMap) -> Option<&[u8]> {
    let all = headers.get("x-forwarded-for")?.as_bytes();
    all.split(|byte| *byte == b',').next().map(<[u8]>::trim_ascii)
}

/// The value of a cookie (RFC 6265, 5.4).
fn cookie<'a>(headers: &'a HeaderMap, name: &CookieName) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let mut pairs = fields.flat_map(|field| field.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests;
