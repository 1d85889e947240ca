//! What services print, as the supervisor keeps it: `logs/INSTANCE.log` and, with what came before,
//! `logs/INSTANCE.log.1`; a line is `TIME STREAM TEXT`.
//!
//! Life cycle: [`Reader::tail`] reads the last lines and remembers where it stopped; each [`Reader::poll`]
//! then reads what has come since, through rotations. Reads are synchronous: call from a thread that may
//! block. If a file is rotated twice between two polls, what was in between is lost to the reader.
//!
//! Left out on purpose: writing (crate `app`), searching.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use tenon_core::runtime::instance_id;
use tenon_core::{InstanceId, ServiceName};

/// The most lines that a tail gives.
pub(crate) const MAX_TAIL_LINES: usize = 10_000;

/// A tail looks at the last so many bytes of a file.
const MAX_TAIL_BYTES: u64 = 4 << 20;

/// A poll reads at most so many bytes of each file.
const MAX_POLL_BYTES: u64 = 256 << 10;

/// A longer line is broken; the supervisor's are at most 64 KiB and a prefix.
const MAX_LINE_BYTES: usize = 65 << 10;

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// When, RFC 3339.
    pub(crate) time: String,
    /// Who.
    pub(crate) instance: InstanceId,
    /// `out` or `err`.
    pub(crate) stream: String,
    /// What.
    pub(crate) text: String,
}

/// The most instances of one service whose output is read: those that printed last.
const MAX_FILES: usize = 64;

/// The instances of a service whose output is kept, whether they still run or not.
///
/// # Errors
/// When the folder cannot be read; one that is not there yet holds nothing.
pub(crate) fn files_of(folder: &Path, service: &ServiceName) -> io::Result<BTreeSet<InstanceId>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(instance) = instance_of(&entry.file_name(), service) {
            // A file that went away meanwhile is as good as one that is old.
            let modified = entry.metadata().and_then(|it| it.modified()).unwrap_or(UNIX_EPOCH);
            found.push((modified, instance));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().rev().take(MAX_FILES).map(|(_, instance)| instance).collect())
}

/// Whose output a file holds, if it is an instance of the service. `payment-2-7f3a09c1` is one of `payment`, and
/// not one of `pay`: the id is made anew from its parts, as whoever started the instance made it.
fn instance_of(file: &OsStr, service: &ServiceName) -> Option<InstanceId> {
    let id = file.to_str()?.strip_suffix(".log")?;
    let mut parts = id.rsplitn(3, '-');
    let (random, slot) = (parts.next()?, parts.next()?);
    let made = instance_id(service, slot.parse().ok()?, u32::from_str_radix(random, 16).ok()?);
    (made.as_str() == id).then_some(made)
}

/// Reads the output of some instances.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    open: BTreeMap<InstanceId, OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    file: File,
    inode: u64,
    /// A line that has no end yet.
    unfinished: Vec<u8>,
    /// The time of the last line.
    last_time: String,
}

