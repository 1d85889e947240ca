//! The events that everybody appends: JSON of 256 bytes, for streams that take turns.

use std::fmt::Write;

/// How many bytes of data an event has.
pub(crate) const DATA: usize = 256;
/// Their type.
pub(crate) const TYPE: &str = "shop.order.OrderPlaced.v1";

/// Numbers that are the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The stream of an event: each of `streams` in an order that looks random, then each again.
pub(crate) fn stream_of(number: u64, streams: u64) -> String {
    // Odd and not a multiple of 5, so that it passes through every one of a power of ten.
    stream_name(number.wrapping_mul(104_729) % streams)
}

/// The name of a stream.
pub(crate) fn stream_name(stream: u64) -> String {
    format!("order-{stream:08}")
}

/// The payload of an event.
pub(crate) fn data(random: &mut Random) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut text = String::with_capacity(DATA);
    let (order, sku, quantity) = (random.next(), random.next() as u32, random.next() % 90 + 10);
    let _ = write!(text, r#"{{"order":"{order:016x}","sku":"sku-{sku:08x}","quantity":{quantity},"note":""#);
    while text.len() < DATA - 2 {
        let mut bits = random.next();
        for _ in 0..10 {
            if text.len() < DATA - 2 {
                text.push(LETTERS[(bits & 63) as usize] as char);
                bits >>= 6;
            }
        }
    }
    text.push_str("\"}");
    text.into_bytes()
}

/// What all events of one business transaction share.
pub(crate) fn correlation(random: &mut Random) -> String {
    format!("{:016x}", random.next())
}
