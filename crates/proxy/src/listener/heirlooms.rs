//! Listening sockets that another process has left to this one, until the workers take them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// The sockets by address; each belongs to one worker.
#[derive(Debug, Default)]
pub(crate) struct Heirlooms {
    by_worker: Vec<Mutex<BTreeMap<SocketAddr, Vec<TcpListener>>>>,
}

impl Heirlooms {
    /// Deals sockets out to so many workers, so that none is left without one that takes its connections.
    pub(crate) fn new(sockets: Vec<TcpListener>, workers: usize) -> Self {
        let mut dealt: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        let mut by_worker: Vec<BTreeMap<SocketAddr, Vec<TcpListener>>> =
            (0..workers.max(1)).map(|_| BTreeMap::new()).collect();
        for socket in sockets {
            let Ok(address) = socket.local_addr() else { continue };
            let turn = dealt.entry(address).or_default();
            let worker = *turn % by_worker.len();
            *turn += 1;
            if let Some(its) = by_worker.get_mut(worker) {
                its.entry(address).or_default().push(socket);
            }
        }
        Self { by_worker: by_worker.into_iter().map(Mutex::new).collect() }
    }

    /// What is left to a worker at an address.
    pub(crate) fn take(&self, address: SocketAddr, worker: usize) -> Vec<TcpListener> {
        let Some(its) = self.by_worker.get(worker) else { return Vec::new() };
        its.lock().unwrap_or_else(PoisonError::into_inner).remove(&address).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
