//! Minutes of load while everything that may change does: instances are killed, scaled and replaced, configuration and
//! routes change, certificates are replaced every few seconds under calls between two data planes, one of which is renewed.
//! No request fails, and the data plane's memory does not grow.
//!
//! Only in long runs (`cargo xtask test --long`, which sets `TENON_TEST_LONG`): 10 minutes, or `TENON_SOAK_SECONDS`.

use crate::sidecar::{FAILING, Sidecar, ledger, start_with_sidecars};
use crate::support::process::{Signal, send};
use crate::support::{
    Http, Load, System, eventually, one_at_a_time, payment, quote_route, system_of, worker,
};
use std::fs;
use std::time::{Duration, Instant};

const QUOTE: &str = "/quote?amount=100.00";
const LEDGER: &str =
    "{name: ledger, matches: [{path: {type: PathPrefix, value: /ledger}}], backends: [{service: ledger}]}";
const FAIL: &str =
    "{name: failing, matches: [{path: {type: PathPrefix, value: /failing}}], backends: [{service: failing}]}";
const CALL: &str =
    "{name: call, matches: [{path: {type: Exact, value: /call}}], backends: [{service: caller}]}";

/// How much memory may grow over the measured part, in percent. A short run says little of it.
const MOST_GROWTH: f64 = 1.0;
const WORTH_MEASURING: Duration = Duration::from_secs(300);

/// Three times as many as are remembered, in all.
const FAILING_CONNECTIONS: usize = 100;
const FAILING_EACH: usize = 300;

/// How long to run, if at all.
fn duration() -> Option<Duration> {
    let seconds = std::env::var("TENON_SOAK_SECONDS").ok().map(|text| text.parse().unwrap());
    let long = std::env::var_os("TENON_TEST_LONG").map(|_| 600);
    seconds.or(long).map(Duration::from_secs)
}

#[tokio::test]
async fn minutes_of_change_under_load_fail_no_request_and_leak_nothing() {
    let Some(duration) = duration() else { return };
    let _turn = one_at_a_time().await;
    let services =
        [payment(3), worker("caller", &["depends_on: [payment]"]), elsewhere("ledger"), elsewhere("failing")];
    let system = start_with_sidecars(&system_of(&services, &rest())).await;
    // A data plane of its own, to which calls go by mutual TLS.
    let sidecar = Sidecar::start(&system, "ledger", &ledger().await).await;
    eventually("the other data plane is reached", async || {
        (system.get("/ledger").await.status == 200).then_some(())
    })
    .await;
    let url = format!("{}{QUOTE}", system.urls.gateway);
    let inner = "/call?url=http%3A%2F%2Fpayment%2Fquote%3Famount%3D100.00";
    let loads = [
        Load::start(&url, 200),
        Load::start_on_fresh_connections(&url, 20),
        Load::start_expecting(&format!("{}{inner}", system.urls.gateway), 20, "\"status\": 200"),
        Load::start(&format!("{}/ledger", system.urls.gateway), 50),
    ];
    let mut soak = Soak { system: &system, services: &services, done: [0; 5] };
    let begun = Instant::now();

    // The first fifth warms up. It begins by renewing the data plane; the last of these processes then fills its memory of
    // requests, which is bounded: the loads do that for those that go well, and `fail` for those that do not, of which
    // there would be a few with each change.
    let (renewed, warm) = (begun + duration / 15, begun + duration / 5);
    let mut rounds = 0..;
    for round in rounds.by_ref().take_while(|_| Instant::now() < renewed) {
        soak.round(round).await;
        if round % 4 == 0 {
            system.tenon().run(&["renew"]).await.succeeded();
            soak.done[4] += 1;
        }
    }
    fail(&system).await;
    for round in rounds.by_ref().take_while(|_| Instant::now() < warm) {
        soak.round(round).await;
    }
    let mut memory = Vec::new();
    for round in rounds {
        soak.round(round).await;
        memory.push((begun.elapsed().as_secs_f64(), proportional_memory(&system) as f64));
        if begun.elapsed() > duration {
            break;
        }
    }

    let answered: u64 = loads.iter().map(Load::answered).sum();
    // Not on this thread, which is the one that the process beside the sidecar answers on.
    let ending = tokio::task::spawn_blocking(|| loads.into_iter().for_each(Load::had_no_failure));
    ending.await.unwrap();
    sidecar.end().await;
    let growth = growth_percent(&memory);
    let [kills, scalings, settings, routes, renewals] = soak.done;
    let last = memory.last().unwrap().1;
    eprintln!(
        "soak of {duration:?}: {answered} requests answered, none failed; {kills} kills, {scalings} scalings, \
         {settings} configuration changes, {routes} manifests, {renewals} renewals of the data plane; its memory \
         {:.1} MiB at the end, {growth:+.2} % over the measured part",
        last / 1024.0
    );
    assert!(duration < WORTH_MEASURING || growth < MOST_GROWTH, "memory grew by {growth:.2} %: {memory:?}");
}

