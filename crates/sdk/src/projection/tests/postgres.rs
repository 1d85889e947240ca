//! The same in PostgreSQL, where replicas share a read model.

use super::*;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{PgConnection, Postgres};
use tenon_backends::testing::{PrivateServer, shared};

type Shared<const VERSION: u32> = Projector<Balances<VERSION>, PostgresModels>;

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(8).connect(url).await.unwrap()
}

async fn replica<const VERSION: u32>(
    bank: &Bank,
    url: &str,
    projection: &Balances<VERSION>,
) -> Shared<VERSION> {
    let models = PostgresModels::new(pool(url).await);
    let failures = Config { attempts: 2, first_wait: Duration::from_millis(1), ..Config::default() };
    let options = Options { failures, ..Options::default() };
    Projector::start(Arc::clone(&bank.log), models, projection.clone(), options).await.unwrap()
}

async fn rows(connection: &mut PgConnection) -> Vec<(String, i64, i64)> {
    let rows = sqlx::query("SELECT account, amount, changes FROM balance ORDER BY account");
    let rows = rows.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get::<&str, _>(0).replace("account-", ""), row.get(1), row.get(2))).collect()
}

async fn balances<const VERSION: u32>(model: &Shared<VERSION>, bank: &Bank) -> Vec<(String, i64, i64)> {
    model.reached(bank.log.head()).await.unwrap();
    rows(&mut model.read().await.unwrap()).await
}

#[tokio::test]
async fn replicas_share_a_model_and_apply_each_event_once() {
    let (bank, url, projection) = (Bank::new(), shared().database(), Balances::<1>::default());
    bank.open(&["1", "2"]).await;
    let one = replica(&bank, &url, &projection).await;
    let two = replica(&bank, &url, &projection).await;
    for _ in 0..50 {
        bank.give("1", Command::Deposit(1)).await;
    }
    let expected = [row("1", 50, 51), row("2", 0, 1)];
    assert_eq!(balances(&one, &bank).await, expected);
    assert_eq!(balances(&two, &bank).await, expected);
    // One ends; the other goes on.
    drop(one);
    bank.give("2", Command::Deposit(1)).await;
    assert_eq!(balances(&two, &bank).await, [row("1", 50, 51), row("2", 1, 2)]);
}

#[tokio::test]
async fn what_fails_is_parked_and_repaired_and_a_rebuild_and_the_past_are_apart() {
    let (bank, url, projection) = (Bank::new(), shared().database(), Balances::<1>::default());
    bank.open(&["1", "2"]).await;
    projection.fail("1");
    let model = replica(&bank, &url, &projection).await;
    let then = bank.give("2", Command::Deposit(3)).await;
    assert_eq!(balances(&model, &bank).await, [row("2", 3, 2)]);
    projection.mend();
    unpark(&model, "account-1").await;
    model.watch().wait_for(|status| status.parked_events == 0).await.unwrap();
    bank.give("1", Command::Deposit(2)).await;
    model.rebuild().await.unwrap();
    model.watch().wait_for(|status| status.generation == 2).await.unwrap();
    assert_eq!(balances(&model, &bank).await, [row("1", 2, 2), row("2", 3, 2)]);
    let past = model.past(At::Position(then)).await.unwrap();
    assert_eq!(rows(&mut past.read().await.unwrap()).await, [row("1", 0, 1), row("2", 3, 2)]);
    past.close().await.unwrap();
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'balances%past%'";
    let left = sqlx::query_scalar::<Postgres, String>(schemas).fetch_all(&pool(&url).await).await.unwrap();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn a_database_that_goes_away_is_waited_for() {
    let (bank, server, projection) = (Bank::new(), PrivateServer::start().unwrap(), Balances::<1>::default());
    let url = server.database();
    bank.open(&["1"]).await;
    let model = replica(&bank, &url, &projection).await;
    assert_eq!(balances(&model, &bank).await, [row("1", 0, 1)]);
    server.crash();
    bank.give("1", Command::Deposit(1)).await;
    model.watch().wait_for(|status| status.error.is_some()).await.unwrap();
    server.start_again();
    assert_eq!(balances(&model, &bank).await, [row("1", 1, 2)]);
    assert_eq!(model.watch().wait_for(|status| status.error.is_none()).await.unwrap().generation, 1);
}
