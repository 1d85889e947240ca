//! Where the batches are that were published last, so that what comes after a position that somebody has just been told can
//! be looked up to the batch; the index knows blocks of many.

use std::collections::VecDeque;
use tenon_core::Position;

/// How many batches are remembered.
const MOST: usize = 4_096;

/// The last batches of the active segment: the first position of each, and its byte in the file.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Position, u64)>);

impl Recent {
    /// Adds a batch, which comes after those that are there. One without events leaves no trace.
    pub(super) fn push(&mut self, first: Option<Position>, at: u64) {
        let Some(first) = first else { return };
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((first, at));
    }

    /// Forgets all of them: another segment begins.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Where the batch begins that holds a position that is published; none if that is too long ago.
    pub(super) fn batch_of(&self, position: Position) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= position);
        self.0.get(after.checked_sub(1)?).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_in_the_last_batch_that_does_not_begin_after_it() {
        let mut recent = Recent::default();
        assert_eq!(recent.batch_of(Position(1)), None);
        recent.push(Some(Position(5)), 100);
        recent.push(None, 150);
        recent.push(Some(Position(8)), 200);
        assert_eq!(recent.batch_of(Position(4)), None);
        assert_eq!([5, 7, 8, 9].map(|at| recent.batch_of(Position(at))), [100, 100, 200, 200].map(Some));
        recent.clear();
        assert_eq!(recent.batch_of(Position(8)), None);
    }

    #[test]
    fn what_is_too_long_ago_is_forgotten() {
        let mut recent = Recent::default();
        for number in 0..=MOST as u64 {
            recent.push(Some(Position(number + 1)), number);
        }
        assert_eq!(recent.batch_of(Position(1)), None);
        assert_eq!(recent.batch_of(Position(2)), Some(1));
        assert_eq!(recent.0.len(), MOST);
    }
}
