use super::*;
use std::collections::VecDeque;
use std::convert::Infallible;

/// A body of given chunks, then perhaps trailers.
#[derive(Default)]
struct Chunks(VecDeque<Frame<Bytes>>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

type Shared = Rc<RefCell<Source<Chunks>>>;

fn source(chunks: &[&'static str], limit: usize) -> Shared {
    let frames = chunks.iter().map(|chunk| Frame::data(Bytes::from_static(chunk.as_bytes())));
    Rc::new(RefCell::new(Source::new(Chunks(frames.collect()), limit)))
}

fn attempt(source: &Shared) -> ReplayBody<Chunks> {
    let attempt = source.borrow_mut().next_attempt();
    ReplayBody { source: Some(Rc::clone(source)), attempt, next: 0, left: None }
}

fn next(body: &mut ReplayBody<Chunks>) -> Option<Result<Frame<Bytes>, ReplayError>> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => panic!("chunks are always ready"),
    }
}

fn read(body: &mut ReplayBody<Chunks>) -> String {
    let mut text = String::new();
    while let Some(frame) = next(body) {
        match frame.unwrap().into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(trailers) => text.push_str(&format!("{:?}", trailers.into_trailers().unwrap())),
        }
    }
    text
}

#[test]
fn a_second_attempt_sends_what_the_first_did_and_what_it_did_not() {
    let source = source(&["one ", "two ", "three"], 100);
    let mut first = attempt(&source);
    next(&mut first);
    next(&mut first);
    assert_eq!(read(&mut attempt(&source)), "one two three");
    assert_eq!(read(&mut attempt(&source)), "one two three");
    assert!(!source.borrow().lossy);
}

#[test]
fn a_superseded_attempt_gets_an_error_and_takes_nothing_away() {
    let source = source(&["one ", "two"], 100);
    let mut first = attempt(&source);
    next(&mut first);
    let mut second = attempt(&source);
    assert!(matches!(next(&mut first), Some(Err(ReplayError::Superseded))));
    assert_eq!(read(&mut second), "one two");
}

#[test]
fn a_body_over_the_limit_passes_whole_and_cannot_be_sent_again() {
    let source = source(&["0123456789", "0123456789", "0123456789", "x"], 15);
    assert_eq!(read(&mut attempt(&source)), "012345678901234567890123456789x");
    assert!(source.borrow().lossy);
    assert!(source.borrow().chunks.is_empty());
}

#[test]
fn after_the_commit_nothing_more_is_remembered() {
    let source = source(&["one ", "two ", "three"], 100);
    let mut first = attempt(&source);
    next(&mut first);
    let mut second = attempt(&source);
    source.borrow_mut().remembering = false;
    assert_eq!(read(&mut second), "one two three");
    assert!(source.borrow().chunks.is_empty());
}

#[test]
fn trailers_are_sent_again_too_and_once() {
    let source = source(&["data"], 100);
    let trailers: HeaderMap = [("a".parse().unwrap(), "b".parse().unwrap())].into_iter().collect();
    source.borrow_mut().incoming.as_mut().unwrap().0.push_back(Frame::trailers(trailers));
    let expected = r#"data{"a": "b"}"#;
    assert_eq!(read(&mut attempt(&source)), expected);
    let mut second = attempt(&source);
    assert_eq!(read(&mut second), expected);
    assert!(second.is_end_stream());
}
