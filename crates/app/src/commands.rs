//! One module for each family of commands. Each reads options, asks the server, and shows the answer.

pub(crate) mod check;
pub(crate) mod config;
mod conformance;
mod connect;
mod decide;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod log;
pub(crate) mod logs;
mod ready;
pub(crate) mod roles;
pub(crate) mod saga;
pub(crate) mod sagas;
pub(crate) mod services;
pub(crate) mod sidecar;
pub(crate) mod status;
mod streaming;
pub(crate) mod subscriptions;
mod text;
pub(crate) mod topics;
pub(crate) mod trace;
pub(crate) mod up;

use crate::cli::{Command, Global};
use crate::failure::{Failure, Outcome};
use crate::render::Screen;
use clap::CommandFactory;
use connect::Connection;
use std::io::Write;

/// Carries out a command.
pub(crate) fn run(command: Command, global: &Global) -> Outcome {
    let screen = Screen::new(global.output, global.color);
    match command {
        Command::Up(options) => up::up(screen, global, &options),
        Command::Down(options) => up::down(screen, global, &options),
        Command::Renew(options) => up::renew(screen, global, &options),
        Command::Check(options) => check::check(screen, &options),
        Command::Schema => check::schema(screen),
        Command::Completions { shell } => {
            // Not straight to standard output: the generator panics if that cannot be written.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut crate::cli::Cli::command(), "tenon", &mut script);
            Ok(std::io::stdout().write_all(&script)?)
        }
        Command::Log { command } => log::log(screen, global, &command),
        Command::Server(options) => roles::server(global, &options),
        Command::Proxy(options) => roles::proxy(global, &options),
        Command::Sidecar(options) => sidecar::sidecar(global, &options),
        Command::Launch(options) => {
            Err(crate::supervisor::shim::launch(options.parent, &options.command).into())
        }
        Command::Reap => Ok(crate::supervisor::reaper::run(std::io::stdin().lock())?),
        remote => asking(screen, remote, global),
    }
}

/// Commands that ask a running server.
fn asking(screen: Screen, command: Command, global: &Global) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Command::Explain(options) = &command {
            return explain::explain(screen, global, options).await;
        }
        if let Command::Trace(options) = &command {
            return trace::trace(screen, global, options).await;
        }
        if let Command::Saga { command } = &command
            && let Some(done) = sagas::without_server(screen, command).await
        {
            return done;
        }
        let connection = Connection::find(global)?;
        let client = &connection.client;
        match command {
            Command::Status => status::status(screen, client).await,
            Command::Services => services::services(screen, client).await,
            Command::Instances(options) => services::instances(screen, client, &options).await,
            Command::Start(options) => services::start(screen, client, &options).await,
            Command::Stop(options) => services::stop(screen, client, &options).await,
            Command::Scale(options) => services::scale(screen, client, &options).await,
            Command::Config { command } => config::config(screen, client, command).await,
            Command::Events { command } => events::events(screen, client, command).await,
            Command::Subscriptions { command } => subscriptions::subscriptions(screen, client, command).await,
            Command::Parked { command } => subscriptions::parked(screen, client, command).await,
            Command::Topics { command } => topics::topics(screen, client, command).await,
            Command::Saga { command } => sagas::sagas(screen, client, *command).await,
            Command::Logs(options) => logs::logs(screen, client, &options).await,
            other => Err(Failure::new(tenon_core::Code::Internal, format!("{other:?} asks no server"))),
        }
    })
}
