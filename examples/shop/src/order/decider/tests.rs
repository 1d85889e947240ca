use super::*;
use crate::id::{Card, Sku};
use Stage::{Cancelled, Confirmed, Created, Delivered, Paid, Shipped};
use proptest::prelude::*;
use tenon_sdk::kit::{Laws, given};

fn item(cents: u32, quantity: u32) -> Item {
    Item { sku: Sku::new("saw").unwrap(), quantity, price: Money::from_cents(cents) }
}

fn draft(items: Vec<Item>) -> Draft {
    Draft { by: by(), items }
}

fn by() -> By {
    By { customer: Customer::new("ada").unwrap(), card: Card::new("card-ada").unwrap() }
}

fn id() -> OrderId {
    OrderId::new("o1").unwrap()
}

fn place() -> Command {
    Command::Place { draft: draft(vec![item(100, 2)]) }
}

fn create() -> Command {
    Command::Create { id: id(), items: vec![item(100, 2)], at_ms: 0, saga: None }
}

fn created() -> Event {
    let total = Money::from_cents(200);
    Event::Created { id: id(), items: vec![item(100, 2)], total, at_ms: 0, saga: None }
}

fn confirmed() -> Event {
    Event::Confirmed { id: Some(id()), total: Some(Money::from_cents(200)) }
}

fn placed_by() -> Event {
    Event::PlacedBy(by())
}

fn ship() -> Command {
    Command::Ship { tracking: "T1".into() }
}

fn cancel() -> Command {
    Command::Cancel { reason: "changed my mind".into() }
}

fn stop() -> Command {
    Command::Stop { reason: "changed my mind".into() }
}

fn withdraw() -> Command {
    Command::Withdraw { reason: "changed my mind".into(), because: None }
}

fn cancel_started() -> Event {
    Event::CancelStarted { reason: "changed my mind".into(), because: None }
}

fn after(commands: impl IntoIterator<Item = Command>) -> Order {
    let step = |state, command: Command| {
        let events = Ordering::decide(&command, &state).unwrap();
        events.iter().fold(state, Ordering::evolve)
    };
    [place(), create()].into_iter().chain(commands).fold(State::Nothing, step).into_taken().unwrap()
}

/// One order at every stage, and one being cancelled from each stage where that is possible.
fn orders() -> Vec<Order> {
    let forward = [Command::Pay, Command::Confirm, ship(), Command::Deliver];
    let mut orders: Vec<Order> = (0..=4).map(|count| after(forward.iter().take(count).cloned())).collect();
    orders.extend((0..=1).map(|count| after(forward.iter().take(count).cloned().chain([stop()]))));
    orders.push(after([Command::Pay, Command::Confirm, cancel()]));
    orders.push(after([withdraw()]));
    orders
}

#[test]
fn an_order_is_created_with_its_exact_total_and_only_once() {
    let taken = given::<Ordering>([])
        .when(place())
        .then([placed_by()])
        .when(place())
        .then_nothing()
        .when(create())
        .then([created()])
        .when(create())
        .then_nothing()
        .when(place())
        .then_nothing();
    taken.when(Command::Place { draft: draft(vec![item(1, 1)]) }).then_refused(Refusal::KeyReused);
}

#[test]
fn an_order_whose_customer_was_forgotten_meanwhile_is_not_created() {
    given::<Ordering>([]).when(create()).then_refused(Refusal::Forgotten);
}

#[test]
fn others_are_told_that_an_order_was_created_and_that_it_is_confirmed() {
    let topics = |event: Event| {
        let told = event.notices().unwrap();
        told.into_iter().map(|notice| (notice.topic.to_string(), notice.key)).collect::<Vec<_>>()
    };
    assert_eq!(topics(created()), [("order.created".to_owned(), "o1".to_owned())]);
    assert_eq!(topics(confirmed()), [("order.confirmed".to_owned(), "o1".to_owned())]);
    assert!([placed_by(), Event::Paid, cancel_started()].into_iter().all(|event| topics(event).is_empty()));
    let before = Event::upcast(&Old { name: "Confirmed", version: 1, data: b"null" }).unwrap();
    let read = <Json as tenon_sdk::events::Codec<Event>>::decode(before.name, &before.data).unwrap();
    assert_eq!(read, Event::Confirmed { id: None, total: None });
}

#[test]
fn an_order_goes_on_without_its_customer_but_is_not_taken_again() {
    // What named the customer has no data any more, and is passed over.
    let forgotten = given::<Ordering>([created(), Event::Paid]).when(Command::Confirm).then([confirmed()]);
    let order = forgotten.state().taken().unwrap().clone();
    let shown = serde_json::to_value(order.shown()).unwrap();
    assert_eq!((&shown["customer"], &shown["forgotten"]), (&serde_json::Value::Null, &true.into()));
    forgotten.when(place()).then_refused(Refusal::Forgotten);
}

#[test]
fn nothing_can_be_done_with_an_order_that_does_not_exist() {
    given::<Ordering>([]).when(Command::Pay).then_refused(Refusal::Unknown);
}

#[test]
fn an_order_goes_from_created_to_delivered() {
    given::<Ordering>([created()])
        .when(Command::Pay)
        .then([Event::Paid])
        .when(Command::Confirm)
        .then([confirmed()])
        .when(ship())
        .then([Event::Shipped { tracking: "T1".into() }])
        .when(Command::Deliver)
        .then([Event::Delivered]);
    let stages: Vec<Stage> = orders().iter().take(5).map(|order| order.stage).collect();
    assert_eq!(stages, [Created, Paid, Confirmed, Shipped, Delivered]);
}

