//! Many routes, one of which changes while requests come.

use super::load::{Client, at_rate, quantile, request};
use super::micros;
use super::peers::Setup;
use super::server::{changed, path};
use super::tenon::Tenon;
use crate::bench::Figure;
use crate::shell::Outcome;
use std::time::{Duration, Instant};

pub(super) const ROW: &str = "40,000 routes";
const ROUTES: usize = 40_000;
const RATE: u32 = 4_000;
/// When a route is changed, since the load began.
const MOMENT: Duration = Duration::from_millis(2_500);

/// How long a change takes until it holds, and what it does to the latency of the requests around it.
pub(super) async fn measure(profile: &str, setup: &Setup<'_>, quick: bool) -> Outcome<Vec<Figure>> {
    let rounds = if quick { 1 } else { 9 };
    let mut tenon = Tenon::start(profile, setup, ROUTES, rounds).await?;
    let door = tenon.proxy.http1.clone();
    let (mut applied, mut ratios, mut calm) = (Vec::new(), Vec::new(), Vec::new());
    let asked = path(7, ROUTES);
    at_rate(&door, &asked, RATE, Duration::from_secs(1)).await?;
    let load = || at_rate(&door, &asked, RATE, Duration::from_secs(4));
    for round in 0..rounds {
        let change = async {
            tokio::time::sleep(MOMENT).await;
            change_one(&mut tenon, round).await
        };
        let (took, changed) = tokio::join!(load(), change);
        let (at, held) = changed?;
        applied.push(held.as_secs_f64() * 1e3);
        ratios.push(around_to_before(&took?, at));
        // The same with no change, which says what a second is to another by itself.
        let at = Instant::now() + MOMENT;
        calm.push(around_to_before(&load().await?, at));
    }
    Ok(vec![
        Figure::at_most(format!("{ROW}, one changed under load, until it holds"), 0.0, "ms", 100.0)
            .over_rounds(applied),
        Figure::at_most(format!("{ROW}, p99 of the second around the change / before"), 0.0, "×", 1.25)
            .over_rounds(ratios),
        Figure::plain(format!("{ROW}, the same with no change"), 0.0, "×").over_rounds(calm),
        Figure::plain(format!("{ROW}, memory"), super::core::kibibytes(tenon.proxy.pid())? / 1_024.0, "MiB"),
    ])
}

/// The p99 of the requests of the second around a moment, to that of a second before it.
fn around_to_before(took: &[(Instant, Duration)], at: Instant) -> f64 {
    let half = Duration::from_millis(500);
    let p99 = |from: Instant, to: Instant| {
        let within: Vec<_> = took.iter().filter(|(due, _)| (from..to).contains(due)).copied().collect();
        micros(quantile(&within, 0.99))
    };
    p99(at - half, at + half) / p99(at - half * 4, at - half * 2)
}

/// Gives a route another path; when that was told, and how long it took until a request there saw it.
async fn change_one(tenon: &mut Tenon, change: usize) -> Outcome<(Instant, Duration)> {
    let mut client = Client::connect(&tenon.proxy.http1).await?;
    let (_, path) = changed(change, ROUTES);
    let asking = request(&path);
    let at = Instant::now();
    tenon.server.change()?;
    while client.ask(&asking).await? != 200 {
        if at.elapsed() > Duration::from_secs(5) {
            return Err("the change was not applied".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((at, at.elapsed()))
}
