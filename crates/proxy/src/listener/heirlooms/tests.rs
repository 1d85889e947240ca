use super::*;

fn listeners(count: usize) -> (SocketAddr, Vec<TcpListener>) {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let more = (1..count).map(|_| first.try_clone().unwrap()).collect::<Vec<_>>();
    (address, std::iter::once(first).chain(more).collect())
}

#[test]
fn every_socket_comes_to_one_worker_once() {
    for (sockets, workers, expected) in
        [(2, 2, [1, 1, 0]), (3, 2, [2, 1, 0]), (1, 3, [1, 0, 0]), (4, 1, [4, 0, 0])]
    {
        let (address, all) = listeners(sockets);
        let heirlooms = Heirlooms::new(all, workers);
        let take = |worker| heirlooms.take(address, worker).len();
        assert_eq!([take(0), take(1), take(2)], expected, "{sockets} sockets, {workers} workers");
        assert_eq!([take(0), take(1), take(2)], [0, 0, 0]);
    }
}
