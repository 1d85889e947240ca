//! Load over HTTP/1.1: as fast as the proxy answers, or at a fixed rate.
//!
//! At a fixed rate a request has its time, whether or not those before it have been answered, and its latency counts
//! from that time: a proxy that stalls is not spared the requests that it would have got (no coordinated omission).

use super::door::{Door, HOST, Stream};
use crate::shell::Outcome;
use crate::stats::Times;
use memchr::memmem;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Connections at a time, in every run.
pub(super) const CONNECTIONS: usize = 64;

/// How long after the last request was due its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What counts the answers of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: Cell<u64>,
    pub(super) failed: Cell<u64>,
    /// What became of the first that failed.
    first: RefCell<Option<String>>,
}

impl Tally {
    pub(super) fn succeed(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    pub(super) fn fail(&self, what: impl Display) {
        self.failed.set(self.failed.get() + 1);
        self.first.borrow_mut().get_or_insert_with(|| what.to_string());
    }

    /// What failed, if something did.
    pub(super) fn failures(&self) -> Option<String> {
        let first = self.first.borrow();
        first.as_ref().map(|first| format!("{} failed, the first: {first}", self.failed.get()))
    }
}

/// A connection to a proxy.
pub(super) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    /// Where the head of the last answer ends.
    head: usize,
    answers: u64,
}

impl Client {
    pub(super) async fn connect(door: &Door) -> Outcome<Self> {
        let stream = door.connect().await?;
        Ok(Self { stream, buffer: Vec::with_capacity(72 * 1024), head: 0, answers: 0 })
    }

    /// Sends a request and reads its answer to the end; its status.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Outcome<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        self.head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy closed the connection".into());
            }
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (status, length) = read_head(self.buffer.get(..self.head).unwrap_or_default())?;
        while self.buffer.len() < self.head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy closed the connection halfway".into());
            }
        }
        self.answers += 1;
        Ok(status)
    }

    /// The same for a run that counts; whether it succeeded.
    async fn ask_for(&mut self, tally: &Tally, request: &[u8]) -> bool {
        match self.ask(request).await {
            Ok(200) => tally.succeed(),
            Ok(_) => tally.fail(self.last()),
            Err(error) => tally.fail(format_args!("{error}, after {} answers", self.answers)),
        }
        tally.failed.get() == 0
    }

    /// The last answer, and which of the connection it was.
    fn last(&self) -> String {
        let head = String::from_utf8_lossy(self.buffer.get(..self.head).unwrap_or_default());
        format!("answer {} of its connection: {}", self.answers, head.trim_end().replace("\r\n", ", "))
    }
}

/// A request for a path.
pub(super) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n").into_bytes()
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

/// Asks on all connections, each again as soon as it is answered, until the run is dropped or something fails.
pub(super) async fn closed_loop(door: &Door, path: &str) -> Outcome<Running> {
    let tally = Rc::new(Tally::default());
    let request: Rc<[u8]> = request(path).into();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(door).await?;
        let (tally, request) = (Rc::clone(&tally), Rc::clone(&request));
        tasks.push(tokio::task::spawn_local(async move { while client.ask_for(&tally, &request).await {} }));
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

/// What the connections of a run at a fixed rate share.
#[derive(Debug, Default)]
struct Line {
    /// When requests became due that wait for a connection.
    due: RefCell<VecDeque<Instant>>,
    came: Notify,
    tally: Rc<Tally>,
    /// When each request was due that has been answered, and how long it took.
    took: RefCell<Vec<(Instant, Duration)>>,
    /// When each connection was given the request that it waits for an answer to.
    asked: RefCell<Vec<Option<Instant>>>,
}

impl Line {
    /// Asks on one connection whenever a request is due, until something fails.
    async fn work(&self, number: usize, mut client: Client, request: &[u8]) {
        loop {
            let next = self.due.borrow_mut().pop_front();
            let Some(at) = next else {
                self.came.notified().await;
                continue;
            };
            self.note(number, Some(Instant::now()));
            if !client.ask_for(&self.tally, request).await {
                return;
            }
            self.note(number, None);
            self.took.borrow_mut().push((at, at.elapsed()));
        }
    }

    fn note(&self, number: usize, asked: Option<Instant>) {
        if let Some(own) = self.asked.borrow_mut().get_mut(number) {
            *own = asked;
        }
    }

    /// What is still to come.
    fn missing(&self) -> String {
        let asked = self.asked.borrow();
        let waiting =
            asked.iter().enumerate().filter_map(|(number, asked)| Some((number, (*asked)?.elapsed())));
        let longest = waiting.clone().max_by_key(|(_, waited)| *waited);
        let longest = longest.map_or(String::new(), |(number, waited)| {
            format!(", connection {number} for {:.1} s", waited.as_secs_f64())
        });
        let (due, waiting) = (self.due.borrow().len(), waiting.count());
        format!("{due} requests wait for a connection, {waiting} connections for an answer{longest}")
    }
}

/// Asks at this many requests a second for so long; how long each took, from when it was due, in the order in which
/// they were answered.
pub(super) async fn at_rate(
    door: &Door,
    path: &str,
    rate: u32,
    duration: Duration,
) -> Outcome<Vec<(Instant, Duration)>> {
    let line = Rc::new(Line::default());
    line.asked.borrow_mut().resize(CONNECTIONS, None);
    let request: Rc<[u8]> = request(path).into();
    let mut running = Running { tally: Rc::clone(&line.tally), tasks: Vec::new() };
    for number in 0..CONNECTIONS {
        let client = Client::connect(door).await?;
        let (line, request) = (Rc::clone(&line), Rc::clone(&request));
        let work = async move { line.work(number, client, &request).await };
        running.tasks.push(tokio::task::spawn_local(work));
    }
    let began = Instant::now();
    let total = (f64::from(rate) * duration.as_secs_f64()) as u32;
    line.took.borrow_mut().reserve(total as usize);
    for number in 0..total {
        let at = began + duration * number / total.max(1);
        // Timers are too coarse for this; the load's core has nothing else to do.
        while Instant::now() < at {
            tokio::task::yield_now().await;
        }
        line.due.borrow_mut().push_back(at);
        line.came.notify_one();
    }
    let patience = Instant::now() + PATIENCE;
    while running.tally.answered.get() < u64::from(total) {
        if let Some(failures) = running.tally.failures() {
            return Err(failures.into());
        }
        if Instant::now() > patience {
            return Err(format!("not all requests were answered: {}", line.missing()).into());
        }
        tokio::task::yield_now().await;
    }
    Ok(line.took.take())
}

/// The time that this share of the requests did not exceed.
pub(super) fn quantile(took: &[(Instant, Duration)], share: f64) -> Duration {
    took.iter().map(|(_, took)| *took).collect::<Times>().quantile(share)
}
