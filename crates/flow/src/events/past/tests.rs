use super::*;
use crate::testing::Fixture;

#[tokio::test]
async fn a_time_stands_for_the_last_event_that_was_there() {
    let fixture = Fixture::new();
    // The first append is at one second, the next at two, and so on.
    let mut ends = vec![Position::START];
    for count in [1, 3, 2, 1] {
        ends.push(fixture.append(&["a", "$tenon/b", "c"][..count]).await);
    }
    let log = fixture.log.clone().into_log();
    for (second, end) in ends.iter().enumerate() {
        let exactly = Timestamp::from_millis(1_000 * second as u64);
        for late in [0, 999_999] {
            let time = Timestamp::from_micros(exactly.as_micros() + late);
            assert_eq!(resolve(&log, At::Time(time)).await.unwrap(), *end, "{time}");
        }
    }
    let later = At::Time(Timestamp::from_millis(1_000_000));
    assert_eq!(resolve(&log, later).await.unwrap(), log.head());
    assert_eq!(resolve(&log, At::Position(Position(99))).await.unwrap(), log.head());
}

#[tokio::test]
async fn what_was_given_up_is_no_past_any_more() {
    let fixture = Fixture::new();
    for _ in 0..6 {
        fixture.append(&["a"]).await;
    }
    fixture.log.truncate_before(Position(4)).await.unwrap();
    let log = fixture.log.clone().into_log();
    for second in 0..8 {
        let at = At::Time(Timestamp::from_millis(1_000 * second));
        assert_eq!(resolve(&log, at).await.unwrap().0, second.clamp(3, 6));
    }
}
