//! Failures on order: everything that the contract allows an engine to do wrong.

use crate::log::ReadError;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The failures that have been ordered from a log in memory and have not happened yet.
#[derive(Debug, Default)]
pub struct Faults {
    orders: Mutex<Orders>,
}

/// How an append is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppendFault {
    /// No space: nothing is appended, `Full` is answered.
    Full,
    /// The append is lost: nothing is appended, `Unknown` is answered.
    LostBefore,
    /// The answer is lost: the events are appended, `Unknown` is answered.
    LostAfter,
    /// The writer fails for good: this append and every later one are answered with `Closed`, until the log
    /// is reopened.
    Closed,
}

#[derive(Debug, Default)]
struct Orders {
    appends: VecDeque<Option<AppendFault>>,
    reads: usize,
}

impl Faults {
    /// The next append that has no order yet fails in this way.
    pub fn order(&self, fault: AppendFault) {
        self.orders().appends.push_back(Some(fault));
    }

    /// The next append that has no order yet succeeds; what is ordered afterwards is for later ones.
    pub fn order_success(&self) {
        self.orders().appends.push_back(None);
    }

    /// The next `count` reads fail with an I/O error.
    pub fn fail_reads(&self, count: usize) {
        self.orders().reads = count;
    }

    /// Forgets all orders.
    pub fn clear(&self) {
        *self.orders() = Orders::default();
    }

    pub(super) fn take(&self) -> Option<AppendFault> {
        self.orders().appends.pop_front().flatten()
    }

    pub(super) fn check_read(&self) -> Result<(), ReadError> {
        let mut orders = self.orders();
        match orders.reads.checked_sub(1) {
            None => Ok(()),
            Some(left) => {
                orders.reads = left;
                Err(ReadError::Io(Arc::new(io::Error::other("a fault was ordered"))))
            }
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
