//! When an answer says to come back: `Retry-After` (RFC 9110, 10.2.3), in seconds or as a date, and gRPC's
//! `grpc-retry-pushback-ms` (gRFC A6).

use super::Advice;
use crate::time::Timestamp;
use std::time::Duration;

/// gRPC's header and trailer: milliseconds, or anything else for "not at all".
pub const PUSHBACK_HEADER: &str = "grpc-retry-pushback-ms";

/// What a `Retry-After` says at `now`, a Unix time. Nothing, if it is neither form.
pub fn retry_after(text: &str, now: Timestamp) -> Advice {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is longer than anybody waits.
        return Advice::After(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let Some(seconds) = http_date(text) else { return Advice::Nothing };
    let at = Timestamp::from_millis(seconds.saturating_mul(1_000));
    Advice::After(at.since(now))
}

/// What gRPC's pushback says.
pub fn pushback(text: &str) -> Advice {
    text.parse().map_or(Advice::Never, |millis| Advice::After(Duration::from_millis(millis)))
}

/// The seconds from 1970 to an `IMF-fixdate` (RFC 9110, 5.6.7), for example `Sun, 06 Nov 1994 08:49:37 GMT`. The
/// obsolete forms are not read.
fn http_date(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = digits(parts.next()?, 2)?;
    let month = parts.next().and_then(|name| MONTHS.iter().position(|month| *month == name))? as u64 + 1;
    let year = digits(parts.next()?, 4)?;
    let mut clock = parts.next()?.split(':');
    let hour = digits(clock.next()?, 2)?;
    let minute = digits(clock.next()?, 2)?;
    let second = digits(clock.next()?, 2)?;
    let complete = parts.next() == Some("GMT") && parts.next().is_none() && clock.next().is_none();
    let within = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60 && year >= 1970;
    if !(complete && within) {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The number that exactly so many digits stand for.
fn digits(text: &str, count: usize) -> Option<u64> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date from then on, after Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests;
