//! Which of several servers does something: the one that has a lease. That a server which lost it and does not know it yet does
//! no harm is the task of whoever does it: of epochs, for groups ([`ledger`](super::ledger)).

use std::sync::Arc;
use std::time::Duration;
use tenon_core::ServerId;
use tenon_store::Leases;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Whether this server does it.
pub(crate) type OnDuty = watch::Receiver<bool>;

/// For how long it is asked for.
const SPAN: Duration = Duration::from_secs(3);

/// How often it is asked for, or renewed; and how long an answer may take.
const EVERY: Duration = Duration::from_secs(1);

/// Takes the lease whenever it can be had, until `stop`. A server without leases is alone, and always on duty.
pub(crate) fn take(
    lease: &'static str,
    leases: Option<Arc<dyn Leases>>,
    server: ServerId,
    stop: &CancellationToken,
) -> OnDuty {
    let (on_duty, told) = watch::channel(leases.is_none());
    if let Some(leases) = leases {
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(keep(lease, &*leases, server, &on_duty)).await;
            on_duty.send_replace(false);
            // It runs out by itself.
            _ = tokio::time::timeout(EVERY, leases.release(lease, server)).await;
        });
    }
    told
}

async fn keep(lease: &'static str, leases: &dyn Leases, server: ServerId, on_duty: &watch::Sender<bool>) {
    let mut held_until = Instant::now();
    loop {
        let asked_at = Instant::now();
        let has_it = match tokio::time::timeout(EVERY, leases.hold(lease, server, SPAN)).await {
            Ok(Ok(has_it)) => {
                held_until = asked_at + SPAN;
                has_it
            }
            // It may be this server's still.
            Ok(Err(_)) | Err(_) => *on_duty.borrow() && Instant::now() + EVERY < held_until,
        };
        let changed = on_duty.send_if_modified(|now| std::mem::replace(now, has_it) != has_it);
        if changed {
            tracing::info!(lease, has_it, "whether this server has a lease has changed");
        }
        tokio::time::sleep_until(asked_at + EVERY).await;
    }
}
