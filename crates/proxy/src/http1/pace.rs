//! Whether the heads of a connection's requests come in time. Looked at now and then, so that a request pays for no timer:
//! a late client is let go some time after its time was up.

use super::guard::Wire;
use crate::body::{Body, BodyError};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a connection is looked at within the time that a head may take.
const LOOKS: u32 = 4;

/// What a connection is doing.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Requests so far.
    begun: Cell<u64>,
    /// Those whose answers have not been sent yet.
    in_hand: Cell<u32>,
    /// Who is told when one has been answered.
    wire: Arc<Wire>,
}

/// A request that is dealt with until this is dropped.
#[derive(Debug)]
pub(super) struct InHand(Rc<Pace>);

/// The body of an answer; its request is in hand until it has been sent.
pub(super) struct Answer {
    body: Body,
    _in_hand: InHand,
}

impl Pace {
    pub(super) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, ..Self::default() }
    }

    /// A head has come.
    pub(super) fn begin(self: &Rc<Self>) -> InHand {
        self.begun.set(self.begun.get() + 1);
        self.in_hand.set(self.in_hand.get() + 1);
        InHand(Rc::clone(self))
    }

    /// Waits until no request has been in hand, and none has come, for this long.
    pub(super) async fn is_late(&self, most: Duration) {
        let (mut seen, mut looks) = (self.begun.get(), 0);
        while looks < LOOKS {
            tokio::time::sleep(most / LOOKS).await;
            looks = if self.in_hand.get() > 0 || self.begun.get() != seen { 0 } else { looks + 1 };
            seen = self.begun.get();
        }
    }
}

impl InHand {
    /// It is, for as long as this body is sent.
    pub(super) fn with(self, body: Body) -> Answer {
        Answer { body, _in_hand: self }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.in_hand.set(self.0.in_hand.get().saturating_sub(1));
        self.0.wire.is_done();
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, advance, timeout};

    const MOST: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_head_is_late_when_its_time_is_up() {
        let began = Instant::now();
        Pace::default().is_late(MOST).await;
        assert_eq!(began.elapsed(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn no_client_is_late_while_its_request_is_in_hand_nor_soon_after() {
        let pace = Rc::new(Pace::default());
        let in_hand = pace.begin();
        assert!(timeout(MOST * 3, pace.is_late(MOST)).await.is_err());
        drop(in_hand);
        assert!(timeout(MOST - Duration::from_millis(1), pace.is_late(MOST)).await.is_err());
        let late = pace.is_late(MOST);
        tokio::pin!(late);
        assert!(timeout(MOST / 2, &mut late).await.is_err());
        // A short one in between begins the time anew.
        drop(pace.begin());
        assert!(timeout(MOST - Duration::from_millis(1), &mut late).await.is_err());
        advance(MOST).await;
        late.await;
    }
}
