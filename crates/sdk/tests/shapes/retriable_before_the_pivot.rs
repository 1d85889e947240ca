
fn wrong() {
    let _ = Saga::<u64, u64>::define("wrong").steps(|mut saga, input| {
        saga.step(TELL, input); //~ E0308 expected `Compensatable<_, _>`, found `Retriable<u64, ()>`
        saga.done(input)
    });
}
