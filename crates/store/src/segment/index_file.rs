//! What is kept of a sealed segment beside its keys: where blocks of batches begin, to find a position; and the
//! fingerprints of the ids of its events, to know them again when the log is opened.

use super::SegmentError;
use super::disk::Disk;
use super::files::Files;
use super::format::{Reader, Writer};
use super::pages::{CONTENT, PageRun, PageWriter, Pages, Subject};
use super::reads::Reads;
use super::tail::{Block, TailIndex};
use std::io;
use std::sync::Arc;
use tenon_core::Position;

const MAGIC: [u8; 8] = *b"TENONIDX";
const VERSION: u32 = 3;
const BLOCKS_A_PAGE: usize = CONTENT / 8;
const IDS_A_PAGE: usize = CONTENT / 4;

/// An index on disk.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pages: Pages,
    /// The position that those of blocks are counted from.
    first: Position,
    blocks: u32,
    ids: u32,
}

/// Writes the index of a segment.
pub(crate) fn write(disk: &dyn Disk, name: &str, subject: Subject, index: &TailIndex) -> io::Result<()> {
    let file = PageWriter::create(disk, name, subject)?;
    let first = index.blocks().first().map_or(Position::START, |block| block.first);
    let mut run = PageRun::from(1);
    for blocks in index.blocks().chunks(BLOCKS_A_PAGE) {
        let mut page = Writer(Vec::with_capacity(CONTENT));
        for block in blocks {
            // A segment has less than 2³² bytes and so less positions, unless it was scavenged of nearly all.
            page.u32(u32::try_from(block.first.0 - first.0).map_err(io::Error::other)?);
            page.u32(block.at);
        }
        file.put(&mut run, &page.0)?;
    }
    for ids in index.ids().chunks(IDS_A_PAGE) {
        let page: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        file.put(&mut run, &page)?;
    }
    file.flush(&mut run)?;
    let mut header = Writer(Vec::new());
    header.bytes(&MAGIC);
    header.u32(VERSION);
    header.u64(first.0);
    header.u32(index.blocks().len() as u32);
    header.u32(index.ids().len() as u32);
    // Last, so that a file that was not written to its end has none.
    let mut run = PageRun::from(0);
    file.put(&mut run, &header.0)?;
    file.flush(&mut run)
}

impl IndexFile {
    /// Opens an index; [`SegmentError::Index`] if there is none that can be believed.
    pub(crate) fn open(
        reads: &Reads,
        files: &Arc<Files>,
        name: String,
        subject: Subject,
    ) -> Result<Self, SegmentError> {
        let pages = Pages::new(Arc::clone(files), name, subject);
        let header = pages.page(reads, 0)?;
        let mut reader = Reader(&header);
        if reader.array() != Some(MAGIC) || reader.u32() != Some(VERSION) {
            return Err(SegmentError::Index);
        }
        let mut counts = || Some((Position(reader.u64()?), reader.u32()?, reader.u32()?));
        let (first, blocks, ids) = counts().ok_or(SegmentError::Index)?;
        Ok(Self { pages, first, blocks, ids })
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// A block.
    pub(crate) fn block(&self, reads: &Reads, number: u32) -> Result<Block, SegmentError> {
        let (page, place) = (number as usize / BLOCKS_A_PAGE, number as usize % BLOCKS_A_PAGE);
        let page = self.pages.page(reads, 1 + page as u64)?;
        let mut reader = Reader(page.get(place * 8..).unwrap_or_default());
        let mut block =
            || Some(Block { first: Position(self.first.0 + u64::from(reader.u32()?)), at: reader.u32()? });
        block().ok_or(SegmentError::Index)
    }

    /// The fingerprints of the ids of all events, in order.
    pub(crate) fn ids(&self) -> Result<Vec<u32>, SegmentError> {
        let before = 1 + (self.blocks as usize).div_ceil(BLOCKS_A_PAGE) as u64;
        let count = (self.ids as usize).div_ceil(IDS_A_PAGE) as u64;
        let contents = self.pages.contents(&Reads::blocking(), before, count)?;
        let page =
            |page: &[u8]| page.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect::<Vec<u32>>();
        let mut ids: Vec<u32> = contents.chunks(CONTENT).flat_map(page).collect();
        ids.truncate(self.ids as usize);
        Ok(ids)
    }
}
