
fn wrong() {
    let _ = Saga::<u64, u64>::define("outer").steps(|saga, outer| {
        let _ = Saga::<u64, u64>::define("inner").steps(|mut saga, inner| {
            let entry = saga.step(PUT, outer); //~ E0521 borrowed data escapes outside of closure
            saga.done(entry)
        });
        saga.done(outer)
    });
}
