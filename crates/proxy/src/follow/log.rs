//! The access log: a line of JSON for each request, in a file of bounded size.

use crate::explain::Entry;
use crate::metrics::component_name;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file is rotated once it has this many bytes; there are two, so it keeps at most twice this and one batch.
const MOST_BYTES: u64 = 8 << 20;

/// The file, open to add to it, and `FILE.1` with what came before.
#[derive(Debug)]
pub(super) struct AccessFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl AccessFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, MOST_BYTES)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    /// Adds whole lines, rotating first if the file is full.
    pub(super) fn write(&mut self, lines: &str) -> io::Result<()> {
        if self.size >= self.limit {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            fs::rename(&self.path, before)?;
            *self = Self::with_limit(&self.path, self.limit)?;
        }
        self.size += lines.len() as u64;
        self.file.write_all(lines.as_bytes())
    }
}

/// What a line says, in the names of the Elastic Common Schema and OpenTelemetry where they have some.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "@timestamp")]
    at: String,
    #[serde(rename = "http.request.id")]
    request: String,
    #[serde(rename = "trace.id")]
    trace: String,
    #[serde(rename = "span.id")]
    span: String,
    #[serde(rename = "tenon.component")]
    component: &'static str,
    #[serde(rename = "tenon.source", skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(rename = "tenon.destination", skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(rename = "http.route", skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(rename = "http.request.method")]
    method: &'a str,
    #[serde(rename = "url.path")]
    path: &'a str,
    #[serde(rename = "http.response.status_code")]
    status: u16,
    #[serde(rename = "http.response.body.bytes")]
    bytes: u64,
    /// In nanoseconds.
    #[serde(rename = "event.duration")]
    duration: u64,
    #[serde(rename = "tenon.attempts")]
    attempts: usize,
    #[serde(rename = "tenon.instance", skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(rename = "error.code", skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(rename = "tenon.policy", skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    message: &'a str,
}

/// A request's line, with its end.
pub(super) fn line(entry: &Entry) -> String {
    let hop = entry.record.to_hop(&entry.path);
    let sent = || hop.attempts.iter().filter(|attempt| attempt.address.is_some());
    let line = Line {
        at: hop.at.to_string(),
        request: entry.request.to_string(),
        trace: format!("{:032x}", entry.record.trace.id),
        span: format!("{:016x}", entry.record.trace.server),
        component: component_name(hop.component),
        source: hop.source.as_ref().map(ToString::to_string),
        destination: hop.destination.as_ref().map(ToString::to_string),
        route: hop.route.as_deref(),
        method: &hop.method,
        path: &hop.path,
        status: hop.status,
        bytes: entry.record.bytes,
        duration: u64::try_from(hop.duration.as_nanos()).unwrap_or(u64::MAX),
        attempts: sent().count(),
        instance: sent().next_back().and_then(|it| it.instance.as_ref()).map(ToString::to_string),
        code: hop.code.map(tenon_core::Code::as_str),
        policy: hop.policy.as_deref(),
        message: &hop.reason,
    };
    // Texts and numbers can always be written.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
