
fn wrong() {
    let _ = Saga::<Order, u64>::define("wrong").steps(|mut saga, order| {
        saga.step(PUT, order.pieces);
        saga.done(order.id) //~ E0271 expected `Value<'_, String>`, found `Value<'_, u64>`
    });
}
