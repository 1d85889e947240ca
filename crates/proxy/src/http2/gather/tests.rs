use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Takes so many bytes at each call, or has no room, or breaks; keeps what it took.
#[derive(Default)]
struct Peer {
    room: VecDeque<Option<usize>>,
    broken: bool,
    calls: Vec<Vec<u8>>,
    /// So often it keeps back what it took, as TLS may.
    kept_back: u32,
    flushed: bool,
    shut: bool,
}

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let Some(room) = self.room.pop_front().unwrap_or(Some(usize::MAX)) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let count = room.min(bytes.len());
        self.calls.push(bytes.get(..count).unwrap_or_default().to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.kept_back == 0;
        if self.flushed {
            return Poll::Ready(Ok(()));
        }
        self.kept_back -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

async fn polled<F: Future>(gathering: &Gathering<Peer>, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| gathering.poll(future.as_mut(), cx)).await
}

/// Comes again until nothing is left to write.
async fn until_written(gathering: &Gathering<Peer>, gathered: &mut Gathered<Peer>) {
    while !gathered.0.borrow().buffer.is_empty() {
        polled(gathering, gathered.flush()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_written_at_one_time_is_one_write() {
    let (mut gathered, gathering) = gather(Peer::default());
    polled(&gathering, async {
        for part in [&b"head"[..], b" and ", b"body"] {
            gathered.write_all(part).await.unwrap();
            gathered.flush().await.unwrap();
        }
        let parts = [IoSlice::new(b", and "), IoSlice::new(b"more")];
        assert_eq!(gathered.write_vectored(&parts).await.unwrap(), 10);
        assert!(gathered.0.borrow().io.calls.is_empty());
    })
    .await;
    assert_eq!(gathered.0.borrow().io.calls, [b"head and body, and more"]);
    // The room went to the next.
    assert_eq!(gathered.0.borrow().buffer.capacity(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_back_who_writes() {
    let peer = Peer { room: std::iter::repeat_n(None, 10).collect(), ..Peer::default() };
    let (mut gathered, gathering) = gather(peer);
    let bytes = vec![7; FULL + 1];
    let written = polled(&gathering, async {
        let waker = Waker::noop();
        let mut cx = Context::from_waker(waker);
        let first = Pin::new(&mut gathered).poll_write(&mut cx, &bytes);
        (first.map_ok(|it| it == FULL), Pin::new(&mut gathered).poll_write(&mut cx, b"x").is_pending())
    })
    .await;
    assert!(matches!(written, (Poll::Ready(Ok(true)), true)), "{written:?}");
    gathered.write_all(b"x").await.unwrap();
    assert_eq!(gathered.0.borrow().io.calls.concat().len(), FULL);
}

#[tokio::test]
async fn what_a_connection_keeps_back_goes_out_when_there_is_room() {
    let (mut gathered, gathering) = gather(Peer { kept_back: 2, ..Peer::default() });
    polled(&gathering, gathered.write_all(b"a record")).await.unwrap();
    assert!(!gathered.0.borrow().io.flushed);
    for _ in 0..2 {
        polled(&gathering, gathered.flush()).await.unwrap();
    }
    assert!(gathered.0.borrow().io.flushed);
}

#[tokio::test]
async fn whoever_writes_is_told_of_a_failure() {
    let (mut gathered, gathering) = gather(Peer { broken: true, ..Peer::default() });
    polled(&gathering, async {
        gathered.write_all(b"lost").await.unwrap();
        gathered.flush().await.unwrap();
    })
    .await;
    assert_eq!(gathered.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_end_comes_after_the_rest() {
    let (mut gathered, _) = gather(Peer { room: [Some(2), None].into(), ..Peer::default() });
    gathered.write_all(b"rest").await.unwrap();
    gathered.shutdown().await.unwrap();
    let peer = &gathered.0.borrow().io;
    assert_eq!(peer.calls, [b"re", b"st"]);
    assert!(peer.shut);
}

#[tokio::test]
async fn reading_goes_on_meanwhile() {
    let (near, mut far) = tokio::io::duplex(64);
    let (mut gathered, _gathering) = gather(near);
    gathered.write_all(b"kept back").await.unwrap();
    far.write_all(b"come").await.unwrap();
    let mut read = [0; 4];
    gathered.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"come");
}

proptest! {
    #[test]
    fn bytes_arrive_once_and_in_order(
        turns in prop::collection::vec(prop::collection::vec(1..40_000_usize, 0..4), 1..6),
        room in prop::collection::vec(prop::option::of(1..50_000_usize), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut gathered, gathering) = gather(Peer { room: room.into(), ..Peer::default() });
        let mut all = Vec::new();
        runtime.block_on(async {
            for turn in turns {
                polled(&gathering, async {
                    for length in turn {
                        let part: Vec<u8> = (all.len()..all.len() + length).map(|it| (it % 251) as u8).collect();
                        gathered.write_all(&part).await.unwrap();
                        all.extend(part);
                    }
                })
                .await;
            }
            until_written(&gathering, &mut gathered).await;
        });
        prop_assert_eq!(gathered.0.borrow().io.calls.concat(), all);
    }
}
