//! Every sequence of the bytes that matter to a body in chunks, up to a length.

use super::{Chunked, Limits};
use stateright::{Checker, Model, Property};

const LONGEST: u8 = 13;
const ALPHABET: &[u8] = b"01;:\r\nx";

struct Bodies;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    chunked: Chunked,
    length: u8,
    last: [u8; 4],
    refused: bool,
    /// Whether there was a colon.
    colon: bool,
}

impl Model for Bodies {
    type State = World;
    type Action = u8;

    fn init_states(&self) -> Vec<World> {
        let chunked = Chunked::new(Limits::default());
        vec![World { chunked, length: 0, last: [0; 4], refused: false, colon: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<u8>) {
        if !world.refused && !world.chunked.is_complete() && world.length < LONGEST {
            actions.extend(ALPHABET);
        }
    }

    fn next_state(&self, world: &World, byte: u8) -> Option<World> {
        let mut next = world.clone();
        next.length += 1;
        next.last.rotate_left(1);
        next.last[3] = byte;
        next.colon |= byte == b':';
        next.refused = next.chunked.scan(&[byte]) != Ok(1);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a body ends with an empty line", |_, world: &World| {
                !world.chunked.is_complete() || world.last == *b"\r\n\r\n"
            }),
            Property::always("nothing after the end belongs to the body", |_, world: &World| {
                !world.chunked.is_complete() || world.chunked.clone().scan(b"0\r\n") == Ok(0)
            }),
            Property::always("a complete body was not refused", |_, world: &World| {
                !(world.chunked.is_complete() && world.refused)
            }),
            Property::sometimes("the shortest body ends", |_, world: &World| {
                world.chunked.is_complete() && world.length == 5
            }),
            Property::sometimes("a body with a trailer ends", |_, world: &World| {
                world.chunked.is_complete() && world.colon
            }),
            Property::sometimes("a body with a chunk ends", |_, world: &World| {
                world.chunked.is_complete() && world.length == 11 && !world.colon
            }),
        ]
    }
}

#[test]
fn every_short_body_keeps_the_invariants() {
    Bodies.checker().spawn_bfs().join().assert_properties();
}
