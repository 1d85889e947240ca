//! One proxy hop, beside nginx, HAProxy and Envoy: what a request costs the proxy's core, how long it takes at a fixed
//! rate, and what memory it needs.
//!
//! What is measured is a gateway's hop: route, three endpoints in turn, breakers, retry budget, deadline, metrics, trace
//! context and explanations, all on. The peers do what they have of that (see `proxy/peers.rs`). All run at the same time
//! and take turns, so that what disturbs the machine disturbs all of them; figures are medians over the rounds, with the
//! least and the most.

mod core;
mod door;
mod load;
mod load2;
mod micro;
mod origin;
mod papers;
mod peers;
mod routes;
pub(super) mod server;
mod tenon;

use super::Figure;
use crate::shell::{Outcome, cargo, run};
use crate::stats::Slices;
use clap::Args;
use door::Door;
use load::{Client, at_rate, request};
use papers::Papers;
use peers::{Proxy, Setup};
use std::time::{Duration, Instant};
use tenon::Tenon;

/// How often each proxy has its turn.
const ROUNDS: usize = 9;

/// Requests a second for latencies.
const RATE: u32 = 8_000;

/// How often each proxy has its turn for latencies, and how much of a turn counts after its first moments, in which
/// connections are made: many short turns, so that a pause of the machine falls into few of them.
const SLICES: usize = 45;
const SLICE: Duration = Duration::from_millis(400);
const WARM_UP: Duration = Duration::from_millis(100);

/// How often a proxy may take one turn.
const TURNS: usize = 4;

/// Connections that do nothing, for their memory.
const IDLE: usize = 1_000;

const MEMORY: &str = "memory";
const SMALL: &str = "HTTP/1.1, 1 KiB";
const LARGE: &str = "HTTP/1.1, 64 KiB";
const HTTP2: &str = "HTTP/2 in, HTTP/1.1 out, 1 KiB";
const LATENCY: &str = "at 8000 requests/s";
/// The 99th percentile of the requests of all slices together.
const POOLED: &str = "p99 of all slices";
const SECURE: &str = "mutual TLS in and out (HTTP/1.1), 1 KiB";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Three short rounds, to see that it works
    #[arg(long)]
    quick: bool,
    /// The profile that the proxy is built with; `dist` is what is shipped
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Only the rows whose name holds this
    #[arg(long, default_value = "")]
    only: String,
}

/// What is asked of every proxy.
#[derive(Debug, Clone, Copy)]
enum Work {
    Small,
    Large,
    Http2,
}

pub(super) async fn measure(options: &Options) -> Outcome<Vec<Figure>> {
    run(&mut cargo(&["build", "--quiet", "--profile", &options.profile, "--package", "tenon"]))?;
    core::pin_load()?;
    let wants = |row: &str| row.contains(&options.only);
    let origins = origin::start(None).await?;
    let setup = Setup { origins: &origins, papers: None };
    let mut figures = Vec::new();
    if [MEMORY, SMALL, LARGE, HTTP2, LATENCY].into_iter().any(wants) {
        let (tenon, peers) = start(options, &setup).await?;
        let bench = Bench::new(options, &tenon, &peers, &setup);
        figures.extend(bench.memory().await?);
        figures.extend(bench.cpu(SMALL, Work::Small, &[("HAProxy", 1.05), ("Envoy", 0.45)]).await?);
        figures.extend(bench.cpu(LARGE, Work::Large, &[("HAProxy", 0.85)]).await?);
        figures.extend(bench.cpu(HTTP2, Work::Http2, &[("HAProxy", 1.4)]).await?);
        figures.extend(bench.latency().await?);
    }
    if wants(SECURE) {
        let papers = Papers::make()?;
        let origins = origin::start(Some(papers.origin()?)).await?;
        let setup = Setup { origins: &origins, papers: Some(&papers) };
        let (tenon, peers) = start(options, &setup).await?;
        let bench = Bench::new(options, &tenon, &peers, &setup);
        figures.extend(bench.cpu(SECURE, Work::Small, &[("HAProxy", 1.1)]).await?);
    }
    if wants(routes::ROW) {
        figures.extend(routes::measure(&options.profile, &setup, options.quick).await?);
    }
    if wants(micro::ROW) {
        figures.extend(micro::measure()?);
    }
    Ok(figures)
}

async fn start(options: &Options, setup: &Setup<'_>) -> Outcome<(Tenon, Vec<Proxy>)> {
    Ok((Tenon::start(&options.profile, setup, 1, 0).await?, peers::start(setup).await?))
}

