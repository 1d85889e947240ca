//! What a handover's messages look like: a byte for the kind, four for the length (little-endian), then the content.
//! Sockets travel beside the bytes (`SCM_RIGHTS`), some with each frame of their kind.

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tenon_core::handover::Message;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// The version of the protocol, sent with the first message.
const VERSION: u8 = 1;
/// How many sockets go with one frame; Linux allows 253.
const AT_ONCE: usize = 64;
/// The most sockets, and the most bytes of a frame, that are taken.
const MOST_SOCKETS: usize = 65_536;
const MOST_BYTES: usize = 1 << 30;
const HEAD: usize = 5;

const ASK: u8 = 1;
const OFFER: u8 = 2;
const ACCEPTING: u8 = 3;
const RELEASED: u8 = 4;
const ABANDONED: u8 = 5;
const SOCKETS: u8 = 6;

/// One side of a handover's connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    read: Vec<u8>,
    sockets: Vec<OwnedFd>,
}

/// What the other side sent.
#[derive(Debug)]
pub(super) enum Frame {
    Said(Message),
    Offer(Offer),
}

/// What comes with [`Message::Offer`].
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) snapshot: Vec<u8>,
    pub(super) sockets: Vec<OwnedFd>,
    /// Whether the last socket is the admin address's.
    pub(super) admin: bool,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, read: Vec::new(), sockets: Vec::new() }
    }

    /// Says what needs nothing with it.
    pub(super) async fn say(&mut self, message: Message) -> io::Result<()> {
        let (kind, content): (u8, &[u8]) = match message {
            Message::Ask => (ASK, &[VERSION]),
            Message::Offer => return Err(io::ErrorKind::InvalidInput.into()),
            Message::Accepting => (ACCEPTING, &[]),
            Message::Released => (RELEASED, &[]),
            Message::Abandoned => (ABANDONED, &[]),
        };
        self.stream.write_all(&frame(kind, content)?).await
    }

    /// Makes the offer: how many sockets come, whether the admin's is among them, the snapshot; then the sockets.
    pub(super) async fn offer(
        &mut self,
        snapshot: &[u8],
        listeners: &[TcpListener],
        admin: Option<&TcpListener>,
    ) -> io::Result<()> {
        let all: Vec<BorrowedFd<'_>> = listeners.iter().chain(admin).map(AsFd::as_fd).collect();
        let count = u32::try_from(all.len()).map_err(io::Error::other)?;
        let mut content = Vec::with_capacity(HEAD + snapshot.len());
        content.extend(count.to_le_bytes());
        content.push(u8::from(admin.is_some()));
        content.extend(snapshot);
        self.stream.write_all(&frame(OFFER, &content)?).await?;
        for some in all.chunks(AT_ONCE) {
            self.send_sockets(some).await?;
        }
        Ok(())
    }

    async fn send_sockets(&self, some: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = frame(SOCKETS, &[])?;
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !beside.push(SendAncillaryMessage::ScmRights(some)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(sendmsg(&self.stream, &[IoSlice::new(&bytes)], &mut beside, flags)?)
        });
        // The sockets go with the first byte; a few bytes are sent whole or not at all.
        if sent.await? == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message; `None` if the other side has hung up. Cancel safe.
    ///
    /// # Errors
    /// What is no message of this protocol, or what broke the connection.
    pub(super) async fn hear(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((frame, length)) = self.parse()? {
                self.read.drain(..length);
                return Ok(Some(frame));
            }
            if self.read_more().await? == 0 {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// The message that has been read as a whole, and its length.
    fn parse(&mut self) -> io::Result<Option<(Frame, usize)>> {
        let Some((kind, content)) = split(&self.read)? else { return Ok(None) };
        let length = HEAD + content.len();
        let said = |message| Ok(Some((Frame::Said(message), length)));
        match (kind, content) {
            (ASK, [VERSION]) => said(Message::Ask),
            (ACCEPTING, []) => said(Message::Accepting),
            (RELEASED, []) => said(Message::Released),
            (ABANDONED, []) => said(Message::Abandoned),
            (OFFER, content) => {
                let content = content.to_vec();
                self.parse_offer(&content, length)
            }
            _ => Err(nonsense()),
        }
    }

    /// The offer is whole once the frames of its sockets have come too.
    fn parse_offer(&mut self, content: &[u8], mut length: usize) -> io::Result<Option<(Frame, usize)>> {
        let (count, rest) = content.split_first_chunk::<4>().ok_or_else(nonsense)?;
        let (admin, snapshot) = rest.split_first().ok_or_else(nonsense)?;
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(io::Error::other)?;
        for _ in 0..count.div_ceil(AT_ONCE) {
            match split(self.read.get(length..).unwrap_or_default())? {
                None => return Ok(None),
                Some((SOCKETS, [])) => length += HEAD,
                Some(_) => return Err(nonsense()),
            }
        }
        let sockets = std::mem::take(&mut self.sockets);
        if sockets.len() != count {
            // The kernel had no room for them: too many open files.
            return Err(io::Error::other("some sockets did not arrive"));
        }
        let offer = Offer { snapshot: snapshot.to_vec(), sockets, admin: *admin == 1 };
        Ok(Some((Frame::Offer(offer), length)))
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        let Self { stream, read, sockets } = self;
        let reading = stream.async_io(Interest::READABLE, || {
            let mut bytes = [0; 16 * 1024];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let received = recvmsg(&*stream, &mut [IoSliceMut::new(&mut bytes)], &mut beside, flags)?;
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(some) = message {
                    sockets.extend(some);
                }
            }
            read.extend(bytes.get(..received.bytes).unwrap_or_default());
            Ok(received.bytes)
        });
        let count = reading.await?;
        if sockets.len() > MOST_SOCKETS || read.len() > MOST_BYTES { Err(nonsense()) } else { Ok(count) }
    }
}

fn frame(kind: u8, content: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(HEAD + content.len());
    frame.push(kind);
    frame.extend(length.to_le_bytes());
    frame.extend(content);
    Ok(frame)
}

/// The first frame's kind and content, if it is there as a whole.
fn split(bytes: &[u8]) -> io::Result<Option<(u8, &[u8])>> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(io::Error::other)?;
    if length > MOST_BYTES {
        return Err(nonsense());
    }
    Ok(rest.get(..length).map(|content| (*kind, content)))
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no handover's message")
}

#[cfg(test)]
mod tests;
