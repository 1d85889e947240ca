//! How a read may touch the disk: at leisure, where it may block, or only as far as what it needs is in memory already and
//! is little, on the thread of whoever asks.

use super::SegmentError;
use super::disk::DiskFile;
use std::cell::Cell;

/// At most so many bytes are read on the thread of whoever asks: a page of events as they usually are.
const AT_ONCE: usize = 768 << 10;

/// The way in which one read reads.
#[derive(Debug)]
pub(crate) struct Reads {
    /// How much more may be read at once; none if there is no limit.
    left: Option<Cell<usize>>,
}

impl Reads {
    /// Blocks as long as it takes.
    pub(crate) fn blocking() -> Self {
        Self { left: None }
    }

    /// Answers at once, or with [`SegmentError::WouldBlock`].
    pub(crate) fn at_once() -> Self {
        Self { left: Some(Cell::new(AT_ONCE)) }
    }

    /// Refuses what takes long, unless blocking.
    pub(crate) fn may_block(&self) -> Result<(), SegmentError> {
        if self.left.is_some() { Err(SegmentError::WouldBlock) } else { Ok(()) }
    }

    /// As [`DiskFile::read_at`].
    pub(crate) fn read_at(
        &self,
        file: &dyn DiskFile,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, SegmentError> {
        let Some(left) = &self.left else { return Ok(file.read_at(buffer, offset)?) };
        let rest = left.get().checked_sub(buffer.len()).ok_or(SegmentError::WouldBlock)?;
        left.set(rest);
        file.read_cached_at(buffer, offset)?.ok_or(SegmentError::WouldBlock)
    }
}
