//! A shop that runs under Tenon, for the demo and the benches.

use crate::http::{Answer, Http};
use crate::shell::{Outcome, PROFILE, cargo, programs, root, run, target};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Builds the binary and the shop's services, in the way that the tests are built, so that nothing is built twice.
pub(crate) fn build(profile: &str) -> Outcome {
    run(&mut cargo(&["build", "--quiet", "--profile", profile, "--workspace", "--bins"]))
}

/// Where a system is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Where the manifest and the defaults say.
    Usual,
    /// On free ports.
    Free,
}

/// A running system. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct System {
    supervisor: Child,
    program: PathBuf,
    data: PathBuf,
    /// Of the API, the data plane's admin, and the gateway.
    pub(crate) urls: Urls,
    /// From the start of `tenon up` until every instance was healthy.
    pub(crate) took: Duration,
    token: String,
    http: Http,
}

/// Where a system answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Urls {
    pub(crate) api: String,
    pub(crate) admin: String,
    pub(crate) gateway: String,
}

impl System {
    /// Starts a copy of the shop in a fresh folder and waits until all of it is healthy.
    pub(crate) async fn start(name: &str, profile: &str, ports: Ports) -> Outcome<Self> {
        Self::start_in(&fresh_copy_of_the_shop(name)?, profile, ports).await
    }

    /// Starts what the manifest in a folder says, and waits until all of it is healthy.
    pub(crate) async fn start_in(folder: &Path, profile: &str, ports: Ports) -> Outcome<Self> {
        let data = folder.join(".tenon");
        let program = programs(profile)?.join("tenon");
        let mut command = Command::new(&program);
        command.arg("up").arg("--file").arg(folder.join("tenon.yaml")).arg("--data").arg(&data);
        if ports == Ports::Free {
            command.args(["--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
            command.args(["--gateway", "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let begun = Instant::now();
        let supervisor = command.spawn()?;
        let (token, http) = (String::new(), Http::new());
        let mut system =
            Self { supervisor, program, data, urls: Urls::default(), took: Duration::ZERO, token, http };
        system.wait_until_ready(Duration::from_secs(60)).await?;
        system.took = begun.elapsed();
        Ok(system)
    }

    /// `GET` on the API.
    pub(crate) async fn api(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    /// Any call of the API with a body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, Some(body)).await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let url = format!("{}{path}", self.urls.api);
        self.http.send(method, &url, &[("authorization", &bearer)], body).await
    }

    /// What opens the API.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A `tenon` command on this system; answers with what it prints.
    pub(crate) fn tenon(&self, arguments: &[&str]) -> Outcome<String> {
        crate::shell::read(Command::new(&self.program).args(arguments).arg("--data").arg(&self.data))
    }

    /// The instances of a service.
    pub(crate) async fn instances(&self, service: &str) -> Vec<Value> {
        let answer = self.api(&format!("/v1/services/{service}/instances")).await.json();
        answer["instances"].as_array().cloned().unwrap_or_default()
    }

    /// The folder with the manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// The supervisor's process id.
    pub(crate) fn supervisor_pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// The process that has a role, such as `server`.
    pub(crate) fn role(&self, role: &str) -> Outcome<u32> {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.supervisor.id()))?;
        let is_role = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes())
        };
        let mut pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.find(is_role).ok_or_else(|| format!("no process is the {role}").into())
    }

    /// Ends the system as Ctrl-C would, and waits for it.
    pub(crate) fn end(&mut self) {
        if matches!(self.supervisor.try_wait(), Ok(None)) {
            signal(self.supervisor.id(), "TERM");
            let _ = self.supervisor.wait();
        }
    }

    async fn wait_until_ready(&mut self, most: Duration) -> Outcome {
        let deadline = Instant::now() + most;
        loop {
            if let Some(status) = self.supervisor.try_wait()? {
                return Err(format!("tenon up ended ({status})").into());
            }
            if self.is_ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not everything is healthy after {most:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn is_ready(&mut self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data.join("run").join("endpoints.json")) else {
            return false;
        };
        let Ok(token) = std::fs::read_to_string(self.data.join("keys").join("api-token")) else {
            return false;
        };
        let endpoints: Value = serde_json::from_str(&text).unwrap_or_default();
        let url = |name: &str| endpoints[name].as_str().unwrap_or_default().to_owned();
        self.urls = Urls { api: url("api"), admin: url("admin"), gateway: url("gateway") };
        token.trim().clone_into(&mut self.token);
        self.is_complete().await
    }

    /// Whether as many instances of every service are healthy as there should be.
    pub(crate) async fn is_complete(&self) -> bool {
        let services = self.api("/v1/services").await.json();
        services["services"]
            .as_array()
            .is_some_and(|services| !services.is_empty() && services.iter().all(has_all))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether as many instances are healthy as there should be.
fn has_all(service: &Value) -> bool {
    let healthy = service["healthy"].as_u64().unwrap_or(0);
    healthy > 0 && service["replicas"].as_u64().is_none_or(|replicas| healthy == replicas)
}

/// Sends a signal by its name to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
}

fn fresh_copy_of_the_shop(name: &str) -> Outcome<PathBuf> {
    let folder = target()?.join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let shop = root().join("examples").join("shop");
    for part in ["tenon.yaml", "recommendation", "notification", "loyalty"] {
        copy(&shop.join(part), &folder.join(part))?;
    }
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Outcome {
    if !from.is_dir() {
        std::fs::create_dir_all(to.parent().unwrap_or(to))?;
        std::fs::copy(from, to)?;
        return Ok(());
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The profile that the demo runs.
pub(crate) const DEMO_PROFILE: &str = PROFILE;