struct Bench<'a> {
    quick: bool,
    only: &'a str,
    /// Tenon first.
    proxies: Vec<&'a Proxy>,
    /// To an origin itself.
    direct: Door,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, tenon: &'a Tenon, peers: &'a [Proxy], setup: &Setup<'_>) -> Self {
        let proxies = std::iter::once(&tenon.proxy).chain(peers).collect();
        let direct = Door::new(setup.origins[0], None);
        Self { quick: options.quick, only: &options.only, proxies, direct }
    }

    fn wants(&self, row: &str) -> bool {
        row.contains(self.only)
    }

    /// The proxies in the order of their turns in a round.
    fn turns(&self, round: usize) -> impl Iterator<Item = (usize, &'a Proxy)> {
        order(round, self.proxies.len())
            .into_iter()
            .filter_map(|place| Some((place, *self.proxies.get(place)?)))
    }

    /// The proxy's time on its core for each request, and the ratios that have goals.
    async fn cpu(&self, row: &str, work: Work, goals: &[(&str, f64)]) -> Outcome<Vec<Figure>> {
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let mut rounds = Vec::new();
        for round in 0..if self.quick { 3 } else { ROUNDS } {
            let mut costs = vec![f64::NAN; self.proxies.len()];
            for (place, proxy) in self.turns(round) {
                costs[place] = self.cpu_of(proxy, work).await?;
            }
            rounds.push(costs);
        }
        Ok(self.figures(&format!("CPU, {row}"), "µs", &rounds, goals))
    }

    /// One turn of a proxy. A peer may fail now and then (a connection that it closes); its turn is taken again.
    async fn cpu_of(&self, proxy: &Proxy, work: Work) -> Outcome<f64> {
        let span = Duration::from_millis(if self.quick { 250 } else { 900 });
        for _ in 1..TURNS {
            match cpu_of(proxy, work, span).await {
                Ok(cost) => return Ok(cost),
                Err(error) => eprintln!("taking the turn again: {error}"),
            }
            tokio::time::sleep(span).await;
        }
        cpu_of(proxy, work, span).await
    }

    /// How long requests take at a fixed rate, in a slice as most are and over all slices together; with no proxy too, which
    /// is what the machine adds. Between what is said with it 19 of 20 repetitions would lie, as far as one run can tell.
    async fn latency(&self) -> Outcome<Vec<Figure>> {
        if !self.wants(LATENCY) {
            return Ok(Vec::new());
        }
        let ways: Vec<(&str, &Door)> = self
            .proxies
            .iter()
            .map(|proxy| (proxy.name, &proxy.http1))
            .chain([("no proxy", &self.direct)])
            .collect();
        let mut slices = vec![Slices::default(); ways.len()];
        for round in 0..if self.quick { 4 } else { SLICES } {
            for place in order(round, ways.len()) {
                let took = latencies_of(ways[place].0, ways[place].1).await?;
                let began = took.iter().map(|(due, _)| *due).min().ok_or("nothing was asked")?;
                let counts = took.into_iter().filter(|(due, _)| *due >= began + WARM_UP);
                slices[place].add(counts.map(|(_, took)| took));
            }
        }
        type Quantile = fn(&Slices, f64) -> (Duration, [Duration; 2]);
        let kinds: [(&str, f64, Quantile); 4] = [
            ("p50", 0.5, Slices::quantile),
            ("p90", 0.9, Slices::quantile),
            ("p99", 0.99, Slices::typical),
            (POOLED, 0.99, Slices::quantile),
        ];
        let mut figures = Vec::new();
        for (kind, share, quantile) in kinds {
            for ((name, _), own) in ways.iter().zip(&slices) {
                let (value, interval) = quantile(own, share);
                figures.push(Figure {
                    spread: Some(interval.map(micros)),
                    ..Figure::plain(format!("{kind} {LATENCY}, {name}"), micros(value), "µs")
                });
            }
        }
        let peer = ways.iter().position(|(name, _)| *name == "HAProxy");
        if let Some((own, peer)) = slices.first().zip(peer.and_then(|place| slices.get(place))) {
            let (ratio, interval) = own.typical_ratio(peer, 0.99);
            let name = format!("p99 {LATENCY}, Tenon / HAProxy");
            figures.push(Figure { spread: Some(interval), ..Figure::at_most(name, ratio, "×", 1.1) });
            for (kind, share) in [("p50", 0.5), ("p90", 0.9), (POOLED, 0.99)] {
                let (ratio, interval) = own.ratio(peer, share);
                let name = format!("{kind} {LATENCY}, Tenon / HAProxy");
                figures.push(Figure { spread: Some(interval), ..Figure::plain(name, ratio, "×") });
            }
        }
        Ok(figures)
    }

    /// Memory before any request, and what a connection adds that has asked once.
    async fn memory(&self) -> Outcome<Vec<Figure>> {
        let mut figures = Vec::new();
        if !self.wants(MEMORY) {
            return Ok(figures);
        }
        for proxy in &self.proxies {
            let idle = core::kibibytes(proxy.pid())?;
            let kept = connect_and_ask(&proxy.http1, IDLE).await?;
            let each = (core::kibibytes(proxy.pid())? - idle) / IDLE as f64;
            drop(kept);
            let ours = proxy.name == "Tenon";
            let figure = |name: &str, value, unit, goal| {
                let name = format!("{MEMORY}, {name}, {}", proxy.name);
                if ours { Figure::at_most(name, value, unit, goal) } else { Figure::plain(name, value, unit) }
            };
            figures.push(figure("idle", idle / 1_024.0, "MiB", 20.0));
            figures.push(figure("each idle connection", each, "KiB", 24.0));
        }
        Ok(figures)
    }

    /// The medians of each proxy's values over the rounds, and of its ratios to others in the same round.
    fn figures(
        &self,
        name: &str,
        unit: &'static str,
        rounds: &[Vec<f64>],
        goals: &[(&str, f64)],
    ) -> Vec<Figure> {
        let column = |place: usize| rounds.iter().filter_map(move |round| round.get(place).copied());
        let of = self.proxies.iter().enumerate().map(|(place, proxy)| {
            Figure::plain(format!("{name}, {}", proxy.name), 0.0, unit).over_rounds(column(place).collect())
        });
        let ratio = |(peer, goal): &(&str, f64)| {
            let place = self.proxies.iter().position(|it| it.name == *peer)?;
            let ratios = column(0).zip(column(place)).map(|(own, peer)| own / peer).collect();
            Some(Figure::at_most(format!("{name}, Tenon / {peer}"), 0.0, "×", *goal).over_rounds(ratios))
        };
        of.chain(goals.iter().filter_map(ratio)).collect()
    }
}

