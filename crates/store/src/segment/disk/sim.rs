//! A disk in memory that behaves as badly as a real one may, from a seed.
//!
//! What is written is visible at once and durable after a sync. [`SimDisk::crash`] keeps, of what was not
//! synced, whatever the seed says: each sector of each write is kept or lost on its own, and of the changes
//! of names a prefix is kept, as a journalling file system does. A sync that is made to fail loses the same
//! way, and a later one that succeeds does not bring back what was lost. Handles from before a crash are
//! dead.

use super::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is written atomically.
const SECTOR: usize = 512;

/// A simulated disk. Clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimFaults {
    /// How many bytes all files may have together.
    pub capacity: u64,
    /// Of 1,000 syncs, how many fail.
    pub failed_syncs: u32,
    /// Of 1,000 writes, how many find no room although the file need not grow (as happens on file systems
    /// that copy on write), after writing a part.
    pub failed_writes: u32,
    /// Syncs answer success and do nothing.
    pub ignored_syncs: bool,
    /// How many microseconds a sync takes at most; see [`SimDisk::waited`].
    pub slow_syncs: u64,
}

#[derive(Debug)]
struct State {
    random: Random,
    faults: SimFaults,
    /// How many microseconds syncs have taken.
    waited: u64,
    /// Counts crashes; a handle of an earlier life is dead.
    life: u64,
    contents: BTreeMap<u64, Content>,
    next_content: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the last sync of the folder, each as the whole that it led to.
    name_changes: Vec<BTreeMap<String, u64>>,
}

/// The bytes of a file.
#[derive(Debug, Default)]
struct Content {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    life: u64,
    content: u64,
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
#[derive(Debug)]
struct Random(u64);

impl Default for SimFaults {
    fn default() -> Self {
        Self { capacity: u64::MAX, failed_syncs: 0, failed_writes: 0, ignored_syncs: false, slow_syncs: 0 }
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random(seed),
            faults: SimFaults::default(),
            waited: 0,
            life: 0,
            contents: BTreeMap::new(),
            next_content: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: SimFaults) {
        self.state().faults = faults;
    }

    /// How many bytes all files have together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// How many microseconds syncs have taken so far: what a clock must be put forward by.
    pub fn waited(&self) -> u64 {
        self.state().waited
    }

    /// The power fails: what was not synced is lost in part, and all handles die.
    pub fn crash(&self) {
        let mut state = self.state();
        let State { random, contents, name_changes, durable_names, names, life, .. } = &mut *state;
        *life += 1;
        let kept = random.below(name_changes.len() as u64 + 1);
        if let Some(kept) = (kept as usize).checked_sub(1).and_then(|last| name_changes.get(last)) {
            *durable_names = kept.clone();
        }
        name_changes.clear();
        *names = durable_names.clone();
        contents.retain(|content, _| names.values().any(|named| named == content));
        for content in contents.values_mut() {
            content.lose_some(random);
            content.visible = content.durable.clone();
        }
    }

    /// Flips one bit of one file, chosen by the seed among those whose name ends in `suffix`; answers the
    /// file and the byte. Nothing if there is no such byte.
    pub fn flip_bit(&self, suffix: &str) -> Option<(String, u64)> {
        let mut state = self.state();
        let State { random, contents, names, .. } = &mut *state;
        let suited: Vec<(&String, &u64)> = names.iter().filter(|(name, _)| name.ends_with(suffix)).collect();
        let (name, content) = suited.get(random.below(suited.len() as u64) as usize)?;
        let content = contents.get_mut(content)?;
        // Most of a segment is zeros; a bit of what has been written is of more interest.
        let written = content.visible.iter().rposition(|byte| *byte != 0)? as u64 + 1;
        let at = random.below(written) as usize;
        let bit = 1 << random.below(8);
        [&mut content.visible, &mut content.durable]
            .into_iter()
            .filter_map(|bytes| bytes.get_mut(at))
            .for_each(|byte| *byte ^= bit);
        Some(((*name).clone(), at as u64))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a disk that is no worse than a disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, life: u64, content: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), life, content })
    }
}

