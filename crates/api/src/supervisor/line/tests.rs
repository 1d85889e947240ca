use super::*;
use serde_json::{Value, json};
use tokio::io::duplex;

fn exactly(bytes: usize) -> String {
    // Two quotation marks and a line feed go with it.
    "x".repeat(bytes - 3)
}

#[tokio::test]
async fn documents_are_read_as_they_were_written_until_the_end() {
    let (near, far) = duplex(16);
    let sending = tokio::spawn(async move {
        let mut writer = LineWriter::new(near);
        for number in 0..100 {
            writer.send(&json!({"number": number, "text": "a\nb"})).await.unwrap();
        }
    });
    let mut reader = LineReader::new(far);
    for number in 0..100 {
        let document: Value = reader.next().await.unwrap().unwrap();
        assert_eq!(document, json!({"number": number, "text": "a\nb"}));
    }
    assert!(reader.next::<Value>().await.unwrap().is_none());
    sending.await.unwrap();
}

#[tokio::test]
async fn the_longest_line_passes_and_a_longer_one_does_not() {
    let mut written = Vec::new();
    let mut writer = LineWriter::new(&mut written);
    writer.send(&exactly(MAX_LINE)).await.unwrap();
    assert!(matches!(writer.send(&exactly(MAX_LINE + 1)).await, Err(LineError::TooLong)));
    assert_eq!(written.len(), MAX_LINE);

    let mut reader = LineReader::new(&written[..]);
    assert_eq!(reader.next::<String>().await.unwrap(), Some(exactly(MAX_LINE)));

    let endless = tokio::io::repeat(b' ');
    assert!(matches!(LineReader::new(endless).next::<Value>().await, Err(LineError::TooLong)));
}

#[tokio::test]
async fn a_torn_line_is_told_from_an_end() {
    let mut reader = LineReader::new(&b"1\n2"[..]);
    assert_eq!(reader.next::<u8>().await.unwrap(), Some(1));
    assert!(matches!(reader.next::<u8>().await, Err(LineError::Torn)));
}

#[tokio::test]
async fn a_line_of_another_form_is_an_error() {
    let mut reader = LineReader::new(&b"\"one\"\n"[..]);
    assert!(matches!(reader.next::<u8>().await, Err(LineError::Unexpected(_))));
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing() {
    let (mut near, far) = duplex(64);
    let mut reader = LineReader::new(far);
    near.write_all(b"[1,").await.unwrap();
    tokio::select! {
        biased;
        _ = reader.next::<Value>() => panic!("there is no whole line yet"),
        () = std::future::ready(()) => {}
    }
    near.write_all(b"2]\n").await.unwrap();
    assert_eq!(reader.next::<Value>().await.unwrap(), Some(json!([1, 2])));
}
