use super::*;

fn body() -> Body {
    Body::whole(Bytes::from_static(b"x"))
}

#[test]
fn a_response_that_is_not_taken_is_noticed() {
    let watch = Watch::default();
    let waiting = watch.body(body());
    assert!((0..LOOKS).all(|_| !watch.look()));
    assert!(watch.look());
    drop(waiting);
    assert!(!watch.look());
}

#[test]
fn a_response_that_waits_for_its_service_is_not_the_clients_fault() {
    let watch = Watch::default();
    let waiting = watch.body(body());
    waiting.mark.set(None);
    assert!((0..LOOKS * 3).all(|_| !watch.look()));
}

#[test]
fn a_response_with_no_body_leaves_no_mark() {
    let watch = Watch::default();
    let empty = watch.body(Body::Empty);
    assert!(empty.is_end_stream() && watch.marks.borrow().is_empty());
}

#[test]
fn marks_do_not_pile_up() {
    let watch = Watch::default();
    for _ in 0..10_000 {
        drop(watch.body(body()));
    }
    assert!(watch.marks.borrow().capacity() < 100);
}

#[tokio::test(start_paused = true)]
async fn many_requests_that_are_given_up_are_abuse() {
    let watch = Watch::default();
    for _ in 0..GIVEN_UP {
        watch.begin().answered();
        drop(watch.begin());
    }
    // As many are answered.
    let patience = Duration::from_secs(1);
    assert!(tokio::time::timeout(Duration::from_secs(9), watch.abuse(patience)).await.is_err());
    drop(watch.begin());
    assert_eq!(watch.abuse(patience).await, Abuse::GivenUp);
}
