
fn wrong() {
    let _ = Saga::<u64, u64>::define("wrong").steps(|saga, input| {
        let (saga, paid) = saga.pivot(PAY, input);
        let (saga, again) = saga.pivot(PAY_AGAIN, paid); //~ E0599 no method named `pivot` found
        saga.done(again)
    });
}
