use super::*;
use proptest::prelude::*;

fn all(chunks: &[&[u8]]) -> Vec<Raw> {
    let mut parser = Parser::default();
    for chunk in chunks {
        parser.push(chunk).unwrap();
    }
    std::iter::from_fn(|| parser.next()).collect()
}

fn raw(name: &str, id: &str, data: &str) -> Raw {
    Raw { name: name.into(), id: id.into(), data: data.into() }
}

proptest! {
    #[test]
    fn where_chunks_are_cut_makes_no_difference(
        text in "(data:|id: |event:|:|x|é|\r|\n|\r\n){0,40}",
        cut: proptest::sample::Index,
        second: proptest::sample::Index,
    ) {
        let bytes = text.as_bytes();
        let (first, rest) = bytes.split_at(cut.index(bytes.len() + 1));
        let (middle, last) = rest.split_at(second.index(rest.len() + 1));
        prop_assert_eq!(all(&[first, middle, last]), all(&[bytes]));
    }

    #[test]
    fn what_is_written_is_read(events in proptest::collection::vec(("[a-z]{0,4}", "[a-z0-9@]{1,8}", "[^\r]{0,20}"), 0..6)) {
        let mut text = String::from(": hello\n\n");
        for (name, id, data) in &events {
            text += &format!("event: {name}\nid: {id}\n");
            for line in data.split('\n') {
                text += &format!("data: {line}\n");
            }
            text += "\n";
        }
        let expected: Vec<Raw> = events.iter().map(|(name, id, data)| raw(name, id, data)).collect();
        prop_assert_eq!(all(&[text.as_bytes()]), expected);
    }
}

#[test]
fn the_standard_s_cases_are_read_as_it_says() {
    assert_eq!(all(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]), [raw("", "", "YHOO\n+2\n10")]);
    assert_eq!(
        all(&[
            b"\xef\xbb\xbfid: 1\r\ndata:first\r\r: comment\ndata\n\nretry: 5\nid\ndata:  last\n\ndata: torn"
        ]),
        [raw("", "1", "first"), raw("", "1", ""), raw("", "", " last")]
    );
    assert_eq!(all(&[b"event: lonely\n\ndata: x\n\n"]), [raw("", "", "x")]);
}

#[test]
fn an_event_without_end_is_refused() {
    let mut parser = Parser::default();
    let chunk = [b'x'; 1 << 20];
    let pushed = (0..17).map(|_| parser.push(&chunk)).collect::<Result<Vec<()>, _>>();
    assert_eq!(pushed, Err(TooLong));
    let mut parser = Parser::default();
    let line = [&b"data:"[..], &[b'x'; 1 << 20], b"\n"].concat();
    let pushed = (0..17).map(|_| parser.push(&line)).collect::<Result<Vec<()>, _>>();
    assert_eq!(pushed, Err(TooLong));
}
