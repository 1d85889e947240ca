use super::*;
use crate::aggregates::{Aggregates, At};
use crate::command::Call;
use crate::events;
use crate::testing::{Account, Command, Event as Fact, memory, namespace};
use sqlx::{Row, Sqlite, SqliteConnection};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenon_core::projection::Config;
use tenon_core::{Position, StreamName};
use tenon_store::{Log, NewEvent};

/// The balance of each account; it can be told to fail for some, and counts what was applied.
#[derive(Clone, Default)]
struct Balances<const VERSION: u32> {
    failing: Arc<Mutex<BTreeSet<String>>>,
}

impl<const VERSION: u32> Balances<VERSION> {
    fn fail(&self, account: &str) {
        self.failing.lock().unwrap().insert(format!("account-{account}"));
    }

    fn mend(&self) {
        self.failing.lock().unwrap().clear();
    }
}

/// The same statements for each database.
macro_rules! balances {
    ($database:ty, $connection:ty) => {
        impl<const VERSION: u32> Projection<$database> for Balances<VERSION> {
            const NAME: &'static str = "balances";
            const VERSION: u32 = VERSION;

            fn selects(&self) -> Result<Query, InvalidName> {
                let types = events::types::<Fact>()?;
                Ok(Query::user().or(QueryItem { types, ..QueryItem::default() }))
            }

            async fn create(&self, connection: &mut $connection) -> Result<(), Failure> {
                let table =
                    "CREATE TABLE balance (account TEXT PRIMARY KEY, owner TEXT, amount BIGINT, changes BIGINT)";
                sqlx::query(table).execute(connection).await?;
                Ok(())
            }

            async fn apply(&self, connection: &mut $connection, event: &Event) -> Result<(), Failure> {
                let account = event.stream.as_str();
                // Before the failure, which must take it back.
                sqlx::query(
                    "INSERT INTO balance VALUES ($1, NULL, 0, 1) ON CONFLICT (account) DO UPDATE SET changes = balance.changes + 1",
                )
                .bind(account)
                .execute(&mut *connection)
                .await?;
                if self.failing.lock().unwrap().contains(account) {
                    return Err("told to fail".into());
                }
                let (owner, change) = match events::decode::<Fact>(event)? {
                    Some(Fact::Opened { owner }) => (Some(owner), 0),
                    Some(Fact::Deposited { amount }) => (None, i64::from(amount)),
                    Some(Fact::Withdrawn { amount }) => (None, -i64::from(amount)),
                    Some(Fact::Closed) | None => (None, 0),
                };
                sqlx::query(
                    "UPDATE balance SET amount = amount + $1, owner = coalesce($2, owner) WHERE account = $3",
                )
                .bind(change)
                .bind(owner)
                .bind(account)
                .execute(connection)
                .await?;
                Ok(())
            }

            async fn forget(&self, connection: &mut $connection, subject: &str) -> Result<(), Failure> {
                sqlx::query("UPDATE balance SET owner = NULL WHERE owner = $1")
                    .bind(subject)
                    .execute(connection)
                    .await?;
                Ok(())
            }
        }
    };
}

balances!(Sqlite, SqliteConnection);
balances!(sqlx::Postgres, sqlx::PgConnection);

type Model<const VERSION: u32> = Projector<Balances<VERSION>, SqliteModels>;

struct Bank {
    log: Arc<dyn Log>,
    accounts: Aggregates<Account>,
    folder: tempfile::TempDir,
}

impl Bank {
    fn new() -> Self {
        let log = memory();
        let accounts = Aggregates::new(Arc::clone(&log), namespace(), "account").unwrap();
        Self { log, accounts, folder: tempfile::tempdir().unwrap() }
    }

    async fn give(&self, id: &str, command: Command) -> Position {
        self.accounts.execute(id, &command, &Call::default()).await.unwrap().version
    }

    async fn open(&self, ids: &[&str]) {
        for id in ids {
            self.give(id, Command::Open { owner: format!("owner-{id}") }).await;
        }
    }

    async fn start<const VERSION: u32>(&self, projection: &Balances<VERSION>) -> Model<VERSION> {
        start(&self.log, self.folder.path(), projection).await
    }
}

async fn start<const VERSION: u32>(
    log: &Arc<dyn Log>,
    folder: &Path,
    projection: &Balances<VERSION>,
) -> Model<VERSION> {
    let models = SqliteModels::in_folder(folder).unwrap();
    let first_wait = Duration::from_millis(1);
    let failures = Config { attempts: 2, first_wait, most_parked: 5, ..Config::default() };
    let options = Options { failures, ..Options::default() };
    Projector::start(Arc::clone(log), models, projection.clone(), options).await.unwrap()
}

async fn rows(connection: &mut SqliteConnection) -> Vec<(String, i64, i64)> {
    let rows = sqlx::query("SELECT account, amount, changes FROM balance ORDER BY account");
    let rows = rows.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get::<&str, _>(0).replace("account-", ""), row.get(1), row.get(2))).collect()
}

