//! `tenon subscriptions …` and `tenon parked …`.

use super::text::name;
use super::topics::print_one;
use crate::cli::{self, ParkedCommand, SubscriptionsCommand};
use crate::failure::{Failure, Outcome};
use crate::render::{Screen, Tone, plain, toned};
use serde::Serialize;
use serde_json::Value;
use tenon_api::client::Client;
use tenon_api::http::{ParkedEvent, SettleDeliveries, SubscriptionSummary, SubscriptionView, WhichParked};
use tenon_api::system::{PushDoc, SubscriptionDoc};
use tenon_core::Code;
use tenon_core::group::GroupName;

/// How many events `pull` has that are not acknowledged.
const AT_ONCE: u32 = 32;

/// Carries out one of the commands of subscriptions.
pub(crate) async fn subscriptions(screen: Screen, client: &Client, command: SubscriptionsCommand) -> Outcome {
    match command {
        SubscriptionsCommand::List(options) => list(screen, client, &options).await,
        SubscriptionsCommand::Show(of) => show(screen, client, &of).await,
        SubscriptionsCommand::Create(options) => create(screen, client, *options).await,
        SubscriptionsCommand::Delete(of) => {
            let name = group(&of)?;
            let deleted = client.delete_subscription(&name).await?;
            done(screen, &deleted, &format!("{name} is deleted, with its progress"))
        }
        SubscriptionsCommand::Seek(options) => {
            let name = group(&options.of)?;
            let sought = client.seek_subscription(&name, &options.to).await?;
            done(screen, &sought, &format!("{name} goes on after position {}", sought.after))
        }
        SubscriptionsCommand::Pull(options) => pull(screen, client, &options).await,
    }
}

/// Carries out one of the commands of parked events.
pub(crate) async fn parked(screen: Screen, client: &Client, command: ParkedCommand) -> Outcome {
    match command {
        ParkedCommand::List(options) => list_parked(screen, client, &options).await,
        ParkedCommand::Show(options) => show_parked(screen, client, &options).await,
        ParkedCommand::Retry(options) => {
            let (name, which) = which(&options)?;
            let unparked = client.retry_parked(&name, &which).await?;
            done(screen, &unparked, &format!("{} events of {name} are given again", unparked.events))
        }
        ParkedCommand::Drop(options) => {
            let (name, which) = which(&options)?;
            let unparked = client.drop_parked(&name, &which).await?;
            done(screen, &unparked, &format!("{} events of {name} are left out", unparked.events))
        }
    }
}

async fn list(screen: Screen, client: &Client, options: &cli::ListSubscriptions) -> Outcome {
    let list = client.subscriptions(options.namespace.as_deref()).await?;
    let head = vec!["SUBSCRIPTION", "NAMESPACE", "TYPES", "DELIVERY", "FROM"];
    let row = |it: &SubscriptionSummary| {
        let types =
            if it.definition.types.is_empty() { "all".to_owned() } else { it.definition.types.join(",") };
        vec![
            plain(it.name.as_str()),
            plain(it.namespace.as_str()),
            toned(types, Tone::Good),
            plain(delivery(&it.definition)),
            toned(if it.declared { "manifest" } else { "api" }, Tone::Faint),
        ]
    };
    Ok(screen.result(&list, |list| (head, list.subscriptions.iter().map(row).collect()))?)
}

fn delivery(definition: &SubscriptionDoc) -> String {
    match &definition.push {
        Some(push) => format!("push to {}{}", push.service, push.path),
        None => "pull".to_owned(),
    }
}

async fn show(screen: Screen, client: &Client, of: &cli::NamedSubscription) -> Outcome {
    let view = client.subscription(&group(of)?).await?;
    let head = vec!["", ""];
    Ok(screen.result(&view, |view| {
        (
            head,
            facts(view)
                .into_iter()
                .map(|(name, value)| vec![toned(name, Tone::Faint), plain(value)])
                .collect(),
        )
    })?)
}

fn facts(view: &SubscriptionView) -> Vec<(&'static str, String)> {
    let (of, status) = (&view.of, &view.status);
    vec![
        ("subscription", format!("{} in {}", of.name, of.namespace)),
        ("delivery", delivery(&of.definition)),
        ("order by", of.definition.order_by.clone()),
        ("done to", format!("position {} of {}", status.done_to, status.head)),
        (
            "held",
            format!(
                "{}: {} given, {} ready, {} waiting",
                status.held, status.in_flight, status.ready, status.waiting
            ),
        ),
        ("parked", status.parked.to_string()),
        ("consumers", status.members.to_string()),
        ("acknowledged", status.acked.to_string()),
        ("failed deliveries", status.failed.to_string()),
        (
            "left out",
            format!(
                "{} dropped, {} duplicates, {} discarded",
                status.dropped, status.duplicates, status.discarded
            ),
        ),
    ]
}

