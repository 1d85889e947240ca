//! Room for futures that is used again: what a request's way needs to remember is too large for the allocator's quick
//! paths, and an idle connection should not keep it.

use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many places of one kind a thread keeps.
const KEPT: usize = 64;

thread_local! {
    /// A `Vec<Room<F>>` for each kind of future; there are few kinds.
    static SPARE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

type Room<F> = Pin<Box<Option<F>>>;

/// A future on the heap, in a place that goes to the next of its kind when it is done or dropped.
pub(crate) struct Placed<F: 'static>(Option<Room<F>>);

/// Puts a future on the heap.
pub(crate) fn place<F: 'static>(future: F) -> Placed<F> {
    let room = match with_spare(Vec::pop) {
        Some(mut room) => {
            room.set(Some(future));
            room
        }
        None => Box::pin(Some(future)),
    };
    Placed(Some(room))
}

fn with_spare<F: 'static, T>(then: impl FnOnce(&mut Vec<Room<F>>) -> T) -> T {
    SPARE.with_borrow_mut(|kinds| {
        let known = kinds.iter().position(|kind| kind.is::<Vec<Room<F>>>());
        let place = known.unwrap_or_else(|| {
            kinds.push(Box::new(Vec::<Room<F>>::new()));
            kinds.len() - 1
        });
        match kinds.get_mut(place).and_then(|kind| kind.downcast_mut()) {
            Some(spare) => then(spare),
            // It is there, of this kind, by the lines above; were it not, nothing would be kept.
            None => then(&mut Vec::new()),
        }
    })
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.0.as_mut().and_then(|room| room.as_mut().as_pin_mut());
        future.expect("polled until it is done, and not after").poll(cx)
    }
}

impl<F> Drop for Placed<F> {
    fn drop(&mut self) {
        let Some(mut room) = self.0.take() else { return };
        // Outside the borrow: what the future drops may place futures itself.
        room.set(None);
        with_spare(|spare| {
            if spare.len() < KEPT {
                spare.push(room);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use std::rc::Rc;

    /// A future of its own kind, so that tests do not share rooms.
    async fn counted(counter: Rc<()>, answer: u8) -> (u8, usize) {
        ready(()).await;
        (answer, Rc::strong_count(&counter))
    }

    #[tokio::test]
    async fn a_place_is_used_again_and_holds_nothing_meanwhile() {
        let counter = Rc::new(());
        let address = |placed: &Placed<_>| placed.0.as_ref().map(|room| std::ptr::from_ref(&**room).addr());
        let first = place(counted(Rc::clone(&counter), 1));
        let at = address(&first);
        assert_eq!(first.await, (1, 2));
        assert_eq!(Rc::strong_count(&counter), 1);
        let second = place(counted(Rc::clone(&counter), 2));
        assert_eq!(address(&second), at);
        let third = place(counted(Rc::clone(&counter), 3));
        assert_ne!(address(&third), at);
        // Dropped before it was done.
        drop(second);
        assert_eq!(Rc::strong_count(&counter), 2);
        assert_eq!(third.await, (3, 2));
        assert_eq!(place(ready(4)).await, 4);
    }
}