async fn balances<const VERSION: u32>(model: &Model<VERSION>, log: &Arc<dyn Log>) -> Vec<(String, i64, i64)> {
    model.reached(log.head()).await.unwrap();
    rows(&mut model.read().await.unwrap()).await
}

async fn until<const VERSION: u32>(model: &Model<VERSION>, wanted: impl FnMut(&Status) -> bool) -> Status {
    model.watch().wait_for(wanted).await.unwrap().clone()
}

fn row(account: &str, amount: i64, changes: i64) -> (String, i64, i64) {
    (account.into(), amount, changes)
}

/// Has a key tried again, unless its turn has come just before.
async fn unpark<P: Projection<M::Database>, M: ReadModels>(model: &Projector<P, M>, key: &str) {
    match model.unpark(key).await {
        Ok(()) | Err(ProjectionError::Illegal(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_read_model_follows_the_log() {
    let bank = Bank::new();
    bank.open(&["1", "2"]).await;
    let model = bank.start(&Balances::<1>::default()).await;
    bank.give("1", Command::Deposit(5)).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 5, 2), row("2", 0, 1)]);
    bank.give("2", Command::Deposit(7)).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 5, 2), row("2", 7, 2)]);
    let status = until(&model, |status| status.lag.is_zero()).await;
    assert_eq!((status.parked_events, status.error, status.rebuilding), (0, None, None));
}

#[tokio::test]
async fn each_event_has_its_effect_once_over_restarts_at_any_moment() {
    let bank = Bank::new();
    bank.open(&["1"]).await;
    for round in 1..=20 {
        let model = bank.start(&Balances::<1>::default()).await;
        bank.give("1", Command::Deposit(1)).await;
        if round % 3 == 0 {
            balances(&model, &bank.log).await;
        }
        // Dropped wherever it is.
    }
    let model = bank.start(&Balances::<1>::default()).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 20, 21)]);
}

#[tokio::test]
async fn an_event_that_fails_waits_with_its_key_and_delays_no_other() {
    let bank = Bank::new();
    let projection = Balances::<1>::default();
    bank.open(&["1", "2"]).await;
    projection.fail("1");
    let model = bank.start(&projection).await;
    for id in ["1", "2"] {
        bank.give(id, Command::Deposit(3)).await;
    }
    assert_eq!(balances(&model, &bank.log).await, [row("2", 3, 2)]);
    let status = until(&model, |status| status.parked_events == 2).await;
    assert_eq!(status.parked_keys, 1);
    // Its tries are over; it waits for somebody, also after a restart.
    let waits = async |model: &Model<1>| loop {
        let parked = model.parked().await.unwrap();
        if parked[0].parked.due.is_none() {
            return parked;
        }
        tokio::task::yield_now().await;
    };
    let parked = waits(&model).await;
    assert_eq!((parked[0].key.as_str(), parked[0].error.as_str()), ("account-1", "told to fail"));
    drop(model);
    let model = bank.start(&projection).await;
    assert_eq!(waits(&model).await, parked);
    projection.mend();
    unpark(&model, "account-1").await;
    until(&model, |status| status.parked_events == 0).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 3, 2), row("2", 3, 2)]);
    assert!(matches!(model.unpark("account-1").await, Err(ProjectionError::Illegal(_))));
}

#[tokio::test]
async fn a_parked_event_can_be_left_out() {
    let bank = Bank::new();
    let projection = Balances::<1>::default();
    bank.open(&["1"]).await;
    projection.fail("1");
    let model = bank.start(&projection).await;
    let second = bank.give("1", Command::Deposit(3)).await;
    until(&model, |status| status.parked_events == 2).await;
    assert!(matches!(model.drop_event("account-1", second).await, Err(ProjectionError::Illegal(_))));
    projection.mend();
    // Unless its turn had come just before.
    let _ = model.drop_event("account-1", Position(1)).await;
    until(&model, |status| status.parked_events == 0).await;
    assert_eq!(balances(&model, &bank.log).await[0].1, 3);
}

#[tokio::test]
async fn when_no_more_may_be_parked_it_stands_still_and_loses_nothing() {
    let bank = Bank::new();
    let projection = Balances::<1>::default();
    bank.open(&["1", "2"]).await;
    projection.fail("1");
    let model = bank.start(&projection).await;
    for _ in 0..8 {
        bank.give("1", Command::Deposit(1)).await;
    }
    bank.give("2", Command::Deposit(1)).await;
    let status = until(&model, |status| status.full).await;
    assert_eq!(status.parked_events, 5);
    projection.mend();
    unpark(&model, "account-1").await;
    assert_eq!(balances(&model, &bank.log).await[1], row("2", 1, 2));
    until(&model, |status| status.parked_events == 0).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 8, 9), row("2", 1, 2)]);
}

