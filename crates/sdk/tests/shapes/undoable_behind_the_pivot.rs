
fn wrong() {
    let _ = Saga::<u64, u64>::define("wrong").steps(|saga, input| {
        let (mut saga, paid) = saga.pivot(PAY, input);
        saga.step(PUT, paid); //~ E0308 expected `Retriable<_, _>`, found `Compensatable<u64, u64>`
        saga.done(paid)
    });
}
