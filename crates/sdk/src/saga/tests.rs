use super::*;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Executor, Postgres, Sqlite};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tenon_backends::testing;

fn call(step: &str, direction: Direction, round: u32) -> SagaCall {
    let saga = SagaId::from_bytes([7; 16]);
    SagaCall { saga, step: step.parse().unwrap(), direction, round, attempt: 1 }
}

#[test]
fn an_answer_means_to_the_saga_what_it_says() {
    use tenon_core::saga::{Outcome, answer};
    let judged = |answer: Answer| {
        answer::judge(answer::Answer { status: answer.status(), retry_after: false, of_mesh: None })
    };
    assert_eq!(judged(Answer::Done(Value::Null)), Ok(()));
    assert_eq!(judged(Answer::Refused("no money".to_owned())), Err(Outcome::Refused));
}

#[test]
fn a_call_is_read_from_its_headers() {
    let sent = |name: &str| match name {
        "tenon-saga" => Some("07070707-0707-0707-0707-070707070707"),
        "tenon-saga-step" => Some("pay"),
        "tenon-saga-direction" => Some("undo"),
        "tenon-saga-round" => Some("2"),
        "tenon-saga-attempt" => Some("5"),
        _ => None,
    };
    let read = SagaCall::read(sent).unwrap().unwrap();
    assert_eq!(read, SagaCall { attempt: 5, ..call("pay", Direction::Undo, 2) });
    assert_eq!(SagaCall::read(|_| None), Ok(None));
    for wrong in
        ["tenon-saga", "tenon-saga-step", "tenon-saga-direction", "tenon-saga-round", "tenon-saga-attempt"]
    {
        let error = SagaCall::read(|name| if name == wrong { Some("?") } else { sent(name) }).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

/// A till, in which steps put money.
macro_rules! on {
    ($module:ident, $database:ty, $pool:expr) => {
        mod $module {
            use super::*;

            type Connection = <$database as sqlx::Database>::Connection;

            async fn till() -> Participant<$database> {
                let pool = $pool.await;
                pool.execute("CREATE TABLE till (amount BIGINT NOT NULL)").await.unwrap();
                Participant::new(pool).await.unwrap()
            }

            async fn put(connection: &mut Connection, amount: i64) -> Result<Value, Trouble> {
                sqlx::query("INSERT INTO till VALUES ($1)").bind(amount).execute(connection).await?;
                Ok(json!({"put": amount}))
            }

            async fn amounts(participant: &Participant<$database>) -> Vec<i64> {
                let query = sqlx::query_scalar("SELECT amount FROM till");
                query.fetch_all(&participant.pool).await.unwrap()
            }

            async fn done(participant: &Participant<$database>, call: &SagaCall, amount: i64) -> Answer {
                participant.run(call, async |connection| put(connection, amount).await).await.unwrap()
            }

            #[tokio::test]
            async fn a_repeat_is_answered_as_before_and_has_no_effect() {
                let till = till().await;
                let pay = call("pay", Direction::Do, 0);
                assert_eq!(done(&till, &pay, 5).await, Answer::Done(json!({"put": 5})));
                assert_eq!(done(&till, &pay, 6).await, Answer::Done(json!({"put": 5})));
                let undo = call("pay", Direction::Undo, 0);
                assert_eq!(done(&till, &undo, -5).await, Answer::Done(json!({"put": -5})));
                assert_eq!(done(&till, &undo, -5).await, Answer::Done(Value::Null));
                assert_eq!(amounts(&till).await, [5, -5]);
                assert_eq!(done(&till, &pay, 5).await.status(), 422, "it was undone");
                assert_eq!(done(&till, &call("other", Direction::Do, 0), 1).await.status(), 200);
            }

            #[tokio::test]
            async fn what_was_undone_before_it_came_is_refused() {
                let till = till().await;
                let undone = done(&till, &call("pay", Direction::Undo, 0), -5).await;
                assert_eq!(undone, Answer::Done(Value::Null));
                assert_eq!(done(&till, &call("pay", Direction::Do, 0), 5).await, Answer::Refused(TOO_LATE.to_owned()));
                assert!(amounts(&till).await.is_empty());
            }

            #[tokio::test]
            async fn a_refusal_takes_back_what_was_written_and_is_for_good_under_its_key() {
                let till = till().await;
                let pay = call("pay", Direction::Do, 0);
                let refusing = async |connection: &mut Connection| {
                    put(connection, 5).await?;
                    Err(Trouble::refused("no money"))
                };
                let refused = Answer::Refused("no money".to_owned());
                assert_eq!(till.run(&pay, refusing).await.unwrap(), refused);
                assert_eq!(done(&till, &pay, 5).await, refused);
                assert!(amounts(&till).await.is_empty());
                assert_eq!(done(&till, &call("pay", Direction::Do, 1), 6).await.status(), 200);
                assert_eq!(amounts(&till).await, [6]);
                // What undoes is owed, and comes again.
                let undo = call("pay", Direction::Undo, 1);
                assert_eq!(till.run(&undo, refusing).await.unwrap(), refused);
                assert_eq!(done(&till, &undo, -6).await, Answer::Done(json!({"put": -6})));
            }

            #[tokio::test]
            async fn a_failure_leaves_nothing_behind() {
                let till = till().await;
                let pay = call("pay", Direction::Do, 0);
                let failing = async |connection: &mut Connection| {
                    put(connection, 5).await?;
                    Err(Trouble::failed("the bank is closed"))
                };
                assert!(matches!(till.run(&pay, failing).await, Err(Trouble::Failed(_))));
                assert_eq!(done(&till, &pay, 6).await.status(), 200);
                assert_eq!(amounts(&till).await, [6]);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn of_calls_at_the_same_time_one_has_an_effect() {
                let till = Arc::new(till().await);
                let runs = Arc::new(AtomicU32::new(0));
                let calls = (0..16).map(|_| {
                    let (till, runs) = (Arc::clone(&till), Arc::clone(&runs));
                    tokio::spawn(async move {
                        let pay = call("pay", Direction::Do, 0);
                        let run = till.run(&pay, async |connection| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            put(connection, 5).await
                        });
                        run.await.unwrap()
                    })
                });
                for answer in calls.collect::<Vec<_>>() {
                    assert_eq!(answer.await.unwrap(), Answer::Done(json!({"put": 5})));
                }
                assert_eq!((amounts(&till).await, runs.load(Ordering::Relaxed)), (vec![5], 1));
            }

            #[tokio::test]
            async fn replicas_that_start_at_once_make_the_table_once() {
                for _ in 0..10 {
                    let pool = $pool.await;
                    let replicas = (0..8).map(|_| Participant::<$database>::new(pool.clone()));
                    for made in futures_util::future::join_all(replicas).await {
                        made.unwrap();
                    }
                }
            }

            #[tokio::test]
            async fn what_is_old_is_forgotten() {
                let till = till().await;
                let pay = call("pay", Direction::Do, 0);
                done(&till, &pay, 5).await;
                assert_eq!(till.forget(Duration::from_secs(3_600)).await.unwrap(), 0);
                while till.forget(Duration::ZERO).await.unwrap() == 0 {}
                assert_eq!(done(&till, &pay, 6).await, Answer::Done(json!({"put": 6})));
            }

            #[tokio::test]
            async fn a_repeat_is_a_call_that_came_last() {
                let till = till().await;
                let (pay, undo) = (call("pay", Direction::Do, 0), call("pay", Direction::Undo, 0));
                let an_hour = Duration::from_secs(3_600);
                let calls = [&pay, &pay, &undo, &undo, &pay];
                for (number, call) in calls.into_iter().enumerate() {
                    done(&till, call, 5).await;
                    assert_eq!(till.forget(an_hour).await.unwrap(), 0, "call {number}");
                    till.pool.execute("UPDATE tenon_barrier SET called_ms = 1").await.unwrap();
                }
                assert_eq!(till.forget(an_hour).await.unwrap(), 1);
            }
        }
    };
}

on!(in_sqlite, Sqlite, async {
    let folder = tempfile::tempdir().unwrap().keep();
    let options = SqliteConnectOptions::new().filename(folder.join("till")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new().max_connections(8).connect_with(options).await.unwrap()
});

on!(in_postgres, Postgres, async {
    let url = testing::shared().database();
    PgPoolOptions::new().max_connections(8).connect(&url).await.unwrap()
});