#[tokio::test]
async fn a_rebuild_takes_the_place_of_the_model_that_is_read_when_it_has_caught_up() {
    let bank = Bank::new();
    bank.open(&["1"]).await;
    let model = bank.start(&Balances::<1>::default()).await;
    bank.give("1", Command::Deposit(2)).await;
    balances(&model, &bank.log).await;
    let mut before = model.read().await.unwrap();
    model.rebuild().await.unwrap();
    until(&model, |status| status.generation == 2).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 2, 2)]);
    // Whoever was reading reads on.
    assert_eq!(rows(&mut before).await, [row("1", 2, 2)]);
}

#[tokio::test]
async fn a_new_version_is_made_beside_the_one_that_is_read() {
    let bank = Bank::new();
    bank.open(&["1"]).await;
    let one = bank.start(&Balances::<1>::default()).await;
    balances(&one, &bank.log).await;
    drop(one);
    let two = bank.start(&Balances::<2>::default()).await;
    assert_eq!(rows(&mut two.read().await.unwrap()).await.len(), 1, "it is never empty");
    let status = until(&two, |status| status.generation == 2).await;
    assert_eq!(status.rebuilding, None);
    drop(two);
    let again = bank.start(&Balances::<2>::default()).await;
    assert_eq!((again.status().generation, again.status().rebuilding), (2, None));
}

#[tokio::test]
async fn another_log_makes_another_model() {
    let (bank, other) = (Bank::new(), Bank::new());
    bank.open(&["1"]).await;
    other.open(&["2"]).await;
    let model = bank.start(&Balances::<1>::default()).await;
    balances(&model, &bank.log).await;
    drop(model);
    let model = start(&other.log, bank.folder.path(), &Balances::<1>::default()).await;
    assert_eq!(balances(&model, &other.log).await, [row("2", 0, 1)]);
}

#[tokio::test]
async fn a_forgotten_subject_is_taken_out() {
    let bank = Bank::new();
    bank.open(&["1", "2"]).await;
    let model = bank.start(&Balances::<1>::default()).await;
    let event_type = EventType::new(SUBJECT_FORGOTTEN).unwrap();
    let stream = StreamName::new("$subject/owner-1").unwrap();
    let forgotten = NewEvent::new(namespace(), stream, event_type, "{}".into());
    bank.log.append(vec![forgotten], None).await.unwrap();
    model.reached(bank.log.head()).await.unwrap();
    let mut reading = model.read().await.unwrap();
    let owners = sqlx::query("SELECT owner FROM balance ORDER BY account").fetch_all(&mut *reading).await;
    let owners: Vec<Option<String>> = owners.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(owners, [None, Some("owner-2".into())]);
}

#[tokio::test]
async fn a_read_model_is_shown_as_it_was() {
    let bank = Bank::new();
    let projection = Balances::<1>::default();
    bank.open(&["1", "2"]).await;
    let then = bank.give("1", Command::Deposit(2)).await;
    bank.give("1", Command::Deposit(4)).await;
    let model = bank.start(&projection).await;
    assert_eq!(balances(&model, &bank.log).await[0].1, 6);
    let past = model.past(At::Position(then)).await.unwrap();
    assert_eq!(rows(&mut past.read().await.unwrap()).await, [row("1", 2, 2), row("2", 0, 1)]);
    assert_eq!((past.position, past.left_out.clone()), (then, vec![]));
    past.close().await.unwrap();
    projection.fail("1");
    let past = model.past(At::Now).await.unwrap();
    assert_eq!(rows(&mut past.read().await.unwrap()).await, [row("2", 0, 1)]);
    assert_eq!(past.left_out, [Position(1), Position(3), Position(4)]);
}

#[tokio::test]
async fn it_ends_with_its_log() {
    let memory = tenon_store::MemoryLog::default();
    let folder = tempfile::tempdir().unwrap();
    let model = start(&memory.clone().into_log(), folder.path(), &Balances::<1>::default()).await;
    memory.close();
    assert!(matches!(model.reached(Position(1)).await, Err(ProjectionError::Ended)));
    assert!(matches!(model.parked().await, Err(ProjectionError::Ended)));
}

#[tokio::test]
async fn a_file_that_was_never_committed_is_taken_away() {
    let bank = Bank::new();
    bank.open(&["1"]).await;
    for name in ["balances.1.sqlite", "balances.past-0.sqlite"] {
        std::fs::write(bank.folder.path().join(name), b"").unwrap();
    }
    let model = bank.start(&Balances::<1>::default()).await;
    assert_eq!(balances(&model, &bank.log).await, [row("1", 0, 1)]);
    assert!(!bank.folder.path().join("balances.past-0.sqlite").exists());
}

#[tokio::test]
async fn a_name_must_fit_into_files_and_schemas() {
    for (name, good) in
        [("orders", true), ("o1_x", true), ("", false), ("1o", false), ("o-x", false), ("O", false)]
    {
        assert_eq!(check_name(name).is_ok(), good, "{name}");
    }
}

mod postgres;