#[test]
fn a_shipped_order_cannot_be_cancelled() {
    given::<Ordering>([created(), Event::Paid, confirmed(), Event::Shipped { tracking: "T1".into() }])
        .when(cancel())
        .then_refused(Refusal::Illegal { command: "cancel", stage: Shipped, cancelling: false });
}

#[test]
fn whoever_confirms_an_order_knows_that_it_is_paid() {
    given::<Ordering>([created()]).when(Command::Confirm).then([Event::Paid, confirmed()]);
}

#[test]
fn an_order_that_is_stopped_is_not_confirmed_and_ends_when_its_saga_has_turned_back() {
    let stopped = given::<Ordering>([created(), Event::Paid])
        .when(stop())
        .then([cancel_started()])
        .when(Command::Confirm)
        .then_refused(Refusal::Illegal { command: "confirm", stage: Paid, cancelling: true });
    let done = stopped.when(withdraw()).then([Event::Cancelled]);
    assert_eq!(done.state().taken().unwrap().stage, Cancelled);
}

#[test]
fn an_order_that_is_withdrawn_is_cancelled_at_once() {
    let done = given::<Ordering>([created()]).when(withdraw()).then([cancel_started(), Event::Cancelled]);
    assert_eq!(done.state().taken().unwrap().stage, Cancelled);
}

#[test]
fn a_confirmed_order_is_cancelled_when_all_is_undone() {
    let locked =
        given::<Ordering>([created(), Event::Paid, confirmed()]).when(cancel()).then([cancel_started()]);
    assert!(locked.state().taken().unwrap().is_cancelling());
    let done = locked.when(Command::Close).then([Event::Cancelled]);
    assert_eq!(done.state().taken().unwrap().stage, Cancelled);
}

#[test]
fn every_transition_that_is_not_in_the_table_is_refused() {
    let legal = |order: &Order, command: &Command| {
        matches!(
            (order.stage, order.is_cancelling(), command),
            (Created, false, Command::Pay)
                | (Created | Paid, false, Command::Confirm | Command::Stop { .. } | Command::Withdraw { .. })
                | (Confirmed, false, Command::Ship { .. })
                | (Shipped, false, Command::Deliver)
                | (Confirmed, false, Command::Cancel { .. })
                | (Created | Paid, true, Command::Withdraw { .. })
                | (Confirmed, true, Command::Close)
        )
    };
    for order in orders() {
        let forward = [Command::Pay, Command::Confirm, ship(), Command::Deliver];
        for command in forward.into_iter().chain([stop(), withdraw(), cancel(), Command::Close]) {
            let decided = Ordering::decide(&command, &State::Taken(Box::new(order.clone())));
            assert_eq!(decided.is_ok(), legal(&order, &command), "{order:?} {command:?}");
        }
    }
}

#[test]
fn a_refused_command_says_what_was_wrong() {
    let refused =
        Ordering::decide(&ship(), &State::Taken(Box::new(after([Command::Pay, stop()])))).unwrap_err();
    assert_eq!(refused.to_string(), "cannot ship an order that is Paid and being cancelled");
}

fn any_command() -> impl Strategy<Value = Command> + Clone {
    prop_oneof![
        Just(create()),
        Just(Command::Pay),
        Just(Command::Confirm),
        Just(ship()),
        Just(Command::Deliver),
        Just(place()),
        Just(cancel()),
        Just(stop()),
        Just(withdraw()),
        Just(Command::Close),
    ]
}

fn any_event() -> impl Strategy<Value = Event> + Clone {
    prop_oneof![
        Just(created()),
        Just(placed_by()),
        Just(Event::Paid),
        Just(confirmed()),
        ".{0,9}".prop_map(|tracking| Event::Shipped { tracking }),
        Just(Event::Delivered),
        Just(cancel_started()),
        Just(Event::CancelStarted {
            reason: "no".into(),
            because: Some(Problem::new(402, "payment.insufficient-funds", "no")),
        }),
        Just(Event::Cancelled),
    ]
}

#[test]
fn the_laws_of_deciders_hold() {
    Laws::<Ordering>::check(any_command(), any_event());
}

proptest! {
    #[test]
    fn the_total_is_the_exact_sum(lines in prop::collection::vec((1u32..=100_000_000, 1u32..=1_000), 1..=100)) {
        let expected: u128 = lines.iter().map(|(cents, quantity)| u128::from(*cents) * u128::from(*quantity)).sum();
        let items: Vec<Item> = lines.into_iter().map(|(cents, quantity)| item(cents, quantity)).collect();
        let total = draft::total(&items).unwrap().to_string();
        prop_assert_eq!(total, format!("{}.{:02}", expected / 100, expected % 100));
    }

    #[test]
    fn an_order_never_goes_back_and_never_leaves_its_end(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut order = after([]);
        for command in commands {
            let before = order.clone();
            let events = Ordering::decide(&command, &State::Taken(Box::new(order.clone()))).unwrap_or_default();
            if events.is_empty() {
                continue;
            }
            order = events.iter().fold(order, Order::evolve);
            prop_assert!(order.stage >= before.stage);
            prop_assert!(!matches!(before.stage, Delivered | Cancelled));
            prop_assert!(order.stage != Cancelled || order.cancellation.is_some());
            prop_assert!(!(matches!(order.stage, Shipped | Delivered) && order.cancellation.is_some()));
        }
    }
}
