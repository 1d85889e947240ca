use super::*;
use proptest::prelude::*;

/// What a connection's bytes are made of, and what ends them.
#[derive(Debug, PartialEq, Eq)]
struct Followed {
    steps: Vec<Step>,
    refused: Option<Violation>,
    passed: usize,
}

/// Shows bytes as they would come in pieces of these sizes, holding back what is not complete; steps of one kind that
/// follow each other are put together.
fn follow(limits: Limits, bytes: &[u8], pieces: &[usize]) -> Followed {
    let mut scanner = Scanner::new(limits);
    let mut followed = Followed { steps: Vec::new(), refused: None, passed: 0 };
    let mut shown = 0_usize;
    for piece in pieces.iter().copied().chain([usize::MAX]) {
        shown = bytes.len().min(shown.saturating_add(piece));
        while followed.passed < shown {
            match scanner.scan(&bytes[followed.passed..shown]) {
                Ok(Step::More | Step::Wait | Step::Other) => break,
                Ok(step @ (Step::Head(count) | Step::Body(count))) => {
                    followed.passed += count;
                    match (followed.steps.last_mut(), step) {
                        (Some(Step::Body(length)), Step::Body(count)) => *length += count,
                        (_, step) => followed.steps.push(step),
                    }
                }
                Err(violation) => {
                    followed.refused = Some(violation);
                    return followed;
                }
            }
        }
    }
    followed
}

fn refused(bytes: &str) -> Option<Violation> {
    let followed = follow(Limits::default(), bytes.as_bytes(), &[]);
    let byte_by_byte = follow(Limits::default(), bytes.as_bytes(), &vec![1; bytes.len()]);
    assert_eq!(followed.refused, byte_by_byte.refused, "{bytes:?}");
    followed.refused
}

fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}")
}

#[test]
fn requests_are_told_apart() {
    let bytes = "GET /a?b=c HTTP/1.1\r\nHost: shop.example:80\r\nAccept: */*\r\n\r\n\
                 POST / HTTP/1.1\r\nhost:a\r\ncontent-length: 5\r\n\r\nhello\
                 PUT http://a/ HTTP/1.1\r\nhost: [::1]:80\r\nTransfer-Encoding: Chunked\r\n\r\n\
                 5;x=y\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n\
                 OPTIONS * HTTP/1.0\r\n\r\n";
    let followed = follow(Limits::default(), bytes.as_bytes(), &[]);
    assert_eq!(followed.refused, None);
    assert_eq!(followed.passed, bytes.len());
    let bodies = |it: &&Step| matches!(it, Step::Body(_));
    assert_eq!(
        followed.steps.iter().filter(bodies).collect::<Vec<_>>(),
        [&Step::Body(5), &Step::Body("5;x=y\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n".len())]
    );
    assert_eq!(followed.steps.len(), 6);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    use Violation::*;
    let cases = [
        (with("content-length: 4\r\ntransfer-encoding: chunked\r\n"), TwoFramings),
        (with("transfer-encoding: chunked\r\ncontent-length: 4\r\n"), TwoFramings),
        (with("content-length: 4\r\ncontent-length: 4\r\n"), TwoLengths),
        (with("content-length: 4\r\ncontent-length: 5\r\n"), TwoLengths),
        (with("content-length: 5, 5\r\n"), ContentLength),
        (with("content-length: +5\r\n"), ContentLength),
        (with("content-length: -5\r\n"), ContentLength),
        (with("content-length: 5 5\r\n"), ContentLength),
        (with("content-length: 0x5\r\n"), ContentLength),
        (with("content-length: \r\n"), ContentLength),
        (with("content-length: 99999999999999999999\r\n"), ContentLength),
        (with("content-length: 5\u{a0}\r\n"), ContentLength),
        (with("transfer-encoding: gzip, chunked\r\n"), TransferEncoding),
        (with("transfer-encoding: chunked, chunked\r\n"), TransferEncoding),
        (with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), TransferEncoding),
        (with("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"), TransferEncoding),
        (with("transfer-encoding: xchunked\r\n"), TransferEncoding),
        (with("transfer-encoding:\r\n"), TransferEncoding),
        (with("transfer-encoding: \"chunked\"\r\n"), TransferEncoding),
        (with("transfer-encoding: chunked;q=1\r\n"), TransferEncoding),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".into(), OldTransferEncoding),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n".into(), ConnectBody),
        (with("x: a\r\n b\r\n"), Fold),
        (with("x: a\r\n\tb\r\n"), Fold),
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n".into(), Fold),
        (" GET / HTTP/1.1\r\nhost: a\r\n\r\n".into(), Fold),
        (with("x: a\rb\r\n"), Control),
        (with("x: a\r\r\n"), Control),
        (with("x: a\0b\r\n"), Control),
        (with("x: a\x7fb\r\n"), Control),
        (with("x: a\x1bb\r\n"), Control),
        ("GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n".into(), Control),
        (with("x: a\n"), BareLf),
        ("GET / HTTP/1.1\nhost: a\n\n".into(), BareLf),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".into(), BareLf),
        (with("x : a\r\n"), FieldName),
        (with("content-length : 4\r\n"), FieldName),
        (with("x\t: a\r\n"), FieldName),
        (with(": a\r\n"), FieldName),
        (with("x\r\n"), FieldName),
        (with("x y: a\r\n"), FieldName),
        (with("x(): a\r\n"), FieldName),
        (with("\u{e9}: a\r\n"), FieldName),
        ("GET / HTTP/1.1\r\n\r\n".into(), NoHost),
        ("GET http://a/ HTTP/1.1\r\n\r\n".into(), NoHost),
        (with("host: a\r\n"), TwoHosts),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n".into(), Host),
        ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n".into(), Host),
        ("GET /\r\n\r\n".into(), RequestLine),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n".into(), RequestLine),
        ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n".into(), RequestLine),
        ("GET / / HTTP/1.1\r\nhost: a\r\n\r\n".into(), RequestLine),
        ("GET / http/1.1\r\nhost: a\r\n\r\n".into(), RequestLine),
        ("GET / HTTP/1.10\r\nhost: a\r\n\r\n".into(), RequestLine),
        ("G(T / HTTP/1.1\r\nhost: a\r\n\r\n".into(), RequestLine),
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n".into(), Version),
        ("GET / HTTP/0.9\r\nhost: a\r\n\r\n".into(), Version),
        ("PRI * HTTP/2.0\r\n\r\n".into(), Version),
        ("GET a HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("GET /#a HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n".into(), Target),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".into(), EmptyLines),
        ("1.1\rGET".into(), Control),
        (with("x: a\r").trim_end().to_owned() + "\rb", Control),
        ("\x16\x03\x01".into(), Control),
        ("\0\0\0\0".into(), Control),
    ];
    for (bytes, violation) in cases {
        assert_eq!(refused(&bytes), Some(violation), "{bytes:?}");
    }
}

