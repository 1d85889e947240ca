use super::*;
use proptest::prelude::*;
use tenon_sdk::kit::{Laws, given};

fn card() -> Card {
    Card::new("card-bob").unwrap()
}

fn id(key: &str) -> PaymentId {
    PaymentId::new(key).unwrap()
}

fn order() -> OrderId {
    OrderId::new("o1").unwrap()
}

fn charge(key: &str, cents: u32) -> Command {
    Command::Charge { card: card(), payment: id(key), order: order(), amount: Money::from_cents(cents) }
}

fn refund(key: &str) -> Command {
    Command::Refund { card: card(), payment: id(key) }
}

fn opened() -> Event {
    Event::Opened { card: card(), balance: Money::from_cents(100_000) }
}

fn charged(key: &str, cents: u32) -> Event {
    Event::Charged { payment: id(key), order: order(), amount: Money::from_cents(cents) }
}

fn refunded(key: &str) -> Event {
    Event::Refunded { payment: id(key) }
}

#[test]
fn the_first_charge_opens_the_account_and_a_repeated_one_changes_nothing() {
    let account = given::<Accounts>([])
        .when(charge("k", 10_000))
        .then([opened(), charged("k", 10_000)])
        .when(charge("k", 10_000))
        .then_nothing();
    assert_eq!(account.state().as_ref().unwrap().balance, Money::from_cents(90_000));
    account.when(charge("k", 100)).then_refused(Refusal::KeyReused(id("k")));
}

#[test]
fn too_little_money_an_unknown_card_and_nothing_to_pay_are_refused() {
    let amount = Money::from_cents(100_001);
    given::<Accounts>([])
        .when(charge("k", 100_001))
        .then_refused(Refusal::TooLittle { card: card(), amount });
    given::<Accounts>([]).when(charge("k", 0)).then_refused(Refusal::Nothing);
    let nobody = Card::new("card-nobody").unwrap();
    let unknown = Command::Refund { card: nobody.clone(), payment: id("k") };
    given::<Accounts>([]).when(unknown).then_refused(Refusal::UnknownCard(nobody));
}

#[test]
fn a_refund_returns_the_money_once() {
    let account = given::<Accounts>([opened(), charged("k", 10_000)])
        .when(refund("k"))
        .then([refunded("k")])
        .when(refund("k"))
        .then_nothing();
    assert_eq!(account.state().as_ref().unwrap().balance, Money::from_cents(100_000));
}

#[test]
fn a_charge_that_arrives_after_its_refund_is_refused() {
    given::<Accounts>([])
        .when(refund("k"))
        .then([opened(), refunded("k")])
        .when(charge("k", 100))
        .then_refused(Refusal::Refunded(id("k")));
}

#[test]
fn others_are_told_of_what_was_taken_and_of_nothing_else() {
    let told = charged("k", 1_050).notices().unwrap();
    assert_eq!((told[0].topic.as_str(), told[0].key.as_str()), ("payment.completed", "o1"));
    assert_eq!(told[0].tags.first().unwrap().as_str(), "order:o1");
    let data: serde_json::Value = serde_json::from_slice(&told[0].data).unwrap();
    assert_eq!(data, json!({"payment": "k", "order": "o1", "amount": "10.50"}));
    assert!([opened(), refunded("k")].iter().all(|event| event.notices().unwrap().is_empty()));
}

fn any_command() -> impl Strategy<Value = Command> + Clone {
    let key = (0u8..6).prop_map(|key| format!("k{key}"));
    (any::<bool>(), key, 0u32..60_000).prop_map(
        |(charging, key, cents)| {
            if charging { charge(&key, cents) } else { refund(&key) }
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> + Clone {
    let key = (0u8..6).prop_map(|key| format!("k{key}"));
    (0u8..5, key, 1u32..60_000).prop_map(|(kind, key, cents)| match kind {
        0 => opened(),
        1 | 2 => charged(&key, cents),
        _ => refunded(&key),
    })
}

#[test]
fn the_laws_of_deciders_hold() {
    Laws::<Accounts>::check(any_command(), any_event());
}

proptest! {
    #[test]
    fn money_is_neither_made_nor_lost(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut state = Accounts::initial();
        for command in commands {
            let events = Accounts::decide(&command, &state).unwrap_or_default();
            state = events.iter().fold(state, Accounts::evolve);
            let Some(account) = &state else { continue };
            let with_the_shop = account.payments.values().filter(|payment| !payment.refunded);
            let taken = with_the_shop.filter_map(|payment| payment.charge.as_ref()).map(|(_, amount)| *amount);
            let all = taken.fold(account.balance, |sum, amount| sum.plus(amount).unwrap());
            prop_assert_eq!(all, Money::from_cents(100_000));
        }
    }
}
