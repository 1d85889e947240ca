//! The contract, kept by the segment engine: on a real folder, and on a simulated disk with segments so small
//! that every law crosses several.

use super::{DirectoryDisk, Disk, SegmentLog, SegmentOptions, SimDisk};
use crate::contract::Subject;
use crate::log::{BoxFuture, Log};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::Timestamp;

struct OnDisk {
    open_disk: Box<dyn Fn() -> Arc<dyn Disk> + Send + Sync>,
    options: SegmentOptions,
    now: Arc<AtomicU64>,
    log: Mutex<Option<SegmentLog>>,
}

impl OnDisk {
    fn new(segment_bytes: u64, open_disk: impl Fn() -> Arc<dyn Disk> + Send + Sync + 'static) -> Self {
        let now = Arc::new(AtomicU64::new(1_000));
        let read = Arc::clone(&now);
        let clock = Arc::new(move || Timestamp::from_micros(read.load(Ordering::Relaxed)));
        let options = SegmentOptions { segment_bytes, clock, ..SegmentOptions::default() };
        let subject = Self { open_disk: Box::new(open_disk), options, now, log: Mutex::new(None) };
        subject.open();
        subject
    }

    fn open(&self) {
        let (log, _) = SegmentLog::open_with((self.open_disk)(), self.options.clone()).unwrap();
        *self.log.lock().unwrap() = Some(log);
    }

    fn current(&self) -> Option<SegmentLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subject for OnDisk {
    fn log(&self) -> Arc<dyn Log> {
        self.current().unwrap().into_log()
    }

    fn reopen(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        Box::pin(async {
            let former = self.current().unwrap();
            former.close().await;
            *self.log.lock().unwrap() = None;
            drop(former);
            self.open();
            self.log()
        })
    }

    fn set_time(&self, now: Timestamp) -> bool {
        self.now.store(now.as_micros(), Ordering::Relaxed);
        true
    }
}

mod in_a_folder {
    use super::*;

    /// The lock of a folder is released with the last handle, which a law may still hold when it reopens; so
    /// the folder is locked once, by the test.
    fn in_a_folder() -> OnDisk {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(folder.path()).unwrap());
        OnDisk::new(1 << 20, move || {
            let _kept_as_long = &folder;
            Arc::clone(&disk)
        })
    }

    crate::contract_tests!(in_a_folder);
}

mod in_small_segments {
    use super::*;

    fn in_small_segments() -> OnDisk {
        let disk = SimDisk::new(1);
        OnDisk::new(2_048, move || Arc::new(disk.clone()))
    }

    crate::contract_tests!(in_small_segments);
}
