//! Takes and keeps the duties that only one of several servers may have.
//!
//! A task for each duty: it asks for the lease every second; when it has it, it takes the duty, and whoever does the
//! work is told the epoch. It is told to leave off when the lease is another's, was not to be renewed in time, or another
//! server took the duty. A server that ends gives its leases back, so that another goes on at once.
//!
//! A server alone on its log has every duty, and no lease.
//!
//! Left out on purpose: what an epoch is good for (`core::duty`), and the work.

use crate::writer::{Handle, server_actor};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::ServerId;
use tenon_core::duty::{self, Duty, Epoch, Event, Holder};
use tenon_core::platform;
use tenon_store::lease::Leases;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For how long a lease is asked for. After a server died another takes its duties within this and [`EVERY`].
const SPAN: Duration = Duration::from_secs(3);

/// How often a lease is asked for, or renewed; and how long an answer may take.
const EVERY: Duration = Duration::from_secs(1);

/// Under which epoch this server has a duty; none while it has not.
#[derive(Debug, Clone)]
pub(crate) struct OnDuty(watch::Receiver<Option<Epoch>>);

impl OnDuty {
    /// For a server that is alone on its log.
    pub(crate) fn always(writer: &Handle, duty: Duty) -> Self {
        let epoch = writer.read(|view| view.state.duties.epoch(duty));
        // The value stays when its sender is gone.
        Self(watch::channel(Some(epoch)).1)
    }

    /// Waits until this server has the duty; pends for ever if it never will.
    pub(crate) async fn begins(&mut self) -> Epoch {
        match self.0.wait_for(Option::is_some).await.map(|epoch| *epoch) {
            Ok(Some(epoch)) => epoch,
            _ => std::future::pending().await,
        }
    }

    /// Waits until an epoch is over.
    pub(crate) async fn ends(&mut self, epoch: Epoch) {
        if self.0.wait_for(|now| *now != Some(epoch)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts to take a duty, in one of `tasks`, until `stop`.
pub(crate) fn take(
    duty: Duty,
    writer: Handle,
    leases: Arc<dyn Leases>,
    server: ServerId,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> OnDuty {
    let (epoch, on_duty) = watch::channel(None);
    let keeper = Keeper { duty, writer, leases, server, epoch };
    tasks.spawn(keeper.run(stop));
    OnDuty(on_duty)
}

struct Keeper {
    duty: Duty,
    writer: Handle,
    leases: Arc<dyn Leases>,
    server: ServerId,
    epoch: watch::Sender<Option<Epoch>>,
}

impl Keeper {
    async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
        self.leave_off("the server is stopping");
        let releasing = self.leases.release(self.duty.as_str(), self.server);
        // It runs out by itself.
        let _ = tokio::time::timeout(EVERY, releasing).await;
    }

    async fn keep(&self) {
        let mut folded = self.writer.folded();
        let mut held_until = Instant::now();
        loop {
            let asked_at = Instant::now();
            let holding = self.leases.hold(self.duty.as_str(), self.server, SPAN);
            match tokio::time::timeout(EVERY, holding).await {
                Ok(Ok(true)) => {
                    held_until = asked_at + SPAN;
                    self.go_on().await;
                }
                Ok(Ok(false)) => self.leave_off("another server has its lease"),
                // It may be this server's still.
                Ok(Err(_)) | Err(_) if Instant::now() + EVERY < held_until => {}
                Ok(Err(_)) | Err(_) => self.leave_off("its lease cannot be renewed"),
            }
            let next = tokio::time::sleep_until(asked_at + EVERY);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    _ = folded.changed() => self.leave_off_if_taken(),
                }
            }
        }
    }

    /// Takes the duty, unless this server has it.
    async fn go_on(&self) {
        if self.epoch.borrow().is_some() {
            return;
        }
        let command = duty::Command::Take { duty: self.duty, server: self.server };
        match self.writer.command(server_actor(), platform::Command::Duty(command)).await {
            Ok(done) => {
                let taken = done.events.iter().find_map(|event| match event {
                    platform::Event::Duty(Event::DutyTaken { epoch, .. }) => Some(*epoch),
                    _ => None,
                });
                tracing::info!(duty = %self.duty, epoch = taken.map(|it| it.0), "this server has the duty");
                self.epoch.send_replace(taken);
            }
            Err(refusal) => tracing::warn!(duty = %self.duty, %refusal, "cannot take a duty; trying again"),
        }
    }

    fn leave_off_if_taken(&self) {
        let holder = self.writer.read(|view| view.state.duties.holder(self.duty));
        let Some(Holder { epoch, .. }) = holder else { return };
        if self.epoch.borrow().is_some_and(|own| own < epoch) {
            self.leave_off("another server took it");
        }
    }

    fn leave_off(&self, why: &'static str) {
        if self.epoch.send_replace(None).is_some() {
            tracing::info!(duty = %self.duty, why, "this server has the duty no more");
        }
    }
}

#[cfg(test)]
mod tests;
