//! Sealed segments that are kept compressed (LZ4), block by block, so that reading a batch decompresses a block or two.
//!
//! A compressed segment has all its bytes at the offsets that they have without, so whoever reads one by [`Files`] need not
//! know: places, indexes and lists stay as they are. It is written beside the original, whole and durable, takes its place by
//! its name, and then the original is removed; whatever a crash leaves, both hold the same. Checksums are those of the batches
//! themselves; where blocks are has one of its own. A block that cannot be decompressed reads as zeros, in which a batch that
//! was there is found missing: damage.
//!
//! The file: a header of 28 bytes (what it is, version, how many bytes a block has and how many there are in all), where each
//! block ends (four bytes each, counted from the first one's beginning), the checksum of all that; then the blocks. One that
//! would not become smaller is kept as it is.
//!
//! [`Files`]: super::files::Files

use super::SegmentError;
use super::disk::{DiskFile, is_full, read_exact_at};
use super::files::{PACKED, TEMPORARY};
use super::format::{Reader, Writer};
use super::recovery;
use super::segments::{Sealed, Segments, View};
use std::io;
use std::ops::Range;
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"TENONLZ4";
const VERSION: u32 = 1;
const HEADER: usize = 28;
/// How many bytes of a segment are compressed together.
const BLOCK: usize = 16 << 10;
/// More blocks than the largest segment has.
const MOST_BLOCKS: u64 = 1 << 20;

/// A compressed file, as what it was.
#[derive(Debug)]
pub(crate) struct PackedFile {
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Where the first block begins in the file, and where each ends.
    start: u64,
    ends: Vec<u32>,
}

impl PackedFile {
    /// Opens a file. One whose beginning is damaged has no bytes.
    pub(crate) fn open(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let mut header = [0; HEADER];
        let read = file.read_at(&mut header, 0)?;
        let blocks = blocks(header.get(..read).unwrap_or_default());
        let Some((size, blocks)) = blocks else {
            return Ok(Self { file, size: 0, start: 0, ends: Vec::new() });
        };
        let covered = HEADER + blocks * 4;
        let ends = match read_exact_at(&*file, 0, covered + 4) {
            Ok(bytes) => ends(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
            Err(error) => return Err(error),
        };
        let size = if ends.is_empty() { 0 } else { size };
        Ok(Self { file, size, start: covered as u64 + 4, ends })
    }

    /// Where a block is in the file.
    fn place(&self, block: usize) -> Option<Range<u64>> {
        let before = block.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before))?;
        let end = self.ends.get(block)?;
        Some(self.start + u64::from(*before)..self.start + u64::from(*end))
    }

    /// Reads by a way of reading the file; none if that answers none.
    fn read(
        &self,
        buffer: &mut [u8],
        offset: u64,
        by: impl Fn(&mut [u8], u64) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let wanted =
            usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(Some(0));
        }
        let (first, last) = (offset as usize / BLOCK, (offset as usize + wanted - 1) / BLOCK);
        let (Some(from), Some(to)) = (self.place(first), self.place(last)) else { return Ok(Some(0)) };
        let mut packed = vec![0; to.end.saturating_sub(from.start) as usize];
        if by(&mut packed, from.start)?.is_none() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        for number in first..=last {
            let Some(place) = self.place(number) else { break };
            let part = (place.start - from.start) as usize..(place.end - from.start) as usize;
            let begins = number * BLOCK;
            let content = block.get_mut(..BLOCK.min(self.size as usize - begins)).unwrap_or_default();
            unpack(packed.get(part).unwrap_or_default(), content);
            // What of the block is wanted, and where it goes.
            let from = (offset as usize).saturating_sub(begins);
            let content = content.get(from..).unwrap_or_default();
            let to = (begins + from).saturating_sub(offset as usize);
            let target = buffer.get_mut(to..wanted).unwrap_or_default();
            target.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
        }
        Ok(Some(wanted))
    }
}

impl DiskFile for PackedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.read(buffer, offset, |buffer, offset| self.file.read_at(buffer, offset).map(Some))?;
        Ok(read.unwrap_or(0))
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.read(buffer, offset, |buffer, offset| self.file.read_cached_at(buffer, offset))
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a compressed segment is not written to"))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// How many bytes there are, and how many blocks.
fn blocks(header: &[u8]) -> Option<(u64, usize)> {
    let mut reader = Reader(header);
    let known = reader.array() == Some(MAGIC) && reader.u32()? == VERSION && reader.u32()? as usize == BLOCK;
    let (size, blocks) = (reader.u64()?, u64::from(reader.u32()?));
    let fits = known && blocks <= MOST_BLOCKS && size.div_ceil(BLOCK as u64) == blocks;
    fits.then_some((size, blocks as usize))
}

