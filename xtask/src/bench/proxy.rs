//! One proxy hop, beside nginx, HAProxy and Envoy: what a request costs the proxy's core, how long it takes at a fixed
//! rate, and what memory it needs.
//!
//! What is measured is a gateway's hop: route, three endpoints in turn, breakers, retry budget, deadline, metrics, trace
//! context and explanations, all on. The peers do what they have of that (see `proxy/peers.rs`). All run at the same time
//! and take turns, so that what disturbs the machine disturbs all of them; figures are medians over the rounds, with the
//! least and the most.

mod core;
mod load;
mod load2;
mod micro;
mod origin;
mod peers;
mod routes;
mod tenon;

use super::Figure;
use crate::shell::{Outcome, cargo, run};
use clap::Args;
use load::{Client, at_rate, quantile, request};
use peers::Proxy;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tenon::Tenon;

/// How often each proxy has its turn.
const ROUNDS: usize = 9;

/// Requests a second for latencies.
const RATE: u32 = 8_000;

/// How often a proxy may take one turn.
const TURNS: usize = 4;

/// Connections that do nothing, for their memory.
const IDLE: usize = 1_000;

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
    let origins = origin::start().await?;
    let tenon = Tenon::start(&options.profile, &origins, vec![tenon::route("all", "/")?]).await?;
    let peers = peers::start(&origins).await?;
    let proxies: Vec<&Proxy> = std::iter::once(&tenon.proxy).chain(&peers).collect();
    let bench = Bench {
        rounds: if options.quick { 3 } else { ROUNDS },
        span: Duration::from_millis(if options.quick { 250 } else { 900 }),
        only: &options.only,
        proxies: &proxies,
    };
    let mut figures = bench.memory().await?;
    figures.extend(bench.cpu("HTTP/1.1, 1 KiB", Work::Small, &[("HAProxy", 1.05), ("Envoy", 0.45)]).await?);
    figures.extend(bench.cpu("HTTP/1.1, 64 KiB", Work::Large, &[("HAProxy", 0.85)]).await?);
    figures.extend(bench.cpu("HTTP/2 in, HTTP/1.1 out, 1 KiB", Work::Http2, &[("HAProxy", 1.4)]).await?);
    figures.extend(bench.latency().await?);
    drop((tenon, peers));
    if routes::ROW.contains(&options.only) {
        figures.extend(routes::measure(&options.profile, &origins, options.quick).await?);
    }
    if micro::ROW.contains(&options.only) {
        figures.extend(micro::measure()?);
    }
    Ok(figures)
}

struct Bench<'a> {
    rounds: usize,
    /// How long each proxy's turn is.
    span: Duration,
    only: &'a str,
    /// Tenon first.
    proxies: &'a [&'a Proxy],
}

impl Bench<'_> {
    fn wants(&self, row: &str) -> bool {
        row.contains(self.only)
    }

    /// The proxy's time on its core for each request, and the ratios that have goals.
    async fn cpu(&self, row: &str, work: Work, goals: &[(&str, f64)]) -> Outcome<Vec<Figure>> {
        if !self.wants(row) {
            return Ok(Vec::new());
        }
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let mut round = Vec::new();
            for proxy in self.proxies {
                round.push(self.cpu_of(proxy, work).await?);
            }
            rounds.push(round);
        }
        Ok(self.figures(&format!("CPU, {row}"), "µs", &rounds, goals))
    }

    /// One turn of a proxy. A peer may fail now and then (a connection that it closes); its turn is taken again.
    async fn cpu_of(&self, proxy: &Proxy, work: Work) -> Outcome<f64> {
        for _ in 1..TURNS {
            match cpu_of(proxy, work, self.span).await {
                Ok(cost) => return Ok(cost),
                Err(error) => eprintln!("taking the turn again: {error}"),
            }
            tokio::time::sleep(self.span).await;
        }
        cpu_of(proxy, work, self.span).await
    }

    /// How long requests take at a fixed rate.
    async fn latency(&self) -> Outcome<Vec<Figure>> {
        let row = format!("at {RATE} requests/s");
        if !self.wants(&row) {
            return Ok(Vec::new());
        }
        let (mut medians, mut tails) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let (mut median, mut tail) = (Vec::new(), Vec::new());
            for proxy in self.proxies {
                let took = at_rate(proxy.http1, "/", RATE, self.span * 2).await;
                let took = took.map_err(|error| format!("{}: {error}", proxy.name))?;
                median.push(micros(quantile(&took, 0.5)));
                tail.push(micros(quantile(&took, 0.99)));
            }
            medians.push(median);
            tails.push(tail);
        }
        let mut figures = self.figures(&format!("p50 {row}"), "µs", &medians, &[]);
        figures.extend(self.figures(&format!("p99 {row}"), "µs", &tails, &[("HAProxy", 1.1)]));
        Ok(figures)
    }

    /// Memory before any request, and what a connection adds that has asked once.
    async fn memory(&self) -> Outcome<Vec<Figure>> {
        let mut figures = Vec::new();
        if !self.wants("memory") {
            return Ok(figures);
        }
        for proxy in self.proxies {
            let idle = core::kibibytes(proxy.pid())?;
            let kept = connect_and_ask(proxy.http1, IDLE).await?;
            let each = (core::kibibytes(proxy.pid())? - idle) / IDLE as f64;
            drop(kept);
            let ours = proxy.name == "Tenon";
            let figure = |name: &str, value, unit, goal| {
                let name = format!("memory, {name}, {}", proxy.name);
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

/// The time on its core that a proxy needs for each request, in microseconds.
async fn cpu_of(proxy: &Proxy, work: Work, span: Duration) -> Outcome<f64> {
    let running = match work {
        Work::Small => load::closed_loop(proxy.http1, "/").await?,
        Work::Large => load::closed_loop(proxy.http1, origin::LARGE).await?,
        Work::Http2 => load2::closed_loop(proxy.http2, "/").await?,
    };
    tokio::time::sleep(span / 4).await;
    let (before, answered) = (core::cpu(proxy.pid())?, running.tally.answered.get());
    tokio::time::sleep(span).await;
    let (after, total) = (core::cpu(proxy.pid())?, running.tally.answered.get());
    let failed = running.tally.failed.get();
    if failed > 0 || total == answered {
        let answered = total - answered;
        return Err(
            format!("{work:?} through {}: {failed} failed, {answered} were answered", proxy.name).into()
        );
    }
    Ok(micros(after.saturating_sub(before)) / (total - answered) as f64)
}

/// So many connections that have asked once each, one after the other.
async fn connect_and_ask(proxy: SocketAddr, count: usize) -> Outcome<Vec<Client>> {
    let mut kept = Vec::with_capacity(count);
    let request = request("/");
    for _ in 0..count {
        let mut client = Client::connect(proxy).await?;
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
