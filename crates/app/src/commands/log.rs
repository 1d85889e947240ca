//! `tenon log …`: looking at the files of a log, copying them, and making a log of a copy. No server is asked.

use crate::cli::{Global, LogCommand, LogFolder};
use crate::data_dir::DataDir;
use crate::failure::{Failure, Outcome, chain};
use crate::log_choice::{LogUrl, OpenLog};
use crate::render::{Screen, Tone, plain, toned};
use crate::session;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tenon_backends::postgres::migrate;
use tenon_backends::{PostgresLog, PostgresOptions};
use tenon_core::{Code, Position};
use tenon_store::segment::backup::{self, Copied};
use tenon_store::segment::import::{self, ImportError};
use tenon_store::segment::offline::{Archive, Verified};
use tenon_store::{DirectoryDisk, Event, OpenError, SegmentLog, new_log_id};

/// Carries out a command on a log's files.
pub(crate) fn log(screen: Screen, global: &Global, command: &LogCommand) -> Outcome {
    match command {
        LogCommand::Stat(folder) => stat(screen, &find(global, folder)?),
        LogCommand::Verify(folder) => verify(screen, &find(global, folder)?),
        LogCommand::Dump { folder, after, limit, stream } => {
            dump(screen, &find(global, folder)?, Position(*after), *limit, stream.as_deref())
        }
        LogCommand::Backup { folder, target } => back_up(screen, &find(global, folder)?, target),
        LogCommand::Migrate { source, target } => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime.block_on(migrate(screen, source, target))
        }
        LogCommand::Restore { source, target, same_id } => restore(screen, source, target, *same_id),
    }
}

/// The folder that was named, or the log of the data folder.
fn find(global: &Global, folder: &LogFolder) -> Result<PathBuf, Failure> {
    match &folder.folder {
        Some(folder) => Ok(folder.clone()),
        None => Ok(DataDir::open(&session::find_data_folder(global)?)?.log()),
    }
}

fn open(folder: &Path) -> Result<Archive, Failure> {
    let disk = DirectoryDisk::look_at(folder)?;
    let found = Archive::open(Arc::new(disk))?;
    found.ok_or_else(|| {
        let message = format!("there is no log in {}; name its folder with --folder", folder.display());
        Failure::new(Code::RequestUnknown, message)
    })
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

fn stat(screen: Screen, folder: &Path) -> Outcome {
    let stat = open(folder)?.stat()?;
    let (last, time) = stat.last_segment;
    let value = json!({
        "log": stat.log.to_string(),
        "segments": stat.segments,
        "scavenged_segments": stat.scavenged,
        "segment_bytes": stat.segment_bytes,
        "index_bytes": stat.index_bytes,
        "first_position": stat.first.0,
        "last_segment_from_position": last.0,
        "last_segment_since": time.to_string(),
    });
    Ok(screen.result(&value, pairs)?)
}

/// An object as a table of names and values.
fn pairs(value: &Value) -> (Vec<&'static str>, Vec<Vec<crate::render::Cell>>) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let name = |name: &str| toned(name.replace('_', " "), Tone::Faint);
    let rows = value.as_object().into_iter().flatten();
    (vec!["", ""], rows.map(|(key, value)| vec![name(key), plain(text(value))]).collect())
}

fn verify(screen: Screen, folder: &Path) -> Outcome {
    let archive = open(folder)?;
    let Verified { segments, batches, events, bytes, head, mark, damage, torn } = archive.verify()?;
    let places: Vec<Value> = damage
        .iter()
        .map(|it| {
            json!({ "file": it.file, "byte": it.offset, "after_position": it.after.0, "problem": it.problem })
        })
        .collect();
    let value = json!({
        "log": archive.log().to_string(),
        "segments": segments,
        "batches": batches,
        "events": events,
        "bytes": bytes,
        "head": head.0,
        "scavenge_mark": mark.0,
        "torn_bytes": torn,
        "damage": places,
    });
    if screen.is_json() {
        screen.json(&value)?;
    } else {
        let mut shown = value;
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("damage");
        }
        let (head, rows) = pairs(&shown);
        screen.table(&head, &rows)?;
        for found in &damage {
            screen.line(&screen.tone_out(&format!("damaged: {found}"), Tone::Bad))?;
        }
    }
    if damage.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} of {segments} segments are damaged; restore their files from a copy", damage.len());
    Err(Failure::new(Code::LogCorrupt, message))
}

