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

fn create() -> Command {
    Command::Create { id: OrderId::new("o1").unwrap(), draft: draft(vec![item(100, 2)]), at_ms: 0 }
}

fn created() -> Event {
    let total = Money::from_cents(200);
    Event::Created { id: OrderId::new("o1").unwrap(), items: vec![item(100, 2)], total, at_ms: 0 }
}

fn placed_by() -> Event {
    Event::PlacedBy(by())
}

fn ship() -> Command {
    Command::Ship { tracking: "T1".into() }
}

fn cancel() -> Command {
    Command::Cancel { reason: "changed my mind".into(), because: None }
}

fn cancel_started() -> Event {
    Event::CancelStarted { reason: "changed my mind".into(), because: None }
}

fn after(commands: impl IntoIterator<Item = Command>) -> Order {
    let step = |state, command: Command| {
        let events = Ordering::decide(&command, &state).unwrap();
        events.iter().fold(state, Ordering::evolve)
    };
    std::iter::once(create()).chain(commands).fold(None, step).unwrap()
}

/// One order at every stage, and one being cancelled from each stage where that is possible.
fn orders() -> Vec<Order> {
    let forward = [Command::Pay, Command::Confirm, ship(), Command::Deliver];
    let mut orders: Vec<Order> = (0..=4).map(|count| after(forward.iter().take(count).cloned())).collect();
    orders.extend((0..=2).map(|count| after(forward.iter().take(count).cloned().chain([cancel()]))));
    orders.push(after([cancel(), Command::MarkUndone(Undo::Refund)]));
    orders
}

#[test]
fn an_order_is_created_with_its_exact_total_and_only_once() {
    given::<Ordering>([]).when(create()).then([created(), placed_by()]).when(create()).then_nothing();
    let other = Command::Create { id: OrderId::new("o1").unwrap(), draft: draft(vec![item(1, 1)]), at_ms: 9 };
    given::<Ordering>([created(), placed_by()]).when(other).then_refused(Refusal::KeyReused);
}

#[test]
fn an_order_goes_on_without_its_customer_but_is_not_taken_again() {
    // What named the customer has no data any more, and is passed over.
    let forgotten =
        given::<Ordering>([created(), Event::Paid]).when(Command::Confirm).then([Event::Confirmed]);
    let order = forgotten.state().clone().unwrap();
    let shown = serde_json::to_value(order.shown()).unwrap();
    assert_eq!((&shown["customer"], &shown["forgotten"]), (&serde_json::Value::Null, &true.into()));
    forgotten.when(create()).then_refused(Refusal::Forgotten);
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
        .then([Event::Confirmed])
        .when(ship())
        .then([Event::Shipped { tracking: "T1".into() }])
        .when(Command::Deliver)
        .then([Event::Delivered]);
    let stages: Vec<Stage> = orders().iter().take(5).map(|order| order.stage).collect();
    assert_eq!(stages, [Created, Paid, Confirmed, Shipped, Delivered]);
}

#[test]
fn a_shipped_order_cannot_be_cancelled() {
    given::<Ordering>([created(), Event::Paid, Event::Confirmed, Event::Shipped { tracking: "T1".into() }])
        .when(cancel())
        .then_refused(Refusal::Illegal { command: "cancel", stage: Shipped, cancelling: false });
}

#[test]
fn an_order_is_cancelled_only_when_all_is_undone() {
    let both = given::<Ordering>([created(), Event::Paid])
        .when(cancel())
        .then([cancel_started()])
        .when(Command::Confirm)
        .then_refused(Refusal::Illegal { command: "confirm", stage: Paid, cancelling: true })
        .when(Command::MarkUndone(Undo::Refund))
        .then([Event::Undone { step: Undo::Refund }]);
    let order = both.state().clone().unwrap();
    assert_eq!((order.stage, order.next_step()), (Paid, Step::Compensate(vec![Undo::Release])));
    let done = both.when(Command::MarkUndone(Undo::Release)).then([Event::Undone { step: Undo::Release }]);
    let order = done.state().clone().unwrap();
    assert_eq!((order.stage, order.next_step()), (Cancelled, Step::Rest));
}

