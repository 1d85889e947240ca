//! Finding and calling the server.

use super::check::Written;
use crate::cli::Global;
use crate::data_dir::DataDir;
use crate::failure::{Failure, chain};
use crate::session;
use std::time::Duration;
use tenon_api::client::{Client, DataPlane, Error, Options};
use tenon_api::http::{ApplyManifest, ApplyOutcome};
use tenon_core::{Code, ServiceRef};

/// A client and the system that it talks to.
#[derive(Debug)]
pub(super) struct Connection {
    /// The client.
    pub(super) client: Client,
}

impl Connection {
    /// To the server of `--api`, or the one that runs on the data folder. The token always comes from the
    /// environment or the data folder.
    pub(super) fn find(global: &Global) -> Result<Self, Failure> {
        let from_environment = std::env::var("TENON_TOKEN").ok().filter(|token| !token.is_empty());
        if let (Some(api), Some(token)) = (&global.api, from_environment) {
            return Ok(Self { client: client(api, token)? });
        }
        let data = DataDir::open(&session::find_data_folder(global)?)?;
        let api = match &global.api {
            Some(api) => api.clone(),
            None => session::endpoints(&data)?.api,
        };
        Ok(Self { client: client(&api, session::token(&data)?)? })
    }
}

/// The server that runs on a data folder.
pub(super) fn to(data: &DataDir) -> Result<Client, Failure> {
    client(&session::endpoints(data)?.api, session::token(data)?)
}

/// The data plane that runs on a data folder.
pub(super) fn data_plane(data: &DataDir) -> Result<DataPlane, Failure> {
    Ok(DataPlane::new(&Options::new(session::endpoints(data)?.admin))?)
}

/// The server of a data folder, once it answers.
pub(super) async fn when_ready(data: &DataDir) -> Result<Client, Failure> {
    loop {
        if let Ok(client) = to(data)
            && client.health().await.is_ok_and(|health| health.ready)
        {
            return Ok(client);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Applies a manifest.
pub(super) async fn apply(client: &Client, manifest: &Written) -> Result<ApplyOutcome, Failure> {
    let Written { text, files } = manifest;
    let request = ApplyManifest { manifest: text.clone(), files: files.clone(), dry_run: false };
    Ok(client.apply_manifest(&request).await?)
}

/// A service's name as it was typed.
pub(super) fn service(text: &str) -> Result<ServiceRef, Failure> {
    text.parse().map_err(|error| Failure::new(Code::RequestInvalid, format!("{error}; try `tenon services`")))
}

/// Options of a call in this user's name.
fn client(api: &str, token: String) -> Result<Client, Failure> {
    let actor = session::actor().parse().ok();
    Ok(Client::new(&Options { token: Some(token), actor, ..Options::new(api) })?)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let said = match &error {
            // The server's own sentence says it all; a cause adds nothing.
            Error::Refused(problem) => match problem.request_id {
                Some(request) => format!("{error} (request {request})"),
                None => error.to_string(),
            },
            other => chain(other),
        };
        Self::new(error.code().unwrap_or(Code::ServerUnavailable), said)
    }
}