fn dump(screen: Screen, folder: &Path, after: Position, limit: u64, stream: Option<&str>) -> Outcome {
    let archive = open(folder)?;
    let (mut left, mut printed) = (limit, Ok(()));
    let read = archive.events(after, |event| {
        if stream.is_some_and(|stream| event.stream.as_str() != stream) {
            return true;
        }
        if left == 0 {
            return false;
        }
        left -= 1;
        printed = screen.line(&as_json(&event).to_string());
        printed.is_ok()
    });
    printed?;
    Ok(read?)
}

/// An event on one line. Data that are JSON are shown as such, other text as text, anything else in hexadecimal.
fn as_json(event: &Event) -> Value {
    let metadata = &event.metadata;
    let data = match (serde_json::from_slice::<Value>(&event.data), std::str::from_utf8(&event.data)) {
        (Ok(json), _) => json!({ "json": json }),
        (_, Ok(text)) => json!({ "text": text }),
        _ => json!({ "hex": event.data.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    };
    json!({
        "position": event.position.0,
        "time": event.time.to_string(),
        "id": event.id.to_string(),
        "namespace": event.namespace.as_str(),
        "stream": event.stream.as_str(),
        "type": event.event_type.as_str(),
        "tags": event.tags.iter().map(tenon_core::Tag::as_str).collect::<Vec<_>>(),
        "data": data,
        "actor": metadata.actor.as_ref().map(tenon_core::Actor::as_str),
        "traceparent": metadata.traceparent.as_deref(),
        "causation": metadata.causation.map(|id| id.to_string()),
        "correlation": metadata.correlation.as_deref(),
        "metadata": metadata.other,
    })
}

fn back_up(screen: Screen, folder: &Path, target: &Path) -> Outcome {
    let archive = open(folder)?;
    let target = DirectoryDisk::open(target)?;
    let copied = backup::back_up(&archive, &target)?;
    show(screen, &archive.log().to_string(), &copied)
}

fn restore(screen: Screen, source: &Path, target: &Path, same_id: bool) -> Outcome {
    let archive = open(source)?;
    let target = DirectoryDisk::open(target)?;
    let id = if same_id { archive.log() } else { new_log_id() };
    let copied = backup::restore(&archive, &target, id)?;
    show(screen, &id.to_string(), &copied)
}

/// Copies a whole log between folders and databases.
async fn migrate(screen: Screen, source: &str, target: &str) -> Outcome {
    let opened = match LogUrl::given(source)? {
        Some(url) => {
            let options = PostgresOptions::default();
            let log = PostgresLog::open(url.secret(), options).await;
            OpenLog::Postgres(log.map_err(|error| Failure::new(error.code(), chain(&error)))?)
        }
        None => {
            open(Path::new(source))?;
            OpenLog::Segments(SegmentLog::open(Path::new(source))?.0)
        }
    };
    let log = opened.port();
    let imported = match LogUrl::given(target)? {
        Some(url) => {
            let migrated = migrate::migrate(&log, url.secret()).await;
            migrated.map_err(|error| Failure::new(error.code(), chain(&error)))?
        }
        None => {
            let disk = DirectoryDisk::open(Path::new(target))?;
            import::import(&log, &disk).await.map_err(|error| match error {
                ImportError::Read(error) => Failure::new(error.code(), chain(&error)),
                ImportError::Write(error) => error.into(),
            })?
        }
    };
    let value = json!({ "log": log.id().to_string(), "events": imported.events, "head": imported.head.0 });
    drop(log);
    opened.close().await;
    Ok(screen.result(&value, pairs)?)
}

fn show(screen: Screen, log: &str, copied: &Copied) -> Outcome {
    let value = json!({
        "log": log,
        "segments_copied": copied.segments,
        "segments_there_before": copied.present,
        "bytes_copied": copied.bytes,
        "head": copied.head.0,
    });
    Ok(screen.result(&value, pairs)?)
}
