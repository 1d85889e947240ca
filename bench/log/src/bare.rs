//! A bare segment log: what the disk and the processor allow when there are no rules. No conditions, no ids, no index,
//! no recovery; the reference for speed.

use crate::events::{self, Random};
use crate::report::{Latencies, Report};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SEGMENT: u64 = 128 << 20;
/// Length, checksum, position, time, version, and the lengths of stream, type, metadata and data.
const HEADER: usize = 40;

struct Record {
    position: u64,
    stream: String,
    metadata: String,
    data: Vec<u8>,
}

struct Bare<'a> {
    folder: &'a Path,
    file: File,
    segments: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> Bare<'a> {
    fn create(folder: &'a Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = new_segment(folder, 0)?;
        Ok(Self { folder, file, segments: 1, at: 0, buffer: Vec::new() })
    }

    fn append(&mut self, records: &[Record]) -> std::io::Result<()> {
        self.buffer.clear();
        records.iter().for_each(|record| encode(record, &mut self.buffer));
        if self.at + self.buffer.len() as u64 > SEGMENT {
            self.file = new_segment(self.folder, self.segments)?;
            self.segments += 1;
            self.at = 0;
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.file.sync_data()?;
        self.at += self.buffer.len() as u64;
        Ok(())
    }
}

/// A file full of zeros, synced.
fn new_segment(folder: &Path, number: u64) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(folder.join(format!("{number:08}")))?;
    let zeros = vec![0; 4 << 20];
    for at in (0..SEGMENT).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn encode(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    let length =
        HEADER + record.stream.len() + events::TYPE.len() + record.metadata.len() + record.data.len();
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.position.to_le_bytes());
    out.extend_from_slice(&(1_700_000_000_000 + record.position).to_le_bytes());
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(&(record.stream.len() as u16).to_le_bytes());
    out.extend_from_slice(&(events::TYPE.len() as u16).to_le_bytes());
    out.extend_from_slice(&(record.metadata.len() as u32).to_le_bytes());
    out.extend_from_slice(&(record.data.len() as u32).to_le_bytes());
    out.extend_from_slice(record.stream.as_bytes());
    out.extend_from_slice(events::TYPE.as_bytes());
    out.extend_from_slice(record.metadata.as_bytes());
    out.extend_from_slice(&record.data);
    let checksum = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// A producer keeps so many records in flight; the committer drains its queue into one commit.
pub(crate) fn append(
    folder: &Path,
    in_flight: usize,
    span: Duration,
    streams: u64,
) -> std::io::Result<Report> {
    let mut bare = Bare::create(folder)?;
    let (sender, queue) = mpsc::sync_channel::<(Record, Instant)>(in_flight);
    let (done, acknowledged) = mpsc::channel::<usize>();
    let begun = Instant::now();
    let (count, latencies) = std::thread::scope(|scope| {
        let committer = scope.spawn(move || -> std::io::Result<Latencies> {
            let mut latencies = Latencies::default();
            let (mut group, mut begun) = (Vec::new(), Vec::new());
            while let Ok((record, at)) = queue.recv() {
                group.push(record);
                begun.push(at);
                while group.len() < in_flight
                    && let Ok((record, at)) = queue.try_recv()
                {
                    group.push(record);
                    begun.push(at);
                }
                bare.append(&group)?;
                begun.iter().for_each(|at| latencies.add(at.elapsed()));
                let _ = done.send(group.len());
                group.clear();
                begun.clear();
            }
            Ok(latencies)
        });
        let mut random = Random::new(7_777_777);
        let (mut count, mut flying) = (0_u64, 0);
        while begun.elapsed() < span {
            while flying >= in_flight {
                flying -= acknowledged.recv().unwrap_or(flying);
            }
            flying -= acknowledged.try_iter().sum::<usize>();
            let record = Record {
                position: count + 1,
                stream: events::stream_of(count, streams),
                metadata: events::correlation(&mut random),
                data: events::data(&mut random),
            };
            if sender.send((record, Instant::now())).is_err() {
                break;
            }
            count += 1;
            flying += 1;
        }
        drop(sender);
        (count, committer.join().expect("the committer does not panic"))
    });
    Ok(Report::appended(count, begun.elapsed(), latencies?))
}
