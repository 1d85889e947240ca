//! Restate, from npm, with its TypeScript SDK: a server, and a process that holds the steps.

use crate::http::Http;
use crate::prepare;
use crate::shell::{Outcome, has, root, run, target};
use serde_json::json;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: [&str; 2] = ["@restatedev/restate-server@1.7", "@restatedev/restate-sdk@1"];

/// A server with one service. Dropping it ends both processes.
pub(super) struct Restate {
    server: Child,
    service: Child,
    ingress: u16,
}

impl Restate {
    pub(super) async fn start() -> Outcome<Self> {
        let packages = installed()?;
        let data = target()?.join("bench-saga").join("restate");
        crate::bench::log::remove(&data)?;
        std::fs::create_dir_all(&data)?;
        let [ingress, admin, node, port] = free_ports()?;
        let service = Command::new(prepare::node_with_proxy_support()?)
            .arg(root().join("bench").join("saga").join("trip.mjs"))
            .arg(&packages)
            .arg(port.to_string())
            .env("RESTATE_LOGGING", "ERROR")
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let server = Command::new(program(&packages)?)
            .env("RESTATE_BASE_DIR", &data)
            .env("RESTATE_INGRESS__BIND_ADDRESS", address(ingress))
            .env("RESTATE_ADMIN__BIND_ADDRESS", address(admin))
            .env("RESTATE_BIND_ADDRESS", address(node))
            .env("RESTATE_ADVERTISED_ADDRESS", format!("http://{}", address(node)))
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let restate = Self { server: ended_on_failure(server, service.id())?, service, ingress };
        register(admin, port).await?;
        Ok(restate)
    }

    /// Where a saga is started, which is answered when it has ended.
    pub(super) fn url(&self) -> String {
        format!("http://{}/trip/run", address(self.ingress))
    }

    /// The server's process; the steps are in another.
    pub(super) fn pid(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Restate {
    fn drop(&mut self) {
        for process in [&mut self.server, &mut self.service] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A server that does not start must not leave the service behind.
fn ended_on_failure(server: std::io::Result<Child>, service: u32) -> Outcome<Child> {
    server.map_err(|error| {
        crate::system::signal(service, "KILL");
        format!("cannot run Restate's server: {error}").into()
    })
}

/// Tells the server where the service is, as soon as both answer.
async fn register(admin: u16, service: u16) -> Outcome {
    let (http, url) = (Http::new(), format!("http://{}/deployments", address(admin)));
    let deployment = json!({"uri": format!("http://{}", address(service))});
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = http.send("POST", &url, &[], Some(&deployment)).await;
        if answer.is_success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("Restate does not take the service: {}", answer.text()).into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The folder that holds the packages.
fn installed() -> Outcome<PathBuf> {
    let folder = target()?.join("peers").join("restate");
    if folder.join("node_modules").join("@restatedev").join("restate-sdk").is_dir() {
        return Ok(folder);
    }
    if !has("npm") {
        prepare::install(&["npm"])?;
    }
    std::fs::create_dir_all(&folder)?;
    run(Command::new("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"])
        .arg("--prefix")
        .arg(&folder)
        .args(PACKAGES)
        .current_dir(&folder))?;
    Ok(folder)
}

fn program(packages: &Path) -> Outcome<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let package = format!("restate-server-linux-{architecture}");
    let program = packages.join("node_modules").join("@restatedev").join(package);
    let program = program.join("bin").join("restate-server");
    if program.is_file() { Ok(program) } else { Err("Restate has no server for this machine".into()) }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Held together until all are found, so that none is found twice.
fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
