//! `tenon services`, `instances`, `start`, `stop` and `scale`.

use super::connect;
use crate::cli;
use crate::clock;
use crate::failure::Outcome;
use crate::render::{Cell, Screen, Tone, plain, span, toned};
use tenon_api::client::Client;
use tenon_api::http::{Changed, FailedReplica, HealthStatus, Instance, InstanceOrigin, ServiceSummary};

/// Lists the services.
pub(crate) async fn services(screen: Screen, client: &Client) -> Outcome {
    let list = client.services().await?;
    let head = vec!["SERVICE", "VERSION", "HEALTHY", "STATE", "CONTEXT", "TEAM"];
    Ok(screen.result(&list, |list| (head, list.services.iter().map(service_row).collect()))?)
}

fn service_row(service: &ServiceSummary) -> Vec<Cell> {
    let wanted = service.replicas.unwrap_or(service.instances);
    let (state, tone) = match service.healthy {
        _ if service.stopped => ("stopped", Tone::Warning),
        0 => ("unavailable", Tone::Bad),
        healthy if healthy < wanted => ("degraded", Tone::Warning),
        _ => ("healthy", Tone::Good),
    };
    let or_none = |text: &Option<String>| plain(text.as_deref().unwrap_or("–"));
    vec![
        plain(service.service.to_string()),
        plain(service.version.as_ref().map_or("–".to_owned(), ToString::to_string)),
        plain(format!("{}/{wanted}", service.healthy)),
        toned(if service.managed { state.to_owned() } else { format!("{state}, runs elsewhere") }, tone),
        or_none(&service.context),
        or_none(&service.team),
    ]
}

/// Lists the instances of all services, or of one.
pub(crate) async fn instances(screen: Screen, client: &Client, options: &cli::ServiceFilter) -> Outcome {
    let list = match &options.service {
        Some(name) => client.service_instances(&connect::service(name)?).await?,
        None => client.instances().await?,
    };
    let head = vec!["INSTANCE", "SERVICE", "VERSION", "ADDRESS", "PID", "HEALTH", "FOR", "WHY"];
    Ok(screen.result(&list, |list| {
        let failed = list.failed.iter().map(failed_row);
        (head, list.instances.iter().map(instance_row).chain(failed).collect())
    })?)
}

/// A replica that has no instance at the moment.
fn failed_row(replica: &FailedReplica) -> Vec<Cell> {
    let none = || toned("–", Tone::Faint);
    vec![
        none(),
        plain(replica.service.to_string()),
        none(),
        none(),
        none(),
        toned("failed", Tone::Bad),
        plain(span(clock::now().since(replica.ended_at))),
        toned(how_it_failed(replica), Tone::Faint),
    ]
}

/// How a replica failed and when it is tried again, in a sentence.
pub(super) fn how_it_failed(replica: &FailedReplica) -> String {
    let times = if replica.failures == 1 {
        "once".to_owned()
    } else {
        format!("{} times in a row", replica.failures)
    };
    let again = span(replica.restart_at.since(clock::now()));
    format!("{} ({times}; again in {again})", replica.exit)
}

fn instance_row(instance: &Instance) -> Vec<Cell> {
    let (health, tone) = match instance.status {
        _ if instance.draining => ("draining", Tone::Warning),
        HealthStatus::Healthy => ("healthy", Tone::Good),
        HealthStatus::Unhealthy => ("unhealthy", Tone::Bad),
        HealthStatus::Unknown => ("unknown", Tone::Warning),
    };
    let pid = match (instance.pid, &instance.origin) {
        (Some(pid), _) => pid.to_string(),
        (None, InstanceOrigin::Managed { .. }) => "–".to_owned(),
        (None, _) => "elsewhere".to_owned(),
    };
    let why = instance
        .evidence
        .as_ref()
        .map_or(String::new(), |it| format!("{}: {} in {}", it.check, it.answer, span(it.took)));
    vec![
        plain(instance.id.to_string()),
        plain(instance.service.to_string()),
        plain(instance.version.to_string()),
        plain(instance.address.to_string()),
        plain(pid),
        toned(health, tone),
        plain(span(clock::now().since(instance.changed_at))),
        toned(why, Tone::Faint),
    ]
}

/// Runs a service that was stopped.
pub(crate) async fn start(screen: Screen, client: &Client, options: &cli::ServiceName) -> Outcome {
    let changed = client.start(&connect::service(&options.service)?).await?;
    say(screen, &changed, &format!("{} is being started; `tenon instances {0}` shows it", options.service))
}

/// Stops every instance of a service.
pub(crate) async fn stop(screen: Screen, client: &Client, options: &cli::ServiceName) -> Outcome {
    let changed = client.stop(&connect::service(&options.service)?).await?;
    say(screen, &changed, &format!("{} is being stopped; `tenon start {0}` runs it again", options.service))
}

/// Changes how many replicas of a service run.
pub(crate) async fn scale(screen: Screen, client: &Client, options: &cli::Scale) -> Outcome {
    let changed = client.scale(&connect::service(&options.service)?, options.replicas).await?;
    let to = options.replicas.map_or("what the manifest says".to_owned(), |replicas| replicas.to_string());
    say(screen, &changed, &format!("{} is being scaled to {to}", options.service))
}

fn say(screen: Screen, changed: &Changed, sentence: &str) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(changed)?);
    }
    screen.remark(sentence);
    Ok(())
}
