//! Load shedding: which calls are refused first when a limit on requests in flight comes near.
//!
//! Each priority may use a share of the limit, the higher one no less than the lower one. So whenever a call of
//! some priority is admitted, one of a higher priority would be too; and as the limit fills, the lower ones are
//! refused while there is still room for the others. There is no state beside the limit's.

use std::fmt;

/// The header that says a request's priority, believed only from inside the mesh. An application that calls others on
/// behalf of a request passes it on.
pub const HEADER: &str = "tenon-priority";

/// How much a call matters. Higher ones are greater.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// It can be left out: prefetching, batches, recommendations.
    Sheddable,
    /// As most calls.
    #[default]
    Default,
    /// It is refused last.
    Critical,
}

impl Priority {
    /// All of them, from the lowest.
    pub const ALL: [Self; 3] = [Self::Sheddable, Self::Default, Self::Critical];

    /// As it stands in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::Default => "default",
            Self::Critical => "critical",
        }
    }

    /// The priority of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which calls may use how much of a limit. Shares above 100 are taken as 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// What calls are that don't say what they are.
    pub calls: Priority,
    /// The share of the limit that sheddable calls may fill, in percent; no more than `default`'s.
    pub sheddable: u32,
    /// The share that default calls may fill, in percent. The rest is kept for critical ones.
    pub default: u32,
}

impl Default for Rules {
    /// Sheddable calls fill no more than 70 %, others all of it.
    fn default() -> Self {
        Self { calls: Priority::Default, sheddable: 70, default: 100 }
    }
}

impl Rules {
    /// How many requests may be in flight for a call of this priority to be admitted, where `limit` may in all: at
    /// least one, if the limit is.
    pub fn share(&self, limit: u32, priority: Priority) -> u32 {
        let percent = match priority {
            Priority::Critical => 100,
            Priority::Default => self.default.min(100),
            Priority::Sheddable => self.sheddable.min(self.default).min(100),
        };
        if percent == 100 {
            return limit;
        }
        // At most `limit`, so it fits.
        (u64::from(limit) * u64::from(percent.max(1))).div_ceil(100) as u32
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
