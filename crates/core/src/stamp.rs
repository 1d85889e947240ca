//! What a log adds to an event.

use crate::id::{Actor, Position};
use crate::time::Timestamp;

/// Where, when and by whom an event was recorded: what a fold knows of it besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Its place in the log.
    pub position: Position,
    /// When, as the log's store says.
    pub time: Timestamp,
    /// Who caused it.
    pub actor: Actor,
}
