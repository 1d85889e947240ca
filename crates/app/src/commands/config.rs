//! `tenon config …`.

use super::connect;
use super::streaming::{Ended, Patience};
use crate::cli::ConfigCommand;
use crate::failure::{Failure, Outcome};
use crate::render::{Cell, Screen, Tone, plain, toned};
use serde_json::Value;
use tenon_api::client::Client;
use tenon_api::http::{ConfigChange, ConfigEntry, ConfigOrigin, ConfigRecord, ServiceConfig};
use tenon_core::manifest::ConfigKey;
use tenon_core::{Code, Revision, ServiceRef};

/// How many changes a history shows.
const HISTORY: u32 = 100;

/// Carries out one of the configuration commands.
pub(crate) async fn config(screen: Screen, client: &Client, command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Get { service, key: None } => {
            let config = client.service_config(&connect::service(&service)?).await?;
            entries(screen, &config)
        }
        ConfigCommand::Get { service, key: Some(name) } => {
            let entry = client.config_entry(&connect::service(&service)?, &key(&name)?).await?;
            if screen.is_json() {
                Ok(screen.json(&entry)?)
            } else {
                Ok(screen.line(&entry.value.to_string())?)
            }
        }
        ConfigCommand::Set { service, key: name, value, if_revision } => {
            let expected = if_revision.as_deref().map(revision).transpose()?;
            let service = connect::service(&service)?;
            let entry = client.set_config(&service, &key(&name)?, json_or_text(&value), expected).await?;
            if screen.is_json() {
                return Ok(screen.json(&entry)?);
            }
            screen.remark(&format!("{service} {name} = {}, revision {}", entry.value, entry.revision));
            Ok(())
        }
        ConfigCommand::Unset { service, key: name } => {
            let changed = client.remove_config(&connect::service(&service)?, &key(&name)?, None).await?;
            if screen.is_json() {
                return Ok(screen.json(&changed)?);
            }
            screen.remark(&format!("{service} {name} is removed, revision {}", changed.revision));
            Ok(())
        }
        ConfigCommand::History { service } => history(screen, client, &service).await,
        ConfigCommand::Diff { service, from, to } => {
            let to = to.as_deref().map(revision).transpose()?;
            let diff = client.config_diff(&connect::service(&service)?, revision(&from)?, to).await?;
            let head = vec!["KEY", "OLD", "NEW"];
            Ok(screen.result(&diff, |diff| (head, diff.changes.iter().map(change_row).collect()))?)
        }
        ConfigCommand::Rollback { service, revision: text } => {
            let config = client.rollback_config(&connect::service(&service)?, revision(&text)?).await?;
            entries(screen, &config)
        }
        ConfigCommand::Watch { service } => watch(screen, client, &service).await,
    }
}

fn entries(screen: Screen, config: &ServiceConfig) -> Outcome {
    let head = vec!["KEY", "VALUE", "SET BY", "AT", "REVISION"];
    Ok(screen.result(config, |config| (head, config.entries.iter().map(entry_row).collect()))?)
}

fn entry_row(entry: &ConfigEntry) -> Vec<Cell> {
    vec![
        plain(entry.key.to_string()),
        plain(entry.value.to_string()),
        plain(by(entry.origin, entry.set_by.as_str())),
        toned(entry.set_at.to_string(), Tone::Faint),
        toned(entry.revision.to_string(), Tone::Faint),
    ]
}

async fn history(screen: Screen, client: &Client, service: &str) -> Outcome {
    let history = client.config_history(&connect::service(service)?, None, Some(HISTORY)).await?;
    let head = vec!["AT", "KEY", "OLD", "NEW", "BY", "REVISION"];
    Ok(screen.result(&history, |history| (head, history.records.iter().map(record_row).collect()))?)
}

fn record_row(record: &ConfigRecord) -> Vec<Cell> {
    let mut row = vec![toned(record.at.to_string(), Tone::Faint)];
    row.extend(change_row(&record.change));
    row.push(plain(by(record.origin, record.by.as_str())));
    row.push(toned(record.change.revision.to_string(), Tone::Faint));
    row
}

fn change_row(change: &ConfigChange) -> Vec<Cell> {
    let value = |value: &Option<Value>, tone| match value {
        Some(value) => toned(value.to_string(), tone),
        None => toned("–", Tone::Faint),
    };
    vec![plain(change.key.to_string()), value(&change.old, Tone::Bad), value(&change.new, Tone::Good)]
}

fn by(origin: ConfigOrigin, actor: &str) -> String {
    match origin {
        ConfigOrigin::Manifest => format!("{actor} (manifest)"),
        ConfigOrigin::Hand => actor.to_owned(),
    }
}

/// Prints each change on a line of its own, as JSON or for people. A server that is restarted meanwhile is waited for,
/// and no change is missed: the watch resumes after the last revision that it has seen.
async fn watch(screen: Screen, client: &Client, service: &str) -> Outcome {
    let service = connect::service(service)?;
    let mut seen = client.service_config(&service).await?.revision;
    let mut patience = Patience::default();
    loop {
        let ended = print_changes(screen, client, &service, &mut seen, &mut patience).await;
        patience.after(ended).await?;
    }
}

async fn print_changes(
    screen: Screen,
    client: &Client,
    service: &ServiceRef,
    seen: &mut Revision,
    patience: &mut Patience,
) -> Result<(), Ended> {
    let mut changes = client.watch_config(service, Some(*seen)).await?;
    patience.renew();
    while let Some(event) = changes.next().await? {
        *seen = event.id.unwrap_or(event.data.revision);
        print_change(screen, &event.data)?;
    }
    Ok(())
}

fn print_change(screen: Screen, change: &ConfigChange) -> std::io::Result<()> {
    if screen.is_json() {
        return screen.line(&serde_json::to_string(change).map_err(std::io::Error::other)?);
    }
    let shown = |value: &Option<Value>| value.as_ref().map_or("–".to_owned(), Value::to_string);
    screen.line(&format!("{}: {} → {}", change.key, shown(&change.old), shown(&change.new)))
}

fn key(text: &str) -> Result<ConfigKey, Failure> {
    ConfigKey::new(text).map_err(|error| Failure::new(Code::RequestInvalid, error.to_string()))
}

fn revision(text: &str) -> Result<Revision, Failure> {
    text.parse().map_err(|error| {
        Failure::new(Code::RequestInvalid, format!("{error}; `tenon config history` lists revisions"))
    })
}

/// What is no JSON is taken as a text, so that people need not quote twice.
fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
