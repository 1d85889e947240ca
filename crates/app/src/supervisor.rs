//! The small process that owns all others: the server, the data plane, and the services' instances.
//!
//! Purpose: whatever else crashes, traffic flows and nothing is orphaned. It holds no rules: the server decides
//! what runs and asks for it over a Unix socket ([`link`]); the supervisor starts, ends and reports
//! ([`services`]), keeps the output ([`output`]), and restarts the server and the data plane when they end
//! ([`role`]).
//!
//! Life cycle: [`Supervisor::start`]; then it runs until [`Supervisor::end`], which drains the data plane, ends
//! the services, and last the server, so that every ending is in the log. If it dies instead, its children
//! are killed by the kernel and the reaper ([`shim`], [`reaper`]).
//!
//! One thread: everything here is `!Send` and runs on the main thread's runtime.

mod link;
mod output;
mod process;
pub(crate) mod reaper;
mod role;
mod services;
pub(crate) mod shim;

use crate::cli;
use crate::cli::GatewayAt;
use crate::data_dir::DataDir;
use crate::log_choice::{LOG_URL, LogUrl};
use crate::session;
pub(crate) use output::last_line;
use process::{Launcher, Program};
use role::{Renewal, keep_running};
use services::Services;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long an instance may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// So many ends in a row, each soon after the start, mean that the next start will fail like those before.
const HOPELESS: u32 = 3;

/// The server's output in the data folder's `logs`.
pub(crate) const SERVER_LOG: &str = "tenon.server.log";

/// The data plane's.
pub(crate) const PROXY_LOG: &str = "tenon.proxy.log";

/// What to supervise.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The data folder, locked by this process.
    pub(crate) data: DataDir,
    /// Where relative working directories start.
    pub(crate) manifest_folder: PathBuf,
    /// Where the API listens.
    pub(crate) api: SocketAddr,
    /// Names, besides those that mean this machine, that the API answers to.
    pub(crate) api_hosts: Vec<String>,
    /// Where the data plane's admin listens.
    pub(crate) admin: SocketAddr,
    /// Where the gateway listens.
    pub(crate) gateway: GatewayAt,
    /// Whether it speaks TLS there.
    pub(crate) gateway_tls: bool,
    /// The database that keeps the log, if the data folder does not.
    pub(crate) log: Option<LogUrl>,
    /// What of users' events is kept.
    pub(crate) keep: cli::Keep,
}

/// A running system.
#[derive(Debug)]
pub(crate) struct Supervisor {
    launcher: Rc<Launcher>,
    reaper: JoinHandle<()>,
    services: Rc<Services>,
    closing: watch::Sender<bool>,
    stop_server: watch::Sender<bool>,
    stop_proxy: watch::Sender<bool>,
    renew_proxy: watch::Sender<u64>,
    server_failures: watch::Receiver<u32>,
    server: JoinHandle<()>,
    proxy: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the reaper, the server and the data plane. Call within a local runtime on the main thread.
    pub(crate) fn start(settings: &Settings) -> io::Result<Self> {
        let launcher = Rc::new(Launcher::new()?);
        let logs = settings.data.logs();
        let services = Services::new(Rc::clone(&launcher), settings.manifest_folder.clone(), logs);
        let listener = link::listen(&settings.data.supervisor_socket())?;
        let (closing, closes) = watch::channel(false);
        tokio::task::spawn_local(link::serve(listener, Rc::clone(&services), closes));
        let reaper = tokio::task::spawn_local(watch_reaper(Rc::clone(&launcher)));
        let (stop_server, stops_server) = watch::channel(false);
        let (stop_proxy, stops_proxy) = watch::channel(false);
        let (failed_server, server_failures) = watch::channel(0);
        let (failed_proxy, _) = watch::channel(0);
        let server = keep_running(
            "server",
            settings.server()?,
            None,
            Rc::clone(&launcher),
            failed_server,
            stops_server,
        );
        let (renew_proxy, renews_proxy) = watch::channel(0);
        let renewal = Renewal {
            asked: renews_proxy,
            successor: settings.next_proxy()?,
            serving: settings.data.proxy_pid_file(),
            coming: None,
        };
        let proxy = keep_running(
            "proxy",
            settings.proxy()?,
            Some(renewal),
            Rc::clone(&launcher),
            failed_proxy,
            stops_proxy,
        );
        Ok(Self {
            launcher,
            reaper,
            services,
            closing,
            stop_server,
            stop_proxy,
            renew_proxy,
            server_failures,
            server: tokio::task::spawn_local(server),
            proxy: tokio::task::spawn_local(proxy),
        })
    }

