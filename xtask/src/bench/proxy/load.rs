//! Load over HTTP/1.1: as fast as the proxy answers, or at a fixed rate.
//!
//! At a fixed rate a request has its time, whether or not those before it have been answered, and its latency counts
//! from that time: a proxy that stalls is not spared the requests that it would have got (no coordinated omission).

use crate::shell::Outcome;
use crate::stats::Times;
use memchr::memmem;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Connections at a time, in every run.
pub(super) const CONNECTIONS: usize = 64;

/// What counts the answers of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: Cell<u64>,
    pub(super) failed: Cell<u64>,
}

impl Tally {
    pub(super) fn count(&self, ok: bool) {
        let cell = if ok { &self.answered } else { &self.failed };
        cell.set(cell.get() + 1);
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(proxy: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(72 * 1024) })
    }

    /// Sends a request and reads its answer to the end; its status.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Outcome<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy closed the connection".into());
            }
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (status, length) = read_head(self.buffer.get(..head).unwrap_or_default())?;
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy closed the connection halfway".into());
            }
        }
        Ok(status)
    }
}

/// A request for a path.
pub(super) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench.test\r\nuser-agent: bench\r\naccept: */*\r\n\r\n")
        .into_bytes()
}

/// Status and body length of a response.
fn read_head(head: &[u8]) -> Outcome<(u16, usize)> {
    let text = std::str::from_utf8(head)?;
    let status = text.get(9..12).ok_or("no status")?.parse()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length.ok_or("no content-length")?))
}

/// Asks on all connections, each again as soon as it is answered, until the run is dropped.
pub(super) async fn closed_loop(proxy: SocketAddr, path: &str) -> Outcome<Running> {
    let tally = Rc::new(Tally::default());
    let request: Rc<[u8]> = request(path).into();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(proxy).await?;
        let (tally, request) = (Rc::clone(&tally), Rc::clone(&request));
        tasks.push(tokio::task::spawn_local(async move {
            while let Ok(status) = client.ask(&request).await {
                tally.count(status == 200);
            }
            tally.count(false);
        }));
    }
    Ok(Running { tally, tasks })
}

/// A run that goes on until it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tally: Rc<Tally>,
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Requests that have become due and wait for a connection.
#[derive(Debug, Default)]
struct Due {
    times: RefCell<VecDeque<Instant>>,
    came: Notify,
}

/// Asks at this many requests a second for so long; how long each took, from when it was due, in the order in which
/// they were answered.
pub(super) async fn at_rate(
    proxy: SocketAddr,
    path: &str,
    rate: u32,
    duration: Duration,
) -> Outcome<Vec<(Instant, Duration)>> {
    let due = Rc::new(Due::default());
    let took = Rc::new(RefCell::new(Vec::with_capacity((f64::from(rate) * duration.as_secs_f64()) as usize)));
    let tally = Rc::new(Tally::default());
    let request: Rc<[u8]> = request(path).into();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(proxy).await?;
        let (due, took, tally, request) =
            (Rc::clone(&due), Rc::clone(&took), Rc::clone(&tally), Rc::clone(&request));
        tasks.push(tokio::task::spawn_local(async move {
            loop {
                let next = due.times.borrow_mut().pop_front();
                let Some(at) = next else {
                    due.came.notified().await;
                    continue;
                };
                let ok = client.ask(&request).await.is_ok_and(|status| status == 200);
                tally.count(ok);
                took.borrow_mut().push((at, at.elapsed()));
                if !ok {
                    return;
                }
            }
        }));
    }
    let running = Running { tally, tasks };
    let began = Instant::now();
    let total = (f64::from(rate) * duration.as_secs_f64()) as u32;
    for number in 0..total {
        let at = began + duration * number / total.max(1);
        // Timers are too coarse for this; the load's core has nothing else to do.
        while Instant::now() < at {
            tokio::task::yield_now().await;
        }
        due.times.borrow_mut().push_back(at);
        due.came.notify_one();
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while running.tally.answered.get() + running.tally.failed.get() < u64::from(total) {
        if Instant::now() > patience {
            return Err("the proxy did not answer all requests".into());
        }
        tokio::task::yield_now().await;
    }
    if running.tally.failed.get() > 0 {
        return Err("requests failed".into());
    }
    Ok(took.take())
}

/// The time that this share of the requests did not exceed.
pub(super) fn quantile(took: &[(Instant, Duration)], share: f64) -> Duration {
    took.iter().map(|(_, took)| *took).collect::<Times>().quantile(share)
}
