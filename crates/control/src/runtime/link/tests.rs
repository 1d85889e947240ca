use super::*;
use tenon_api::supervisor::Ending;
use tenon_core::{Code, InstanceId, Timestamp};
use tokio::net::UnixListener;

/// The other end, as a script plays it.
struct Peer {
    reader: LineReader<OwnedReadHalf>,
    writer: LineWriter<OwnedWriteHalf>,
}

impl Peer {
    async fn accept(listener: &UnixListener) -> Self {
        let (reader, writer) = listener.accept().await.unwrap().0.into_split();
        let mut peer = Self { reader: LineReader::new(reader), writer: LineWriter::new(writer) };
        let hello = peer.hear().await;
        assert_eq!(hello.call, Call::Hello { version: PROTOCOL_VERSION });
        peer.reply(hello.id, Outcome::Welcome { version: PROTOCOL_VERSION, pid: 1 }).await;
        peer
    }

    async fn hear(&mut self) -> Request {
        self.reader.next().await.unwrap().unwrap()
    }

    async fn reply(&mut self, id: u64, outcome: Outcome) {
        self.say(Message::Reply { id, outcome }).await;
    }

    async fn say(&mut self, message: Message) {
        self.writer.send(&message).await.unwrap();
    }
}

async fn pair() -> (Link, mpsc::Receiver<Notice>, Peer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("supervisor.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (linked, peer) = tokio::join!(Link::connect(&path), Peer::accept(&listener));
    let (link, notices) = linked.unwrap();
    (link, notices, peer, folder)
}

fn exited(name: &str) -> Exited {
    let instance = InstanceId::new(name).unwrap();
    Exited { instance, pid: 7, ending: Ending::Code(1), at: Timestamp::from_millis(5) }
}

fn listing() -> Outcome {
    Outcome::Listing { running: vec![], ended: vec![] }
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = Link::connect(&folder.path().join("none.sock")).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect(_)));
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let (link, _notices, mut peer, _folder) = pair().await;
    let stop = Call::Stop { instance: InstanceId::new("a").unwrap(), grace: Duration::ZERO };
    let script = async {
        let (first, second) = (peer.hear().await, peer.hear().await);
        let (list, stop) = if first.call == Call::List { (first, second) } else { (second, first) };
        peer.reply(stop.id, Outcome::Stopping).await;
        peer.reply(list.id, listing()).await;
    };
    let (listed, stopped, ()) = tokio::join!(link.call(Call::List), link.call(stop), script);
    assert_eq!(listed.unwrap(), listing());
    assert_eq!(stopped.unwrap(), Outcome::Stopping);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_code() {
    let (link, _notices, mut peer, _folder) = pair().await;
    let script = async {
        let request = peer.hear().await;
        peer.reply(request.id, Refusal::new(Code::RuntimeStartFailed, "no such program").into()).await;
    };
    let (answer, ()) = tokio::join!(link.call(Call::List), script);
    assert!(matches!(answer, Err(LinkError::Refused(refusal)) if refusal.code == Code::RuntimeStartFailed));
}

#[tokio::test]
async fn exits_are_told_in_order_even_while_a_call_is_open() {
    let (link, mut notices, mut peer, _folder) = pair().await;
    let script = async {
        let request = peer.hear().await;
        peer.say(Message::Exited(exited("a"))).await;
        peer.say(Message::Exited(exited("b"))).await;
        peer.reply(request.id, listing()).await;
    };
    let (answer, ()) = tokio::join!(link.call(Call::List), script);
    assert_eq!(answer.unwrap(), listing());
    assert_eq!(notices.recv().await, Some(Notice::Exited(exited("a"))));
    assert_eq!(notices.recv().await, Some(Notice::Exited(exited("b"))));
}

#[tokio::test]
async fn when_the_connection_ends_open_calls_fail_and_notices_end() {
    let (link, mut notices, mut peer, _folder) = pair().await;
    let script = async {
        peer.hear().await;
        drop(peer);
    };
    let (answer, ()) = tokio::join!(link.call(Call::List), script);
    assert!(matches!(answer, Err(LinkError::Lost)));
    assert_eq!(notices.recv().await, None);
    assert!(matches!(link.call(Call::List).await, Err(LinkError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_hangs_is_given_up() {
    let (link, _notices, _peer, _folder) = pair().await;
    assert!(matches!(link.call(Call::List).await, Err(LinkError::TimedOut)));
}

#[tokio::test]
async fn more_notices_than_may_wait_end_the_connection() {
    let (link, mut notices, mut peer, _folder) = pair().await;
    for _ in 0..=MOST_NOTICES {
        if peer.writer.send(&Message::Exited(exited("a"))).await.is_err() {
            break;
        }
    }
    // Nobody reads the notices until the connection has been given up.
    assert!(matches!(link.call(Call::List).await, Err(LinkError::Lost)));
    let mut told = 0;
    while notices.recv().await.is_some() {
        told += 1;
    }
    assert_eq!(told, MOST_NOTICES);
}
