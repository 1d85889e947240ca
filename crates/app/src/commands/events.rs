//! `tenon events …`.

use super::streaming::{Ended, Patience};
use super::text::{json_or_text, name, pair};
use crate::cli::{self, EventsCommand};
use crate::failure::{Failure, Outcome};
use crate::render::{Cell, Screen, Tone, plain, toned};
use std::collections::BTreeMap;
use std::io::BufRead;
use tenon_api::client::{Client, EventsQuery};
use tenon_api::http::{
    AppendEvent, AppendEvents, AppendedEvents, EventPage, ExpectedVersion, StoredEvent, StreamSummary, Told,
    Withheld,
};
use tenon_core::{Code, Revision, StreamName};

/// How many events are read or appended at a time.
const BATCH: usize = 500;

/// Carries out one of the event store's commands.
pub(crate) async fn events(screen: Screen, client: &Client, command: EventsCommand) -> Outcome {
    match command {
        EventsCommand::Append(options) => append(screen, client, options).await,
        EventsCommand::Read(options) => read(screen, client, options).await,
        EventsCommand::Watch(options) => watch(screen, client, options).await,
        EventsCommand::Streams(options) => streams(screen, client, options).await,
        EventsCommand::Delete(options) => delete(screen, client, &options).await,
        EventsCommand::Forget(options) => forget(screen, client, &options).await,
    }
}

async fn append(screen: Screen, client: &Client, options: cli::Append) -> Outcome {
    let stream: StreamName = name(&options.stream)?;
    let mut template = AppendEvent {
        id: options.id.as_deref().map(name).transpose()?,
        stream: None,
        namespace: None,
        event_type: name(&options.event_type)?,
        tags: options.tags.iter().map(|tag| name(tag)).collect::<Result<_, _>>()?,
        data: options.payload.as_deref().map(json_or_text),
        data_base64: None,
        subject: options.subject,
        causation: None,
        correlation: None,
        metadata: options
            .metadata
            .iter()
            .map(|text| pair("--meta", text))
            .collect::<Result<BTreeMap<_, _>, _>>()?,
    };
    let expected =
        options.expect.map(|version| ExpectedVersion { namespace: None, stream: stream.clone(), version });
    let send = async |events: Vec<AppendEvent>, expected: Option<ExpectedVersion>| {
        let events = AppendEvents { events, expected: expected.into_iter().collect(), condition: None };
        let appended = client.append_to_stream(&stream, options.namespace.as_deref(), &events).await?;
        told(screen, &stream, &appended)
    };
    if !options.lines {
        return send(vec![template], expected).await;
    }
    // Only the first batch can know what the stream was like before.
    let mut expected = expected;
    let mut batch = Vec::new();
    for line in std::io::stdin().lock().lines() {
        template.data = Some(json_or_text(&line?));
        batch.push(template.clone());
        if batch.len() == BATCH {
            send(std::mem::take(&mut batch), expected.take()).await?;
        }
    }
    if batch.is_empty() { Ok(()) } else { send(batch, expected).await }
}

fn told(screen: Screen, stream: &StreamName, appended: &AppendedEvents) -> Outcome {
    if screen.is_json() {
        return Ok(screen.json(appended)?);
    }
    let what = match (appended.duplicate, appended.positions.len()) {
        (true, _) => "had been appended before".to_owned(),
        (false, 1) => "appended".to_owned(),
        (false, count) => format!("{count} events appended"),
    };
    screen.remark(&format!("{stream}: {what}, revision {}", appended.revision));
    Ok(())
}

async fn read(screen: Screen, client: &Client, options: cli::Read) -> Outcome {
    let cli::Read { which, backward, limit, at } = options;
    let stream = which.stream.as_deref().map(name).transpose()?;
    let mut query = EventsQuery { backward, at, ..query_of(which) };
    let mut whole: Option<EventPage> = None;
    loop {
        let so_far = whole.as_ref().map_or(0, |page| page.events.len());
        query.limit = Some(limit.saturating_sub(so_far as u64).min(BATCH as u64));
        let page = client.read_events(stream.as_ref(), &query).await?;
        query.from = Some(page.revision.to_string());
        let page = match whole.take() {
            Some(EventPage { mut events, .. }) => {
                events.extend(page.events);
                EventPage { events, ..page }
            }
            None => page,
        };
        if page.at_end || page.events.len() as u64 >= limit {
            return show(screen, &page, stream.is_none());
        }
        whole = Some(page);
    }
}

fn show(screen: Screen, page: &EventPage, with_stream: bool) -> Outcome {
    let head = match with_stream {
        true => vec!["POSITION", "TIME", "STREAM", "TYPE", "DATA"],
        false => vec!["POSITION", "TIME", "TYPE", "DATA"],
    };
    let row = |event: &StoredEvent| {
        let mut row = vec![plain(event.position.to_string()), toned(event.time.to_string(), Tone::Faint)];
        if with_stream {
            row.push(plain(event.stream.as_str()));
        }
        row.extend([toned(event.event_type.as_str(), Tone::Good), data_of(event)]);
        row
    };
    screen.result(page, |page| (head, page.events.iter().map(row).collect()))?;
    if !page.at_end {
        screen.remark(&format!("there is more: --from {}", page.revision.position));
    }
    Ok(())
}