async fn create(screen: Screen, client: &Client, options: cli::CreateSubscription) -> Outcome {
    let name = group(&options.of)?;
    let invalid = |problem: String| Failure::new(Code::SubscriptionInvalid, problem);
    let mut definition: SubscriptionDoc = match &options.with {
        Some(json) => serde_json::from_str(json).map_err(|error| invalid(format!("--with: {error}")))?,
        None => SubscriptionDoc::default(),
    };
    definition.types.extend(options.types);
    definition.tags.extend(options.tags);
    definition.prefix = options.prefix.or(definition.prefix);
    definition.start = options.start.unwrap_or(definition.start);
    definition.order_by = options.order_by.unwrap_or(definition.order_by);
    if let Some(push) = options.push {
        let (service, path) = push
            .split_once('/')
            .ok_or_else(|| invalid(format!("--push {push:?} is not of the form SERVICE/PATH")))?;
        definition.push = Some(PushDoc {
            service: service.to_owned(),
            path: format!("/{path}"),
            structured: false,
            grpc: false,
        });
    }
    let defined = client.define_subscription(&name, &definition).await?;
    let what = if defined.changed { "is defined" } else { "was so before" };
    done(screen, &defined, &format!("{name} {what}"))
}

async fn pull(screen: Screen, client: &Client, options: &cli::Pull) -> Outcome {
    let name = group(&options.of)?;
    let most = options.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(AT_ONCE).min(AT_ONCE);
    let mut deliveries = client.pull(&name, most.max(1)).await?;
    let mut taken = 0;
    while options.limit.is_none_or(|limit| taken < limit) {
        let Some(delivery) = deliveries.next().await? else { break };
        if screen.is_json() {
            screen.line(&serde_json::to_string(&delivery.data).map_err(std::io::Error::other)?)?;
        } else {
            print_one(screen, &delivery.data.event)?;
        }
        if !options.no_ack {
            let settled = SettleDeliveries { acks: vec![delivery.data.ticket], nacks: Vec::new() };
            client.settle(&name, &settled).await?;
        }
        taken += 1;
    }
    Ok(())
}

async fn list_parked(screen: Screen, client: &Client, options: &cli::ListParked) -> Outcome {
    let name = group(&options.of)?;
    let list = client.parked(&name, None, options.limit).await?;
    let head = vec!["POSITION", "SINCE", "GIVEN", "CAUSE", "TYPE", "DATA"];
    let row = |it: &ParkedEvent| {
        let event = it.event.as_deref();
        let data = event.and_then(|event| event.data.as_ref()).map(Value::to_string);
        vec![
            plain(it.position.to_string()),
            toned(it.since.to_string(), Tone::Faint),
            plain(it.attempts.to_string()),
            toned(it.cause.to_string(), Tone::Bad),
            toned(event.map_or("gone", |event| event.event_type.as_str()), Tone::Good),
            plain(data.unwrap_or_default()),
        ]
    };
    Ok(screen.result(&list, |list| (head, list.parked.iter().map(row).collect()))?)
}

async fn show_parked(screen: Screen, client: &Client, options: &cli::OneParked) -> Outcome {
    let name = group(&options.of)?;
    let list = client.parked(&name, Some(options.position.saturating_sub(1)), 1).await?;
    let found = list.parked.into_iter().find(|it| it.position == options.position);
    let missing = || {
        let detail = format!("no event at position {} of {name} is parked", options.position);
        Failure::new(Code::SubscriptionNotParked, detail)
    };
    let found = found.ok_or_else(missing)?;
    if screen.is_json() {
        return Ok(screen.json(&found)?);
    }
    let since = found.since;
    screen.remark(&format!("given {} times, parked since {since}: {}", found.attempts, found.cause));
    Ok(screen.json(&found.event)?)
}

fn which(options: &cli::SomeParked) -> Result<(GroupName, WhichParked), Failure> {
    Ok((group(&options.of)?, WhichParked { positions: options.positions.clone() }))
}

fn group(of: &cli::NamedSubscription) -> Result<GroupName, Failure> {
    let namespace = of.namespace.as_deref().map(name).transpose()?.unwrap_or_default();
    Ok(GroupName { namespace, name: name(&of.name)? })
}

fn done(screen: Screen, answer: &impl Serialize, remark: &str) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(answer)?);
    }
    screen.remark(remark);
    Ok(())
}