impl Reader {
    /// Reads the files in `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: BTreeMap::new() }
    }

    /// The last `count` lines of all instances together, oldest first. Instances without a file are passed
    /// over; a poll finds them when they have one.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub(crate) fn tail(&mut self, instances: &BTreeSet<InstanceId>, count: usize) -> io::Result<Vec<Line>> {
        let count = count.min(MAX_TAIL_LINES);
        let mut lines = Vec::new();
        for instance in instances {
            lines.extend(self.tail_one(instance, count)?);
        }
        // Each instance's lines are in order already, and the sort is stable.
        lines.sort_by(|left, right| left.time.cmp(&right.time));
        Ok(lines.split_off(lines.len().saturating_sub(count)))
    }

    /// What has come since the last tail or poll, oldest first within each instance.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub(crate) fn poll(&mut self, instances: &BTreeSet<InstanceId>) -> io::Result<Vec<Line>> {
        self.open.retain(|instance, _| instances.contains(instance));
        let mut lines = Vec::new();
        for instance in instances {
            self.poll_one(instance, &mut lines)?;
        }
        lines.sort_by(|left, right| left.time.cmp(&right.time));
        Ok(lines)
    }

    fn tail_one(&mut self, instance: &InstanceId, count: usize) -> io::Result<VecDeque<Line>> {
        let mut lines = VecDeque::new();
        let path = self.path(instance);
        if let Some(mut previous) = OpenLog::open(&rotated(&path))? {
            previous.tail_into(instance, count, &mut lines)?;
        }
        if let Some(mut log) = OpenLog::open(&path)? {
            log.tail_into(instance, count, &mut lines)?;
            self.open.insert(instance.clone(), log);
        }
        Ok(lines)
    }

    fn poll_one(&mut self, instance: &InstanceId, lines: &mut Vec<Line>) -> io::Result<()> {
        let path = self.path(instance);
        if let Some(log) = self.open.get_mut(instance)
            && (log.read_on(instance, lines)? || !log.was_rotated(&path)?)
        {
            return Ok(());
        }
        if let Some(mut log) = OpenLog::open(&path)? {
            log.read_on(instance, lines)?;
            self.open.insert(instance.clone(), log);
        }
        Ok(())
    }

    fn path(&self, instance: &InstanceId) -> PathBuf {
        self.folder.join(format!("{instance}.log"))
    }
}

impl OpenLog {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Self { file, inode, unfinished: Vec::new(), last_time: String::new() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds the last lines and lets go of the first ones over `count`. Leaves the file at its end.
    fn tail_into(
        &mut self,
        instance: &InstanceId,
        count: usize,
        lines: &mut VecDeque<Line>,
    ) -> io::Result<()> {
        let skipped = self.file.metadata()?.len().saturating_sub(MAX_TAIL_BYTES);
        self.file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        (&mut self.file).take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
        if skipped > 0 {
            let first_whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.drain(..first_whole);
        }
        let mut found = Vec::new();
        self.split(bytes, instance, &mut found);
        lines.extend(found);
        lines.drain(..lines.len().saturating_sub(count));
        Ok(())
    }

    /// Whether anything was read.
    fn read_on(&mut self, instance: &InstanceId, lines: &mut Vec<Line>) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let count = (&mut self.file).take(MAX_POLL_BYTES).read_to_end(&mut bytes)?;
        self.split(bytes, instance, lines);
        Ok(count > 0)
    }

    fn was_rotated(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.ino() != self.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn split(&mut self, bytes: Vec<u8>, instance: &InstanceId, lines: &mut Vec<Line>) {
        self.unfinished.extend(bytes);
        let mut rest = self.unfinished.as_slice();
        while let Some((line, after)) = next_line(rest) {
            let line = parse(instance, line, &self.last_time);
            self.last_time.clone_from(&line.time);
            lines.push(line);
            rest = after;
        }
        self.unfinished = rest.to_vec();
    }
}

/// A line and what comes after it; none while it has no end.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') {
        Some(end) => Some((bytes.get(..end)?, bytes.get(end + 1..)?)),
        None if bytes.len() >= MAX_LINE_BYTES => bytes.split_at_checked(MAX_LINE_BYTES),
        None => None,
    }
}

/// A line that is not of the supervisor's form (the rest of a broken one) is kept whole, with the time of the
/// line before it.
fn parse(instance: &InstanceId, line: &[u8], last_time: &str) -> Line {
    let line = String::from_utf8_lossy(line);
    let mut parts = line.splitn(3, ' ');
    let parsed = match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(stream @ ("out" | "err")), Some(text)) => Some((time, stream, text)),
        _ => None,
    };
    let (time, stream, text) = parsed.unwrap_or((last_time, "out", &line));
    Line { time: time.into(), instance: instance.clone(), stream: stream.into(), text: text.into() }
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests;
