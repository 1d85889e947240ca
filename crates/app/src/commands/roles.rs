//! `tenon server` and `tenon proxy`: the two roles, each a process of its own.

use crate::bus::{Mesh, follow_manifest};
use crate::cli::{self, Global};
use crate::data_dir::DataDir;
use crate::failure::{Failure, Outcome, chain};
use crate::log_choice::OpenLog;
use crate::logging;
use crate::saga::{self, Reached};
use crate::session;
use rustix::process::setpriority_process;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tenon_analysis::manifest::{self, Files, Problem};
use tenon_api::http::{Finding, Severity};
use tenon_control::{Keys, Manifest, OwnSidecar, ReadManifest, Server, ServerConfig};
use tenon_core::Code;
use tenon_core::availability::Locality;
use tenon_flow::bus::push::push;
use tenon_flow::saga::participants::OverHttp;
use tenon_flow::vault::{KeyRing, Vault, VaultError};
use tenon_flow::{Bus, BusOptions, EventStore, EventStoreOptions, SagaOptions, Sagas, metrics};
use tenon_proxy::handover::{self, Inheritance, TakeoverError};
use tenon_proxy::{Plane, PlaneConfig, subscribe};
use tenon_store::{Log, system_clock};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long requests in hand may take when a data plane ends.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// Runs the log, the control plane and the API until told to end.
pub(crate) fn server(global: &Global, options: &cli::Server) -> Outcome {
    let data = open_data(global)?;
    logging::to_stderr("info");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(&data, options))
}

async fn serve(data: &DataDir, options: &cli::Server) -> Outcome {
    let keys = Keys::open(&data.keys()).map_err(|error| Failure::new(Code::Internal, chain(&error)))?;
    let log = OpenLog::open(&options.log, &data.log()).await?;
    let vault = open_vault(data, log.port()).await?;
    let events = EventStore::with_vault(vault, EventStoreOptions::default());
    let driving = BusOptions { leases: log.leases(), ..BusOptions::default() };
    let bus = Bus::start(&events, driving.clone())
        .await
        .map_err(|refusal| Failure::new(refusal.code, refusal.detail))?;
    let (found, reached) = Reached::soon();
    let driving = SagaOptions { leases: log.leases(), server: driving.server, clock: system_clock() };
    let sagas = Sagas::start(&events, Arc::new(OverHttp(reached)), driving)
        .await
        .map_err(|refusal| Failure::new(refusal.code, refusal.detail))?;
    sagas.check_definitions(tenon_analysis::definition::check);
    let config = ServerConfig {
        listen: options.listen,
        hosts: options.api_host.iter().cloned().collect(),
        log: log.port(),
        leases: log.leases(),
        keys,
        supervisor: options.supervisor.clone(),
        output: data.logs(),
        read_manifest: reader(options.gateway),
        concerned: saga::concerned(&sagas),
        more: events.router().merge(bus.router()).merge(sagas.router()).merge(metrics(&bus, &sagas)),
    };
    let server = Server::start(config).await.map_err(|error| Failure::new(error.code(), chain(&error)))?;
    let manifest = server.subscriptions();
    sagas.expect(Box::new(move |namespace, name| manifest.has_saga(namespace, name)));
    let ending = CancellationToken::new();
    let mesh = |own: &OwnSidecar| {
        let failed = |error| Failure::new(Code::Internal, format!("cannot call services: {}", chain(&error)));
        Mesh::new(own).map(Arc::new).map_err(failed)
    };
    found.send_replace(Some(mesh(server.saga_sidecar())?));
    tokio::spawn(push(bus.clone(), mesh(server.sidecar())?, ending.clone()));
    tokio::spawn(follow_manifest(bus.clone(), server.subscriptions(), ending.clone()));
    tokio::spawn(saga::follow_manifest(sagas.clone(), server.subscriptions(), ending.clone()));
    tokio::spawn(saga::spans::export(sagas.clone(), server.subscriptions(), ending.clone()));
    told_to_end().await?;
    ending.cancel();
    bus.stop().await;
    sagas.stop().await;
    events.stop();
    server.stop().await;
    log.close().await;
    Ok(())
}

/// The keys of subjects, in front of the log. The master key is in a file that is named by an environment variable, if
/// it is not to lie beside them.
async fn open_vault(data: &DataDir, log: Arc<dyn Log>) -> Result<Vault, Failure> {
    let failed = |error: VaultError| Failure::new(error.code(), chain(&error));
    let named = std::env::var_os(MASTER_KEY_FILE).filter(|path| !path.is_empty());
    let master_key = named.map_or_else(|| data.keys().join("master.key"), PathBuf::from);
    let ring = KeyRing::open(&data.keys().join("subjects"), &master_key).map_err(failed)?;
    Vault::open(log, ring).await.map_err(failed)
}

/// Names the file of the master key, which wraps the keys of subjects.
const MASTER_KEY_FILE: &str = "TENON_MASTER_KEY_FILE";

