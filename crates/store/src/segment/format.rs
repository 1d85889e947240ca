//! The bytes of a segment file, version 1. All integers are little-endian. `docs/log.md` describes it for
//! people.
//!
//! A segment is a header followed by batches without gaps, followed by zeros. A batch is what one append
//! commits, and the unit of the checksum. Its header says where in the log it stands, so that bytes left
//! over from elsewhere are never taken for a batch; and its checksum starts from the id of the log, so that
//! bytes inside an event cannot be made to look like one by somebody who does not know the id.

use tenon_core::{LogId, Position, Timestamp};

/// The newest format that is understood, and the one that is written.
pub(crate) const VERSION: u32 = 1;
/// How many bytes a segment's header takes.
pub(crate) const SEGMENT_HEADER: usize = 96;
/// How many bytes a batch's header takes.
pub(crate) const BATCH_HEADER: usize = 64;
/// How a batch begins.
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"TNbt";

const SEGMENT_MAGIC: [u8; 8] = *b"TENONSEG";
/// What the checksum of a batch covers begins here: everything after the magic and the checksum.
const BATCH_COVERED: usize = 8;

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log that it belongs to.
    pub(crate) log: LogId,
    /// Segments are numbered from 1.
    pub(crate) sequence: u64,
    /// How many bytes of batches came before it in the log.
    pub(crate) base: u64,
    /// The position that its first event has, or would have.
    pub(crate) first: Position,
    /// The time of the last event before it.
    pub(crate) time: Timestamp,
    /// The scavenge mark when it was made.
    pub(crate) mark: Position,
    /// For a scavenged segment, where in the log the original ended; otherwise 0.
    pub(crate) end: u64,
}

/// What stands at the beginning of a batch. One without events only carries the mark, and shows that
/// everything before it was durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Where in the log the batch begins, in bytes of batches.
    pub(crate) offset: u64,
    /// Up to where the log was durable when the batch was written.
    pub(crate) durable: u64,
    /// The position of the first event, or the one that it would have.
    pub(crate) first: Position,
    /// The number of events.
    pub(crate) count: u32,
    /// The time of the events.
    pub(crate) time: Timestamp,
    /// The scavenge mark.
    pub(crate) mark: Position,
}

/// Why a header of a segment is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderProblem {
    /// It is of this newer version.
    Newer(u32),
    /// It is damaged.
    Damaged(&'static str),
}

/// A batch as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawBatch<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) payload: &'a [u8],
}

impl RawBatch<'_> {
    /// How many bytes it takes in the file.
    pub(crate) fn size(&self) -> usize {
        BATCH_HEADER + self.payload.len()
    }
}

impl SegmentHeader {
    /// Where in the log a byte of the file stands.
    pub(crate) fn offset_of(&self, at: u64) -> u64 {
        (self.base + at).saturating_sub(SEGMENT_HEADER as u64)
    }

