//! Load over HTTP/2 by prior knowledge: the same requests again and again, encoded once.
//!
//! No more of the protocol than that needs (RFC 9113, RFC 7541): windows are opened as far as they go at the start, header
//! blocks of answers are not decoded but for their status.

use super::door::{Door, HOST, Stream};
use super::load::{CONNECTIONS, Running, Tally};
use crate::shell::Outcome;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Streams of one connection at a time.
const STREAMS: usize = 16;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const PRIORITY: u8 = 0x20;

/// As many requests at a time as over HTTP/1.1, on few connections, until the run is dropped.
pub(super) async fn closed_loop(door: &Door, path: &str) -> Outcome<Running> {
    let tally = Rc::new(Tally::default());
    let block: Rc<[u8]> = header_block(path).into();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS / STREAMS {
        let stream = door.connect().await?;
        let (tally, block) = (Rc::clone(&tally), Rc::clone(&block));
        tasks.push(tokio::task::spawn_local(async move {
            if let Err(error) = run(stream, &block, &tally).await {
                tally.fail(error);
            }
        }));
    }
    Ok(Running { tally, tasks })
}

async fn run(mut stream: Stream, block: &[u8], tally: &Tally) -> Outcome {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the connection's window.
    frame(&mut out, SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let mut next = 1;
    for _ in 0..STREAMS {
        ask(&mut out, &mut next, block);
    }
    let mut read = Vec::with_capacity(64 * 1024);
    loop {
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the proxy closed the connection".into());
        }
        let mut taken = 0;
        while let Some((kind, flags, payload)) = next_frame(read.get(taken..).unwrap_or_default()) {
            taken += 9 + payload.len();
            match kind {
                DATA | HEADERS => {
                    if kind == HEADERS && !is_ok(flags, payload) {
                        tally.fail("an answer whose status is not 200");
                    }
                    if flags & END_STREAM != 0 {
                        tally.succeed();
                        ask(&mut out, &mut next, block);
                    }
                }
                SETTINGS if flags & ACK == 0 => frame(&mut out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut out, PING, ACK, 0, payload),
                RESET | GO_AWAY => {
                    let code = payload.last_chunk::<4>().map_or(0, |code| u32::from_be_bytes(*code));
                    return Err(
                        format!("the proxy refused (frame of type {kind}, last bytes {code:#x})").into()
                    );
                }
                _ => {}
            }
        }
        read.drain(..taken);
    }
}

/// Adds a request on a new stream.
fn ask(out: &mut Vec<u8>, next: &mut u32, block: &[u8]) {
    const END_HEADERS: u8 = 4;
    frame(out, HEADERS, END_STREAM | END_HEADERS, *next, block);
    *next += 2;
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Kind, flags and payload of the first frame, if it is complete.
fn next_frame(read: &[u8]) -> Option<(u8, u8, &[u8])> {
    let [a, b, c, kind, flags, ..] = *read.first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    Some((kind, flags, read.get(9..9 + length)?))
}

/// `:method`, `:scheme`, `:path` and `:authority`, with no use of the dynamic table.
fn header_block(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (index, value) in [(4, path), (1, HOST)] {
        block.extend_from_slice(&[index, value.len() as u8]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// Whether a header block begins with `:status: 200`, perhaps after a change of the table's size.
fn is_ok(flags: u8, payload: &[u8]) -> bool {
    let block = payload.get(if flags & PRIORITY == 0 { 0 } else { 5 }..).unwrap_or_default();
    block.iter().find(|byte| **byte & 0xe0 != 0x20) == Some(&0x88)
}