/// Reads manifests for the server. A gateway address that was given as an option wins over the manifest's.
fn reader(gateway: cli::GatewayAt) -> ReadManifest {
    Arc::new(move |text, name, files| {
        let files: Arc<dyn Files> = Arc::new(files);
        let (system, report) = manifest::read_with(text, name, &files);
        let findings: Vec<Finding> = report.problems.iter().map(finding).collect();
        let mut system = system.ok_or_else(|| findings.clone())?;
        if let Some(own) = &mut system.gateway {
            gateway.place(own);
        }
        Ok(Manifest { system, findings })
    })
}

fn finding(problem: &Problem) -> Finding {
    let count = |number: usize| u32::try_from(number).ok();
    Finding {
        severity: match problem.severity {
            manifest::Severity::Error => Severity::Error,
            manifest::Severity::Warning => Severity::Warning,
        },
        rule: problem.code().to_owned(),
        message: format!("{}; {}", problem.message, problem.label),
        line: count(problem.place.line),
        column: count(problem.place.column),
        help: problem
            .help
            .clone()
            .or_else(|| problem.suggestion.as_ref().map(|it| format!("did you mean `{it}`?"))),
    }
}

/// The data folder that a role works on: `--data`, or `.tenon` in this folder.
fn open_data(global: &Global) -> Result<DataDir, Failure> {
    Ok(DataDir::open(&session::data_folder_of(Path::new("tenon.yaml"), global))?)
}

/// Runs sidecars and gateway until told to end: on the last snapshot at once, and on the server's as soon as it
/// answers.
pub(crate) fn proxy(global: &Global, options: &cli::Proxy) -> Outcome {
    let data = open_data(global)?;
    logging::to_stderr("info");
    let defaults = PlaneConfig::default();
    let workers = options.workers.unwrap_or(defaults.workers).max(1);
    let identities = Some(data.snapshots().join("identities"));
    let access_log = Some(data.logs().join("tenon.access.log"));
    let locality = Locality { region: options.region.clone(), zone: options.zone.clone() };
    let (admin, limits) = (options.admin_listen, options.waits.limits());
    let config = PlaneConfig { workers, admin, access_log, identities, locality, limits, ..defaults };
    let file = data.snapshots().join("data-plane");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plane = runtime.block_on(open_plane(config, &data, &file, options.takeover))?;
    // What keeps the plane up to date gives way to its requests: of this thread and those that it starts from now on.
    let _ = setpriority_process(None, UPDATE_NICENESS);
    let address = match &global.api {
        Some(api) => api.clone(),
        None => session::endpoints(&data)?.api,
    };
    let server = subscribe::Server {
        address,
        token_file: data.token_file(),
        node: node_name(),
        instances: BTreeSet::new(),
    };
    let plane = Arc::new(plane);
    runtime.block_on(async {
        let socket = handover::listen(&data.handover_socket())?;
        // Whole or not at all: others read it at any time.
        let draft = data.proxy_pid_file().with_extension("draft");
        std::fs::write(&draft, format!("{}\n", std::process::id()))?;
        std::fs::rename(draft, data.proxy_pid_file())?;
        let released = tokio::select! {
            () = subscribe::follow(Arc::clone(&plane), server, file) => None,
            ended = told_to_end() => return ended,
            released = handover::give(&socket, &plane) => Some(released),
        };
        if let Some(released) = released {
            tracing::info!("another process has taken over; this one lets go");
            released.complete(&plane, DRAIN).await;
        }
        Ok(())
    })?;
    drop(runtime);
    if let Some(plane) = Arc::into_inner(plane) {
        plane.shutdown(DRAIN);
    }
    Ok(())
}

/// A data plane that serves on what is there: what the one that runs hands over, if it is to be taken over from, or else
/// the last snapshot.
async fn open_plane(
    config: PlaneConfig,
    data: &DataDir,
    file: &Path,
    takeover: bool,
) -> Result<Plane, Failure> {
    let not_started = |error| Failure::new(Code::Internal, chain(&error));
    let not_taken = |error: TakeoverError| Failure::new(Code::ServerUnavailable, chain(&error));
    let offered = match takeover {
        true => handover::ask(&data.handover_socket()).await.map_err(not_taken)?,
        false => None,
    };
    let Some((takeover, Inheritance { sockets, snapshot })) = offered else {
        let plane = Plane::start(config).map_err(not_started)?;
        subscribe::restore(&plane, file);
        return Ok(plane);
    };
    let plane = Plane::inherit(config, sockets).map_err(not_started)?;
    subscribe::apply_stored(&plane, snapshot);
    if let Err(error) = takeover.complete(&plane).await {
        plane.retire(DRAIN);
        plane.shutdown(DRAIN);
        return Err(not_taken(error));
    }
    Ok(plane)
}

/// How far the threads that take in and save snapshots stand behind those that carry requests.
const UPDATE_NICENESS: i32 = 10;

/// What this data plane is called in `tenon status`: its host's name.
pub(super) fn node_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

pub(super) async fn told_to_end() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