    /// The place of a batch that begins at this byte of the file: unlike an offset, it can be had from a segment's header
    /// and the byte by adding.
    pub(crate) fn place(&self, at: u64) -> u64 {
        self.base + at
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut writer = Writer(Vec::with_capacity(SEGMENT_HEADER));
        writer.bytes(&SEGMENT_MAGIC);
        writer.u32(VERSION);
        writer.bytes(self.log.as_bytes());
        for value in [self.sequence, self.base, self.first.0, self.time.as_micros(), self.mark.0, self.end] {
            writer.u64(value);
        }
        let mut bytes = [0; SEGMENT_HEADER];
        bytes.iter_mut().zip(&writer.0).for_each(|(to, from)| *to = *from);
        let checksum = crc32c::crc32c(covered_by_segment(&bytes)).to_le_bytes();
        bytes.iter_mut().rev().zip(checksum.iter().rev()).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderProblem> {
        let mut reader = Reader(bytes);
        if reader.array() != Some(SEGMENT_MAGIC) {
            return Err(HeaderProblem::Damaged("it does not begin as a segment"));
        }
        Self::decode_version(&mut reader, bytes)
            .unwrap_or(Err(HeaderProblem::Damaged("its header is cut off")))
    }

    fn decode_version(reader: &mut Reader<'_>, bytes: &[u8]) -> Option<Result<Self, HeaderProblem>> {
        let version = reader.u32()?;
        let (bytes, _) = bytes.split_at_checked(SEGMENT_HEADER)?;
        let stored = u32::from_le_bytes(*bytes.last_chunk()?);
        let whole = crc32c::crc32c(covered_by_segment(bytes)) == stored;
        // The checksum stands at the same place in every version, so that damage is not taken for novelty.
        if !checksums::accepted(whole) {
            return Some(Err(HeaderProblem::Damaged("the checksum of its header is wrong")));
        }
        if version != VERSION {
            return Some(Err(HeaderProblem::Newer(version)));
        }
        Some(Ok(Self {
            log: LogId::from_bytes(reader.array()?),
            sequence: reader.u64()?,
            base: reader.u64()?,
            first: Position(reader.u64()?),
            time: Timestamp::from_micros(reader.u64()?),
            mark: Position(reader.u64()?),
            end: reader.u64()?,
        }))
    }
}

/// Puts a batch at the end of a buffer; `put_payload` puts its payload there.
pub(crate) fn encode_batch(
    log: LogId,
    header: &BatchHeader,
    put_payload: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut writer = Writer(std::mem::take(out));
    writer.bytes(&BATCH_MAGIC);
    writer.u32(0);
    writer.u32(0);
    writer.u32(header.count);
    for value in [header.offset, header.durable, header.first.0, header.time.as_micros(), header.mark.0, 0] {
        writer.u64(value);
    }
    *out = writer.0;
    put_payload(out);
    let length = (out.len() - start - BATCH_HEADER) as u32;
    overwrite(out, start + BATCH_COVERED, length);
    let checksum = batch_checksum(log, out.get(start + BATCH_COVERED..).unwrap_or_default());
    overwrite(out, start + BATCH_MAGIC.len(), checksum);
}

/// How many bytes the batch takes that begins with these, as it says itself.
pub(crate) fn batch_size(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(BATCH_COVERED..BATCH_COVERED + 4)?;
    Some(BATCH_HEADER + u32::from_le_bytes(length.try_into().ok()?) as usize)
}

/// Reads the batch at the beginning of some bytes, which stand at this offset in the log. What follows it is
/// ignored.
pub(crate) fn decode_batch(log: LogId, bytes: &[u8], offset: u64) -> Result<RawBatch<'_>, &'static str> {
    let mut reader = Reader(bytes);
    if reader.array() != Some(BATCH_MAGIC) {
        return Err("there is no batch");
    }
    let batch = decode_fields(&mut reader).ok_or("the batch is cut off")?;
    let (stored, header, payload) = batch;
    let covered = bytes.get(BATCH_COVERED..BATCH_HEADER + payload.len()).unwrap_or_default();
    if !checksums::accepted(batch_checksum(log, covered) == stored) {
        return Err("the checksum of the batch is wrong");
    }
    if header.offset != offset {
        return Err("the batch is one of another place");
    }
    Ok(RawBatch { header, payload })
}

fn decode_fields<'a>(reader: &mut Reader<'a>) -> Option<(u32, BatchHeader, &'a [u8])> {
    let stored = reader.u32()?;
    let len = reader.u32()?;
    let count = reader.u32()?;
    let header = BatchHeader {
        count,
        offset: reader.u64()?,
        durable: reader.u64()?,
        first: Position(reader.u64()?),
        time: Timestamp::from_micros(reader.u64()?),
        mark: Position(reader.u64()?),
    };
    let _reserved = reader.u64()?;
    Some((stored, header, reader.take(len as usize)?))
}

fn overwrite(bytes: &mut [u8], at: usize, value: u32) {
    bytes.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
}

fn batch_checksum(log: LogId, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(log.as_bytes()), covered)
}

/// Everything but the checksum itself, which is at the end.
fn covered_by_segment(header: &[u8]) -> &[u8] {
    header.get(..SEGMENT_HEADER - 4).unwrap_or_default()
}

/// Appends integers to bytes.
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
}

/// Takes integers off bytes; none when they are used up.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Whether a checksum is believed: always. The tests of the fault schedules have a mutant that does not look
/// at them, to show that the schedules would notice.
#[cfg(not(test))]
mod checksums {
    pub(super) fn accepted(whole: bool) -> bool {
        whole
    }
}

#[cfg(test)]
pub(crate) mod checksums {
    use std::cell::Cell;

    thread_local! {
        static IGNORED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn accepted(whole: bool) -> bool {
        whole || IGNORED.get()
    }

    /// Makes this thread ignore checksums while `act` runs.
    pub(crate) fn ignored<T>(act: impl FnOnce() -> T) -> T {
        IGNORED.set(true);
        let result = act();
        IGNORED.set(false);
        result
    }
}

#[cfg(test)]
mod tests;
