
fn right() {
    let _ = Saga::<Order, u64>::define("right").serialize_by(|order| order.id).steps(|mut saga, order| {
        let entry = saga.step(PUT, order.pieces);
        saga.step(RESERVE, StockOf { pieces: entry });
        let (mut saga, paid) = saga.pivot(PAY, entry);
        saga.step(TELL, paid);
        saga.done(paid)
    });
}