/// Where blocks end, if the checksum is right.
fn ends(bytes: &[u8]) -> Option<Vec<u32>> {
    let (covered, stored) = bytes.split_last_chunk()?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*stored) {
        return None;
    }
    let ends = covered.get(HEADER..)?.as_chunks().0;
    Some(ends.iter().map(|end| u32::from_le_bytes(*end)).collect())
}

/// Makes a block of what it was compressed to.
fn unpack(packed: &[u8], content: &mut [u8]) {
    if packed.len() == content.len() {
        content.copy_from_slice(packed);
    } else if lz4_flex::block::decompress_into(packed, content).ok() != Some(content.len()) {
        content.fill(0);
    }
}

/// The compressed form of some bytes.
pub(crate) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (mut blocks, mut ends) = (Vec::new(), Vec::new());
    for block in bytes.chunks(BLOCK) {
        let packed = lz4_flex::block::compress(block);
        blocks.extend_from_slice(if packed.len() < block.len() { &packed } else { block });
        ends.push(u32::try_from(blocks.len()).map_err(io::Error::other)?);
    }
    let mut writer = Writer(Vec::with_capacity(HEADER + ends.len() * 4 + 4 + blocks.len()));
    writer.bytes(&MAGIC);
    writer.u32(VERSION);
    writer.u32(BLOCK as u32);
    writer.u64(bytes.len() as u64);
    writer.u32(ends.len() as u32);
    ends.into_iter().for_each(|end| writer.u32(end));
    writer.u32(crc32c::crc32c(&writer.0));
    writer.bytes(&blocks);
    Ok(writer.0)
}

/// Compresses one sealed segment that is not, if there is one: whether there was. The lock of upkeep must be held.
pub(crate) fn step(segments: &Segments) -> Result<bool, SegmentError> {
    if !segments.packs {
        return Ok(false);
    }
    let view = segments.view();
    let due =
        |sealed: &Arc<Sealed>| !sealed.is_kept() && !sealed.is_packed() && !segments.is_damaged(&sealed.name);
    let Some(at) = view.sealed.iter().position(due) else { return Ok(false) };
    match pack_one(segments, &view, at) {
        // It stays as it is, for whoever mends it.
        Err(SegmentError::Damage(damage)) => segments.note_damage(damage),
        other => other?,
    }
    Ok(true)
}

fn pack_one(segments: &Segments, view: &View, at: usize) -> Result<(), SegmentError> {
    let Some(original) = view.sealed.get(at) else { return Ok(()) };
    // Damage must not be passed on as if it were whole.
    recovery::for_each_batch(segments, original, |_, _| Ok(()))?;
    let file = segments.files.get(&original.name)?;
    let bytes = pack(&read_exact_at(&*file, 0, original.size as usize)?)?;
    let name = format!("{}{PACKED}", original.name);
    put(segments, &name, &bytes)?;
    let packed =
        Arc::new(Sealed::new(&segments.files, original.header.clone(), name, original.last, original.size));
    segments.update(|view| {
        if let Some(place) = Arc::make_mut(&mut view.sealed).get_mut(at) {
            *place = packed;
        }
    });
    segments.files.forget(&original.name);
    if let Err(error) = segments.disk().remove(&original.name) {
        // It is removed when the log is opened.
        tracing::warn!(%error, name = original.name, "a segment that has been compressed cannot be removed");
    }
    Ok(())
}

fn put(segments: &Segments, name: &str, bytes: &[u8]) -> io::Result<()> {
    let disk = segments.disk();
    let temporary = format!("{name}{TEMPORARY}");
    let written = disk.create(&temporary).and_then(|file| {
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        segments.files.forget(name);
        disk.rename(&temporary, name)?;
        disk.sync_directory()
    });
    written.inspect_err(|error| {
        if is_full(error) {
            // What cannot be removed now is removed when the log is opened.
            let _ = disk.remove(&temporary);
        }
    })
}

#[cfg(test)]
mod tests;