#[test]
fn chunks_are_exactly_as_their_sizes_say() {
    use Violation::*;
    let cases = [
        ("\r\n", ChunkSize),
        ("5 \r\nhello\r\n", ChunkSize),
        (" 5\r\nhello\r\n", ChunkSize),
        ("0x5\r\nhello\r\n", ChunkSize),
        ("+5\r\nhello\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("g\r\n", ChunkSize),
        ("5\nhello\r\n", ChunkSize),
        ("5\rhello", ChunkSize),
        ("1000000000000000\r\n", ChunkSize),
        (";x\r\n", ChunkSize),
        ("5;a\nhello\r\n", ChunkExtension),
        ("5;a\0\r\nhello\r\n", ChunkExtension),
        ("5\r\nhello!\r\n", ChunkEnd),
        ("5\r\nhello\n", ChunkEnd),
        ("5\r\nhello\r0", ChunkEnd),
        ("0\r\nx\r\n", Trailers),
        ("0\r\n x: y\r\n", Trailers),
        ("0\r\nx : y\r\n", Trailers),
        ("0\r\nx: y\0\r\n", Trailers),
        ("0\r\nx: y\rz", Trailers),
        ("0\r\nx: y\n", Trailers),
        ("0\r\n\n", Trailers),
    ];
    for (body, violation) in cases {
        assert_eq!(refused(&chunked(body)), Some(violation), "{body:?}");
    }
    let long = format!("5;{}\r\nhello\r\n", "x".repeat(2_000));
    assert_eq!(refused(&chunked(&long)), Some(ChunkExtension));
    let long = format!("0\r\nx: {}\r\n", "y".repeat(20_000));
    assert_eq!(refused(&chunked(&long)), Some(Trailers));
    for body in ["0\r\n\r\n", "00\r\n\r\n", "a\r\n0123456789\r\n000;a=b;c=\"d\"\r\nx: \u{e9}\r\ny:\r\n\r\n"] {
        assert_eq!(refused(&chunked(body)), None, "{body:?}");
    }
}

#[test]
fn what_is_ordinary_passes() {
    for bytes in [
        with(""),
        with("content-length: 0\r\n"),
        with("content-length:\t5 \r\n"),
        with("x:\r\n"),
        with("x: a\tb \u{e9}\r\n"),
        with("x_y-z.~!#$%&'*+^`|: a\r\n"),
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
        "GET /%zz?\\[]{}|^`' HTTP/1.1\r\nhost: a\r\n\r\n".into(),
        "GET / HTTP/1.0\r\n\r\n".into(),
        "PROPFIND http://user@a:80/x HTTP/1.1\r\nhost: a_b.c:80\r\n\r\n".into(),
        "CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\r\n".into(),
    ] {
        assert_eq!(refused(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn sizes_have_limits() {
    use Violation::*;
    let limits = Limits { head: 200, line: 50, fields: 3 };
    let refused = |bytes: &str| follow(limits, bytes.as_bytes(), &[]).refused;
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(length));
    assert_eq!(refused(&line(50 - "GET / HTTP/1.1\r\n".len())), None);
    assert_eq!(refused(&line(51 - "GET / HTTP/1.1\r\n".len())), Some(LineTooLong));
    assert_eq!(refused(&"x".repeat(51)), Some(LineTooLong));
    let field = |length: usize| with(&format!("x: {}\r\n", "y".repeat(length)));
    let rest = field(0).len();
    assert_eq!(refused(&field(200 - rest)), None);
    assert_eq!(refused(&field(201 - rest)), Some(HeadTooLong));
    assert_eq!(refused(&with(&"x: y\r\n".repeat(2))), None);
    assert_eq!(refused(&with(&"x: y\r\n".repeat(3))), Some(TooManyFields));
}

#[test]
fn what_follows_a_change_of_protocol_waits_for_the_answer() {
    for head in [
        "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let mut scanner = Scanner::new(Limits::default());
        assert_eq!(scanner.scan(head.as_bytes()), Ok(Step::Head(head.len())));
        assert!(scanner.is_switching());
        assert_eq!(scanner.scan(b"\0\0"), Ok(Step::Wait));
        let mut other = scanner.clone();
        other.answered(true);
        assert_eq!(other.scan(b"\0\0"), Ok(Step::Other));
        scanner.answered(false);
        assert_eq!(scanner.scan(b"\0\0"), Err(Violation::Control));
        assert_eq!(scanner.scan(head.as_bytes()), Err(Violation::Control));
    }
    let mut scanner = Scanner::new(Limits::default());
    let old = b"GET / HTTP/1.0\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(scanner.scan(old), Ok(Step::Head(old.len())));
    assert!(!scanner.is_switching());
}

#[test]
fn each_violation_has_a_sentence_and_a_code_of_the_clients() {
    for violation in Violation::ALL {
        assert!(!violation.to_string().is_empty());
        assert!(matches!(violation.code().http_status(), 400 | 408 | 414 | 431 | 505), "{violation:?}");
    }
}

/// Bytes that are nearly HTTP.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just("GET / HTTP/1.1\r\nhost: a\r\n".to_owned()),
        2 => Just("\r\n".to_owned()),
        1 => Just("content-length: 3\r\n\r\nabc".to_owned()),
        1 => Just("transfer-encoding: chunked\r\n\r\n".to_owned()),
        1 => Just("3\r\nabc\r\n0\r\n\r\n".to_owned()),
        1 => Just("x: y\r\n".to_owned()),
        1 => "[\\x00-\\x7f]{0,3}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(
        bytes in nearly_http(),
        pieces in proptest::collection::vec(1_usize..40, 0..40),
    ) {
        let limits = Limits { head: 120, line: 40, fields: 4 };
        let (whole, cut) = (follow(limits, &bytes, &[]), follow(limits, &bytes, &pieces));
        // Of several things that are wrong, another may show first.
        prop_assert_eq!(whole.refused.is_some(), cut.refused.is_some());
        // Of a body that is refused, as much has passed as came in the pieces before.
        if whole.refused.is_none() {
            prop_assert_eq!(&whole, &cut);
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let followed = follow(Limits::default(), &bytes, &[]);
        prop_assert!(followed.passed <= bytes.len());
    }

    #[test]
    fn controls_are_found_wherever_they_stand(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let one_by_one = bytes.iter().any(|byte| bytes::is_control(*byte));
        prop_assert_eq!(bytes::has_control(&bytes), one_by_one);
    }
}
