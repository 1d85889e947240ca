use super::*;
use proptest::prelude::*;

/// 1994-11-06 08:49:37 UTC.
const EXAMPLE: u64 = 784_111_777;

fn seconds(seconds: u64) -> Advice {
    Advice::After(Duration::from_secs(seconds))
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text: String, now: u64) {
        let _ = retry_after(&text, Timestamp::from_micros(now));
        let _ = pushback(&text);
    }

    #[test]
    fn a_number_is_that_many_seconds(number: u64, now: u64) {
        prop_assert_eq!(retry_after(&number.to_string(), Timestamp::from_micros(now)), seconds(number));
    }

    #[test]
    fn a_date_is_what_it_was_written_from(at in 0..4_000_000_000u64, wait in 0..100_000u64) {
        // The date as the time's own form has it, in the order of RFC 9110.
        let text = Timestamp::from_millis((at + wait) * 1_000).to_string();
        let month = MONTHS[text[5..7].parse::<usize>().unwrap() - 1];
        let date = format!("Mon, {} {month} {} {} GMT", &text[8..10], &text[..4], &text[11..19]);
        prop_assert_eq!(retry_after(&date, Timestamp::from_millis(at * 1_000)), seconds(wait));
    }
}

#[test]
fn the_examples_of_the_standard_are_read() {
    let before = Timestamp::from_millis((EXAMPLE - 90) * 1_000);
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", before), seconds(90));
    assert_eq!(retry_after("120", before), seconds(120));
}

#[test]
fn a_date_that_has_passed_is_no_wait() {
    let later = Timestamp::from_millis((EXAMPLE + 1) * 1_000);
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", later), seconds(0));
}

#[test]
fn what_is_neither_form_says_nothing() {
    let bad = [
        "",
        "-1",
        "1.5",
        "soon",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
    ];
    for text in bad.iter().filter(|text| text.trim() == **text) {
        assert_eq!(retry_after(text, Timestamp::ZERO), Advice::Nothing, "{text}");
    }
}

#[test]
fn a_number_too_large_is_longer_than_anybody_waits() {
    assert_eq!(retry_after("99999999999999999999999", Timestamp::ZERO), Advice::After(Duration::MAX));
}

#[test]
fn pushback_is_a_wait_or_a_refusal() {
    assert_eq!(pushback("250"), Advice::After(Duration::from_millis(250)));
    assert_eq!(pushback("-1"), Advice::Never);
    assert_eq!(pushback("never"), Advice::Never);
}
