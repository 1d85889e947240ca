//! `cargo xtask tidy`: what a reviewer should not have to look for.
//!
//! The quick part (formatting, crate edges, licences, file lengths, the table of `ARCHITECTURE.md`) is also
//! the first step of `cargo xtask test`; the whole adds clippy, rustdoc, and advisories where `cargo-deny` is
//! installed.

mod docs;
mod edges;
mod lengths;
mod licences;

use crate::shell::{Outcome, PROFILE, cargo, has, run};

/// Every check.
pub(crate) fn run_all() -> Outcome {
    quick()?;
    eprintln!("clippy");
    run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--profile",
        PROFILE,
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    eprintln!("documentation");
    run(cargo(&[
        "doc",
        "--quiet",
        "--profile",
        PROFILE,
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ])
    // A link may name its target in full where a reader of the source is helped by it.
    .env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::redundant_explicit_links"))?;
    if has("cargo-deny") {
        eprintln!("cargo deny");
        run(&mut cargo(&[
            "deny",
            "--offline",
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))?;
        run(&mut cargo(&["deny", "--log-level", "error", "check", "advisories"]))?;
    } else {
        eprintln!("advisories were not checked: cargo-deny is not installed (cargo install cargo-deny)");
    }
    Ok(())
}

/// The checks that need no build.
pub(crate) fn quick() -> Outcome {
    eprintln!("format, crate edges, licences, file lengths, ARCHITECTURE.md");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let mut problems = edges::problems()?;
    problems.extend(licences::problems()?);
    problems.extend(lengths::problems()?);
    problems.extend(docs::problems()?);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n  ").into()) }
}
