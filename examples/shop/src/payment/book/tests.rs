use super::*;
use proptest::prelude::*;

fn id(text: &str) -> PaymentId {
    PaymentId::new(text).unwrap()
}

fn request(card: &str, amount: &str) -> Request {
    Request {
        order: OrderId::new("o1").unwrap(),
        card: Card::new(card).unwrap(),
        amount: amount.parse().unwrap(),
    }
}

fn charge(book: &mut Book, key: &str, request: Request) -> Result<bool, Problem> {
    let entry = book.charge(&id(key), request)?;
    let changed = entry.is_some();
    entry.into_iter().for_each(|entry| book.apply(entry));
    Ok(changed)
}

fn refund(book: &mut Book, key: &str) {
    book.refund(&id(key)).unwrap().into_iter().for_each(|entry| book.apply(entry));
}

fn balance(book: &Book, card: &str) -> String {
    book.balance(&Card::new(card).unwrap()).unwrap().to_string()
}

#[test]
fn a_repeated_request_is_charged_once() {
    let mut book = Book::default();
    assert_eq!(charge(&mut book, "k", request("card-bob", "100.00")), Ok(true));
    assert_eq!(charge(&mut book, "k", request("card-bob", "100.00")), Ok(false));
    assert_eq!(balance(&book, "card-bob"), "900.00");
}

#[test]
fn a_key_names_one_payment_only() {
    let mut book = Book::default();
    charge(&mut book, "k", request("card-bob", "100.00")).unwrap();
    assert_eq!(charge(&mut book, "k", request("card-bob", "1.00")).unwrap_err().code, "payment.key-reused");
}

#[test]
fn too_little_money_an_unknown_card_and_nothing_to_pay_are_refused() {
    let mut book = Book::default();
    let mut refusal = |card, amount| {
        let problem = charge(&mut book, "k", request(card, amount)).unwrap_err();
        (problem.status, problem.code)
    };
    assert_eq!(refusal("card-eve", "1.01"), (402, "payment.insufficient-funds".into()));
    assert_eq!(refusal("card-nobody", "1.00"), (422, "payment.invalid-details".into()));
    assert_eq!(refusal("card-ada", "0.00"), (422, "payment.invalid-details".into()));
}

#[test]
fn a_refund_returns_the_money_once() {
    let mut book = Book::default();
    charge(&mut book, "k", request("card-bob", "100.00")).unwrap();
    refund(&mut book, "k");
    refund(&mut book, "k");
    assert_eq!(balance(&book, "card-bob"), "1000.00");
}

#[test]
fn a_charge_that_arrives_after_its_refund_is_refused() {
    let mut book = Book::default();
    refund(&mut book, "k");
    assert_eq!(charge(&mut book, "k", request("card-bob", "1.00")).unwrap_err().code, "payment.refunded");
    assert_eq!(balance(&book, "card-bob"), "1000.00");
}

proptest! {
    #[test]
    fn money_is_neither_made_nor_lost(steps in prop::collection::vec((any::<bool>(), 0u8..6, 1u32..60_000), 0..60)) {
        let mut book = Book::default();
        for (charging, key, cents) in steps {
            let key = format!("k{key}");
            if charging {
                let amount = Money::from_cents(cents).to_string();
                let _ = charge(&mut book, &key, request("card-bob", &amount));
            } else {
                refund(&mut book, &key);
            }
            let charged = book.payments.values().filter(|payment| payment.state == State::Charged);
            let taken = charged.filter_map(|payment| payment.request.as_ref()).map(|request| request.amount);
            let held = taken.fold(book.balance(&Card::new("card-bob").unwrap()).unwrap(), |sum, it| sum.plus(it).unwrap());
            prop_assert_eq!(held, Money::from_cents(100_000));
        }
    }
}
