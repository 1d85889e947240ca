//! Serde for the types of `core`, which knows nothing of serialisation: ids and addresses as their text,
//! times as RFC 3339, spans as whole milliseconds (microseconds where a request's timings are told). Reading checks, so that a value of the type is valid.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use std::fmt::Display;
use std::str::FromStr;

pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A text that may be absent.
pub(crate) mod option {
    use super::*;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A list or a set of texts.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<'a, T, C, S>(values: &'a C, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Display + 'a,
        &'a C: IntoIterator<Item = &'a T>,
        S: Serializer,
    {
        serializer.collect_seq(values.into_iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T, C, D>(deserializer: D) -> Result<C, D::Error>
    where
        T: FromStr<Err: Display>,
        C: IntoIterator<Item = T> + FromIterator<T>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// An error code.
pub(crate) mod code {
    use super::*;
    use tenon_core::Code;

    pub(crate) use super::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }

    fn parse<E: serde::de::Error>(text: &str) -> Result<Code, E> {
        Code::parse(text).ok_or_else(|| E::custom(format_args!("{text:?} is not an error code")))
    }

    /// An error code that may be absent.
    pub(crate) mod option {
        use super::*;

        pub(crate) use crate::text::option::serialize;

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Code>, D::Error> {
            Option::<String>::deserialize(deserializer)?.map(|text| parse(&text)).transpose()
        }
    }
}

/// A point in time as RFC 3339.
pub(crate) mod time {
    use super::*;
    use tenon_core::Timestamp;

    pub(crate) use super::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        crate::time::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// A point in time that may be absent.
    pub(crate) mod option {
        use super::*;

        pub(crate) use crate::text::option::serialize;

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| crate::time::parse(&text).map_err(D::Error::custom)).transpose()
        }
    }
}

/// A span of time in whole milliseconds, rounded up, so that a span that is not zero never becomes zero.
pub(crate) mod millis {
    use super::*;
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(round_up(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    pub(crate) fn round_up(span: Duration) -> u64 {
        u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// A span of time that may be absent.
    pub(crate) mod option {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(
            span: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match span {
                Some(span) => serializer.serialize_u64(round_up(*span)),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
        }
    }
}

/// A span of time in whole microseconds, rounded up.
pub(crate) mod micros {
    use super::*;
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
