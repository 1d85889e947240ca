//! The contract, kept by the log in memory.

use super::{MemoryLog, MemoryOptions};
use crate::contract::Subject;
use crate::log::{BoxFuture, Log};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tenon_core::Timestamp;

struct InMemory {
    log: MemoryLog,
    now: Arc<AtomicU64>,
}

impl Subject for InMemory {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone().into_log()
    }

    fn reopen(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        self.log.close();
        self.log.reopen();
        Box::pin(async { self.log() })
    }

    fn set_time(&self, now: Timestamp) -> bool {
        self.now.store(now.as_micros(), Ordering::Relaxed);
        true
    }
}

fn in_memory() -> InMemory {
    let now = Arc::new(AtomicU64::new(1_000));
    let read = Arc::clone(&now);
    let clock = Arc::new(move || Timestamp::from_micros(read.load(Ordering::Relaxed)));
    InMemory { log: MemoryLog::new(MemoryOptions { clock, ..MemoryOptions::default() }), now }
}

crate::contract_tests!(in_memory);
