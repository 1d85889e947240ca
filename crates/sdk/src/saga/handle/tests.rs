use super::super::{SagaCall, post, record};
use super::*;
use serde_json::json;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Executor, Sqlite, SqliteConnection};
use tenon_core::SagaId;

record! {
    struct Deposit as DepositOf { account: String, amount: i64 }
    struct Deposited as DepositedOf { entry: i64 }
}

const DEPOSIT: Compensatable<Deposit, Deposited> =
    Compensatable::new("deposit", post("bank", "/deposits"), post("bank", "/deposits/undo"));
const CLOSE: Pivot<Deposit, ()> = Pivot::new("close", post("bank", "/close"));

fn call(direction: Direction) -> SagaCall {
    let saga = SagaId::from_bytes([7; 16]);
    SagaCall { saga, step: DEPOSIT.name().parse().unwrap(), direction, round: 0, attempt: 1 }
}

async fn bank() -> Participant<Sqlite> {
    let one = SqlitePoolOptions::new().max_connections(1);
    let pool = one.connect("sqlite::memory:").await.unwrap();
    pool.execute("CREATE TABLE entries (amount INTEGER NOT NULL)").await.unwrap();
    Participant::new(pool).await.unwrap()
}

async fn put(connection: &mut SqliteConnection, deposit: Deposit) -> Result<Deposited, Trouble> {
    let put = sqlx::query("INSERT INTO entries VALUES ($1)").bind(deposit.amount);
    Ok(Deposited { entry: put.execute(connection).await?.last_insert_rowid() })
}

/// Takes an entry out; of one that is not known there is none.
async fn take(connection: &mut SqliteConnection, _: Deposit, undo: Undo<Deposited>) -> Result<(), Trouble> {
    let Undo::Done(Deposited { entry }) = undo else { return Err(Trouble::refused("which one?")) };
    sqlx::query("DELETE FROM entries WHERE rowid = $1").bind(entry).execute(connection).await?;
    Ok(())
}

async fn entries(bank: &Participant<Sqlite>) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM entries").fetch_one(&bank.pool).await.unwrap()
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[tokio::test]
async fn a_step_is_done_and_undone_with_the_types_that_it_has() {
    let bank = bank().await;
    let sent = json!({"account": "a", "amount": 5});
    let done = bank.step(&DEPOSIT, &call(Direction::Do), &body(&sent), put, take).await.unwrap();
    assert_eq!(done, Answer::Done(json!({"entry": 1})));
    let undoing = json!({"input": sent, "output": {"entry": 1}});
    let undone = bank.step(&DEPOSIT, &call(Direction::Undo), &body(&undoing), put, take).await.unwrap();
    assert_eq!((undone, entries(&bank).await), (Answer::Done(Value::Null), 0));
}

#[tokio::test]
async fn undoing_knows_the_answer_that_the_saga_never_got() {
    let bank = bank().await;
    let sent = json!({"account": "a", "amount": 5});
    bank.step(&DEPOSIT, &call(Direction::Do), &body(&sent), put, take).await.unwrap();
    let undoing = json!({"input": sent, "output": null});
    let undone = bank.step(&DEPOSIT, &call(Direction::Undo), &body(&undoing), put, take).await.unwrap();
    assert_eq!((undone, entries(&bank).await), (Answer::Done(Value::Null), 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let bank = bank().await;
    let answer =
        bank.step(&DEPOSIT, &call(Direction::Do), b"{\"amount\": \"much\"}", put, take).await.unwrap();
    assert!(matches!(&answer, Answer::Refused(reason) if reason.contains("body")), "{answer:?}");
}

#[tokio::test]
async fn a_pivot_is_never_undone() {
    let bank = bank().await;
    let close = async |_: &mut SqliteConnection, _: Deposit| Ok(());
    let sent = body(&json!({"account": "a", "amount": 5}));
    let done = bank.only_forward(&CLOSE, &call(Direction::Do), &sent, close).await.unwrap();
    assert_eq!(done, Answer::Done(Value::Null));
    let undone = bank.only_forward(&CLOSE, &call(Direction::Undo), &sent, close).await.unwrap();
    assert!(matches!(undone, Answer::Refused(_)));
}

#[test]
fn what_is_known_of_a_step_is_its_output_or_null() {
    let undoing: Undoing<Deposit, Deposited> =
        serde_json::from_value(json!({"input": {"account": "a", "amount": 5}, "output": null})).unwrap();
    assert_eq!(undoing.output, Undo::MayHaveRun);
    let undo: Undo<Deposited> = serde_json::from_value(json!({"entry": 3})).unwrap();
    assert_eq!(undo, Undo::Done(Deposited { entry: 3 }));
    assert_eq!(serde_json::to_value(Undo::<u8>::MayHaveRun).unwrap(), Value::Null);
}
