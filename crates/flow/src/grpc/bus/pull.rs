//! One member of a group, over gRPC: what it is given goes out in batches, what it answers is handed in as it comes.

use super::super::{Answers, wire};
use crate::bus::{Delivery, Member, Settled, Settler};
use crate::events::error::Error;
use futures_util::stream;
use std::collections::VecDeque;
use std::time::Duration;
use tenon_api::bus::v1;
use tenon_core::group::Ticket;
use tenon_core::{Code, Refusal};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

/// The most events of one message, and the most bytes but for the last.
const EVENTS: usize = 256;
const BYTES: usize = 64 << 10;

/// A member that is given events.
pub(super) struct Pulling {
    member: Member,
    /// What it was given and is not sent yet.
    given: VecDeque<Delivery>,
    /// The caller sends no more, or the server is ending.
    ended: CancellationToken,
    told: bool,
    _reading: DropGuard,
    _permit: OwnedSemaphorePermit,
}

impl Pulling {
    /// Gives to a member until the caller has enough.
    pub(super) fn answers(
        member: Member,
        requests: Streaming<v1::PullRequest>,
        stop: &CancellationToken,
        permit: OwnedSemaphorePermit,
    ) -> Answers<v1::PullResponse> {
        let ended = stop.child_token();
        // Answers are read even while the caller takes in nothing.
        tokio::spawn(ended.clone().run_until_cancelled_owned(read(
            requests,
            member.settler(),
            ended.clone(),
        )));
        let reading = ended.clone().drop_guard();
        let (given, told) = (VecDeque::new(), false);
        let pulling = Self { member, given, ended, told, _reading: reading, _permit: permit };
        Box::pin(stream::unfold(pulling, |mut pulling| async {
            let answer = pulling.next().await?;
            Some((answer, pulling))
        }))
    }

    async fn next(&mut self) -> Option<Result<v1::PullResponse, Status>> {
        if self.told {
            return None;
        }
        if self.given.is_empty() {
            match self.ended.run_until_cancelled(self.member.next()).await {
                None => return None,
                Some(None) => {
                    self.told = true;
                    let detail = "the subscription was changed or deleted, the server is ending, or you did not take what \
                                  you were given; subscribe again";
                    return Some(Err(Error::from(Refusal::new(Code::SubscriptionEnded, detail)).into()));
                }
                Some(Some(given)) => self.given = given.into(),
            }
        }
        while self.given.len() < EVENTS
            && let Some(more) = self.member.try_next()
        {
            self.given.extend(more);
        }
        let (mut deliveries, mut bytes) = (Vec::with_capacity(self.given.len().min(EVENTS)), 0);
        while deliveries.len() < EVENTS
            && bytes < BYTES
            && let Some(Delivery { event, ticket, attempt }) = self.given.pop_front()
        {
            bytes += event.size();
            deliveries.push(v1::Delivery { event: Some(wire::event(event)), ticket: ticket.0, attempt });
        }
        Some(Ok(v1::PullResponse { deliveries }))
    }
}

/// Hands in what the caller answers, until it sends no more.
async fn read(mut requests: Streaming<v1::PullRequest>, settler: Settler, ended: CancellationToken) {
    while let Ok(Some(request)) = requests.message().await {
        let v1::PullRequest { join: _, most, acks, nacks } = request;
        if let Some(most) = most {
            settler.resize(most).await;
        }
        if !acks.is_empty() || !nacks.is_empty() {
            let acks = acks.into_iter().map(Ticket).collect();
            let nack = |nack: v1::Nack| (Ticket(nack.ticket), nack.delay_micros.map(Duration::from_micros));
            let nacks = nacks.into_iter().map(nack).collect();
            settler.settle(Settled { acks, nacks, ..Settled::default() }).await;
        }
    }
    ended.cancel();
}
