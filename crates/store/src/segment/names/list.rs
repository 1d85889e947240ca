//! Listing streams: the files of names and what has none yet, together and in order.

use super::{Cursor, Merged, Named, look_through, write};
use crate::log::{ListedStream, MAX_PAGE_STREAMS, ReadError, StreamPage, StreamRef, StreamsQuery};
use crate::segment::SegmentError;
use crate::segment::envelope::Raw;
use crate::segment::reads::Reads;
use crate::segment::segments::{Segments, View};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tenon_core::{Namespace, Position, StreamName};

/// A page looks at so many names that are not listed, at most.
const MOST_PASSED: usize = 16 * MAX_PAGE_STREAMS;
/// How often a page is tried while lists are found damaged, or segments change under it.
const TRIES: usize = 8;

impl Segments {
    /// A page of streams; see [`crate::Log::streams`]. Blocks.
    pub(crate) fn streams(&self, query: &StreamsQuery, limit: usize) -> Result<StreamPage, ReadError> {
        let limit = limit.clamp(1, MAX_PAGE_STREAMS);
        for _ in 0..TRIES {
            let view = self.view();
            match list_of(self, &view, query, limit, MOST_PASSED) {
                Ok(page) => return Ok(page),
                Err(SegmentError::Index) => write::forget_damaged(self),
                // A segment was scavenged meanwhile and its file is gone: look again.
                Err(_) if !Arc::ptr_eq(&view.sealed, &self.view().sealed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ReadError::Io(Arc::new(io::Error::other("the lists of streams change too fast"))))
    }
}

/// A page as one view has it, for which so many names are passed over at most.
pub(super) fn list_of(
    segments: &Segments,
    view: &View,
    query: &StreamsQuery,
    limit: usize,
    most_passed: usize,
) -> Result<StreamPage, SegmentError> {
    let reads = Reads::blocking();
    let range = Range::of(query);
    let cursors = view.names.iter().map(|file| Cursor::at(file, &reads, &range.from));
    let mut cursors = cursors.collect::<Result<Vec<_>, _>>()?;
    let mut recent = Recent { names: BTreeMap::new(), most: limit + most_passed, whole: true };
    let active = view.part(view.sealed.len());
    let unnamed = write::unnamed(view).filter_map(|sequence| view.part(sequence as usize - 1));
    for part in unnamed.chain(active) {
        look_through(segments, &reads, part, |raw| recent.add(raw, &range))?;
    }
    let complete = recent.complete();
    cursors.push(Cursor::of(recent.into_names(), &reads));
    let mut merged = Merged(cursors);
    let (mut page, mut passed, mut at) = (StreamPage::default(), 0, None);
    let ended = loop {
        let next = merged.next()?.filter(|named| range.holds(&named.key));
        let Some(Named { key, last, deleted }) = next else { break complete.is_none() };
        let full = page.streams.len() == limit || passed == most_passed;
        if full || complete.as_ref().is_some_and(|complete| key > *complete) {
            break false;
        }
        let name = read(&key).ok_or(SegmentError::Index)?;
        let served = last >= view.first || name.stream.is_reserved();
        if served && !deleted && query.covers(name.namespace.as_str(), &name.stream) {
            page.streams.push(ListedStream { name: name.clone(), last });
        } else {
            passed += 1;
        }
        at = Some(name);
    };
    if !ended {
        page.next = at;
    }
    Ok(page)
}

fn read(key: &[u8]) -> Option<StreamRef> {
    let (namespace, stream) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some(StreamRef { namespace: Namespace::new(namespace).ok()?, stream: StreamName::new(stream).ok()? })
}

/// Which names may be meant: those from one on, as long as they begin with some bytes.
struct Range {
    from: Vec<u8>,
    beginning: Vec<u8>,
}

impl Range {
    fn of(query: &StreamsQuery) -> Self {
        let beginning = query.namespace.as_ref().map_or_else(Vec::new, |namespace| {
            let prefix = query.prefix.as_ref().map_or("", StreamName::as_str);
            [namespace.as_str(), "\0", prefix].concat().into_bytes()
        });
        // The first that is behind it.
        let behind = |after: &StreamRef| {
            [after.namespace.as_str(), "\0", after.stream.as_str(), "\0"].concat().into_bytes()
        };
        let from = query.after.as_ref().map(behind).unwrap_or_default().max(beginning.clone());
        Self { from, beginning }
    }

    fn holds(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && key.starts_with(&self.beginning)
    }
}

/// The first names of what has no list.
struct Recent {
    names: BTreeMap<Vec<u8>, (Position, bool)>,
    most: usize,
    /// Whether none was left out.
    whole: bool,
}

impl Recent {
    fn add(&mut self, raw: &Raw<'_>, range: &Range) {
        let Named { key, last, deleted } = Named::of(raw);
        if !range.holds(&key) {
            return;
        }
        let newest = self.names.entry(key).or_insert((last, deleted));
        if newest.0 < last {
            *newest = (last, deleted);
        }
        if self.names.len() > self.most {
            self.names.pop_last();
            self.whole = false;
        }
    }

    /// Up to which name all are there, if not all are.
    fn complete(&self) -> Option<Vec<u8>> {
        if self.whole { None } else { self.names.last_key_value().map(|(key, _)| key.clone()) }
    }

    fn into_names(self) -> Vec<Named> {
        self.names.into_iter().map(|(key, (last, deleted))| Named { key, last, deleted }).collect()
    }
}
