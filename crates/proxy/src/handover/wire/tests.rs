use super::*;
use std::net::SocketAddr;

fn pair() -> (Wire, Wire) {
    let (one, other) = UnixStream::pair().unwrap();
    (Wire::new(one), Wire::new(other))
}

fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

#[tokio::test]
async fn what_is_said_is_heard_in_order_and_then_the_end() {
    let (mut giver, mut taker) = pair();
    for message in [Message::Ask, Message::Accepting] {
        taker.say(message).await.unwrap();
        assert!(matches!(giver.hear().await.unwrap(), Some(Frame::Said(heard)) if heard == message));
    }
    giver.say(Message::Released).await.unwrap();
    giver.say(Message::Abandoned).await.unwrap();
    drop(giver);
    assert!(matches!(taker.hear().await.unwrap(), Some(Frame::Said(Message::Released))));
    assert!(matches!(taker.hear().await.unwrap(), Some(Frame::Said(Message::Abandoned))));
    assert!(taker.hear().await.unwrap().is_none());
}

#[tokio::test]
async fn an_offer_brings_a_long_snapshot_and_many_sockets_in_their_order() {
    let (mut giver, mut taker) = pair();
    let snapshot: Vec<u8> = (0..1_000_000_u32).map(|it| it.to_le_bytes()[1]).collect();
    let listeners: Vec<TcpListener> = (0..AT_ONCE + 3).map(|_| listener()).collect();
    let admin = listener();
    let (offered, heard) = tokio::join!(giver.offer(&snapshot, &listeners, Some(&admin)), taker.hear());
    offered.unwrap();
    let Some(Frame::Offer(offer)) = heard.unwrap() else { panic!("no offer") };
    assert!(offer.snapshot == snapshot && offer.admin);
    let address = |it: TcpListener| it.local_addr().unwrap();
    let came: Vec<_> = offer.sockets.into_iter().map(|it| address(it.into())).collect();
    let sent: Vec<_> = listeners.into_iter().chain([admin]).map(address).collect();
    assert_eq!(came, sent);
}

#[tokio::test]
async fn an_offer_may_bring_no_socket() {
    let (mut giver, mut taker) = pair();
    giver.offer(b"told", &[], None).await.unwrap();
    let Some(Frame::Offer(offer)) = taker.hear().await.unwrap() else { panic!("no offer") };
    assert_eq!((offer.snapshot.as_slice(), offer.sockets.len(), offer.admin), (&b"told"[..], 0, false));
}

#[tokio::test]
async fn nonsense_and_other_versions_are_errors() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[ASK, 1, 0, 0, 0, 9], &[SOCKETS, 0, 0, 0, 0], &[RELEASED, 1]]
    {
        let (mut giver, mut taker) = pair();
        taker.stream.write_all(bytes).await.unwrap();
        drop(taker);
        assert!(giver.hear().await.is_err(), "{bytes:?}");
    }
}
