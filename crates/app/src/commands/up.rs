//! `tenon up` and `tenon down`.

use super::check::{self, Written};
use super::connect;
use super::ready::{self, Progress};
use super::sagas::stay;
use crate::cli::{self, Global};
use crate::data_dir::{DataDir, DataDirError, Lock};
use crate::failure::{Failure, Outcome};
use crate::log_choice::{LOG_URL, LogUrl};
use crate::logging;
use crate::render::{Screen, Tone, span};
use crate::session::{self, Endpoints};
use crate::supervisor::{PROXY_LOG, SERVER_LOG, Settings, Supervisor, last_line};
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tenon_api::client::Client;
use tenon_api::http::ApplyOutcome;
use tenon_core::Code;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Starts the system that a manifest describes, or applies the manifest to the one that runs.
pub(crate) fn up(screen: Screen, global: &Global, options: &cli::Up) -> Outcome {
    let begun = Instant::now();
    logging::to_stderr("warn");
    let (manifest, system) = check::load(screen, &options.file)?;
    let data = DataDir::open(&session::data_folder_of(&options.file, global))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let lock = match data.lock() {
        Ok(lock) => lock,
        Err(DataDirError::Locked { .. }) => {
            return runtime.block_on(apply_to_running(screen, &data, &manifest, options));
        }
        Err(error) => return Err(error.into()),
    };
    if options.detach {
        drop(lock);
        return runtime.block_on(detach(screen, global, &data, &manifest, options));
    }
    let mut gateway = system.gateway.clone();
    gateway.iter_mut().for_each(|gateway| options.gateway.place(gateway));
    let tls = gateway.as_ref().and_then(|gateway| gateway.tls.as_ref());
    let plain = tls.and_then(|tls| tls.plain).map(|plain| plain.listen);
    // What a supervisor that was killed left behind says where nothing answers any more.
    let _ = std::fs::remove_file(data.endpoints_file());
    // All are held until all are found, so that no port is found twice.
    let api = claim(options.api_listen, "the API", "--api-listen")?;
    let admin = claim(options.admin_listen, "the data plane's admin", "--admin-listen")?;
    let gateway_tls = tls.is_some();
    let gateway = gateway.map(|it| claim(it.listen, "the gateway", "--gateway")).transpose()?;
    let plain =
        plain.map(|wanted| claim(wanted, "the gateway's plain text", "--gateway-plain")).transpose()?;
    let address = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
    let settings = Settings {
        manifest_folder: session::folder_of(&options.file).canonicalize()?,
        api: api.local_addr()?,
        api_hosts: options.api_host.clone(),
        admin: admin.local_addr()?,
        gateway: cli::GatewayAt { listen: address(&gateway)?, plain: address(&plain)? },
        gateway_tls,
        log: LogUrl::chosen(&options.log)?,
        keep: options.log.keep,
        data,
    };
    drop((api, admin, gateway, plain));
    runtime.block_on(supervise(screen, &settings, &manifest, options, begun, lock))
}

