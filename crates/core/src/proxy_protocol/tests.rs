use super::*;
use proptest::prelude::*;

fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

#[test]
fn whom_a_connection_comes_from_is_read() {
    let v4 = header(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0x1f, 0x90, 0, 80]);
    assert_eq!(parse(&v4), Ok(Some(Header { length: 28, source: Some("192.0.2.1:8080".parse().unwrap()) })));
    let mut body = [0; 36];
    body[..2].copy_from_slice(&[0x20, 1]);
    body[15] = 7;
    body[32..34].copy_from_slice(&[0x1f, 0x90]);
    let v6 = header(0x21, 0x21, &body);
    assert_eq!(parse(&v6), Ok(Some(Header { length: 52, source: Some("[2001::7]:8080".parse().unwrap()) })));
}

#[test]
fn extensions_and_what_follows_are_passed_over() {
    let mut body = vec![192, 0, 2, 1, 198, 51, 100, 1, 0x1f, 0x90, 0, 80];
    body.extend([4, 0, 1, 0]);
    let bytes = [header(0x21, 0x11, &body), b"GET /".to_vec()].concat();
    assert_eq!(parse(&bytes).unwrap().unwrap().length, 32);
}

#[test]
fn a_balancer_may_speak_for_itself() {
    for (command, family) in [(0x20, 0), (0x20, 0x11), (0x21, 0), (0x21, 0x12), (0x21, 0x31)] {
        assert_eq!(parse(&header(command, family, &[])), Ok(Some(Header { length: 16, source: None })));
    }
}

#[test]
fn anything_else_is_refused_as_soon_as_it_shows() {
    for (bytes, error) in [
        (b"GET / HTTP/1.1".to_vec(), Malformed::Signature),
        (b"PROXY TCP4 ".to_vec(), Malformed::Signature),
        (b"\r\n\r\r".to_vec(), Malformed::Signature),
        (header(0x11, 0x11, &[0; 12]), Malformed::Command),
        (header(0x22, 0x11, &[0; 12]), Malformed::Command),
        (header(0x21, 0x11, &[0; 11]), Malformed::Length),
        (header(0x21, 0x21, &[0; 35]), Malformed::Length),
        (header(0x21, 0x11, &[0; 5_000])[..16].to_vec(), Malformed::Length),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn it_may_come_in_pieces() {
    let whole = header(0x21, 0x11, &[1; 20]);
    for length in 0..whole.len() {
        assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
        let missing = missing(&whole[..length]);
        assert!(missing > 0 && length + missing <= whole.len(), "{length}");
    }
    assert!(parse(&whole).unwrap().is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_judged(command: u8, family: u8, body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let bytes = header(command, family, &body);
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert_eq!(header.length, bytes.len());
        }
        let _ = parse(&body);
    }
}
