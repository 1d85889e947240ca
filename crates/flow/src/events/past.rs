//! The past: which position a point in time stands for.

use super::error::Error;
use std::sync::Arc;
use tenon_core::{Position, Timestamp};
use tenon_store::{Direction, Log, Query};

/// How far a read looks at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Up to the present end.
    Now,
    /// Up to and with this position.
    Position(Position),
    /// Up to and with the last event that was appended by then.
    Time(Timestamp),
}

/// The position that is read up to: never one that is yet to come.
pub(crate) async fn resolve(log: &Arc<dyn Log>, at: At) -> Result<Position, Error> {
    let head = log.head();
    match at {
        At::Now => Ok(head),
        At::Position(position) => Ok(position.min(head)),
        At::Time(time) => position_at(log, time, head).await,
    }
}

/// The position of the last event that was appended by then: by halving, as times never go backwards along the log.
async fn position_at(log: &Arc<dyn Log>, time: Timestamp, head: Position) -> Result<Position, Error> {
    // Every event up to `low` is as old, and none after `high` is.
    let (mut low, mut high) = (log.first().0.saturating_sub(1), head.0);
    while low < high {
        let middle = low + (high - low) / 2;
        let page = log.read(Query::everything(), Position(middle), Direction::Forward, 1).await?;
        match page.events.first() {
            Some(event) if event.position.0 <= high && event.time <= time => low = event.position.0,
            _ => high = middle,
        }
    }
    Ok(Position(low))
}

#[cfg(test)]
mod tests;