impl Disk for SimDisk {
    fn path(&self) -> PathBuf {
        PathBuf::from("simulated")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let content = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(state.life, content))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let content = state.next_content;
        state.next_content += 1;
        state.contents.insert(content, Content::default());
        state.change_names(|names| _ = names.insert(name.to_owned(), content));
        Ok(self.handle(state.life, content))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let content = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_names(|names| {
            names.remove(from);
            names.insert(to.to_owned(), content);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(|names| _ = names.remove(name));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.wait();
        if state.faults.ignored_syncs {
            return Ok(());
        }
        if state.strikes(|faults| faults.failed_syncs) {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|_, content| {
            let rest = content.visible.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            Ok(read)
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let (room, strikes) = {
            let mut state = self.disk.state();
            let strikes = state.strikes(|faults| faults.failed_writes);
            (state.faults.capacity.saturating_sub(state.used()), strikes)
        };
        self.with(|random, content| {
            let end = content.visible.len() as u64 + room;
            let fits = end.saturating_sub(offset).min(data.len() as u64) as usize;
            let fits = if strikes { random.below(fits as u64) as usize } else { fits };
            let (written, left) = data.split_at(fits);
            content.write(written, offset as usize);
            if left.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let (ignored, strikes) = {
            let mut state = self.disk.state();
            state.wait();
            (state.faults.ignored_syncs, state.strikes(|faults| faults.failed_syncs))
        };
        self.with(|random, content| {
            if ignored {
                return Ok(());
            }
            if strikes {
                content.lose_some(random);
                return Err(io::Error::other("simulated failure of a sync"));
            }
            content.sync();
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|_, content| Ok(content.visible.len() as u64))
    }
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Random, &mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("this handle died in a simulated crash"));
        }
        let State { random, contents, .. } = &mut *state;
        let content = contents.get_mut(&self.content).ok_or(io::ErrorKind::NotFound)?;
        act(random, content)
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|name| self.contents.get(name))
            .map(|file| file.visible.len() as u64)
            .sum()
    }

    /// Lets a sync take its time.
    fn wait(&mut self) {
        if self.faults.slow_syncs > 0 {
            self.waited += self.random.below(self.faults.slow_syncs);
        }
    }

    /// Whether a fault of this frequency (of 1,000) happens now.
    fn strikes(&mut self, frequency: impl Fn(&SimFaults) -> u32) -> bool {
        let of_thousand = frequency(&self.faults);
        of_thousand > 0 && self.random.below(1_000) < u64::from(of_thousand)
    }

    fn change_names(&mut self, change: impl FnOnce(&mut BTreeMap<String, u64>)) {
        change(&mut self.names);
        self.name_changes.push(self.names.clone());
    }
}

impl Content {
    fn write(&mut self, data: &[u8], offset: usize) {
        overwrite(&mut self.visible, data, offset);
        self.unsynced.push((offset, data.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, data) in self.unsynced.drain(..) {
            overwrite(&mut self.durable, &data, offset);
        }
    }

    /// Of what was not synced, makes some sectors durable and forgets the others.
    fn lose_some(&mut self, random: &mut Random) {
        // Sometimes all is lost or kept: both are likelier on real disks than an even mix.
        let kept_of_four = random.below(5);
        for (offset, data) in self.unsynced.drain(..) {
            let mut at = offset;
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let (sector, later) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                if random.below(4) < kept_of_four {
                    overwrite(&mut self.durable, sector, at);
                }
                at += sector.len();
                rest = later;
            }
        }
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound; 0 if the bound is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

fn overwrite(bytes: &mut Vec<u8>, data: &[u8], offset: usize) {
    let end = offset + data.len();
    if !data.is_empty() && bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes.iter_mut().skip(offset).zip(data).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests;
