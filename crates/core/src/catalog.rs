//! The catalog: the system that was last applied, and what follows from it about services.
//!
//! Life cycle: empty until a manifest is applied, then that manifest's system until another one is. The event
//! carries the whole resolved system, so that a fold needs no parser and no default.
//!
//! Left out on purpose: reading manifests (crate `analysis`), former systems (a read of the log).

use crate::manifest::System;
use std::sync::Arc;

/// The most bytes of a manifest's text: with the system that it resolves to, it must fit into one event.
pub const MAX_TEXT: usize = 256 << 10;

/// What is applied.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    applied: Option<Applied>,
}

/// A system and the text that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The resolved system.
    pub system: Arc<System>,
    /// The manifest's text.
    pub text: Arc<str>,
}

/// What may be asked of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Replace the system.
    Apply(Applied),
}

/// What happened to the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The system was replaced.
    ManifestApplied(Applied),
}
