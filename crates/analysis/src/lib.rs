//! What reasons about a user's system.
//!
//! Purpose: `manifest` (a feature, on unless it is left off) reads `tenon.yaml`, reports every problem in it with its place, and makes the
//! validated [`System`](tenon_core::manifest::System) that everything else works on. The same tables that
//! drive the reader give the JSON Schema for editors and the reference in `docs/manifest.md`. [`saga`] explores what a
//! saga of the user's can come to under every failure; [`definition`] checks one that is defined over the API.
//!
//! Left out on purpose: files, terminals and exit codes (crate `app`).

#[cfg(feature = "manifest")]
pub mod definition;
#[cfg(feature = "manifest")]
mod expressions;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod saga;
