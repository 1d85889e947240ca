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
