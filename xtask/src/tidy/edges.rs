//! Which crate may depend on which: the table of `ARCHITECTURE.md`, enforced.

use crate::shell::{Outcome, root};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// A crate and those of ours that it may depend on, tests included.
const EDGES: &[(&str, &[&str])] = &[
    ("tenon-core", &[]),
    ("tenon-telemetry", &["tenon-core"]),
    ("tenon-store", &["tenon-core"]),
    ("tenon-api", &["tenon-core"]),
    ("tenon-proxy", &["tenon-core", "tenon-telemetry", "tenon-api"]),
    ("tenon-control", &["tenon-core", "tenon-store", "tenon-api", "tenon-telemetry"]),
    ("tenon-analysis", &["tenon-core", "tenon-api"]),
    ("tenon-backends", &["tenon-core", "tenon-store"]),
    ("tenon-flow", &["tenon-core", "tenon-store", "tenon-api", "tenon-telemetry"]),
    ("tenon-sdk", &["tenon-core", "tenon-store", "tenon-api"]),
    (
        "tenon",
        &[
            "tenon-core",
            "tenon-store",
            "tenon-api",
            "tenon-telemetry",
            "tenon-proxy",
            "tenon-control",
            "tenon-analysis",
            "tenon-backends",
            "tenon-flow",
        ],
    ),
    ("shop", &["tenon-core", "tenon-store", "tenon-api", "tenon-sdk"]),
    ("xtask", &["tenon-core", "tenon-api"]),
];

/// What tests may use besides: those of sagas need a database, those of the SDK need what its client calls and a database, those of the program use that client,
/// and those of the shop have the sagas of its manifest run.
const TEST_EDGES: &[(&str, &str)] = &[
    ("tenon-flow", "tenon-backends"),
    ("tenon-sdk", "tenon-flow"),
    ("tenon-sdk", "tenon-backends"),
    ("tenon", "tenon-sdk"),
    ("shop", "tenon-flow"),
    ("shop", "tenon-analysis"),
];

/// What only the feature `kit` may use, which is for tests of a service: the checker of sagas.
const KIT_EDGES: &[(&str, &str)] = &[("tenon-sdk", "tenon-analysis")];

/// What `core` must never link: it has no I/O, no clock and no randomness.
const NOT_IN_CORE: &[&str] = &["tokio", "rand", "fastrand", "getrandom", "rustix", "hyper"];

/// Drivers of databases and brokers have a crate of their own, `backends`; the SDK keeps users' read models in databases.
const ONLY_IN_BACKENDS: &[&str] = &["sqlx", "async-nats", "lapin", "redis", "rdkafka"];

/// Names that say nothing.
const NO_NAMES: &[&str] = &["common", "utils", "util", "types", "helpers", "misc"];

pub(super) fn problems() -> Outcome<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    Ok(metadata.packages.iter().flat_map(problems_of).collect())
}

fn problems_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, allowed)) = EDGES.iter().find(|(own, _)| *own == name) else {
        return vec![format!("crate {name} is not in the table of xtask/src/tidy/edges.rs")];
    };
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        let other = dependency.name.as_str();
        // A crate may be its own dependency in tests, to have a feature on there.
        let ours = other != name && EDGES.iter().any(|(own, _)| *own == other);
        let linked = dependency.kind == DependencyKind::Normal;
        let for_tests = !linked && TEST_EDGES.contains(&(name, other));
        let for_the_kit = dependency.optional && KIT_EDGES.contains(&(name, other));
        if ours && !for_tests && !for_the_kit && !allowed.contains(&other) {
            problems.push(format!("{name} may not depend on {other} (see ARCHITECTURE.md, Crates)"));
        }
        if name == "tenon-core" && linked && NOT_IN_CORE.contains(&other) {
            problems.push(format!("{name} is pure and may not depend on {other}"));
        }
        let read_models = name == "tenon-sdk" && other == "sqlx";
        if name != "tenon-backends" && !read_models && ONLY_IN_BACKENDS.contains(&other) {
            problems.push(format!("{name} may not depend on {other}: drivers live in crates/backends"));
        }
    }
    problems.extend(misplaced(package));
    problems
}

/// A crate's folder is `crates/NAME` and its package `tenon-NAME`; the binary's is `tenon`.
fn misplaced(package: &Package) -> Option<String> {
    let folder = package.manifest_path.parent()?;
    let name = folder.file_name()?;
    if folder.parent()?.file_name()? != "crates" {
        return None;
    }
    let expected = if name == "app" { "tenon".to_owned() } else { format!("tenon-{name}") };
    if NO_NAMES.contains(&name) {
        return Some(format!("crates/{name} has a name that says nothing"));
    }
    (package.name.as_str() != expected)
        .then(|| format!("the package of crates/{name} must be called {expected}, not {}", package.name))
}

#[cfg(test)]
mod tests;