/// Calls what fails, and fails again when it is called again, over many connections, so that every worker has as many of
/// these to remember as it may, each as long as those that the changes cause.
async fn fail(system: &System) {
    let sidecar = Sidecar::start(system, "failing", &ledger().await).await;
    let url = format!("{}{FAILING}", system.urls.gateway);
    eventually("what fails is reached", async || {
        (system.http.get(&url).await.text == "failing").then_some(())
    })
    .await;
    let asking = (0..FAILING_CONNECTIONS).map(|_| {
        let (client, url) = (Http::new(), url.clone());
        tokio::spawn(async move {
            for _ in 0..FAILING_EACH {
                assert_eq!(client.get(&url).await.status, 503);
            }
        })
    });
    for done in asking.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    sidecar.end().await;
}

/// A service of which Tenon runs nothing.
fn elsewhere(name: &str) -> String {
    format!(
        "  {name}:
    command: [shop-payment]
    replicas: 0
    interfaces: [{{name: api, endpoints: [{{path: /}}]}}]"
    )
}

/// Calls that fail at `failing` are tried once more, however many they are.
fn rest() -> String {
    format!(
        "  failing:
    breaker: {{mode: disabled}}
    retry: {{max_retries: 1, delay: {{fixed: 1ms}}, budget: {{percent: 1000}}}}
mesh: {{certificate_ttl: 5s}}\n{}",
        quote_route(&[CALL, LEDGER, FAIL])
    )
}

struct Soak<'a> {
    system: &'a System,
    services: &'a [String],
    /// Kills, scalings, settings, manifests, renewals.
    done: [u32; 5],
}

impl Soak<'_> {
    /// One change, and time to live with it.
    async fn round(&mut self, round: usize) {
        let tenon = self.system.tenon();
        let kind = round % 4;
        match kind {
            0 => self.kill_one().await,
            1 => {
                let replicas = [4, 2, 3].get(round / 4 % 3).copied().unwrap_or(3);
                tenon.run(&["scale", "payment", &replicas.to_string()]).await.succeeded();
                self.system.has_healthy("payment", replicas).await;
            }
            2 => drop(tenon.run(&["config", "set", "payment", "fee", &round.to_string()]).await.succeeded()),
            _ => {
                let timeout = format!("[{{service: payment}}], timeout: {}s", 5 + round % 3);
                let rest = rest().replace("[{service: payment}]", &timeout);
                self.system.folder.write_manifest(&system_of(self.services, &rest));
                tenon.run(&["up"]).await.succeeded();
            }
        }
        self.done[kind] += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    async fn kill_one(&self) {
        let instances = self.system.instances("payment").await;
        let Some((victim, pid)) = instances.iter().find_map(|it| Some((it.id.clone(), it.pid?))) else {
            return;
        };
        send(pid, Signal::KILL);
        eventually("another instance takes its place", async || {
            let now = self.system.instances("payment").await;
            (now.len() == instances.len() && now.iter().all(|it| it.id != victim)).then_some(())
        })
        .await;
    }
}

/// The data plane's share of memory, in KiB: what it has alone, and its part of what it shares.
fn proportional_memory(system: &System) -> u64 {
    let pid = fs::read_to_string(system.folder.data().join("run/proxy.pid")).unwrap();
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.trim())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// How much the regression line through the points rises from their first to their last, in percent of its beginning.
fn growth_percent(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let covariance: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let variance: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let begin = y - slope * (x - first.0);
    100.0 * slope * (last.0 - first.0) / begin
}
