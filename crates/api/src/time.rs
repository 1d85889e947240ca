//! Reading points in time as they are written in JSON and on command lines: RFC 3339.

use tenon_core::Timestamp;

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time from 1970 on in the form of RFC 3339, such as 2026-03-01T12:00:00Z")]
pub struct InvalidTime {
    /// The text as given, cut to 80 characters.
    pub text: String,
}

/// Reads a point in time: RFC 3339 with an offset, from 1970 on. What is finer than a microsecond is cut off, and
/// a leap second is taken as the second after it.
///
/// # Errors
/// [`InvalidTime`] if the text has another form, or names no such day or time of day.
pub fn parse(text: &str) -> Result<Timestamp, InvalidTime> {
    Reader(text)
        .point()
        .map(Timestamp::from_micros)
        .ok_or_else(|| InvalidTime { text: text.chars().take(80).collect() })
}

/// What is left of a text.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// Microseconds since the Unix epoch.
    fn point(&mut self) -> Option<u64> {
        let days = self.date()?;
        self.one_of("Tt ")?;
        let of_day = self.time_of_day()?;
        let micros = self.fraction()?;
        let offset = self.offset()?;
        if !self.0.is_empty() {
            return None;
        }
        let seconds = days.checked_mul(86_400)?.checked_add(of_day)?.checked_sub(offset)?;
        u64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(micros)
    }

    /// Days since 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.one_of("-")?;
        let month = self.number(2)?;
        self.one_of("-")?;
        let day = self.number(2)?;
        let valid = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        valid.then(|| days_from_civil(year, month, day))
    }

    /// Seconds since midnight.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.one_of(":")?;
        let minute = self.number(2)?;
        self.one_of(":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
    }

    /// Microseconds within the second.
    fn fraction(&mut self) -> Option<u64> {
        let Some(rest) = self.0.strip_prefix('.') else { return Some(0) };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        let (fraction, rest) = rest.split_at(digits);
        self.0 = rest;
        let six = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        Some(six.fold(0, |micros, digit| micros * 10 + u64::from(digit - b'0')))
    }

    /// Seconds by which the clock is ahead of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of("Zz+-")? {
            '+' => 1,
            '-' => -1,
            _ => return Some(0),
        };
        let hours = self.number(2)?;
        self.one_of(":")?;
        let minutes = self.number(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    fn one_of(&mut self, wanted: &str) -> Option<char> {
        let found = self.0.chars().next().filter(|found| wanted.contains(*found))?;
        self.0 = self.0.split_at(found.len_utf8()).1;
        Some(found)
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar from year 0 on, after Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests;
