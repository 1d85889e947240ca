//! How the listeners are doing, for people and for whoever waits until they are there.

use super::Key;
use crate::metrics::component_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// All workers' listeners.
#[derive(Debug)]
pub(crate) struct Board {
    workers: usize,
    listeners: Mutex<BTreeMap<Key, State>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    error: Option<String>,
    /// For whoever takes over; the workers own them.
    sockets: Vec<Weak<TcpListener>>,
}

/// How one listener is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ListenerStatus {
    address: SocketAddr,
    component: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// In how many workers it is open.
    open: usize,
    /// Why it is not open in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Board {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, listeners: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// One worker has tried to listen.
    pub(super) fn tried(&self, key: &Key, listening: &io::Result<Vec<Arc<TcpListener>>>) {
        let mut listeners = self.lock();
        let state = listeners.entry(key.clone()).or_default();
        match listening {
            Ok(sockets) => {
                state.open += 1;
                state.error = None;
                state.sockets.retain(|socket| socket.strong_count() > 0);
                state.sockets.extend(sockets.iter().map(Arc::downgrade));
            }
            Err(error) => {
                let text = error.to_string();
                if state.error.as_ref() != Some(&text) {
                    tracing::warn!(address = %key.0, role = ?key.1, error = %text, "cannot listen; trying again");
                    state.error = Some(text);
                }
            }
        }
        drop(listeners);
        self.changed();
    }

    /// One worker has stopped to listen.
    pub(super) fn closed(&self, key: &Key) {
        let mut listeners = self.lock();
        if let Some(state) = listeners.get_mut(key) {
            state.open = state.open.saturating_sub(1);
            if state.open == 0 {
                listeners.remove(key);
            }
        }
        drop(listeners);
        self.changed();
    }

    /// Waits until every worker listens at each of these.
    pub(crate) async fn all_open(&self, keys: &[Key]) {
        let mut changes = self.changes.subscribe();
        while !self.are_open(keys) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn statuses(&self) -> Vec<ListenerStatus> {
        let status = |((address, role), state): (&Key, &State)| ListenerStatus {
            address: *address,
            component: component_name(role.component()),
            instance: role.instance().map(ToString::to_string),
            open: state.open,
            error: state.error.clone(),
        };
        self.lock().iter().map(status).collect()
    }

    /// Forgets what is not wanted and was never open.
    pub(crate) fn keep_only(&self, wanted: impl Fn(&Key) -> bool) {
        self.lock().retain(|key, state| state.open > 0 || wanted(key));
    }

    /// All sockets that are open.
    pub(crate) fn sockets(&self) -> Vec<Arc<TcpListener>> {
        self.lock().values().flat_map(|state| &state.sockets).filter_map(Weak::upgrade).collect()
    }

    fn are_open(&self, keys: &[Key]) -> bool {
        let listeners = self.lock();
        keys.iter().all(|key| listeners.get(key).is_some_and(|state| state.open == self.workers))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, State>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
