//! Bytes in both directions, until both sides have ended or nothing has come from either for too long.

use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// How much is carried at a time, in each direction: what is not taken on one side is not read on the other.
const BUFFER: usize = 16 * 1024;

/// Carries bytes between `a` and `b`, until `over` at the latest. A side that ends is told to the other, which may go on.
pub(crate) async fn relay<A, B>(a: A, b: B, idle: Duration, over: impl Future<Output = ()>)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (read_a, write_a) = tokio::io::split(a);
    let (read_b, write_b) = tokio::io::split(b);
    let last = Cell::new(Instant::now());
    let both = async { tokio::try_join!(copy(read_a, write_b, &last), copy(read_b, write_a, &last)) };
    tokio::select! {
        // Which side broke is of no interest here: the tunnel is over.
        _ = both => {}
        () = silence(&last, idle) => {}
        () = over => {}
    }
}

async fn copy<R, W>(mut from: R, mut to: W, last: &Cell<Instant>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        last.set(Instant::now());
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        last.set(Instant::now());
    }
}

/// Ends when nothing has happened for this long.
async fn silence(last: &Cell<Instant>, idle: Duration) {
    while last.get().elapsed() < idle {
        tokio::time::sleep_until(last.get() + idle).await;
    }
}

#[cfg(test)]
mod tests;
