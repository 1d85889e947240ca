use super::super::tests::{Order, Shop, begin, driven, end_of, five};
use super::*;
use crate::testing::Fixture;

/// The value of a series, as it is shown; 0 for none.
fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn sagas_are_counted_by_name_step_and_outcome() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let sagas = driven(&fixture, &shop).await;
    sagas.define(five(), false, None).await.unwrap();
    let one = async || end_of(&sagas, sagas.begin(begin("order", None)).await.unwrap().view.id).await;
    one().await;
    shop.order("payment/do", &[Order::Unsent, Order::LoseAnswer]);
    one().await;
    shop.order("confirm/do", &[Order::Refuse]);
    one().await;
    let shown = sagas.metrics();
    let expected = [
        ("tenon_sagas_started_total{saga=\"order\"}", 3),
        ("tenon_sagas_ended_total{saga=\"order\",outcome=\"completed\"}", 2),
        ("tenon_sagas_ended_total{saga=\"order\",outcome=\"compensated\"}", 1),
        ("tenon_saga_duration_seconds_count{saga=\"order\",outcome=\"completed\"}", 2),
        ("tenon_saga_compensation_duration_seconds_count{saga=\"order\"}", 1),
        ("tenon_sagas_running{saga=\"order\"}", 0),
        ("tenon_saga_calls_total{saga=\"order\",step=\"payment\",direction=\"do\",outcome=\"done\"}", 3),
        ("tenon_saga_calls_total{saga=\"order\",step=\"payment\",direction=\"do\",outcome=\"not-sent\"}", 1),
        ("tenon_saga_calls_total{saga=\"order\",step=\"payment\",direction=\"do\",outcome=\"unknown\"}", 1),
        ("tenon_saga_calls_total{saga=\"order\",step=\"payment\",direction=\"undo\",outcome=\"done\"}", 1),
        ("tenon_saga_call_duration_seconds_count{saga=\"order\",step=\"payment\",direction=\"do\"}", 5),
        ("tenon_saga_retried_total{saga=\"order\",step=\"payment\",direction=\"do\"}", 2),
    ];
    for (series, count) in expected {
        assert_eq!(value(&shown, series), count, "{series}\n{shown}");
    }
    // What is never undone has no series of it.
    assert!(!shown.contains("step=\"mail\",direction=\"undo\""), "{shown}");
}

#[tokio::test]
async fn what_runs_and_what_waits_for_somebody_is_shown_while_it_does() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let sagas = driven(&fixture, &shop).await;
    sagas.define(five(), false, None).await.unwrap();
    shop.order("mail/do", &[Order::Unsent; 4]);
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    while !sagas.view(id).await.unwrap().instance.is_parked() {
        tokio::task::yield_now().await;
    }
    let of = |what: &str| value(&sagas.metrics(), &format!("{what}{{saga=\"order\"}}"));
    assert_eq!((of("tenon_sagas_running"), of("tenon_sagas_parked")), (1, 1));
    sagas.stop().await;
    // Taken up again by the next one, it waits still.
    let next = driven(&fixture, &shop).await;
    assert_eq!((of("tenon_sagas_running"), of("tenon_sagas_parked")), (0, 0));
    let of = |what: &str| value(&next.metrics(), &format!("{what}{{saga=\"order\"}}"));
    assert_eq!(
        (of("tenon_sagas_running"), of("tenon_sagas_parked"), of("tenon_sagas_started_total")),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn how_long_undoing_takes_is_known_although_the_server_is_another_by_then() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let sagas = driven(&fixture, &shop).await;
    sagas.define(five(), false, None).await.unwrap();
    shop.order("confirm/do", &[Order::Refuse]);
    shop.order("stock/undo", &[Order::Swallow]);
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    while !shop.calls().contains(&("stock".to_owned(), Direction::Undo)) {
        tokio::task::yield_now().await;
    }
    sagas.stop().await;
    let next = driven(&fixture, &shop).await;
    end_of(&next, id).await;
    let count = "tenon_saga_compensation_duration_seconds_count{saga=\"order\"}";
    assert_eq!(value(&next.metrics(), count), 1);
}
