
fn wrong() {
    let _ = Saga::<u64, u64>::define("wrong").steps(|mut saga, input| {
        let (behind, paid) = saga.pivot(PAY, input);
        saga.step(PUT, paid); //~ E0382 borrow of moved value: `saga`
        behind.done(paid)
    });
}
