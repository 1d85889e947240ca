//! Reading and checking `tenon.yaml`.
//!
//! Life cycle of a manifest: its text becomes a tree in which every node knows its place (`tree`); the tree
//! is held against the tables of the format (`format`, `form`), which finds unknown keys, wrong types and
//! values of a wrong form; a [`System`] is built of it (`build`); then the system as a whole is checked
//! (`checks`). No step stops at the first problem, and only a manifest without errors gives a system.
//!
//! The tables are the one description of the format: [`schema()`] and [`reference()`] are made from them too.
//!
//! Bounds: a manifest has at most 1 MiB, 100,000 values after aliases are resolved, 64 levels, and 500
//! problems are kept. The time that reading takes is bounded by these.
//!
//! Left out on purpose: interpolation of variables, includes and several documents in one file. Of the files that a manifest may name,
//! only those are read that say what gRPC methods are given and answer (`protos`).

mod build;
mod checks;
pub(crate) mod expression;
mod finding;
mod form;
mod format;
mod path;
mod problems;
mod protos;
mod reference;
mod report;
mod schema;
pub(crate) mod source;
pub(crate) mod suggest;
mod tree;

pub use finding::Finding;
pub use format::{duration, memory_bytes, shortest};
pub use protos::{Files, descriptors};
pub use reference::reference;
pub use report::{Note, Place, Problem, Report, Severity, Style};
pub use schema::schema;

use problems::Problems;
use source::Source;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenon_core::manifest::System;

/// Reads a manifest that names no files. `name` is what the report calls it, usually its file's path.
///
/// The system is there if and only if the report has no errors; it may have warnings. Never panics, whatever
/// the text.
pub fn read(text: &str, name: &str) -> (Option<System>, Report) {
    let none: Arc<dyn Files> = Arc::new(BTreeMap::new());
    read_with(text, name, &none)
}

/// The same with the files that it names.
pub fn read_with(text: &str, name: &str, files: &Arc<dyn Files>) -> (Option<System>, Report) {
    let source = Source::new(text);
    let mut problems = Problems::new(&source);
    let system = tree::load(&source, &mut problems).map(|root| {
        form::check(&root, &mut problems);
        let protos = protos::compile(&root, files, &mut problems);
        let system = build::system(&root, &protos);
        checks::names(&root, &protos, &mut problems);
        if !problems.has_errors() {
            checks::sums(&system, &root, &mut problems);
        }
        system
    });
    let report = problems.into_report(name);
    (system.filter(|_| !report.has_errors()), report)
}

#[cfg(test)]
mod tests;
