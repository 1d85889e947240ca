//! What the proxies stand before: three addresses that answer at once, by the least that HTTP/1.1 needs.

use crate::shell::Outcome;
use memchr::memmem;
use rustls::ServerConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How many there are.
pub(super) const ORIGINS: usize = 3;

/// The path that is answered with 64 KiB; any other is answered with 1 KiB.
pub(super) const LARGE: &str = "/64k";

/// Starts them on the present runtime, to be spoken to by TLS if that is said how; where they are.
pub(super) async fn start(tls: Option<Arc<ServerConfig>>) -> Outcome<Vec<SocketAddr>> {
    let answers = Arc::new(Answers { small: answer(1024), large: answer(64 * 1024) });
    let tls = tls.map(TlsAcceptor::from);
    let mut addresses = Vec::new();
    for _ in 0..ORIGINS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push(listener.local_addr()?);
        let (answers, tls) = (Arc::clone(&answers), tls.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, tls) = (Arc::clone(&answers), tls.clone());
                tokio::spawn(async move { enter(stream, tls, &answers).await });
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

async fn enter(stream: TcpStream, tls: Option<TlsAcceptor>, answers: &Answers) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else { return serve(stream, answers).await };
    match tls.accept(stream).await {
        Ok(stream) => serve(stream, answers).await,
        Err(error) => eprintln!("an origin was not spoken to as it should be: {error}"),
    }
}

/// Answers requests without bodies until the proxy goes away.
async fn serve<I: AsyncRead + AsyncWrite + Unpin>(mut stream: I, answers: &Answers) {
    let mut read = Vec::with_capacity(4 * 1024);
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        while let Some(end) = memmem::find(&read, b"\r\n\r\n") {
            let large = read.get(..end).is_some_and(|head| head.starts_with(b"GET /64k "));
            let answer = if large { &answers.large } else { &answers.small };
            if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            read.drain(..end + 4);
        }
    }
}
