//! `tenon explain`.

use crate::cli::{self, Global};
use crate::data_dir::DataDir;
use crate::failure::{Failure, Outcome};
use crate::render::{Screen, Tone};
use crate::session;
use std::time::Duration;
use tenon_api::client::{DataPlane, Options};
use tenon_api::explain::{Attempt, Explanation, Hop};
use tenon_core::Code;

/// Tells the story of a request.
pub(crate) async fn explain(screen: Screen, global: &Global, options: &cli::Explain) -> Outcome {
    let request = options.request.parse().map_err(|error| {
        let message = format!("{error}; it stands in the x-request-id header of the answer");
        Failure::new(Code::RequestInvalid, message)
    })?;
    let explanation = data_plane(global, options.admin.as_deref())?.explain(request).await?;
    if screen.is_json() {
        return Ok(screen.json(&explanation)?);
    }
    for line in story(screen, &explanation) {
        screen.line(&line)?;
    }
    Ok(())
}

/// The data plane at an address, or the one that runs on the data folder.
pub(super) fn data_plane(global: &Global, admin: Option<&str>) -> Result<DataPlane, Failure> {
    let admin = match admin {
        Some(admin) => admin.to_owned(),
        None => session::endpoints(&DataDir::open(&session::find_data_folder(global)?)?)?.admin,
    };
    Ok(DataPlane::new(&Options::new(admin))?)
}

fn story(screen: Screen, explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![format!("request {}", explanation.request_id)];
    for hop in &explanation.hops {
        lines.push(String::new());
        lines.extend(hop_lines(screen, hop));
    }
    lines
}

fn hop_lines(screen: Screen, hop: &Hop) -> Vec<String> {
    let at = match &hop.sidecar {
        Some(instance) => format!("the sidecar of {instance}"),
        None => "the gateway".to_owned(),
    };
    let from = hop.source.as_ref().map_or("outside".to_owned(), ToString::to_string);
    let to = hop.destination.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
    let tone = match hop.status {
        _ if hop.code.is_some() => Tone::Bad,
        100..400 => Tone::Good,
        0 | 400..500 => Tone::Warning,
        _ => Tone::Bad,
    };
    let answered = match (hop.code, hop.status) {
        (Some(code), status) => format!("answered {status} {code}"),
        (None, 0) => "not answered".to_owned(),
        (None, status) => format!("answered {status}"),
    };
    let mut lines = vec![
        format!("{} {at}", screen.tone_out(&hop.at.to_string(), Tone::Faint)),
        format!("  {} {}  {from} → {to}", hop.method, hop.path),
        format!("  {} after {}", screen.tone_out(&answered, tone), millis(hop.duration)),
        format!("  because {}", hop.reason),
    ];
    lines.extend(hop.route.as_ref().map(|route| format!("  route {route}")));
    lines.extend(hop.policy.as_ref().map(|policy| format!("  policy {policy}")));
    lines.extend(hop.timeout.map(|timeout| format!("  time-out {}", millis(timeout))));
    lines.extend(hop.revision.as_ref().map(|revision| format!("  configuration {revision}")));
    lines.extend(hop.attempts.iter().enumerate().map(|(index, attempt)| attempt_line(index + 1, attempt)));
    lines
}

fn attempt_line(number: usize, attempt: &Attempt) -> String {
    let instance = attempt.instance.as_ref().map_or("no instance".to_owned(), ToString::to_string);
    let address = attempt.address.as_ref().map_or(String::new(), |address| format!(" at {address}"));
    format!(
        "  attempt {number}, {} in, {instance}{address}: {} after {}; {}",
        millis(attempt.after),
        attempt.outcome,
        millis(attempt.duration),
        attempt.decision
    )
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}
