//! What the three services have in common: settings from the environment, a listener, a graceful end.

use crate::faults::Faults;
use crate::line::{Line, Lines};
use crate::problem::{Problem, explain_refusals};
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The largest body of a request that is read, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// How long a request may take, its body included.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// How long requests in flight have to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(2);

/// What the environment says to a service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The service's name.
    pub service: &'static str,
    /// This instance's name (`$TENON_INSTANCE`); the service's own if there is none.
    pub instance: String,
    /// The port of 127.0.0.1 to listen on (`$PORT`); 0 for any that is free.
    pub port: u16,
    /// The folder of the service's data (`$SHOP_DATA_DIR`); only memory if there is none.
    pub data: Option<PathBuf>,
    /// The platform (`$TENON_API` and `$TENON_TOKEN`), if there is one: its event store, and its sagas.
    pub platform: Option<Platform>,
    /// What is wrong with the instance on purpose.
    pub faults: Faults,
}

/// Where the platform is, and what opens it.
#[derive(Clone)]
pub struct Platform {
    /// Its address.
    pub address: String,
    /// This instance's token.
    pub token: String,
}

/// Shows everything but the token.
impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Settings {
    /// Settings for tests: any free port, memory only.
    pub fn ephemeral(service: &'static str) -> Self {
        let faults = Faults::none(service);
        Self { service, instance: service.into(), port: 0, data: None, platform: None, faults }
    }

    fn from_env(service: &'static str) -> Result<Self, Problem> {
        let port = std::env::var("PORT").unwrap_or_default();
        let expected =
            || Problem::new(500, "settings.port", format!("PORT is {port:?}, but must be a port number"));
        Ok(Self {
            service,
            instance: std::env::var("TENON_INSTANCE").unwrap_or_else(|_| service.into()),
            port: port.parse().map_err(|_| expected())?,
            data: std::env::var_os("SHOP_DATA_DIR").map(PathBuf::from),
            platform: Platform::from_env(),
            faults: Faults::none(service),
        })
    }
}

impl Platform {
    fn from_env() -> Option<Self> {
        let address = std::env::var("TENON_API").ok()?;
        Some(Self { address, token: std::env::var("TENON_TOKEN").ok()? })
    }
}

/// Runs a service until SIGTERM or Ctrl-C: the whole of its `main`.
pub fn run(service: &'static str, start: impl AsyncFnOnce(&Settings) -> Result<Router, Problem>) -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).with_target(false).compact().init();
    match run_until_told(service, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(service, %error, "failed");
            ExitCode::FAILURE
        }
    }
}

fn run_until_told(
    service: &'static str,
    start: impl AsyncFnOnce(&Settings) -> Result<Router, Problem>,
) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::from_env(service)?;
    // One thread suits a small service; the few others are for files.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let result: Result<(), Box<dyn std::error::Error>> = runtime.block_on(async {
        // Before anything answers, so that no SIGTERM finds nobody listening to it.
        let stop = told_to_stop()?;
        let router = start(&settings).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        tracing::info!(service, instance = settings.instance, address = %listener.local_addr()?, "started");
        serve(listener, router, stop).await?;
        Ok(())
    });
    runtime.shutdown_background();
    tracing::info!(service, "stopped");
    result
}

/// Serves until `stop` is ready, then takes no further connection and lets requests in flight finish, for at
/// most two seconds.
///
/// # Errors
/// The listener's.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopped, mut draining) = tokio::sync::watch::channel(false);
    let service = router.into_make_service_with_connect_info::<Line>();
    let server = axum::serve(Lines(listener), service).with_graceful_shutdown(async move {
        stop.await;
        stopped.send_replace(true);
    });
    let patience = async {
        if draining.wait_for(|draining| *draining).await.is_ok() {
            tokio::time::sleep(DRAIN).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = server => result,
        () = patience => Ok(()),
    }
}

/// The whole of a service's routes: its own, with the knobs of [`crate::faults`] in front, who answers at
/// `/`, and `/health`. Every error is a problem; bodies and time are bounded.
pub fn routes(settings: &Settings, own: Router) -> Router {
    let identity = serde_json::json!({"service": settings.service, "instance": settings.instance});
    let faults = &settings.faults;
    faults
        .inject(own.route("/", get(|| async { Json(identity) })))
        .merge(faults.routes())
        .route("/health", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(bound_time))
        .layer(map_response(explain_refusals))
}

async fn bound_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(LONGEST_REQUEST, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(503, "request.timeout", format!("took longer than {LONGEST_REQUEST:?}")).into_response()
    })
}

fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
