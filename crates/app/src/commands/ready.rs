//! Waiting until all services are healthy and the data plane knows it, and showing how far they are.

use super::services::how_it_failed;
use crate::failure::Failure;
use crate::render::Screen;
use std::io::Write;
use std::time::Duration;
use tenon_api::client::{Client, DataPlane, Error};
use tenon_api::http::{HealthStatus, Instance, ServiceSummary};

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(20);

/// One line that is rewritten on a terminal, and silent elsewhere.
#[derive(Debug)]
pub(super) struct Progress {
    screen: Screen,
    shown: String,
}

impl Progress {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, shown: String::new() }
    }

    fn show(&mut self, services: &[ServiceSummary]) {
        let part = |it: &ServiceSummary| format!("{} {}/{}", it.service, it.healthy, wanted(it));
        let line = services.iter().map(part).collect::<Vec<_>>().join("  ");
        if self.screen.is_live() && line != self.shown {
            eprint!("\r\u{1b}[2K{line}");
            // A progress line that cannot be shown is not missed.
            let _ = std::io::stderr().flush();
            self.shown = line;
        }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if !self.shown.is_empty() {
            eprint!("\r\u{1b}[2K");
            self.shown.clear();
        }
    }
}

/// Returns once every service has as many healthy instances as it should and the data plane may call them. A server
/// that is restarted meanwhile is waited for.
pub(super) async fn all_healthy(
    client: &Client,
    plane: &DataPlane,
    progress: &mut Progress,
) -> Result<(), Failure> {
    loop {
        match is_all_healthy(client, plane, progress).await {
            Ok(true) => return Ok(()),
            Ok(false) | Err(Error::Unavailable { .. } | Error::Interrupted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether everything is healthy now.
pub(super) async fn is_all_healthy(
    client: &Client,
    plane: &DataPlane,
    progress: &mut Progress,
) -> Result<bool, Error> {
    // Asked first: before it is so, the server tells of instances as they were when it last ran.
    let status = client.status().await?;
    if !status.supervisor || status.system.is_none() {
        return Ok(false);
    }
    let services = client.services().await?.services;
    progress.show(&services);
    if !services.iter().all(is_complete) {
        return Ok(false);
    }
    Ok(knows(plane, &client.instances().await?.instances).await)
}

/// Whether the data plane may call every instance that is healthy.
async fn knows(plane: &DataPlane, instances: &[Instance]) -> bool {
    let Ok(snapshot) = plane.snapshot().await else { return false };
    let mut callable = instances.iter().filter(|it| it.status == HealthStatus::Healthy && !it.draining);
    callable.all(|it| {
        let known = snapshot.endpoints.get(&it.service.to_string());
        known.is_some_and(|known| known.iter().any(|endpoint| endpoint.instance == it.id))
    })
}

/// What is not healthy and why, a line each.
pub(super) async fn what_is_missing(client: &Client) -> String {
    let (Ok(services), Ok(instances)) = (client.services().await, client.instances().await) else {
        return "the server does not answer".to_owned();
    };
    let missing = services.services.iter().filter(|it| !is_complete(it));
    let lines = missing.map(|it| {
        let failed = instances.failed.iter().find(|failed| failed.service == it.service);
        let why = failed.map_or(String::new(), |failed| format!(": {}", how_it_failed(failed)));
        format!("  {} ({} of {} healthy){why}", it.service, it.healthy, wanted(it))
    });
    std::iter::once("not healthy yet:".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

fn is_complete(service: &ServiceSummary) -> bool {
    service.stopped || service.healthy >= wanted(service)
}

/// How many healthy instances there should be; of a service that runs elsewhere, all that are known, and one at
/// least.
fn wanted(service: &ServiceSummary) -> u32 {
    match service.replicas {
        _ if service.stopped => 0,
        Some(replicas) => replicas,
        None => service.instances.max(u32::from(service.version.is_some())),
    }
}