fn data_of(event: &StoredEvent) -> Cell {
    match (&event.withheld, &event.data, &event.data_base64) {
        (Some(Withheld::Forgotten), ..) => toned("forgotten", Tone::Warning),
        (Some(Withheld::Unreadable), ..) => toned("unreadable: the key is not here", Tone::Bad),
        (None, Some(json), _) => plain(json.to_string()),
        (None, None, Some(base64)) => plain(format!("base64:{base64}")),
        (None, None, None) => plain(""),
    }
}

/// Prints events as they come. A server that is restarted is waited for.
async fn watch(screen: Screen, client: &Client, options: cli::Watch) -> Outcome {
    let which = options.which;
    let stream = which.stream.as_deref().map(name).transpose()?;
    let mut query = query_of(which);
    let mut seen = None;
    if query.from.is_none() {
        // From now on: after the newest event there is.
        let newest = EventsQuery { backward: true, limit: Some(1), ..EventsQuery::default() };
        let newest = EventsQuery { namespace: query.namespace.clone(), ..newest };
        let page = client.read_events(None, &newest).await?;
        let position = page.events.first().map_or(0, |event| event.position);
        query.from = Some(position.to_string());
    }
    let mut patience = Patience::default();
    loop {
        let ended = print(screen, client, (stream.as_ref(), &query), &mut seen, &mut patience).await;
        patience.after(ended).await?;
    }
}

async fn print(
    screen: Screen,
    client: &Client,
    (stream, query): (Option<&StreamName>, &EventsQuery),
    seen: &mut Option<Revision>,
    patience: &mut Patience,
) -> Result<(), Ended> {
    let mut events = client.watch_events(stream, query, *seen).await?;
    patience.renew();
    while let Some(event) = events.next().await? {
        *seen = event.id.or(*seen);
        if let Told::Event(event) = event.data {
            print_one(screen, &event)?;
        }
    }
    Ok(())
}

fn print_one(screen: Screen, event: &StoredEvent) -> std::io::Result<()> {
    if screen.is_json() {
        return screen.line(&serde_json::to_string(event).map_err(std::io::Error::other)?);
    }
    let time = event.time.to_string();
    screen.line(&format!(
        "{} {} {} {} {}",
        event.position,
        screen.tone_out(time.get(11..23).unwrap_or(&time), Tone::Faint),
        event.stream,
        screen.tone_out(event.event_type.as_str(), Tone::Good),
        data_of(event).text(),
    ))
}

async fn streams(screen: Screen, client: &Client, options: cli::Streams) -> Outcome {
    let cli::Streams { prefix, namespace, limit } = options;
    let query = EventsQuery { prefix, namespace, limit: Some(limit), ..EventsQuery::default() };
    let list = client.streams(&query, None).await?;
    let head = vec!["STREAM", "CHANGED", "LAST", "VERSION"];
    let row = |stream: &StreamSummary| {
        vec![
            plain(stream.stream.as_str()),
            toned(stream.changed_at.to_string(), Tone::Faint),
            toned(stream.last_type.as_str(), Tone::Good),
            plain(stream.version.to_string()),
        ]
    };
    screen.result(&list, |list| (head, list.streams.iter().map(row).collect()))?;
    if list.next.is_some() {
        screen.remark("there are more; ask for a prefix, or for more with --limit");
    }
    Ok(())
}

async fn delete(screen: Screen, client: &Client, options: &cli::Delete) -> Outcome {
    let stream = name(&options.stream)?;
    let revision = options.expect.as_deref().map(revision).transpose()?;
    let changed = client.delete_stream(&stream, options.namespace.as_deref(), revision).await?;
    if screen.is_json() {
        return Ok(screen.json(&changed)?);
    }
    screen.remark(&format!("{stream}: deleted, revision {}", changed.revision));
    Ok(())
}

async fn forget(screen: Screen, client: &Client, options: &cli::Forget) -> Outcome {
    let subject = name(&options.subject)?;
    let changed = client.forget(&subject, options.namespace.as_deref()).await?;
    if screen.is_json() {
        return Ok(screen.json(&changed)?);
    }
    screen.remark(&format!("{subject} is forgotten, revision {}", changed.revision));
    Ok(())
}

fn query_of(which: cli::Which) -> EventsQuery {
    let cli::Which { stream: _, namespace, prefix, types, tags, from } = which;
    EventsQuery { namespace, prefix, types, tags, from, ..EventsQuery::default() }
}

fn revision(text: &str) -> Result<Revision, Failure> {
    let invalid = || format!("--expect {text:?} is not a revision such as `tenon events append` prints");
    text.parse().map_err(|_| Failure::new(Code::RequestInvalid, invalid()))
}
