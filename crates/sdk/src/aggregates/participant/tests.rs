use super::*;
use crate::At;
use crate::saga::Direction as Way;
use crate::testing::{Account, Command, Refusal, State, memory, namespace};
use proptest::prelude::*;
use std::sync::Arc;
use tenon_core::SagaId;
use tenon_core::saga::StepName;
use tenon_store::memory::AppendFault;
use tenon_store::{Log, MemoryLog};

fn accounts(log: &Arc<dyn Log>) -> Aggregates<Account> {
    Aggregates::new(Arc::clone(log), namespace(), "account").unwrap()
}

async fn opened(log: &Arc<dyn Log>) -> Aggregates<Account> {
    let accounts = accounts(log);
    for command in [Command::Open { owner: "ada".into() }, Command::Deposit(10)] {
        accounts.execute("1", &command, &Call::default()).await.unwrap();
    }
    accounts
}

fn call(saga: u8, direction: Way, round: u32) -> SagaCall {
    let (saga, step) = (SagaId::from_bytes([saga; 16]), StepName::new("pay").unwrap());
    SagaCall { saga, step, direction, round, attempt: 1 }
}

/// Pays an amount, or takes it back.
async fn pay(of: &Aggregates<Account>, call: &SagaCall, amount: u32) -> Result<Answer, Trouble> {
    let command = match call.direction {
        Way::Do => Command::Withdraw(amount),
        Way::Undo => Command::Deposit(amount),
    };
    let told = |decided: Result<&State, Refusal>| match decided {
        Ok(state) => Ok(state.balance.into()),
        Err(refusal) => Err(Trouble::refused(refusal.to_string())),
    };
    of.take_part(call, "1", &command, told).await
}

async fn balance(accounts: &Aggregates<Account>) -> u64 {
    accounts.load("1", At::Now).await.unwrap().state.balance
}

fn done(balance: u64) -> Answer {
    Answer::Done(balance.into())
}

#[tokio::test]
async fn a_step_is_done_once_and_undone_once_at_whichever_replica() {
    let log = memory();
    let [one, two] = [opened(&log).await, accounts(&log)];
    for accounts in [&one, &two, &one] {
        assert_eq!(pay(accounts, &call(1, Way::Do, 0), 4).await.unwrap(), done(6));
    }
    for accounts in [&two, &one, &two] {
        assert_eq!(pay(accounts, &call(1, Way::Undo, 0), 4).await.unwrap(), Answer::Done(Value::Null));
        assert_eq!(balance(accounts).await, 10);
    }
    let late = pay(&one, &call(1, Way::Do, 0), 4).await.unwrap();
    assert_eq!((late, balance(&one).await), (Answer::Refused(TOO_LATE.to_owned()), 10));
}

#[tokio::test]
async fn what_never_came_is_undone_without_effect_and_does_not_come_any_more() {
    let accounts = opened(&memory()).await;
    assert_eq!(pay(&accounts, &call(1, Way::Undo, 0), 4).await.unwrap(), Answer::Done(Value::Null));
    assert_eq!(balance(&accounts).await, 10);
    assert!(matches!(pay(&accounts, &call(1, Way::Do, 0), 4).await.unwrap(), Answer::Refused(_)));
    assert_eq!(pay(&accounts, &call(2, Way::Do, 0), 4).await.unwrap(), done(6), "another saga");
}

#[tokio::test]
async fn a_refusal_stands_under_its_round_whatever_has_changed_since() {
    let log = memory();
    let [one, two] = [opened(&log).await, accounts(&log)];
    let refused = Answer::Refused("there are only 10".to_owned());
    assert_eq!(pay(&one, &call(1, Way::Do, 0), 20).await.unwrap(), refused);
    two.execute("1", &Command::Deposit(90), &Call::default()).await.unwrap();
    assert_eq!(pay(&two, &call(1, Way::Do, 0), 20).await.unwrap(), refused);
    assert_eq!(pay(&one, &call(1, Way::Do, 1), 20).await.unwrap(), done(80), "a later round is asked anew");
}

#[tokio::test]
async fn a_refusal_is_never_given_by_a_state_that_is_old() {
    let log = memory();
    let [one, two] = [opened(&log).await, accounts(&log)];
    two.execute("1", &Command::Deposit(10), &Call::default()).await.unwrap();
    assert_eq!(pay(&one, &call(1, Way::Do, 0), 20).await.unwrap(), done(0));
}

