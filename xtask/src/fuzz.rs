//! `cargo xtask fuzz`: the fuzz targets in `fuzz/`, one after the other, with the stable toolchain.
//!
//! They are built as cargo-fuzz builds them, but without a sanitizer, which the stable compiler does not offer; the code that
//! they run is safe Rust. What is found is kept in `fuzz/artifacts/TARGET`; `--replay FILE` runs it again.

use crate::shell::{self, Outcome, cargo};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run this input, which was found before, and nothing else
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
    /// Only this target
    target: Option<String>,
}

/// A target, and what it begins with; words that make sense to it are found from there.
struct Target {
    name: &'static str,
    seeds: &'static [&'static [u8]],
}

const HTTP1: &[&[u8]] = &[
    b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PUT http://a/ HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n\0",
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc",
    b"GET / HTTP/1.0\r\nconnection: keep-alive\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
];

const TARGETS: &[Target] = &[
    Target { name: "http1", seeds: HTTP1 },
    Target { name: "http1_differential", seeds: HTTP1 },
    Target {
        name: "proxy_protocol",
        seeds: &[
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\0\x51",
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x240123456789abcdef0123456789abcdefabcd",
        ],
    },
    Target {
        name: "trace",
        seeds: &[
            b"00-12345678901234567890123456789012-1234567890123456-01",
            b"cc-12345678901234567890123456789012-1234567890123456-01-x",
            b"foo=1,bar@x=2\n baz=3 ",
        ],
    },
    Target {
        name: "detect",
        seeds: &[b"GET / HTTP/1.1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:80", b"\x16\x03\x01"],
    },
    Target { name: "deadline", seeds: &[b"99999999H", b"1500m", b"250", b"999999999999"] },
    Target {
        name: "retry_after",
        seeds: &[b"120", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Thu, 29 Feb 2024 23:59:60 GMT", b"-1", b"high"],
    },
    Target {
        name: "identity",
        seeds: &[b"spiffe://shop/ns/default/sa/order", b"spiffe://shop/gateway", b"spiffe://a.b/ns/x/sa/y/z"],
    },
    Target { name: "path", seeds: &[b"a/../%2e%2E/./b%2f", b".", b"%C3%a9/..//"] },
    Target { name: "snapshot", seeds: &[b"\x08\x01", b"\x08\x01\x12\x00\x1a\x00\x22\x00"] },
];

/// What cargo-fuzz tells the compiler, but for the sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Runs the targets; the first that fails ends it.
pub(crate) fn run(options: &Options) -> Outcome {
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|it| options.target.as_deref().is_none_or(|name| name == it.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|it| it.name).collect();
        return Err(format!("there is no such target; there are {}", names.join(", ")).into());
    }
    let programs = build()?;
    for target in chosen {
        let program = programs.join(target.name);
        match &options.replay {
            Some(input) => shell::run(Command::new(&program).arg(input))?,
            None => fuzz(target, &program, options.seconds)?,
        }
    }
    Ok(())
}

fn build() -> Outcome<PathBuf> {
    let host = shell::read(Command::new("rustc").arg("--print").arg("host-tuple"))?.trim().to_owned();
    let folder = shell::target()?.join("fuzz");
    // With a target named, programs that the build itself runs are not instrumented.
    let mut command = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--target", &host]).arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS);
    shell::run(&mut command)?;
    Ok(folder.join(host).join("release"))
}

fn fuzz(target: &Target, program: &Path, seconds: u64) -> Outcome {
    let folder = shell::root().join("fuzz");
    let (corpus, artifacts) =
        (folder.join("corpus").join(target.name), folder.join("artifacts").join(target.name));
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder)?;
    }
    for (number, seed) in target.seeds.iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{number}")), seed)?;
    }
    println!("{}: {seconds} s", target.name);
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0", "-max_len=4096"])
        .arg(&corpus);
    shell::run(&mut command)
}