    /// To have the data plane replaced by a new process, which takes over from it: whenever the number changes.
    pub(crate) fn renewal(&self) -> watch::Sender<u64> {
        self.renew_proxy.clone()
    }

    /// Returns when the server has ended soon after its start so often that it will hardly ever start. Cancel safe.
    pub(crate) async fn server_fails_to_start(&self) {
        let mut failures = self.server_failures.clone();
        if failures.wait_for(|count| *count >= HOPELESS).await.is_err() {
            // Nobody starts it any more: the system is ending, and whoever waits is told otherwise.
            std::future::pending::<()>().await;
        }
    }

    /// Ends everything: first the data plane, which finishes what is in flight, then the services, then the
    /// server, which has by then recorded how each of them ended.
    pub(crate) async fn end(self) {
        self.closing.send_replace(true);
        self.stop_proxy.send_replace(true);
        let _ = self.proxy.await;
        self.services.end_all(GRACE).await;
        self.stop_server.send_replace(true);
        let _ = self.server.await;
        self.reaper.abort();
        if let Err(error) = self.launcher.end_reaper() {
            tracing::warn!(%error, "the reaper cannot be ended");
        }
    }
}

impl Settings {
    fn server(&self) -> io::Result<Program> {
        let mut command = self.role("server")?;
        command.extend(["--listen".into(), self.api.to_string()]);
        command.extend(["--supervisor".into(), self.data.supervisor_socket().display().to_string()]);
        for name in &self.api_hosts {
            command.extend(["--api-host".into(), name.clone()]);
        }
        command.extend(self.gateway.arguments());
        command.extend(self.keep.arguments());
        let mut program = self.program(command, SERVER_LOG);
        // By its environment, which only its own user sees.
        program.env.extend(self.log.as_ref().map(|url| (LOG_URL.to_owned(), url.secret().to_owned())));
        Ok(program)
    }

    fn proxy(&self) -> io::Result<Program> {
        let mut command = self.role("proxy")?;
        command.extend(["--api".into(), session::url_of(self.api)]);
        command.extend(["--admin-listen".into(), self.admin.to_string()]);
        Ok(self.program(command, PROXY_LOG))
    }

    /// The data plane that takes over from the one that runs.
    fn next_proxy(&self) -> io::Result<Program> {
        let mut program = self.proxy()?;
        program.command.push("--takeover".into());
        Ok(program)
    }

    fn role(&self, role: &str) -> io::Result<Vec<String>> {
        let own = std::env::current_exe()?.display().to_string();
        Ok(vec![own, role.into(), "--data".into(), self.data.root().display().to_string()])
    }

    fn program(&self, command: Vec<String>, log: &str) -> Program {
        Program {
            command,
            directory: self.manifest_folder.clone(),
            env: BTreeMap::new(),
            hidden: services::OWN_VARIABLES.map(str::to_owned).to_vec(),
            log: self.data.logs().join(log),
        }
    }
}

/// Sees to it that there is a reaper.
async fn watch_reaper(launcher: Rc<Launcher>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = launcher.ensure_reaper() {
            tracing::error!(%error, "there is no reaper: services may outlive a supervisor that is killed");
        }
    }
}
