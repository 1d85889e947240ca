//! What happens during the demo, and what is told of it.

use super::load::{Failure, Load, Seen, run_name};
use super::metrics::sum;
use super::sagas;
use crate::http::Http;
use crate::shell::Outcome;
use crate::stats::{Times, millis};
use crate::system::{System, signal};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How slow the slow instance is: far slower than what callers of payment wait for one try.
const SLOW: Duration = Duration::from_millis(1_500);

/// What came of it.
#[derive(Debug)]
pub(super) struct Told {
    ready_in: Duration,
    seen: Seen,
    killed: String,
    out_of_rotation: Duration,
    replaced: Duration,
    slowed: String,
    config_seen: Duration,
    retries: f64,
    ejected: f64,
    direct: Times,
    mesh: Times,
    orders: [sagas::Told; 2],
    books: sagas::Books,
}

/// Plays the story over so many seconds of traffic.
pub(super) async fn play(system: &System, seconds: u64, rate: u32) -> Outcome<Told> {
    let (direct, mesh) = compare_paths(system).await?;
    let load = Load::start(&system.urls.gateway, rate);
    let begun = Instant::now();
    let at = |share: f64| begun + Duration::from_secs(seconds).mul_f64(share);

    tokio::time::sleep_until(at(0.2).into()).await;
    let (killed, out_of_rotation, replaced) = kill_a_payment_instance(system).await?;
    tokio::time::sleep_until(at(0.45).into()).await;
    let slowed = slow_a_payment_instance(system).await?;
    tokio::time::sleep_until(at(0.7).into()).await;
    let config_seen = change_a_configuration_value(system).await?;
    tokio::time::sleep_until(at(0.8).into()).await;
    let run = run_name();
    let refused = sagas::refused(system, &run).await?;
    let interrupted = sagas::interrupted(system, &run).await?;
    tokio::time::sleep_until(at(1.0).into()).await;

    let seen = load.finish().await;
    let books = sagas::books(system).await?;
    let metrics = Http::new().get(&format!("{}/metrics", system.urls.admin)).await.text();
    Ok(Told {
        ready_in: system.took,
        seen,
        killed,
        out_of_rotation,
        replaced,
        slowed,
        config_seen,
        retries: sum(&metrics, "tenon_retries_total", &[]),
        ejected: sum(&metrics, "tenon_ejections_total", &[]),
        direct,
        mesh,
        orders: [refused, interrupted],
        books,
    })
}

/// The same request to the same service, to an instance itself and through the gateway, in turns.
async fn compare_paths(system: &System) -> Outcome<(Times, Times)> {
    let http = Http::new();
    let instance = an_instance(system, "payment", &[]).await?;
    let direct_url = format!("http://{}/quote?amount=100.00", text(&instance, "address"));
    let mesh_url = format!("{}/quote?amount=100.00", system.urls.gateway);
    let (mut direct, mut mesh) = (Times::default(), Times::default());
    for _ in 0..1_000 {
        direct.add(http.get(&direct_url).await.took);
        mesh.add(http.get(&mesh_url).await.took);
    }
    Ok((direct, mesh))
}

