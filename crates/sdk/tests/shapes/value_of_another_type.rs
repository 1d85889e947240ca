
fn wrong() {
    let _ = Saga::<Order, u64>::define("wrong").steps(|mut saga, order| {
        let entry = saga.step(PUT, order.id); //~ E0308 expected `Value<'_, u64>`, found `Value<'_, String>`
        saga.step(RESERVE, StockOf { pieces: order.id }); //~ E0308 expected `Value<'_, u64>`, found `Value<'_, String>`
        saga.done(entry)
    });
}
