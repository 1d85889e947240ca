//! Holds benches only (`benches/core.rs`); `cargo xtask bench proxy` runs them.
