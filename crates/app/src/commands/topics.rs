//! `tenon topics …`.

use super::streaming::{Ended, Patience};
use super::text::{json_or_text, name, pair};
use crate::cli::{self, TopicsCommand};
use crate::failure::{Failure, Outcome};
use crate::render::{Screen, Tone, plain, toned};
use serde_json::Value;
use std::io::BufRead;
use tenon_api::InvalidMessage;
use tenon_api::client::{Client, EventsQuery};
use tenon_api::cloudevents::{Attribute, CloudEvent};
use tenon_api::http::{CloudEventDocument, Published, ToldOfTopic, TopicSummary};
use tenon_core::{Code, EventType, Revision};

/// How many events are published at a time.
const BATCH: usize = 500;

/// Carries out one of the commands of topics.
pub(crate) async fn topics(screen: Screen, client: &Client, command: TopicsCommand) -> Outcome {
    match command {
        TopicsCommand::List(options) => list(screen, client, &options).await,
        TopicsCommand::Publish(options) => publish(screen, client, options).await,
        TopicsCommand::Watch(options) => watch(screen, client, &options).await,
    }
}

async fn list(screen: Screen, client: &Client, options: &cli::ListTopics) -> Outcome {
    let list = client.topics(options.prefix.as_deref(), options.namespace.as_deref()).await?;
    let head = vec!["TOPIC", "EVENTS", "LAST", "PUBLISHED"];
    let row = |topic: &TopicSummary| {
        vec![
            toned(topic.event_type.as_str(), Tone::Good),
            plain(topic.events.to_string()),
            plain(topic.last.position.to_string()),
            toned(topic.published_at.to_string(), Tone::Faint),
        ]
    };
    screen.result(&list, |list| (head, list.topics.iter().map(row).collect()))?;
    if !list.at_end {
        let position = list.revision.position;
        screen.remark(&format!("counted from position {position} on; there may be more before"));
    }
    Ok(())
}

async fn publish(screen: Screen, client: &Client, options: cli::Publish) -> Outcome {
    let template = template(&options)?;
    let namespace = options.namespace.as_deref();
    let send =
        async |events: &[CloudEvent]| told(screen, &options.topic, &client.publish(events, namespace).await?);
    if !options.lines {
        let id = options.id.clone().unwrap_or_else(new_id);
        return send(&[with(&template, id, options.payload.as_deref())]).await;
    }
    let mut batch = Vec::new();
    for line in std::io::stdin().lock().lines() {
        batch.push(with(&template, new_id(), Some(&line?)));
        if batch.len() == BATCH {
            send(&batch).await?;
            batch.clear();
        }
    }
    if batch.is_empty() { Ok(()) } else { send(&batch).await }
}

/// What all events of one command share.
fn template(options: &cli::Publish) -> Result<CloudEvent, Failure> {
    let invalid = |error: InvalidMessage| Failure::new(Code::RequestInvalid, error.to_string());
    name::<EventType>(&options.topic)?;
    let mut event = CloudEvent::new("template", &options.source, &options.topic).map_err(invalid)?;
    event.subject.clone_from(&options.subject);
    event.content_type = Some("application/json".to_owned());
    let key = options.key.as_deref().map(|key| ("partitionkey".to_owned(), Attribute::from(key)));
    event.extensions.extend(key);
    for attribute in &options.attributes {
        let (name, value) = pair("--attr", attribute)?;
        event.extensions.insert(name, Attribute::Text(value));
    }
    Ok(event)
}

fn with(template: &CloudEvent, id: String, payload: Option<&str>) -> CloudEvent {
    let data = payload.map(|text| json_or_text(text).to_string().into()).unwrap_or_default();
    CloudEvent { id, data, ..template.clone() }
}

fn new_id() -> String {
    tenon_store::new_event_id().to_string()
}

fn told(screen: Screen, topic: &str, published: &Published) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(published)?);
    }
    let what = match published.events.as_slice() {
        [one] if one.duplicate => "had been published before".to_owned(),
        [_] => "published".to_owned(),
        many => format!("{} events published", many.len()),
    };
    screen.remark(&format!("{topic}: {what}, revision {}", published.revision));
    Ok(())
}

/// Prints events as they come. A server that is restarted is waited for.
async fn watch(screen: Screen, client: &Client, options: &cli::WatchTopic) -> Outcome {
    let topic: EventType = name(&options.topic)?;
    let namespace = options.namespace.as_deref();
    let from = match &options.from {
        Some(from) => from.clone(),
        None => {
            // From now on: after the newest event there is.
            let newest = EventsQuery { backward: true, limit: Some(1), ..EventsQuery::default() };
            let newest = EventsQuery { namespace: options.namespace.clone(), ..newest };
            let page = client.read_events(None, &newest).await?;
            page.events.first().map_or(0, |event| event.position).to_string()
        }
    };
    let (mut seen, mut patience) = (None, Patience::default());
    loop {
        let ended = print(screen, client, (&topic, namespace, &from), &mut seen, &mut patience).await;
        patience.after(ended).await?;
    }
}

async fn print(
    screen: Screen,
    client: &Client,
    (topic, namespace, from): (&EventType, Option<&str>, &str),
    seen: &mut Option<Revision>,
    patience: &mut Patience,
) -> Result<(), Ended> {
    let mut events = client.watch_topic(topic, namespace, Some(from), *seen).await?;
    patience.renew();
    while let Some(event) = events.next().await? {
        *seen = event.id.or(*seen);
        if let ToldOfTopic::Event(event) = event.data {
            print_one(screen, &event)?;
        }
    }
    Ok(())
}

/// Prints an event: as a line for people, or as JSON.
pub(super) fn print_one(screen: Screen, event: &CloudEventDocument) -> std::io::Result<()> {
    if screen.is_json() {
        return screen.line(&serde_json::to_string(event).map_err(std::io::Error::other)?);
    }
    let time = event.time.as_deref().unwrap_or_default();
    let position = event.extensions.get("tenonposition").and_then(Value::as_str).unwrap_or("-");
    let data = match (&event.data, &event.data_base64) {
        (Some(json), _) => json.to_string(),
        (None, Some(base64)) => format!("base64:{base64}"),
        (None, None) => String::new(),
    };
    screen.line(&format!(
        "{position} {} {} {} {} {data}",
        screen.tone_out(time.get(11..23).unwrap_or(time), Tone::Faint),
        screen.tone_out(&event.event_type, Tone::Good),
        event.source,
        event.id,
    ))
}
