//! Exact amounts of money.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An amount of the shop's one currency: at least 0, exact to a hundredth. In JSON a string such as
/// `"19.90"`, because a JSON number may be read as a float, which cannot hold most decimal fractions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money(Decimal);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMoney;

impl Money {
    /// An amount of so many hundredths.
    pub fn from_cents(cents: u32) -> Self {
        Self(Decimal::new(i64::from(cents), 2))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The sum; `None` if it is too large to be exact.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::exact)
    }

    /// The difference; `None` if it would be negative.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::exact)
    }

    /// So many times this; `None` if it is too large to be exact.
    pub fn times(self, count: u32) -> Option<Self> {
        self.0.checked_mul(Decimal::from(count)).and_then(Self::exact)
    }

    /// So many per thousand of this, rounded half to even as accountants do.
    pub fn per_mille(self, rate: u32) -> Option<Self> {
        let share = self.0.checked_mul(Decimal::new(i64::from(rate), 3))?;
        Self::exact(share.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven))
    }

    fn exact(value: Decimal) -> Option<Self> {
        let mut value = value.normalize();
        if value.scale() > 2 || (value.is_sign_negative() && !value.is_zero()) {
            return None;
        }
        value.rescale(2);
        // A rescale that does not fit leaves a smaller scale behind.
        (value.scale() == 2).then_some(Self(value))
    }
}

impl FromStr for Money {
    type Err = InvalidMoney;
    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let plain = text.len() <= 30 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !plain || !text.starts_with(|first: char| first.is_ascii_digit()) || text.ends_with('.') {
            return Err(InvalidMoney);
        }
        Decimal::from_str_exact(text).ok().and_then(Self::exact).ok_or(InvalidMoney)
    }
}

impl TryFrom<String> for Money {
    type Error = InvalidMoney;
    fn try_from(text: String) -> Result<Self, InvalidMoney> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

/// With two decimals, for example `19.90`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

impl fmt::Display for InvalidMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount must be a string such as \"19.90\": not negative, at most two decimals")
    }
}

impl std::error::Error for InvalidMoney {}

#[cfg(test)]
mod tests;
