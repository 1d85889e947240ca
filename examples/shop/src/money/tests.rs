use super::*;
use proptest::prelude::*;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn an_amount_is_written_with_two_decimals() {
    for (text, written) in [("0", "0.00"), ("19.9", "19.90"), ("007.10", "7.10"), ("1.500", "1.50")] {
        assert_eq!(money(text).to_string(), written);
    }
}

#[test]
fn what_is_not_an_exact_amount_is_refused() {
    let too_long = "9".repeat(31);
    let too_large = "79228162514264337593543950335";
    for bad in ["", "-1", "+1", "1.005", "1e3", ".5", "1.", "1,5", "NaN", " 1", "1_0", &too_long, too_large] {
        assert!(bad.parse::<Money>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_json_number_is_refused_because_it_may_be_a_float() {
    assert!(serde_json::from_str::<Money>("19.9").is_err());
    assert_eq!(serde_json::from_str::<Money>("\"19.9\"").unwrap(), money("19.90"));
}

#[test]
fn a_share_is_rounded_half_to_even() {
    assert_eq!(money("1.00").per_mille(15), Some(money("0.02")));
    assert_eq!(money("3.00").per_mille(15), Some(money("0.04")));
}

proptest! {
    #[test]
    fn sums_differences_and_products_are_exact(a in 0u32.., b in 0u32.., count in 0u32..) {
        let (x, y) = (Money::from_cents(a), Money::from_cents(b));
        let cents = |money: Money| money.to_string().replace('.', "").parse::<u128>().unwrap();
        prop_assert_eq!(cents(x.plus(y).unwrap()), u128::from(a) + u128::from(b));
        prop_assert_eq!(cents(x.times(count).unwrap()), u128::from(a) * u128::from(count));
        prop_assert_eq!(x.minus(y).map(cents), a.checked_sub(b).map(u128::from));
    }

    #[test]
    fn an_amount_survives_being_written_and_read(cents in 0u32..) {
        let amount = Money::from_cents(cents);
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
    }
}