/// SIGKILL to one of three: how long until nobody is told of it any more, and until there are three again.
async fn kill_a_payment_instance(system: &System) -> Outcome<(String, Duration, Duration)> {
    let instance = an_instance(system, "payment", &[]).await?;
    let name = text(&instance, "id");
    let pid =
        instance["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).ok_or("the instance has no pid")?;
    let begun = Instant::now();
    signal(pid, "KILL");
    let out = until(begun, async || !healthy(system, "payment").await.contains(&name)).await?;
    let back = until(begun, async || healthy(system, "payment").await.len() == 3).await?;
    Ok((name, out, back))
}

async fn slow_a_payment_instance(system: &System) -> Outcome<String> {
    let instance = an_instance(system, "payment", &[]).await?;
    let url = format!("http://{}/admin/slow", text(&instance, "address"));
    let body = json!({"ms": u64::try_from(SLOW.as_millis())?});
    let answer = Http::new().send("POST", &url, &[], Some(&body)).await;
    if !answer.is_success() {
        return Err(format!("cannot make payment slow: {} {}", answer.status, answer.text()).into());
    }
    Ok(text(&instance, "id"))
}

/// Sets how many recommendations there are, and waits until customers see as many.
async fn change_a_configuration_value(system: &System) -> Outcome<Duration> {
    let http = Http::new();
    let url = format!("{}/recommendations?sku=saw", system.urls.gateway);
    let begun = Instant::now();
    system.tenon(&["config", "set", "recommendation", "limit", "2"])?;
    until(begun, async || {
        let answer = http.get(&url).await.json();
        answer["items"].as_array().is_some_and(|items| items.len() == 2)
    })
    .await
}

async fn until(begun: Instant, reached: impl AsyncFn() -> bool) -> Outcome<Duration> {
    while !reached().await {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err("what was waited for did not happen in 20 s".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(begun.elapsed())
}

async fn healthy(system: &System, service: &str) -> Vec<String> {
    let answer = system.api(&format!("/v1/services/{service}/lookup")).await.json();
    let instances = answer["instances"].as_array().cloned().unwrap_or_default();
    instances.iter().map(|instance| text(instance, "id")).collect()
}

async fn an_instance(system: &System, service: &str, except: &[&str]) -> Outcome<Value> {
    let instances = system.instances(service).await;
    let fits = |it: &&Value| text(it, "status") == "healthy" && !except.contains(&text(it, "id").as_str());
    instances.iter().find(fits).cloned().ok_or_else(|| format!("no healthy instance of {service}").into())
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

impl Told {
    /// For people.
    pub(super) fn print(&self) {
        let all: usize = self.seen.requests.values().map(Times::len).sum();
        println!("\nWhat happened");
        println!("  from `tenon up` to all healthy       {}", millis(self.ready_in));
        println!("  killed {:<28}  out of rotation in {}", self.killed, millis(self.out_of_rotation));
        println!("  {:<35}  replaced in {}", "", millis(self.replaced));
        println!("  made slow {:<25}  {} an answer", self.slowed, millis(SLOW));
        println!("  recommendation limit set to 2        seen by customers in {}", millis(self.config_seen));
        println!("\nWhat customers saw");
        println!("  {:<16} {:>8} {:>8} {:>11} {:>11}", "", "requests", "errors", "p50", "p99");
        for (kind, times) in &self.seen.requests {
            let errors = self.seen.failures.iter().filter(|it| it.kind == *kind).count();
            let (p50, p99) = (millis(times.quantile(0.5)), millis(times.quantile(0.99)));
            println!("  {kind:<16} {:>8} {errors:>8} {p50:>11} {p99:>11}", times.len());
        }
        println!("  {:<16} {all:>8} {:>8}", "all", self.seen.failures.len());
        println!("\nWhat the mesh did");
        println!("  retries {:.0}, instances ejected {:.0}", self.retries, self.ejected);
        println!("\nOne request after the other, in calm   {:>11} {:>11}", "p50", "p99");
        for (name, times) in
            [("to an instance itself", &self.direct), ("through gateway and sidecar", &self.mesh)]
        {
            println!(
                "  {name:<35}  {:>11} {:>11}",
                millis(times.quantile(0.5)),
                millis(times.quantile(0.99))
            );
        }
        self.orders.iter().for_each(sagas::Told::print);
        self.books.print();
        for failure in self.seen.failures.iter().take(10) {
            println!("{}", said(failure));
        }
    }

    /// Fails if a customer saw an error, for every request of the demo is safe to try again; or if an order did not end as it
    /// should, or the books do not agree.
    pub(super) fn verdict(&self) -> Outcome {
        let wrong = self.orders.iter().filter_map(|told| told.wrong.clone()).chain(self.books.wrong()).next();
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        match self.seen.failures.len() {
            0 => {
                println!("\nok: no customer saw an error, no money, stock or points are lost");
                Ok(())
            }
            errors => {
                Err(format!("{errors} errors reached customers that the mesh should have hidden").into())
            }
        }
    }
}

fn said(failure: &Failure) -> String {
    let answer = &failure.answer;
    format!(
        "  error after {:.2} s: {} answered {} ({}): {}",
        failure.at.as_secs_f64(),
        failure.kind,
        answer.status,
        answer.request_id.as_deref().unwrap_or("no request id"),
        answer.text().chars().take(300).collect::<String>()
    )
}
