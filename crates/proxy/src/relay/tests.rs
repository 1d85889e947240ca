use super::*;

const IDLE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_side_that_ends_leaves_the_other_to_finish() {
    let (mut client, near) = tokio::io::duplex(64);
    let (far, mut server) = tokio::io::duplex(64);
    let talking = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    };
    tokio::join!(relay(near, far, IDLE, std::future::pending()), talking);
}

#[tokio::test(start_paused = true)]
async fn silence_on_both_sides_ends_it() {
    let (mut client, near) = tokio::io::duplex(64);
    let (far, _server) = tokio::io::duplex(64);
    client.write_all(b"x").await.unwrap();
    let began = Instant::now();
    relay(near, far, IDLE, std::future::pending()).await;
    assert_eq!(began.elapsed(), IDLE);
    assert!(client.write_all(b"y").await.is_err());
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let (_client, near) = tokio::io::duplex(64);
    let (far, mut server) = tokio::io::duplex(64);
    relay(near, far, IDLE, async {}).await;
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}
