//! Many routes, one of which changes while requests come.

use super::load::{Client, at_rate, quantile, request};
use super::micros;
use super::tenon::{Tenon, route};
use crate::bench::Figure;
use crate::shell::Outcome;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tenon_api::snapshot::{Part, RouteChanges};
use tenon_core::Position;

pub(super) const ROW: &str = "40,000 routes";
const ROUTES: usize = 40_000;
const RATE: u32 = 4_000;

/// How long a change takes until it holds, and what it does to the latency of the requests around it.
pub(super) async fn measure(profile: &str, origins: &[SocketAddr], quick: bool) -> Outcome<Vec<Figure>> {
    let routes = (0..ROUTES).map(|number| route(&format!("r{number}"), &path(number)));
    let mut tenon = Tenon::start(profile, origins, routes.collect::<Outcome<_>>()?).await?;
    let proxy = tenon.proxy.http1;
    let rounds = if quick { 1 } else { 5 };
    let (mut applied, mut ratios) = (Vec::new(), Vec::new());
    at_rate(proxy, &path(7), RATE, Duration::from_secs(1)).await?;
    for round in 0..rounds {
        let change = async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            change_one(&mut tenon, ROUTES / 2 + round).await
        };
        let asked = path(7);
        let load = at_rate(proxy, &asked, RATE, Duration::from_secs(4));
        let (took, changed) = tokio::join!(load, change);
        let (took, (at, held)) = (took?, changed?);
        let half = Duration::from_millis(500);
        let within = |from: Instant, to: Instant| -> Vec<_> {
            took.iter().filter(|(due, _)| (from..to).contains(due)).copied().collect()
        };
        let before = within(at - half * 4, at - half * 2);
        let around = within(at - half, at + half);
        applied.push(held.as_secs_f64() * 1e3);
        ratios.push(micros(quantile(&around, 0.99)) / micros(quantile(&before, 0.99)));
    }
    Ok(vec![
        Figure::at_most(format!("{ROW}, one changed under load, until it holds"), 0.0, "ms", 100.0)
            .over_rounds(applied),
        Figure::at_most(format!("{ROW}, p99 of the second around the change / before"), 0.0, "×", 1.25)
            .over_rounds(ratios),
        Figure::plain(format!("{ROW}, memory"), super::core::kibibytes(tenon.proxy.pid())? / 1_024.0, "MiB"),
    ])
}

/// Gives a route another path; when that was told, and how long it took until a request there saw it.
async fn change_one(tenon: &mut Tenon, number: usize) -> Outcome<(Instant, Duration)> {
    let new_path = format!("/changed/{number}");
    let changed = route(&format!("r{number}"), &new_path)?;
    let mut client = Client::connect(tenon.proxy.http1).await?;
    let from = tenon.routes.revision;
    tenon.routes.revision.position = Position(tenon.routes.revision.position.0 + 1);
    let set = vec![changed];
    let part = RouteChanges { from, settings: tenon.routes.clone(), removed: Vec::new(), set };
    let at = Instant::now();
    tenon.tell(Part::from(part))?;
    let asking = request(&new_path);
    while client.ask(&asking).await? != 200 {
        if at.elapsed() > Duration::from_secs(5) {
            return Err("the change was not applied".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((at, at.elapsed()))
}

/// The path of one of the routes.
fn path(number: usize) -> String {
    format!("/teams/{}/services/{number}", number % 200)
}