#[tokio::test]
async fn undoing_that_is_refused_is_not_recorded_and_succeeds_later() {
    let accounts = opened(&memory()).await;
    pay(&accounts, &call(1, Way::Do, 0), 10).await.unwrap();
    accounts.execute("1", &Command::Close, &Call::default()).await.unwrap();
    let refused = pay(&accounts, &call(1, Way::Undo, 0), 10).await.unwrap();
    assert_eq!(refused, Answer::Refused("the account is not open".to_owned()));
    let command = Command::Deposit(0);
    let again = accounts.take_part(&call(1, Way::Undo, 0), "2", &command, |_| Ok(Value::Null)).await.unwrap();
    assert_eq!(again, Answer::Done(Value::Null));
}

#[tokio::test]
async fn what_the_log_does_not_take_is_neither_done_nor_recorded() {
    let log = MemoryLog::default();
    let accounts = opened(&log.clone().into_log()).await;
    log.faults().order(AppendFault::Full);
    assert!(matches!(pay(&accounts, &call(1, Way::Do, 0), 4).await, Err(Trouble::Failed(_))));
    assert_eq!(pay(&accounts, &call(1, Way::Do, 0), 4).await.unwrap(), done(6));
    log.faults().order(AppendFault::LostAfter);
    assert_eq!(pay(&accounts, &call(2, Way::Do, 0), 4).await.unwrap(), done(2), "it is sent again");
    assert_eq!(balance(&accounts).await, 2);
}

#[tokio::test]
async fn a_log_that_keeps_only_the_last_events_takes_part_in_sagas_that_begin_since() {
    let log = memory();
    let accounts = opened(&log).await;
    pay(&accounts, &call(1, Way::Do, 0), 4).await.unwrap();
    log.truncate_before(log.head()).await.unwrap();
    for repeated in [false, true] {
        assert_eq!(pay(&accounts, &call(2, Way::Do, 0), 4).await.unwrap(), done(2), "{repeated}");
    }
    assert_eq!(pay(&accounts, &call(2, Way::Undo, 0), 4).await.unwrap(), Answer::Done(Value::Null));
    assert_eq!(pay(&accounts, &call(3, Way::Undo, 0), 4).await.unwrap(), Answer::Done(Value::Null));
}

#[tokio::test]
async fn an_aggregate_that_begins_after_the_log_has_forgotten_takes_part() {
    let log = memory();
    opened(&log).await;
    log.truncate_before(Position(log.head().0 + 1)).await.unwrap();
    let anew = || accounts(&log).beginning_with(&["Opened"]);
    assert_eq!(
        pay(&anew(), &call(1, Way::Do, 0), 4).await.unwrap(),
        Answer::Refused("the account is not open".to_owned())
    );
    for command in [Command::Open { owner: "ada".into() }, Command::Deposit(10)] {
        anew().execute("1", &command, &Call::default()).await.unwrap();
    }
    assert_eq!(pay(&anew(), &call(2, Way::Do, 0), 4).await.unwrap(), done(6));
    assert_eq!(pay(&anew(), &call(2, Way::Undo, 0), 4).await.unwrap(), Answer::Done(Value::Null));
}

#[tokio::test]
async fn many_that_come_at_once_are_one() {
    let log = memory();
    opened(&log).await;
    let all: Vec<_> = (0..8).map(|_| accounts(&log)).collect();
    let asked = call(1, Way::Do, 0);
    let answers = future::join_all(all.iter().map(|accounts| pay(accounts, &asked, 4))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == &done(6)), "{answers:?}");
    assert_eq!(balance(&all[0]).await, 6);
}

proptest! {
    /// Whatever comes in whichever order: what is left is by the last record of each step.
    #[test]
    fn the_books_agree_with_the_records(calls in prop::collection::vec((0u8..4, any::<bool>(), 0u32..2), 0..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let log = memory();
            let replicas = [opened(&log).await, accounts(&log)];
            for (number, (saga, undo, round)) in calls.into_iter().enumerate() {
                let direction = if undo { Way::Undo } else { Way::Do };
                pay(&replicas[number % 2], &call(saga, direction, round), 4).await.unwrap();
            }
            let mut paid = 0;
            for saga in 0..4 {
                let records = format!("sagas/barrier/{}/pay", SagaId::from_bytes([saga; 16]));
                let known = replicas[0].known(&StreamName::new(&records).unwrap()).await.unwrap();
                paid += u64::from(known.record() == Record::Done) * 4;
            }
            assert_eq!(balance(&replicas[1]).await, 10 - paid);
        });
    }
}
