use super::*;
use tenon_core::http1::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);
const PARTING: Duration = Duration::from_secs(1);
const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

fn guarded() -> (DuplexStream, Guarded<DuplexStream>, Arc<Wire>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let wire = Arc::new(Wire::default());
    (
        client,
        Guarded::new(server, Scanner::new(Limits::default()), Arc::clone(&wire), PATIENCE, PARTING),
        wire,
    )
}

/// Reads what may pass now.
async fn available(guarded: &mut Guarded<DuplexStream>, room: usize) -> String {
    let mut all = Vec::new();
    let mut piece = vec![0; room];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(Duration::ZERO, guarded.read(&mut piece)).await {
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn nothing_of_a_head_passes_before_it_is_complete() {
    let (mut client, mut server, _) = guarded();
    for room in [7, 1024] {
        let both = format!("{GET}{GET}");
        let (begun, rest) = both.split_at(GET.len() + 5);
        client.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(available(&mut server, room).await, GET);
        client.write_all(rest.as_bytes()).await.unwrap();
        assert_eq!(available(&mut server, room).await, GET);
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_passes() {
    let (mut client, mut server, _) = guarded();
    for byte in GET.as_bytes() {
        assert_eq!(available(&mut server, 100).await, "");
        client.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(available(&mut server, 100).await, GET);
}

#[tokio::test]
async fn a_stand_in_takes_the_place_of_what_is_refused() {
    let (mut client, mut server, wire) = guarded();
    client.write_all(format!("{GET}{GET}GET / HTTP/1.1\r\nhost : a\r\n\r\n{GET}").as_bytes()).await.unwrap();
    let stand_in = std::str::from_utf8(STAND_IN).unwrap();
    assert_eq!(available(&mut server, 100).await, format!("{GET}{GET}{stand_in}"));
    assert_eq!(
        [1, 2, 3, 4].map(|number| wire.refused(number)),
        [None, None, Some(Violation::FieldName), None]
    );
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(available(&mut server, 100).await, "");
}

#[tokio::test]
async fn a_body_breaks_off_where_it_is_malformed() {
    let (mut client, mut server, _) = guarded();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(format!("{head}5\r\nhello!").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let error = server.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // As far as it is in order, it may have passed.
    assert!(read.starts_with(head.as_bytes()) && !read.ends_with(b"!"));
}

#[tokio::test]
async fn what_follows_a_request_to_switch_waits_for_the_answer() {
    for switched in [true, false] {
        let (mut client, mut server, wire) = guarded();
        client.write_all(format!("{UPGRADE}{GET}").as_bytes()).await.unwrap();
        assert_eq!(available(&mut server, 100).await, UPGRADE);
        assert!(wire.is_switching());
        wire.answered(switched);
        assert!(!wire.is_switching());
        assert_eq!(available(&mut server, 100).await, GET);
        client.write_all(b"\0\0").await.unwrap();
        let expected = if switched { "\0\0" } else { std::str::from_utf8(STAND_IN).unwrap() };
        assert_eq!(available(&mut server, 100).await, expected);
    }
}

#[tokio::test]
async fn whoever_reads_is_woken_by_the_answer() {
    let (mut client, mut server, wire) = guarded();
    client.write_all(format!("{UPGRADE}\0").as_bytes()).await.unwrap();
    assert_eq!(available(&mut server, 100).await, UPGRADE);
    let reading = tokio::spawn(async move { server.read_u8().await.unwrap() });
    tokio::task::yield_now().await;
    wire.answered(true);
    assert_eq!(reading.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_was_begun_must_come() {
    let (mut client, mut server, wire) = guarded();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(available(&mut server, 100).await, GET);
    // Before a head there is no hurry here.
    tokio::time::sleep(PATIENCE * 2).await;
    client.write_all(b"GET / HT").await.unwrap();
    for _ in 0..9 {
        assert_eq!(available(&mut server, 100).await, "");
        tokio::time::sleep(PATIENCE / 10).await;
        client.write_all(b"x").await.unwrap();
    }
    tokio::time::sleep(PATIENCE / 5).await;
    assert_eq!(available(&mut server, 100).await, std::str::from_utf8(STAND_IN).unwrap());
    assert_eq!(wire.refused(2), Some(Violation::HeadTooSlow));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_closed_its_side_is_there_until_it_is_answered_or_its_time_is_up() {
    let mut piece = [0; 8];
    for answered in [true, false] {
        let (mut client, mut server, wire) = guarded();
        client.write_all(format!("{GET}{GET}").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(available(&mut server, 1024).await, format!("{GET}{GET}"));
        wire.is_done();
        assert_eq!(available(&mut server, 1024).await, "");
        let began = tokio::time::Instant::now();
        if answered {
            wire.is_done();
        }
        assert_eq!(server.read(&mut piece).await.unwrap(), 0);
        assert_eq!(began.elapsed() < PARTING, answered);
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_within_a_request_or_between_two_is_gone_at_once() {
    for sent in ["", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf"] {
        let (mut client, mut server, _) = guarded();
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = String::new();
        server.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, sent);
    }
}
