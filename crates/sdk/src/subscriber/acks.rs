//! What was settled and is not sent yet.

use futures_util::{Stream, stream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::bus::v1;
use tokio::sync::Notify;

/// So many are sent at once.
const ENOUGH: usize = 128;

/// How long those that are fewer wait for others.
const GATHER: Duration = Duration::from_millis(1);

/// What was settled and is not sent yet. Bounded by what a consumer is given.
#[derive(Debug, Default)]
pub(super) struct Acks {
    state: Mutex<State>,
    /// There is something.
    some: Notify,
    /// There is enough, or nothing more comes for now.
    enough: Notify,
}

#[derive(Debug, Default)]
struct State {
    acks: Vec<u64>,
    nacks: Vec<v1::Nack>,
    /// Asked to send what there is at once.
    flushed: bool,
    ended: bool,
}

impl Acks {
    pub(super) fn ack(&self, ticket: u64) {
        self.change(|state| state.acks.push(ticket));
    }

    pub(super) fn nack(&self, ticket: u64, delay: Option<Duration>) {
        let delay_micros = delay.map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        self.change(|state| state.nacks.push(v1::Nack { ticket, delay_micros }));
    }

    /// Sends what there is.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        if state.len() > 0 && !state.flushed {
            state.flushed = true;
            drop(state);
            self.enough.notify_one();
        }
    }

    /// Sends no more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.some.notify_one();
        self.enough.notify_one();
    }

    fn change(&self, add: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        add(&mut state);
        let count = state.len();
        drop(state);
        if count == 1 {
            self.some.notify_one();
        }
        if count == ENOUGH {
            self.enough.notify_one();
        }
    }

    /// What is to be sent next; none when nothing more is.
    async fn next(&self) -> Option<v1::PullRequest> {
        loop {
            let (count, hurries) = {
                let state = self.lock();
                if state.ended {
                    return None;
                }
                (state.len(), state.flushed || state.len() >= ENOUGH)
            };
            if count == 0 {
                self.some.notified().await;
                continue;
            }
            if !hurries {
                // Fewer are sent when the time is over.
                _ = tokio::time::timeout(GATHER, self.enough.notified()).await;
            }
            let mut state = self.lock();
            state.flushed = false;
            let (acks, nacks) = (std::mem::take(&mut state.acks), std::mem::take(&mut state.nacks));
            return Some(v1::PullRequest { acks, nacks, ..v1::PullRequest::default() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has added one at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn len(&self) -> usize {
        self.acks.len() + self.nacks.len()
    }
}

/// The requests of one connection: the first, then whatever is settled.
pub(super) fn requests(
    first: v1::PullRequest,
    acks: Arc<Acks>,
) -> impl Stream<Item = v1::PullRequest> + Send + 'static {
    stream::unfold((Some(first), acks), |(first, acks)| async {
        let next = match first {
            Some(first) => first,
            None => acks.next().await?,
        };
        Some((next, (None, acks)))
    })
}
