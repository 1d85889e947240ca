//! Whatever the strict scanner lets pass, hyper frames as it does: as many requests, each where the scanner says that it
//! begins. What hyper refuses besides is fine.
#![no_main]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tenon_core::http1::{Limits, Scanner, Step};

/// What nothing before it can be mistaken for.
const CANARY: &str = "/canary-0a9b";

/// A client that has sent its bytes, and takes whatever it is answered.
struct Sent(Bytes);

impl hyper::rt::Read for Sent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut to: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = to.remaining().min(self.0.len());
        to.put_slice(&self.0.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Sent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The heads of what passes up to the end of a message, and those bytes.
fn passes(bytes: &[u8]) -> (usize, &[u8]) {
    let mut scanner = Scanner::new(Limits::default());
    let (mut passed, mut heads) = (0, 0);
    let mut complete = (0, 0);
    while passed < bytes.len() {
        match scanner.scan(&bytes[passed..]) {
            Ok(Step::Head(count)) => {
                passed += count;
                heads += 1;
            }
            Ok(Step::Body(count)) => passed += count,
            Ok(Step::More | Step::Wait | Step::Other) | Err(_) => break,
        }
        if scanner.is_between() {
            complete = (heads, passed);
        }
    }
    (complete.0, &bytes[..complete.1])
}

/// The targets that hyper sees, of the requests whose bodies it reads to their end.
fn seen(bytes: Vec<u8>) -> Vec<String> {
    let seen = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let target = request.uri().to_string();
        let whole = request.into_body().collect().await.is_ok();
        seen.borrow_mut().push(if whole { target } else { "broken".to_owned() });
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .pipeline_flush(true)
        .serve_connection(Sent(bytes.into()), service);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _ = runtime.block_on(serving);
    seen.into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    let (heads, passed) = passes(bytes);
    let canary = format!("GET {CANARY} HTTP/1.1\r\nhost: c\r\n\r\n");
    if heads == 0 || passed.windows(CANARY.len()).any(|it| it == CANARY.as_bytes()) {
        return;
    }
    let targets = seen([passed, canary.as_bytes()].concat());
    assert!(!targets.contains(&"broken".to_owned()), "a body that passed broke: {targets:?}");
    let at = targets.iter().position(|target| target == CANARY);
    match at {
        Some(at) => assert_eq!((at, targets.len()), (heads, heads + 1), "{targets:?}"),
        // hyper has closed the connection before, as a request asked for, or refused one.
        None => assert!(targets.len() <= heads, "{targets:?}"),
    }
});