/// The order of as many turns in a round, drawn by lot, the same in each run: in an order with a period somebody would meet
/// again and again with what disturbs the machine at a period of its own.
fn order(round: usize, turns: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..turns).collect();
    fastrand::Rng::with_seed(round as u64).shuffle(&mut order);
    order
}

/// The time on its core that a proxy needs for each request, in microseconds.
async fn cpu_of(proxy: &Proxy, work: Work, span: Duration) -> Outcome<f64> {
    let running = match work {
        Work::Small => load::closed_loop(&proxy.http1, "/").await?,
        Work::Large => load::closed_loop(&proxy.http1, origin::LARGE).await?,
        Work::Http2 => load2::closed_loop(&proxy.http2, "/").await?,
    };
    tokio::time::sleep(span / 4).await;
    let (before, answered) = (core::cpu(proxy.pid())?, running.tally.answered.get());
    tokio::time::sleep(span).await;
    let (after, total) = (core::cpu(proxy.pid())?, running.tally.answered.get());
    if let Some(failures) = running.tally.failures() {
        return Err(format!("{work:?} through {}: {failures}", proxy.name).into());
    }
    if total == answered {
        return Err(format!("{work:?} through {}: nothing was answered", proxy.name).into());
    }
    Ok(micros(after.saturating_sub(before)) / (total - answered) as f64)
}

/// One turn at a fixed rate; what failed is told, and the turn taken again, as for [`Bench::cpu_of`].
async fn latencies_of(name: &str, door: &Door) -> Outcome<Vec<(Instant, Duration)>> {
    let turn = async || at_rate(door, "/", RATE, WARM_UP + SLICE).await;
    for _ in 1..TURNS {
        match turn().await {
            Ok(took) => return Ok(took),
            Err(error) => eprintln!("taking the turn again: {name}: {error}"),
        }
        tokio::time::sleep(SLICE).await;
    }
    turn().await.map_err(|error| format!("{name}: {error}").into())
}

/// So many connections that have asked once each, one after the other.
async fn connect_and_ask(door: &Door, count: usize) -> Outcome<Vec<Client>> {
    let mut kept = Vec::with_capacity(count);
    let request = request("/");
    for _ in 0..count {
        let mut client = Client::connect(door).await?;
        client.ask(&request).await?;
        kept.push(client);
    }
    let settled = Instant::now() + Duration::from_millis(500);
    tokio::time::sleep_until(settled.into()).await;
    Ok(kept)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
