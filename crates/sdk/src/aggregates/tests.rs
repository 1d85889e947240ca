use super::*;
use crate::command::Key;
use crate::testing::{Account, Command, Event as Fact, Letters, Refusal, State, memory, namespace};
use tenon_store::memory::AppendFault;
use tenon_store::{Clock, MemoryLog, MemoryOptions};

fn accounts(log: &Arc<dyn Log>) -> Aggregates<Account> {
    Aggregates::new(Arc::clone(log), namespace(), "account").unwrap()
}

fn open() -> Command {
    Command::Open { owner: "ada".into() }
}

fn once(key: &str) -> Call {
    Call::once(Key::new(key).unwrap())
}

async fn give(accounts: &Aggregates<Account>, command: Command) -> Answer<Account> {
    accounts.execute("1", &command, &Call::default()).await
}

async fn balance(accounts: &Aggregates<Account>) -> u64 {
    accounts.load("1", At::Now).await.unwrap().state.balance
}

#[tokio::test]
async fn a_command_leads_to_events_a_state_and_a_version() {
    let accounts = accounts(&memory());
    let outcome = give(&accounts, open()).await.unwrap();
    assert_eq!(outcome.events, [Fact::Opened { owner: "ada".into() }]);
    assert_eq!((outcome.version, outcome.repeated), (Position(1), false));
    give(&accounts, Command::Deposit(5)).await.unwrap();
    let outcome = give(&accounts, Command::Close).await.unwrap();
    assert_eq!(outcome.events, [Fact::Withdrawn { amount: 5 }, Fact::Closed]);
    assert_eq!(outcome.version, Position(4));
    assert_eq!(outcome.state, accounts.load("1", At::Now).await.unwrap().state);
    let history = accounts.history("1", Position(1), 2).await.unwrap();
    let history: Vec<_> = history.into_iter().map(|recorded| (recorded.position.0, recorded.event)).collect();
    assert_eq!(history, [(2, Fact::Deposited { amount: 5 }), (3, Fact::Withdrawn { amount: 5 })]);
}

#[tokio::test]
async fn a_refused_command_and_one_without_events_change_nothing() {
    let log = memory();
    let accounts = accounts(&log);
    let refused = give(&accounts, Command::Deposit(1)).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused(Refusal::NotOpen)));
    give(&accounts, open()).await.unwrap();
    let outcome = give(&accounts, Command::Deposit(0)).await.unwrap();
    assert_eq!((outcome.events, outcome.version, log.head()), (vec![], Position(1), Position(1)));
}

#[tokio::test]
async fn a_state_that_was_cached_is_never_what_a_refusal_is_based_on() {
    let log = memory();
    let [one, two] = [accounts(&log), accounts(&log)];
    give(&one, open()).await.unwrap();
    give(&two, Command::Deposit(7)).await.unwrap();
    // The first still has the empty account in its cache.
    assert_eq!(give(&one, Command::Withdraw(7)).await.unwrap().state.balance, 0);
    // And the second the full one: its command is accepted there, but not by the log.
    let refused = give(&two, Command::Withdraw(7)).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused(Refusal::TooLittle(0))));
}

#[tokio::test]
async fn commands_that_compete_are_all_decided_on_what_was_there() {
    let log = memory();
    let all: Vec<_> = (0..8).map(|_| accounts(&log)).collect();
    give(&all[0], open()).await.unwrap();
    give(&all[0], Command::Deposit(10)).await.unwrap();
    let withdrawals = (0..24).map(|i| give(&all[i % 8], Command::Withdraw(1)));
    let answers = futures_util::future::join_all(withdrawals).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((taken, balance(&all[0]).await), (10, 0));
}

#[tokio::test]
async fn a_command_for_another_version_is_refused() {
    let accounts = accounts(&memory());
    let new = Call::default().expecting(Position::START);
    let version = accounts.execute("1", &open(), &new).await.unwrap().version;
    let stale = accounts.execute("1", &Command::Deposit(1), &new).await.unwrap_err();
    assert!(matches!(stale, CommandError::Stale { expected: Position::START, found } if found == version));
    accounts.execute("1", &Command::Deposit(1), &Call::default().expecting(version)).await.unwrap();
}

#[tokio::test]
async fn a_repeated_command_has_the_outcome_of_the_first_wherever_it_is_given() {
    let log = memory();
    let one = accounts(&log);
    give(&one, open()).await.unwrap();
    give(&one, Command::Deposit(5)).await.unwrap();
    let first = one.execute("1", &Command::Close, &once("k")).await.unwrap();
    // Deciding it now would refuse it.
    let again = one.execute("1", &Command::Close, &once("k")).await.unwrap();
    assert_eq!(again, Outcome { repeated: true, ..first.clone() });
    let elsewhere = accounts(&log).execute("1", &Command::Close, &once("k")).await.unwrap();
    assert_eq!(elsewhere, again);
    assert!(one.execute("1", &Command::Close, &once("other")).await.is_err());
}

