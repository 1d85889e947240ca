//! The output of services over HTTP.

use super::App;
use super::reply::{Asked, Reply};
use super::services::known;
use super::watch::{event, events, problem};
use crate::logs::{Line, MAX_TAIL_LINES, Reader, files_of};
use axum::extract::State;
use axum::response::sse::Event;
use futures_util::stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::http::{LogLine, LogStream};
use tenon_core::{Code, Refusal, ServiceRef, Timestamp};
use tokio::sync::OwnedSemaphorePermit;

/// How many lines of the past are told, if not asked for otherwise.
const DEFAULT_TAIL: usize = 100;

/// How long to wait before looking for new output, after some and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

#[derive(Deserialize)]
struct Which {
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn read(State(app): State<Arc<App>>, asked: Asked) -> Reply {
    let (service, Which { tail, follow }) = (asked.service()?, asked.query()?);
    app.writer.read(|view| known(&view.state, &service))?;
    let follow = Follow {
        _permit: app.stream_permit()?,
        reader: Some(Reader::new(app.output.clone())),
        folder: app.output.clone(),
        service,
        tail: Some(tail.unwrap_or(DEFAULT_TAIL).min(MAX_TAIL_LINES)),
        follow,
        wait: POLL.0,
        ready: VecDeque::new(),
        app,
    };
    events(stream::unfold(follow, |mut follow| async {
        let event = follow.next().await?;
        Some((event, follow))
    }))
}

/// One client's reading.
struct Follow {
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
    service: ServiceRef,
    folder: PathBuf,
    /// `None` once it is of no more use.
    reader: Option<Reader>,
    /// How many lines of the past, until they have been read.
    tail: Option<usize>,
    follow: bool,
    wait: Duration,
    ready: VecDeque<Event>,
}

impl Follow {
    /// The next event, as soon as there is one; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.tail.is_none() {
                if !self.follow {
                    return None;
                }
                self.app.stop.run_until_cancelled(tokio::time::sleep(self.wait)).await?;
            }
            self.read().await?;
        }
    }

    /// Reads what there is to read; `None` at the end.
    async fn read(&mut self) -> Option<()> {
        let reader = self.reader.take()?;
        let (folder, service, tail) = (self.folder.clone(), self.service.clone(), self.tail.take());
        // Files block, so they are read where that harms nobody.
        let reading = tokio::task::spawn_blocking(move || read_lines(reader, &folder, &service, tail));
        match reading.await {
            Ok((reader, Ok(lines))) => {
                self.wait = if lines.is_empty() { (self.wait * 2).min(POLL.1) } else { POLL.0 };
                self.ready.extend(lines.into_iter().map(|line| event(Event::default(), &told(line))));
                self.reader = Some(reader);
            }
            Ok((_, Err(error))) => {
                let refusal = Refusal::new(Code::Internal, format!("the output cannot be read: {error}"));
                self.ready.push_back(problem(refusal));
            }
            // Only a panic ends it otherwise, and the panic has been told.
            Err(_) => return None,
        }
        Some(())
    }
}

fn read_lines(
    mut reader: Reader,
    folder: &std::path::Path,
    service: &ServiceRef,
    tail: Option<usize>,
) -> (Reader, io::Result<Vec<Line>>) {
    let lines = files_of(folder, &service.name).and_then(|instances| match tail {
        Some(count) => reader.tail(&instances, count),
        None => reader.poll(&instances),
    });
    (reader, lines)
}

fn told(line: Line) -> LogLine {
    LogLine {
        instance: line.instance,
        at: tenon_api::time::parse(&line.time).unwrap_or(Timestamp::ZERO),
        stream: if line.stream == "err" { LogStream::Err } else { LogStream::Out },
        text: line.text,
    }
}
