//! The contract, kept by the log in PostgreSQL.

use super::{PostgresLog, PostgresOptions};
use crate::testing;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenon_core::Timestamp;
use tenon_store::contract::Subject;
use tenon_store::{BoxFuture, Log};

struct InPostgres {
    url: String,
    options: PostgresOptions,
    now: Arc<AtomicU64>,
    log: Mutex<PostgresLog>,
}

impl InPostgres {
    fn current(&self) -> PostgresLog {
        self.log.lock().unwrap().clone()
    }
}

impl Subject for InPostgres {
    fn log(&self) -> Arc<dyn Log> {
        self.current().into_log()
    }

    fn reopen(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        Box::pin(async {
            self.current().close().await;
            let log = PostgresLog::open(&self.url, self.options.clone()).await.unwrap();
            *self.log.lock().unwrap() = log;
            self.log()
        })
    }

    fn set_time(&self, now: Timestamp) -> bool {
        self.now.store(now.as_micros(), Ordering::Relaxed);
        true
    }
}

async fn in_postgres() -> InPostgres {
    let url = testing::shared().database();
    let now = Arc::new(AtomicU64::new(1_000));
    let read = Arc::clone(&now);
    let clock = Arc::new(move || Timestamp::from_micros(read.load(Ordering::Relaxed)));
    let options = PostgresOptions { clock, patience: Duration::from_secs(60), ..PostgresOptions::default() };
    let log = PostgresLog::open(&url, options.clone()).await.unwrap();
    InPostgres { url, options, now, log: Mutex::new(log) }
}

tenon_store::contract_tests!(async in_postgres);
