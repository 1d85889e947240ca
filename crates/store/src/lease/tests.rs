use super::*;

const SPAN: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn a_lease_has_one_holder_until_it_is_given_back_or_runs_out() {
    let leases = MemoryLeases::default();
    let [one, two] = [1, 2].map(|number| ServerId::from_bytes([number; 16]));
    assert!(leases.hold("health", one, SPAN).await.unwrap());
    assert!(!leases.hold("health", two, SPAN).await.unwrap());
    assert!(leases.hold("runtime", two, SPAN).await.unwrap());
    tokio::time::advance(SPAN / 2).await;
    assert!(leases.hold("health", one, SPAN).await.unwrap());
    tokio::time::advance(SPAN / 2).await;
    assert!(!leases.hold("health", two, SPAN).await.unwrap(), "it was renewed");
    leases.release("health", two).await.unwrap();
    assert!(!leases.hold("health", two, SPAN).await.unwrap(), "only its holder gives it back");
    leases.release("health", one).await.unwrap();
    assert!(leases.hold("health", two, SPAN).await.unwrap());
    tokio::time::advance(SPAN).await;
    assert!(leases.hold("health", one, SPAN).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_has_leases_of_a_kind_is_told_and_for_how_long() {
    let leases = MemoryLeases::default();
    let [one, two] = [1, 2].map(|number| ServerId::from_bytes([number; 16]));
    for (name, holder, span) in
        [("b.1", two, SPAN), ("b.0", one, SPAN * 2), ("a", one, SPAN), ("b.2", one, SPAN)]
    {
        assert!(leases.hold(name, holder, span).await.unwrap());
    }
    leases.release("b.2", one).await.unwrap();
    tokio::time::advance(SPAN / 3).await;
    let held = |name: &str, holder, left| Held { name: name.to_owned(), holder, left };
    let both = [held("b.0", one, SPAN * 5 / 3), held("b.1", two, SPAN * 2 / 3)];
    assert_eq!(leases.held("b.").await.unwrap(), both);
    tokio::time::advance(SPAN).await;
    assert_eq!(leases.held("b.").await.unwrap(), [held("b.0", one, SPAN * 2 / 3)]);
}
