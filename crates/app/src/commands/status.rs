//! `tenon status`.

use crate::clock;
use crate::failure::Outcome;
use crate::render::{Cell, Screen, Tone, plain, span, toned};
use tenon_api::client::Client;
use tenon_api::http::{DutyStatus, Status};

/// Shows how the system fares.
pub(crate) async fn status(screen: Screen, client: &Client) -> Outcome {
    let status = client.status().await?;
    Ok(screen.result(&status, |status| (vec!["", ""], rows(status)))?)
}

fn rows(status: &Status) -> Vec<Vec<Cell>> {
    let counts = &status.instances;
    let state = if status.unavailable.is_empty() { Tone::Good } else { Tone::Bad };
    let mut rows = vec![
        row("system", plain(status.system.as_deref().unwrap_or("none is applied yet"))),
        row("services", toned(services(status), state)),
        row(
            "instances",
            plain(format!(
                "{} of {} healthy, {} unhealthy, {} not yet checked, {} draining",
                counts.healthy, counts.total, counts.unhealthy, counts.unknown, counts.draining
            )),
        ),
        row("gateway", plain(gateway(status))),
        row("data planes", plain(data_planes(status))),
        row("supervisor", if status.supervisor { plain("connected") } else { toned("none", Tone::Warning) }),
        row(
            "server",
            plain(format!("{}, up {}", status.version, span(clock::now().since(status.started_at)))),
        ),
    ];
    rows.extend(status.duties.iter().map(|held| row("duty", plain(duty(held)))));
    rows.extend(status.log_damage.iter().map(|damage| row("log", toned(damage, Tone::Bad))));
    rows.push(row("revision", toned(status.revision.to_string(), Tone::Faint)));
    rows.retain(|row| !row.is_empty());
    rows
}

fn duty(held: &DutyStatus) -> String {
    let whose = if held.own { "this server" } else { "another server" };
    format!("{}: {whose}, {} (epoch {})", held.duty, held.server, held.epoch)
}

fn gateway(status: &Status) -> String {
    let scheme = if status.gateway_tls { "https" } else { "http" };
    status.gateway.as_ref().map_or("none".to_owned(), |at| format!("{scheme}://{at}"))
}

fn row(name: &'static str, value: Cell) -> Vec<Cell> {
    vec![toned(name, Tone::Faint), value]
}

fn services(status: &Status) -> String {
    if status.unavailable.is_empty() {
        return format!("{}, all available", status.services);
    }
    let names: Vec<String> = status.unavailable.iter().map(ToString::to_string).collect();
    format!("{}, unavailable: {}", status.services, names.join(", "))
}

fn data_planes(status: &Status) -> String {
    if status.data_planes.is_empty() {
        return "none connected".to_owned();
    }
    let said = |it: &tenon_api::http::DataPlaneStatus| {
        format!("{} (connected for {})", it.node, span(clock::now().since(it.connected_at)))
    };
    status.data_planes.iter().map(said).collect::<Vec<_>>().join(", ")
}
