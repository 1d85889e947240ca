//! What the proxies stand before: three addresses that answer at once, by the least that HTTP/1.1 needs.

use crate::shell::Outcome;
use memchr::memmem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many there are.
pub(super) const ORIGINS: usize = 3;

/// The path that is answered with 64 KiB; any other is answered with 1 KiB.
pub(super) const LARGE: &str = "/64k";

/// Starts them on the present runtime; where they are.
pub(super) async fn start() -> Outcome<Vec<SocketAddr>> {
    let answers = Arc::new(Answers { small: answer(1024), large: answer(64 * 1024) });
    let mut addresses = Vec::new();
    for _ in 0..ORIGINS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push(listener.local_addr()?);
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move { serve(stream, &answers).await });
            }
        });
    }
    Ok(addresses)
}

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

fn answer(length: usize) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

/// Answers requests without bodies until the proxy goes away.
async fn serve(mut stream: TcpStream, answers: &Answers) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut read = Vec::with_capacity(4 * 1024);
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        while let Some(end) = memmem::find(&read, b"\r\n\r\n") {
            let large = read.get(..end).is_some_and(|head| head.starts_with(b"GET /64k "));
            let answer = if large { &answers.large } else { &answers.small };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            read.drain(..end + 4);
        }
    }
}