#[test]
fn every_transition_that_is_not_in_the_table_is_refused() {
    let legal = |order: &Order, command: &Command| {
        matches!(
            (order.stage, order.is_cancelling(), command),
            (Created, false, Command::Pay)
                | (Paid, false, Command::Confirm)
                | (Confirmed, false, Command::Ship { .. })
                | (Shipped, false, Command::Deliver)
                | (Created | Paid | Confirmed, false, Command::Cancel { .. })
                | (_, true, Command::MarkUndone(Undo::Refund))
                | (Paid | Confirmed, true, Command::MarkUndone(Undo::Release))
        )
    };
    for order in orders() {
        let undo = [Command::MarkUndone(Undo::Release), Command::MarkUndone(Undo::Refund)];
        for command in
            [Command::Pay, Command::Confirm, ship(), Command::Deliver, cancel()].into_iter().chain(undo)
        {
            let decided = Ordering::decide(&command, &Some(order.clone()));
            assert_eq!(decided.is_ok(), legal(&order, &command), "{order:?} {command:?}");
        }
    }
}

#[test]
fn what_may_have_been_done_is_undone_in_reverse() {
    let owed = |commands: Vec<Command>| after(commands).next_step();
    assert_eq!(owed(vec![cancel()]), Step::Compensate(vec![Undo::Refund]));
    assert_eq!(owed(vec![Command::Pay, cancel()]), Step::Compensate(vec![Undo::Release, Undo::Refund]));
    assert_eq!(
        owed(vec![Command::Pay, Command::Confirm, cancel()]),
        Step::Compensate(vec![Undo::Release, Undo::Refund])
    );
}

#[test]
fn a_refused_command_says_what_was_wrong() {
    let refused = Ordering::decide(&ship(), &Some(after([Command::Pay, cancel()]))).unwrap_err();
    assert_eq!(refused.to_string(), "cannot ship an order that is Paid and being cancelled");
}

fn any_command() -> impl Strategy<Value = Command> + Clone {
    prop_oneof![
        Just(create()),
        Just(Command::Pay),
        Just(Command::Confirm),
        Just(ship()),
        Just(Command::Deliver),
        Just(cancel()),
        Just(Command::MarkUndone(Undo::Release)),
        Just(Command::MarkUndone(Undo::Refund)),
    ]
}

fn any_event() -> impl Strategy<Value = Event> + Clone {
    prop_oneof![
        Just(created()),
        Just(placed_by()),
        Just(Event::Paid),
        Just(Event::Confirmed),
        ".{0,9}".prop_map(|tracking| Event::Shipped { tracking }),
        Just(Event::Delivered),
        Just(cancel_started()),
        Just(Event::CancelStarted {
            reason: "no".into(),
            because: Some(Problem::new(402, "payment.insufficient-funds", "no")),
        }),
        Just(Event::Undone { step: Undo::Release }),
        Just(Event::Undone { step: Undo::Refund }),
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
        let draft = draft(lines.into_iter().map(|(cents, quantity)| item(cents, quantity)).collect());
        let total = draft.total().unwrap().to_string();
        prop_assert_eq!(total, format!("{}.{:02}", expected / 100, expected % 100));
    }

    #[test]
    fn an_order_never_goes_back_and_never_leaves_its_end(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut order = after([]);
        for command in commands {
            let before = order.clone();
            let events = Ordering::decide(&command, &Some(order.clone())).unwrap_or_default();
            let Some(event) = events.first() else { continue };
            order = order.evolve(event);
            prop_assert!(order.stage >= before.stage);
            prop_assert!(!matches!(before.stage, Delivered | Cancelled));
            prop_assert_eq!(order.stage == Cancelled, order.cancellation.as_ref().is_some_and(|it| it.owed.is_empty()));
            prop_assert!(!(matches!(order.stage, Shipped | Delivered) && order.cancellation.is_some()));
        }
    }

    #[test]
    fn doing_the_next_step_always_comes_to_rest(fail_at in 0usize..4, undo_first in any::<bool>()) {
        let mut order = after([]);
        for turn in 0..6 {
            let command = match order.next_step() {
                Step::Rest => break,
                Step::TakePayment | Step::ReserveStock if turn == fail_at => cancel(),
                Step::TakePayment => Command::Pay,
                Step::ReserveStock => Command::Confirm,
                Step::Compensate(owed) => {
                    let step = if undo_first { owed.first() } else { owed.last() };
                    Command::MarkUndone(*step.unwrap())
                }
            };
            let event = order.decide(&command).unwrap();
            order = order.evolve(&event);
        }
        prop_assert_eq!(order.next_step(), Step::Rest);
        prop_assert_eq!(order.stage, if fail_at < 2 { Cancelled } else { Confirmed });
    }
}
