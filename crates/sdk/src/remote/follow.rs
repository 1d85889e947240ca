//! What is known of the server's log: how far it goes, and where it begins.

use super::Client;
use super::error::code_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::eventstore::v1;
use tenon_core::{Code, Position};
use tokio::sync::{Notify, watch};

/// How long to wait before the server is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// What is known of the server's log. Both positions only grow.
pub(super) struct Known {
    /// None once the log is closed, which wakes and ends every subscription.
    heads: Mutex<Option<watch::Sender<Position>>>,
    head: AtomicU64,
    first: AtomicU64,
    closed: Notify,
}

impl Known {
    pub(super) fn new(head: &v1::HeadResponse) -> Self {
        Self {
            heads: Mutex::new(Some(watch::Sender::new(Position(head.head)))),
            head: AtomicU64::new(head.head),
            first: AtomicU64::new(head.first),
            closed: Notify::new(),
        }
    }

    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    pub(super) fn first(&self) -> Position {
        Position(self.first.load(Ordering::Acquire))
    }

    pub(super) fn heads(&self) -> watch::Receiver<Position> {
        match &*self.lock() {
            Some(heads) => heads.subscribe(),
            None => watch::channel(Position::START).1,
        }
    }

    /// Takes in what the server says.
    pub(super) fn learn(&self, said: &v1::HeadResponse) {
        self.first.fetch_max(said.first, Ordering::AcqRel);
        self.advance(Position(said.head));
    }

    /// There is an event at this position.
    pub(super) fn advance(&self, position: Position) {
        self.head.fetch_max(position.0, Ordering::AcqRel);
        if let Some(heads) = &*self.lock() {
            heads.send_if_modified(|head| {
                let moves = position > *head;
                *head = (*head).max(position);
                moves
            });
        }
    }

    pub(super) fn close(&self) {
        self.lock().take();
        self.closed.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    /// Waits until the log is closed.
    pub(super) async fn closed(&self) {
        let closed = self.closed.notified();
        tokio::pin!(closed);
        closed.as_mut().enable();
        if !self.is_closed() {
            closed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<watch::Sender<Position>>> {
        // What is in it is only ever taken out as a whole.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the server's head until the log is closed.
pub(super) async fn follow(mut client: Client, known: std::sync::Arc<Known>) {
    let following = async {
        loop {
            if let Err(status) = follow_once(&mut client, &known).await
                && code_of(&status) == Code::LogOther
            {
                tracing::warn!("the server has another log now; what is known of the former one ends here");
                known.close();
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = known.closed() => {}
        () = following => {}
    }
}

async fn follow_once(client: &mut Client, known: &Known) -> Result<(), tonic::Status> {
    let mut heads = client.watch_head(v1::HeadRequest {}).await?.into_inner();
    while let Some(head) = heads.message().await? {
        known.learn(&head);
    }
    Ok(())
}
