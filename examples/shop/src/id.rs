//! The shop's names and ids, each a type of its own. All are safe to stand in a URL's path as they are.

use crate::problem::Problem;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most characters that an id may have.
const MAX_CHARS: usize = 128;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads and checks an id.
            ///
            /// # Errors
            /// A problem (400) that says what form is expected.
            pub fn new(text: impl Into<String>) -> Result<Self, Problem> {
                let text = text.into();
                if is_plain(&text) {
                    return Ok(Self(text));
                }
                Err(Problem::new(400, "request.invalid-id", format!(
                    "{} {:?} must have 1 to {MAX_CHARS} characters of A-Z, a-z, 0-9, '.', '_' and '-'",
                    $kind, text.chars().take(40).collect::<String>(),
                )))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Problem;
            fn try_from(text: String) -> Result<Self, Problem> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An order.
    OrderId, "order id"
}

id! {
    /// A payment: the idempotency key that it was requested with.
    PaymentId, "payment id"
}

id! {
    /// A stock keeping unit: what can be ordered.
    Sku, "SKU"
}

id! {
    /// Who orders.
    Customer, "customer"
}

id! {
    /// What is charged. The shop's cards are names of accounts, never real card numbers.
    Card, "card"
}

id! {
    /// Names a request, so that it may be sent again and still have its effect once (the header
    /// `Idempotency-Key` of draft-ietf-httpapi-idempotency-key-header).
    IdempotencyKey, "idempotency key"
}

impl OrderId {
    /// A new id; later ones sort after earlier ones of the same process.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl PaymentId {
    /// A new id for a payment that was requested without a key.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl From<IdempotencyKey> for PaymentId {
    fn from(key: IdempotencyKey) -> Self {
        Self(key.0)
    }
}

/// What is done for an order once has the order's id as its key.
impl From<OrderId> for IdempotencyKey {
    fn from(order: OrderId) -> Self {
        Self(order.0)
    }
}

/// A part of another key that is the request's own.
impl From<IdempotencyKey> for OrderId {
    fn from(key: IdempotencyKey) -> Self {
        Self(key.0)
    }
}

impl IdempotencyKey {
    /// The header that carries a key.
    pub const HEADER: &str = "idempotency-key";

    /// The key of a request, if it has one; quotes around it (the draft's form) are dropped.
    ///
    /// # Errors
    /// A problem (400) if the header holds no key of the accepted form.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(Self::HEADER) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        Self::new(text.trim_matches('"')).map(Some)
    }
}

fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // "." and ".." would be path segments with a meaning of their own.
    (1..=MAX_CHARS).contains(&text.len())
        && text.bytes().all(allowed)
        && text.bytes().any(|byte| byte != b'.')
}
