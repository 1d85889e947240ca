use super::*;

fn header() -> SegmentHeader {
    SegmentHeader {
        log: LogId::from_bytes([3; 16]),
        sequence: 2,
        base: 4_000,
        first: Position(17),
        time: Timestamp::from_micros(99),
        mark: Position(5),
        end: 0,
    }
}

fn batch() -> BatchHeader {
    let (first, time, mark) = (Position(17), Timestamp::from_micros(100), Position(5));
    BatchHeader { offset: 4_000, durable: 3_900, first, count: 2, time, mark }
}

fn encoded() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_batch(header().log, &batch(), |out| out.extend(b"payload"), &mut bytes);
    bytes
}

#[test]
fn a_segment_header_is_read_as_written_and_any_flipped_bit_is_noticed() {
    let bytes = header().encode();
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(SegmentHeader::decode(&flipped), Err(HeaderProblem::Damaged(_))), "bit {bit}");
    }
    assert!(SegmentHeader::decode(&bytes[..50]).is_err());
}

#[test]
fn a_batch_is_read_as_written_and_any_flipped_bit_is_noticed() {
    let bytes = encoded();
    let read = decode_batch(header().log, &bytes, 4_000).unwrap();
    assert_eq!(
        (read.header.clone(), read.payload, read.size()),
        (batch(), b"payload".as_slice(), bytes.len())
    );
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_batch(header().log, &flipped, 4_000).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(decode_batch(header().log, &bytes[..len], 4_000).is_err(), "cut to {len}");
    }
}

#[test]
fn a_batch_of_another_place_or_log_is_not_taken_for_one() {
    let bytes = encoded();
    assert!(decode_batch(header().log, &bytes, 4_001).is_err());
    assert!(decode_batch(LogId::from_bytes([4; 16]), &bytes, 4_000).is_err());
}
