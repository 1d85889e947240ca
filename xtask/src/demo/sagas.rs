//! What goes wrong with an order on its way, and what its saga makes of it: a payment that is refused, and a server that is
//! killed in the middle.

use crate::http::{Answer, Http};
use crate::shell::Outcome;
use crate::system::{System, signal};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How slow payment is while the server is killed.
const SLOW: Duration = Duration::from_millis(200);
/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// An order, and what is told of its saga.
#[derive(Debug)]
pub(super) struct Told {
    title: &'static str,
    /// What its customer was answered.
    pub(super) answer: Answer,
    state: String,
    timeline: String,
    /// What is wrong with how it ended.
    pub(super) wrong: Option<String>,
}

/// What is left in the end, by the books of each service.
#[derive(Debug)]
pub(super) struct Books {
    lines: Vec<(&'static str, String, String)>,
}

/// An order whose card does not hold enough: what was done for it meanwhile is undone.
pub(super) async fn refused(system: &System, run: &str) -> Outcome<Told> {
    let answer = order(&system.urls.gateway, "eve", "card-eve", &format!("demo-{run}-poor")).await;
    tell(system, "An order whose payment is refused", answer, (402, "compensated")).await
}

/// An order whose payment takes a while, in which the server is killed: it is taken up by the next one.
pub(super) async fn interrupted(system: &System, run: &str) -> Outcome<Told> {
    slow_payments(system, SLOW).await?;
    let (gateway, key) = (system.urls.gateway.clone(), format!("demo-{run}-crash"));
    let customer = format!("carl-{run}");
    let who = customer.clone();
    let ordering = tokio::spawn(async move { order(&gateway, &who, "card-ada", &key).await });
    while_it_is_paid(system, &customer).await?;
    signal(system.role("server")?, "KILL");
    let answer = ordering.await?;
    back_in_order(system).await?;
    slow_payments(system, Duration::ZERO).await?;
    let title = "An order during which the server is killed";
    let mut told = tell(system, title, answer, (201, "completed")).await?;
    if told.wrong.is_none() && !told.timeline.contains("called again") {
        told.wrong = Some(format!("{title}: nothing was under way when it was killed"));
    }
    Ok(told)
}

/// Waits until the saga of a customer's order has its payment under way.
async fn while_it_is_paid(system: &System, customer: &str) -> Outcome {
    let (http, begun) = (Http::new(), Instant::now());
    let orders = format!("{}/orders?customer={customer}", system.urls.gateway);
    loop {
        let found = http.get(&orders).await.json();
        if let Some(saga) = found["orders"][0]["saga"].as_str() {
            let view = system.api(&format!("/v1/sagas/{saga}")).await.json();
            let mut at = view["at"].as_array().into_iter().flatten();
            if at.any(|step| step == "take_payment") {
                return Ok(());
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err("the payment of an order does not begin".into());
        }
    }
}

async fn order(gateway: &str, customer: &str, card: &str, key: &str) -> Answer {
    let order = json!({
        "customer": customer, "card": card, "items": [{"sku": "saw", "quantity": 1, "price": "12.50"}],
    });
    let url = format!("{gateway}/orders");
    Http::new().send("POST", &url, &[("idempotency-key", key)], Some(&order)).await
}

async fn slow_payments(system: &System, by: Duration) -> Outcome {
    let body = json!({"ms": u64::try_from(by.as_millis())?});
    for instance in system.instances("payment").await {
        let url = format!("http://{}/admin/slow", instance["address"].as_str().unwrap_or_default());
        Http::new().send("POST", &url, &[], Some(&body)).await;
    }
    Ok(())
}

/// Waits until the server is there again and knows everybody.
async fn back_in_order(system: &System) -> Outcome {
    let begun = Instant::now();
    while !system.is_complete().await {
        if begun.elapsed() > PATIENCE {
            return Err(format!("not everything is healthy again after {PATIENCE:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn tell(
    system: &System,
    title: &'static str,
    answer: Answer,
    (status, state): (u16, &str),
) -> Outcome<Told> {
    let document = answer.json();
    let id = document["order"].as_str().or(document["id"].as_str()).unwrap_or_default().to_owned();
    let shown = Http::new().get(&format!("{}/orders/{id}", system.urls.gateway)).await.json();
    let saga = shown["saga"].as_str().ok_or_else(|| {
        format!("no saga is known of the order {id}, which was answered {} {}", answer.status, answer.text())
    })?;
    let view = system.api(&format!("/v1/sagas/{saga}")).await.json();
    let ended = view["state"].as_str().unwrap_or_default().to_owned();
    let wrong = (answer.status != status || ended != state)
        .then(|| format!("{title}: answered {} and {ended}, not {status} and {state}", answer.status));
    // What comes after the saga's facts and steps.
    let all = system.tenon(&["saga", "show", saga])?;
    let timeline = all.rsplit("\n\n").next().unwrap_or_default().trim_end().to_owned();
    Ok(Told { title, answer, state: ended, timeline, wrong })
}

impl Told {
    /// For people.
    pub(super) fn print(&self) {
        println!("\n{}: answered {}, its saga {}", self.title, self.answer.status, self.state);
        for line in self.timeline.lines() {
            println!("  {line}");
        }
    }
}

/// Asks every service for its books.
pub(super) async fn books(system: &System) -> Outcome<Books> {
    let http = Http::new();
    let gateway = &system.urls.gateway;
    let payment = system.instances("payment").await;
    let payment = payment.first().and_then(|it| it["address"].as_str()).ok_or("there is no payment")?;
    let mut sales = http.get(&format!("{gateway}/sales")).await.json();
    let sold = sales["sales"][0].take();
    let (quantity, revenue) = (sold["quantity"].as_u64().unwrap_or(0), cents(&sold["revenue"])?);
    let balance = |card: &'static str| {
        let (http, url) = (Http::new(), format!("http://{payment}/accounts/{card}"));
        async move { cents(&http.get(&url).await.json()["balance"]) }
    };
    let (ada, eve) = (balance("card-ada").await?, balance("card-eve").await?);
    let stock = http.get(&format!("{gateway}/stock/saw")).await.json()["available"].as_u64().unwrap_or(0);
    let points = async |card: &str| {
        http.get(&format!("{gateway}/points/{card}")).await.json()["points"].as_u64().unwrap_or(u64::MAX)
    };
    let (points_ada, points_eve) = (points("card-ada").await, points("card-eve").await);
    let euros = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
    let line = |name, expected: String, found: String| (name, expected, found);
    Ok(Books {
        lines: vec![
            line("money: card-ada", euros(4_000_000_000_u64.saturating_sub(revenue)), euros(ada)),
            line("money: card-eve, refused", euros(100), euros(eve)),
            line("stock: saws left", (1_000_000_u64.saturating_sub(quantity)).to_string(), stock.to_string()),
            line("points: card-ada", quantity.to_string(), points_ada.to_string()),
            line("points: card-eve, taken back", "0".into(), points_eve.to_string()),
        ],
    })
}

fn cents(value: &Value) -> Outcome<u64> {
    let text = value.as_str().ok_or_else(|| format!("{value} is no amount"))?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, "00"));
    Ok(whole.parse::<u64>()? * 100 + rest.parse::<u64>()?)
}

impl Books {
    /// For people.
    pub(super) fn print(&self) {
        println!("\nThe books                             {:>15} {:>15}", "by the orders", "at the service");
        for (name, expected, found) in &self.lines {
            let verdict = if expected == found { "" } else { "  differs" };
            println!("  {name:<35} {expected:>15} {found:>15}{verdict}");
        }
    }

    /// What does not agree.
    pub(super) fn wrong(&self) -> Option<String> {
        let wrong = self.lines.iter().find(|(_, expected, found)| expected != found);
        wrong.map(|(name, expected, found)| {
            format!("the books do not agree: {name} is {found}, not {expected}")
        })
    }
}