/// Ends the system that runs.
pub(crate) fn down(screen: Screen, global: &Global, options: &cli::Down) -> Outcome {
    let data = DataDir::open(&session::find_data_folder(global)?)?;
    let Some(pid) = data.supervisor_pid() else {
        screen.remark("nothing runs");
        return Ok(());
    };
    tell_supervisor(pid, rustix::process::Signal::TERM)?;
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    while data.supervisor_pid().is_some() {
        if Instant::now() > deadline {
            let message = format!("the system is still ending after {} s", options.wait);
            return Err(Failure::new(Code::ServerTimeout, message));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    screen.remark("ended");
    Ok(())
}

/// Has the data plane replaced, and waits until the new one serves.
pub(crate) fn renew(screen: Screen, global: &Global, options: &cli::Renew) -> Outcome {
    let data = DataDir::open(&session::find_data_folder(global)?)?;
    let (Some(supervisor), Some(old)) = (data.supervisor_pid(), data.proxy_pid()) else {
        return Err(Failure::new(Code::ServerUnavailable, "nothing runs; `tenon up` starts it"));
    };
    tell_supervisor(supervisor, rustix::process::Signal::USR2)?;
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    loop {
        if let Some(new) = data.proxy_pid().filter(|new| *new != old) {
            screen.remark(&format!("process {new} has taken over from {old}"));
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = data.logs().join(PROXY_LOG);
            let message = format!(
                "no new data plane serves after {} s; the one that runs goes on. {} says why",
                options.wait,
                log.display()
            );
            return Err(Failure::new(Code::ServerTimeout, message));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn tell_supervisor(pid: u32, signal: rustix::process::Signal) -> Outcome {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = raw.ok_or_else(|| Failure::new(Code::Internal, "LOCK holds no process id"))?;
    rustix::process::kill_process(pid, signal).map_err(|error| {
        Failure::new(Code::AccessForbidden, format!("cannot signal the supervisor: {error}"))
    })
}

/// Runs the system until it is told to end.
async fn supervise(
    screen: Screen,
    settings: &Settings,
    manifest: &Written,
    options: &cli::Up,
    begun: Instant,
    lock: Lock,
) -> Outcome {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    // Before anybody can find the supervisor: the signal's default is to end it.
    let renewals = signal(SignalKind::user_defined2())?;
    let supervisor = Supervisor::start(settings)?;
    let renewing = tokio::task::spawn_local(renew_when_told(renewals, supervisor.renewal()));
    write_endpoints(settings)?;
    let (opened, told_to_end) = tokio::select! {
        opened = open(screen, &supervisor, &settings.data, manifest, options, begun) => (opened, false),
        () = either(&mut interrupts, &mut terminations) => (Ok(()), true),
    };
    if opened.is_ok() && !told_to_end {
        either(&mut interrupts, &mut terminations).await;
    }
    renewing.abort();
    screen.remark("ending; Ctrl-C again ends at once");
    let result = tokio::select! {
        () = supervisor.end() => opened,
        () = either(&mut interrupts, &mut terminations) => {
            // The reaper and the kernel end what is left when this process does.
            Err(Failure::new(Code::ServerUnavailable, "ended at once, without draining"))
        }
    };
    let _ = std::fs::remove_file(settings.data.endpoints_file());
    drop(lock);
    result
}

/// Applies the manifest once the server answers, and waits until everything is healthy.
async fn open(
    screen: Screen,
    supervisor: &Supervisor,
    data: &DataDir,
    manifest: &Written,
    options: &cli::Up,
    begun: Instant,
) -> Outcome {
    let patience = Duration::from_secs(options.wait);
    let client = tokio::select! {
        client = reach(data, options) => client?,
        () = supervisor.server_fails_to_start() => return Err(no_start(data)),
    };
    let outcome = connect::apply(&client, manifest).await?;
    let mut progress = Progress::new(screen);
    let plane = connect::data_plane(data)?;
    let ready = tokio::time::timeout(patience, ready::all_healthy(&client, &plane, &mut progress)).await;
    progress.end();
    tell_sagas(screen, &outcome);
    let name = &outcome.system.name;
    let headline = match ready {
        Ok(ready) => {
            ready?;
            let took = span(begun.elapsed());
            screen.tone(&format!("{name} is up, all healthy after {took}"), Tone::Good)
        }
        Err(_) => {
            screen.remark(&screen.tone(&ready::what_is_missing(&client).await, Tone::Warning));
            screen.remark(
                "It goes on trying. `tenon instances` says why, `tenon logs SERVICE` what they print.",
            );
            format!("{name} is up in part")
        }
    };
    announce(screen, data, &headline)
}

/// Applies the manifest to a system that runs already, or that is just being started.
async fn apply_to_running(screen: Screen, data: &DataDir, manifest: &Written, options: &cli::Up) -> Outcome {
    let patience = Duration::from_secs(options.wait);
    let client = reach(data, options).await?;
    let outcome = connect::apply(&client, manifest).await?;
    if outcome.changes.is_empty() {
        screen.remark("running already; the manifest has not changed");
    } else {
        screen.remark("running already; changed:");
        for change in &outcome.changes {
            screen.remark(&format!("  {change}"));
        }
    }
    tell_sagas(screen, &outcome);
    let mut progress = Progress::new(screen);
    let plane = connect::data_plane(data)?;
    let ready = tokio::time::timeout(patience, ready::all_healthy(&client, &plane, &mut progress)).await;
    progress.end();
    match ready {
        Ok(ready) => ready?,
        Err(_) => return Err(incomplete(&client, options).await),
    }
    if screen.is_json() { Ok(screen.json(&outcome)?) } else { Ok(()) }
}

/// Says which sagas run on as they began.
fn tell_sagas(screen: Screen, outcome: &ApplyOutcome) {
    for saga in &outcome.sagas {
        for former in &saga.former {
            screen.remark(&format!("  {}", stay(&saga.name, former, saga.more)));
        }
    }
}

/// The server, once it answers.
async fn reach(data: &DataDir, options: &cli::Up) -> Result<Client, Failure> {
    let patience = Duration::from_secs(options.wait);
    tokio::time::timeout(patience, connect::when_ready(data)).await.map_err(|_| too_slow(options))?
}

/// Starts the same command as a process of its own and waits until everything is healthy.
async fn detach(
    screen: Screen,
    global: &Global,
    data: &DataDir,
    manifest: &Written,
    options: &cli::Up,
) -> Outcome {
    let log = data.logs().join("tenon.up.log");
    let mut child = background(global, data, options, &log)?;
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    let mut progress = Progress::new(screen);
    loop {
        if let Some(status) = child.try_wait()? {
            progress.end();
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let message = format!("tenon up ended ({status}):\n{}", said.trim_end());
            return Err(Failure::new(Code::ServerUnavailable, message));
        }
        if Instant::now() > deadline {
            progress.end();
            return Err(match connect::to(data) {
                Ok(client) => incomplete(&client, options).await,
                Err(_) => too_slow(options),
            });
        }
        if let (Ok(client), Ok(plane)) = (connect::to(data), connect::data_plane(data))
            && client.system().await.is_ok_and(|applied| applied.manifest == manifest.text)
            && ready::is_all_healthy(&client, &plane, &mut progress).await.unwrap_or(false)
        {
            progress.end();
            if screen.is_json() {
                return Ok(screen.json(&session::endpoints(data)?)?);
            }
            tell_addresses(screen, &session::endpoints(data)?);
            screen.remark(&format!("running in the background (pid {}); `tenon down` ends it", child.id()));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn background(
    global: &Global,
    data: &DataDir,
    options: &cli::Up,
    log: &Path,
) -> Result<std::process::Child, Failure> {
    let output = File::create(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("up").arg("--file").arg(&options.file).arg("--data").arg(data.root());
    command.arg("--api-listen").arg(options.api_listen.to_string());
    command.arg("--admin-listen").arg(options.admin_listen.to_string());
    command.arg("--wait").arg(options.wait.to_string());
    for name in &options.api_host {
        command.arg("--api-host").arg(name);
    }
    command.args(options.gateway.arguments());
    command.args(options.log.keep.arguments());
    if let Some(url) = LogUrl::chosen(&options.log)? {
        command.env(LOG_URL, url.secret());
    }
    if global.color == cli::Color::Never {
        command.args(["--color", "never"]);
    }
    command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(command.spawn()?)
}

fn announce(screen: Screen, data: &DataDir, headline: &str) -> Outcome {
    let endpoints = session::endpoints(data)?;
    if screen.is_json() {
        return Ok(screen.json(&endpoints)?);
    }
    screen.remark(headline);
    tell_addresses(screen, &endpoints);
    screen.remark("Try `tenon status` in another terminal. Ctrl-C drains and ends.");
    Ok(())
}

fn tell_addresses(screen: Screen, endpoints: &Endpoints) {
    if let Some(gateway) = &endpoints.gateway {
        let plain = endpoints.gateway_plain.as_ref().map(|at| format!(", in plain text {at}"));
        screen.remark(&format!("  gateway  {gateway}{}", plain.unwrap_or_default()));
    }
    screen.remark(&format!("  API      {}/openapi.json", endpoints.api));
    screen.remark(&format!("  metrics  {}/metrics", endpoints.admin));
}

fn write_endpoints(settings: &Settings) -> Outcome {
    let endpoints = Endpoints {
        api: session::url_of(settings.api),
        admin: session::url_of(settings.admin),
        gateway: settings.gateway.listen.map(|at| session::gateway_url_of(at, settings.gateway_tls)),
        gateway_plain: settings.gateway.plain.map(session::url_of),
    };
    let path = settings.data.endpoints_file();
    let text = serde_json::to_vec(&endpoints).map_err(std::io::Error::other)?;
    // Whole or not at all: other commands read it at any time.
    let draft = path.with_extension("draft");
    File::create(&draft).and_then(|mut file| file.write_all(&text))?;
    std::fs::rename(draft, path)?;
    Ok(())
}

/// Finds out now whether an address is free, and which port stands for 0, so that a server that is restarted listens
/// where the one before did.
fn claim(wanted: SocketAddr, what: &str, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(wanted).map_err(|error| {
        let message =
            format!("{what} cannot listen on {wanted}: {error}; choose another address with {flag}");
        Failure::new(Code::ServerLocked, message)
    })
}

/// SIGUSR2, as for other servers that replace themselves.
async fn renew_when_told(mut told: Signal, renewal: watch::Sender<u64>) {
    while told.recv().await.is_some() {
        renewal.send_modify(|count| *count += 1);
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// The server ends whenever it is started; its last words say why.
fn no_start(data: &DataDir) -> Failure {
    let log = data.logs().join(SERVER_LOG);
    let said = last_line(&log).unwrap_or_else(|| "it said nothing".to_owned());
    let message = format!("the server does not start: {said}\nmore is in {}", log.display());
    Failure::new(Code::ServerUnavailable, message)
}

/// The system runs, but not all of it within the time.
async fn incomplete(client: &Client, options: &cli::Up) -> Failure {
    let missing = ready::what_is_missing(client).await;
    let message = format!(
        "not everything is healthy after {} s; {missing}\nThe system runs and goes on trying. `tenon instances` says \
         why, `tenon logs SERVICE` what they print.",
        options.wait
    );
    Failure::new(Code::ServerTimeout, message)
}

fn too_slow(options: &cli::Up) -> Failure {
    let message = format!("not everything is healthy after {} s; see `tenon instances`", options.wait);
    Failure::new(Code::ServerTimeout, message)
}
