use super::*;
use tokio::io::AsyncWriteExt;

const NEVER: Duration = Duration::from_secs(3_600);

/// Feeds the bytes one by one, so that every prefix is judged.
async fn detected(bytes: &[u8]) -> (Detected, Vec<u8>) {
    let (mut client, mut server) = tokio::io::duplex(1);
    let bytes = bytes.to_vec();
    let feeding = tokio::spawn(async move {
        for byte in bytes {
            if client.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let result = detect(&mut server, NEVER).await.unwrap();
    feeding.abort();
    result
}

#[tokio::test]
async fn protocols_are_told_by_their_first_bytes() {
    let cases: [(&[u8], Detected); 12] = [
        (b"GET / HTTP/1.1\r\n", Detected::Http1),
        (b"POST http://payment/ HTTP/1.1\r\n", Detected::Http1),
        (b"OPTIONS * HTTP/1.1\r\n", Detected::Http1),
        (b"PROPFIND /x HTTP/1.1\r\n", Detected::Http1),
        (b"PUT /x HTTP/1.1\r\n", Detected::Http1),
        (b"CONNECT payment:80 HTTP/1.1\r\n", Detected::Http1),
        (PREFACE, Detected::Http2),
        (b"\x16\x03\x01\x02\x00", Detected::Other),
        (b"GET key\r\n", Detected::Other),
        (b"*1\r\n$4\r\nPING\r\n", Detected::Other),
        (b"PRI * HTTP/1.1\r\n", Detected::Http1),
        (b"AVERYLONGWORDWITHOUTANYSPACE", Detected::Other),
    ];
    for (bytes, expected) in cases {
        let (found, read) = detected(bytes).await;
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        assert!(bytes.starts_with(&read));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_closed_or_other() {
    assert_eq!(detected(b"").await, (Detected::Closed, vec![]));
    assert_eq!(detected(b"GE").await, (Detected::Other, b"GE".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_the_server_is_silent() {
    let (_client, mut server) = tokio::io::duplex(1);
    assert_eq!(detect(&mut server, Duration::from_millis(500)).await.unwrap(), (Detected::Silent, vec![]));
}