#[tokio::test]
async fn a_key_counts_for_one_aggregate() {
    let accounts = accounts(&memory());
    for id in ["1", "2"] {
        assert!(!accounts.execute(id, &open(), &once("k")).await.unwrap().repeated);
    }
}

#[tokio::test]
async fn a_repeat_is_recognised_among_more_commands_than_are_remembered() {
    let log = memory();
    let one = accounts(&log);
    give(&one, open()).await.unwrap();
    for key in 0..300 {
        one.execute("1", &Command::Deposit(1), &once(&key.to_string())).await.unwrap();
    }
    for key in ["0", "150", "299"] {
        assert!(one.execute("1", &Command::Deposit(1), &once(key)).await.unwrap().repeated);
        let cold = accounts(&log).execute("1", &Command::Deposit(1), &once(key)).await.unwrap();
        assert_eq!((cold.repeated, cold.state.balance), (true, key.parse::<u64>().unwrap() + 1));
    }
    assert_eq!(balance(&one).await, 300);
}

#[tokio::test]
async fn the_same_command_given_twice_at_a_time_has_its_effect_once() {
    let log = memory();
    let all: Vec<_> = (0..8).map(|_| accounts(&log)).collect();
    give(&all[0], open()).await.unwrap();
    let call = once("k");
    let given = all.iter().map(|accounts| accounts.execute("1", &Command::Deposit(3), &call));
    let answers = futures_util::future::join_all(given).await;
    let outcomes: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(outcomes.iter().all(|outcome| outcome.state.balance == 3 && outcome.version == Position(2)));
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.repeated).count(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let memory = MemoryLog::default();
    let accounts = accounts(&memory.clone().into_log());
    for (fault, key) in [(AppendFault::LostBefore, None), (AppendFault::LostAfter, None)]
        .into_iter()
        .chain([(AppendFault::LostAfter, Some("k"))])
    {
        memory.faults().order(fault);
        let id = format!("{fault:?}{key:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let outcome = accounts.execute(&id, &open(), &key.map(once).unwrap_or_default()).await.unwrap();
        assert_eq!(outcome.events.len(), 1);
        assert_eq!(accounts.history(&id, Position::START, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_said_to_be_unknown() {
    let memory = MemoryLog::default();
    let accounts = accounts(&memory.clone().into_log());
    memory.faults().order(AppendFault::LostAfter);
    memory.faults().order(AppendFault::Full);
    let unknown = accounts.execute("1", &open(), &once("k")).await.unwrap_err();
    assert!(matches!(unknown, CommandError::Append(AppendError::Unknown(_))), "{unknown:?}");
    let told = accounts.execute("1", &open(), &once("k")).await.unwrap();
    assert_eq!((told.repeated, told.version), (true, Position(1)));
}

#[tokio::test]
async fn a_log_without_room_is_an_error_that_changed_nothing() {
    let memory = MemoryLog::default();
    let accounts = accounts(&memory.clone().into_log());
    memory.faults().order(AppendFault::Full);
    let full = give(&accounts, open()).await.unwrap_err();
    assert!(matches!(&full, CommandError::Append(AppendError::Full)));
    assert!(give(&accounts, open()).await.is_ok());
}

#[tokio::test]
async fn an_aggregate_is_shown_as_it_was_at_a_position_and_at_a_time() {
    let now = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock: Clock = {
        let now = Arc::clone(&now);
        Arc::new(move || Timestamp::from_micros(now.load(std::sync::atomic::Ordering::Relaxed)))
    };
    let accounts = accounts(&MemoryLog::new(MemoryOptions { clock, ..MemoryOptions::default() }).into_log());
    give(&accounts, open()).await.unwrap();
    for (time, amount) in [(10, 1), (20, 2), (30, 4)] {
        now.store(time, std::sync::atomic::Ordering::Relaxed);
        give(&accounts, Command::Deposit(amount)).await.unwrap();
    }
    let balance = async |at| accounts.load("1", at).await.unwrap().state.balance;
    for (at, expected) in
        [(At::Now, 7), (At::Time(Timestamp::from_micros(25)), 3), (At::Time(Timestamp::from_micros(10)), 1)]
    {
        assert_eq!(balance(at).await, expected);
    }
    assert_eq!(balance(At::Position(Position(3))).await, 3);
    assert_eq!(accounts.load("1", At::Position(Position::START)).await.unwrap().state, State::default());
}

#[tokio::test]
async fn a_snapshot_spares_the_beginning_and_changes_nothing_else() {
    let log = memory();
    let policy = Snapshots { every: 10, schema: "account.v1" };
    let one = accounts(&log).with_snapshots(policy);
    one.execute("1", &open(), &once("open")).await.unwrap();
    for _ in 0..25 {
        give(&one, Command::Deposit(2)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let cold = accounts(&log).with_snapshots(policy);
    let loaded = cold.load("1", At::Now).await.unwrap();
    assert_eq!((loaded.state.balance, loaded.version, loaded.folded), (50, Position(26), 6));
    assert_eq!(loaded.state, accounts(&log).load("1", At::Now).await.unwrap().state);
    // A command from before the snapshot is still recognised, and the past still shown.
    assert!(cold.execute("1", &open(), &once("open")).await.unwrap().repeated);
    assert_eq!(cold.load("1", At::Position(Position(3))).await.unwrap().state.balance, 4);
    let other = accounts(&log).with_snapshots(Snapshots { every: 10, schema: "account.v2" });
    assert_eq!(other.load("1", At::Now).await.unwrap().folded, 26);
}

#[tokio::test]
async fn what_is_kept_of_an_aggregate_can_be_dropped() {
    let log = memory();
    let policy = Snapshots { every: 1, schema: "account.v1" };
    let accounts = accounts(&log).with_snapshots(policy);
    give(&accounts, open()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(accounts.load("1", At::Now).await.unwrap().folded, 0);
    accounts.discard("1").await.unwrap();
    assert_eq!(accounts.load("1", At::Now).await.unwrap().folded, 1);
    give(&accounts, Command::Deposit(1)).await.unwrap();
    assert_eq!(balance(&accounts).await, 1);
}

#[tokio::test]
async fn a_decider_that_goes_on_after_its_end_is_stopped() {
    struct Endless;
    impl Decider for Endless {
        type Command = ();
        type Event = Fact;
        type State = bool;
        type Error = Refusal;
        fn initial() -> bool {
            false
        }
        fn decide((): &(), _: &bool) -> Result<Vec<Fact>, Refusal> {
            Ok(vec![Fact::Closed])
        }
        fn evolve(_: bool, _: &Fact) -> bool {
            true
        }
        fn is_terminal(state: &bool) -> bool {
            *state
        }
    }
    let endless = Aggregates::<Endless>::new(memory(), namespace(), "endless").unwrap();
    endless.execute("1", &(), &Call::default()).await.unwrap();
    let stopped = endless.execute("1", &(), &Call::default()).await.unwrap_err();
    assert!(matches!(stopped, CommandError::Ended(stream) if stream == "endless-1"));
}

#[tokio::test]
async fn an_aggregate_whose_stream_was_deleted_begins_anew() {
    let log = memory();
    let [one, two] = [accounts(&log), accounts(&log)];
    for accounts in [&one, &two] {
        let _ = give(accounts, open()).await;
        give(accounts, Command::Deposit(5)).await.unwrap();
    }
    log.delete_stream(namespace(), StreamName::new("account-1").unwrap(), None).await.unwrap();
    // Both have it in their caches.
    let refused = give(&one, Command::Withdraw(5)).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused(Refusal::NotOpen)));
    let outcome = give(&two, open()).await.unwrap();
    assert_eq!((outcome.events.len(), outcome.state.balance), (1, 0));
    assert_eq!(balance(&one).await, 0);
    assert_eq!(balance(&accounts(&log)).await, 0);
}

fn letters(log: &Arc<dyn Log>) -> Aggregates<Letters> {
    Aggregates::new(Arc::clone(log), namespace(), "letters").unwrap()
}

async fn write(letters: &Aggregates<Letters>, text: &str, call: &Call) -> Answer<Letters> {
    letters.execute("1", &("ada".to_owned(), text.to_owned()), call).await
}

#[tokio::test]
async fn what_others_are_told_is_appended_with_the_events_once_and_before_them() {
    let log = memory();
    let letters = letters(&log);
    let first = write(&letters, "hello", &once("a")).await.unwrap();
    assert_eq!((first.version, first.repeated), (Position(3), false));
    let everything = log.read(Query::user(), Position::START, Direction::Forward, 10).await.unwrap().events;
    let streams: Vec<&str> = everything.iter().map(|event| event.stream.as_str()).collect();
    assert_eq!(streams, ["topics/letter.sent/post", "letters-1", "letters-1"]);
    let told = &everything[0];
    assert_eq!((told.event_type.as_str(), &told.data[..]), ("letter.sent", &b"{\"length\":5}"[..]));
    assert_eq!(told.tags.first().unwrap().as_str(), "post:1");
    assert_eq!(told.metadata.other["ce-subject"], "post");
    // From whichever process it is given again, the command has its effect once, and is told once.
    for again in [&letters, &self::letters(&log)] {
        let repeated = write(again, "hello", &once("a")).await.unwrap();
        assert_eq!(
            (repeated.version, repeated.repeated, repeated.events),
            (Position(3), true, first.events.clone())
        );
    }
    let second = write(&letters, "you", &Call::default()).await.unwrap();
    assert_eq!((second.version, log.head()), (Position(6), Position(6)));
    assert_eq!(second.state.1, 2);
    assert_eq!(letters.load("1", At::Now).await.unwrap().version, Position(6));
}

#[tokio::test]
async fn a_state_about_somebody_is_kept_neither_in_a_cache_nor_as_a_snapshot() {
    let log = memory();
    let letters = letters(&log).with_snapshots(Snapshots { every: 1, schema: "letters.v1" });
    write(&letters, "hello", &Call::default()).await.unwrap();
    let stream = letters.stream("1").unwrap();
    let sent =
        log.read(Query::stream(namespace(), stream.clone()), Position::START, Direction::Forward, 1).await;
    assert_eq!(sent.unwrap().events[0].metadata.other["tenon.subject"], "ada");
    assert!(letters.cache.slot(&stream).lock().await.is_none());
    write(&letters, "again", &Call::default()).await.unwrap();
    assert_eq!(letters.load("1", At::Now).await.unwrap().folded, 4, "from the beginning");
    // Others are.
    let accounts = accounts(&log);
    give(&accounts, open()).await.unwrap();
    assert!(accounts.cache.slot(&accounts.stream("1").unwrap()).lock().await.is_some());
}

/// Whether an answer is that the log has forgotten what it needs.
fn is_truncated<T>(answer: &Result<T, CommandError<Refusal>>) -> bool {
    matches!(answer, Err(CommandError::Read(ReadError::Truncated { .. })))
}

#[tokio::test]
async fn where_the_log_forgets_an_aggregate_is_what_is_left_of_it_or_refused() {
    let log = memory();
    let on = |log| accounts(log).beginning_with(&["Opened"]);
    let give =
        async |of: &Aggregates<Account>, id: &str, command| of.execute(id, &command, &Call::default()).await;
    let idle = on(&log);
    for id in ["gone", "half", "other", "whole"] {
        give(&idle, id, open()).await.unwrap();
    }
    give(&on(&log), "half", Command::Deposit(1)).await.unwrap();
    log.truncate_before(Position(4)).await.unwrap();
    give(&idle, "whole", Command::Deposit(2)).await.unwrap();
    // Those that have it in memory, and those that start anew.
    for of in [&idle, &on(&log), &on(&log).with_snapshots(Snapshots { every: 1, schema: "v1" })] {
        let whole = of.load("whole", At::Now).await.unwrap();
        assert_eq!((whole.state.balance, whole.version), (2, Position(6)));
        assert_eq!(of.load("whole", At::Position(Position(4))).await.unwrap().state.balance, 0);
        assert_eq!(of.history("whole", Position::START, 9).await.unwrap().len(), 2);
        assert!(is_truncated(&of.load("half", At::Now).await));
        assert!(is_truncated(&give(of, "half", Command::Deposit(1)).await));
        assert_eq!(of.load("gone", At::Now).await.unwrap().state, State::default());
        assert!(is_truncated(&of.load("gone", At::Position(Position(1))).await));
        let refused = give(of, "gone", Command::Deposit(1)).await.unwrap_err();
        assert!(matches!(refused, CommandError::Refused(Refusal::NotOpen)), "{refused}");
        let name = format!("new-{}", log.head());
        give(of, &name, open()).await.unwrap();
        give(of, &name, Command::Deposit(3)).await.unwrap();
        assert_eq!(on(&log).load(&name, At::Now).await.unwrap().state.balance, 3);
    }
    assert!(is_truncated(&accounts(&log).load("whole", At::Now).await), "unless it is said how one begins");
}

#[tokio::test]
async fn a_repeat_is_known_where_the_log_forgets() {
    let log = memory();
    let on = |log| accounts(log).beginning_with(&["Opened"]);
    accounts(&log).execute("old", &open(), &Call::default()).await.unwrap();
    log.truncate_before(Position(2)).await.unwrap();
    let first = on(&log).execute("1", &open(), &once("a")).await.unwrap();
    log.truncate_before(first.version).await.unwrap();
    let again = on(&log).execute("1", &open(), &once("a")).await.unwrap();
    assert_eq!((first.repeated, again.repeated, again.version), (false, true, first.version));
}
