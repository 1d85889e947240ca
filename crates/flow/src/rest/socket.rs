//! Pulling over WebSocket: a member of a group for as long as the connection is there.
//!
//! By the WebSocket binding of CloudEvents: each message of the server is one event in the JSON format, with the extension
//! attributes `tenonticket`, what it is settled with, and `tenonattempt`, how often it was given. The caller answers with
//! [`PullMessage`]s.
//!
//! Bounded: a message of the caller's ([`MOST_BYTES`]), how long nothing may be heard of it ([`SILENCE`]; it is asked every
//! [`PING_EVERY`]), and how much it is given and does not take (its group).
//!
//! A server that ends the connection says why in the close frame: its code, and a reason that begins with the error's code.

use super::reply::{Failure, Reply, invalid};
use super::subscriptions::{parse_ticket, ticket_text};
use crate::bus::{Delivery, Member, Settled, Settler};
use crate::topics::event::{ATTEMPT, TICKET, told};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, header};
use std::time::Duration;
use tenon_api::cloudevents::{Attribute, WEBSOCKET_JSON};
use tenon_api::http::PullMessage;
use tenon_core::{Code, Refusal};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// The most bytes of a message of the caller's: more than the tickets of all that it may hold.
const MOST_BYTES: usize = 128 << 10;

/// How often the caller is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long nothing may be heard of the caller.
const SILENCE: Duration = Duration::from_secs(60);

/// How long the caller may take to agree that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// The most bytes of the reason in a close frame.
const REASON: usize = 123;

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// The handshake, once it is known to be right.
pub(super) struct Handshake(WebSocketUpgrade);

impl Handshake {
    /// Checks what the caller offers.
    pub(super) fn check(
        upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    ) -> Result<Self, Failure> {
        let upgrade = upgrade.map_err(|rejection| invalid(rejection.body_text()))?;
        let upgrade = upgrade.protocols([WEBSOCKET_JSON]);
        if upgrade.selected_protocol().is_none() {
            let detail =
                format!("sec-websocket-protocol: `{WEBSOCKET_JSON}` is what is spoken here; offer it");
            return Err(invalid(detail).into());
        }
        Ok(Self(upgrade))
    }

    /// Gives to a member until either side ends that.
    pub(super) fn open(
        self,
        member: Member,
        most: u32,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) -> Reply {
        // What is larger by far is not even read.
        let upgrade = self.0.max_message_size(2 * MOST_BYTES).max_frame_size(2 * MOST_BYTES);
        Ok(upgrade.on_upgrade(async move |socket| {
            serve(socket, member, most, &stop).await;
            drop(permit);
        }))
    }
}

async fn serve(socket: WebSocket, mut member: Member, most: u32, stop: &CancellationToken) {
    let settler = member.settler();
    let epoch = member.epoch();
    let (mut outgoing, mut incoming) = socket.split();
    let end = tokio::select! {
        end = give(&mut outgoing, &mut member) => end,
        end = take(&mut incoming, &settler, epoch, most) => end,
        () = stop.cancelled() => End::told(close_code::AWAY, Code::ServerUnavailable, "the server is ending"),
    };
    // What it holds is given to others before it is told.
    drop(member);
    let End::Told(frame) = end else { return };
    let farewell = async {
        if outgoing.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = incoming.next().await {}
        }
    };
    // Whoever does not answer is cut off.
    _ = timeout(FAREWELL, farewell).await;
}

/// How a connection ends.
enum End {
    /// The caller has left.
    Left,
    /// It is told why.
    Told(CloseFrame),
}

impl End {
    fn told(close: u16, code: Code, detail: &str) -> Self {
        let mut reason = format!("{code}: {detail}");
        while reason.len() > REASON {
            reason.pop();
        }
        Self::Told(CloseFrame { code: close, reason: reason.into() })
    }

    /// Because of what the caller sent.
    fn refused(close: u16, detail: &str) -> Self {
        Self::told(close, Code::RequestInvalid, detail)
    }
}

/// Sends what the member is given.
async fn give(outgoing: &mut SplitSink<WebSocket, Message>, member: &mut Member) -> End {
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let given = tokio::select! {
            given = member.next() => given,
            _ = pings.tick() => {
                if outgoing.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return End::Left;
                }
                continue;
            }
        };
        let Some(given) = given else {
            let detail = "it was changed or deleted, or you did not take what you were given; connect again";
            return End::told(close_code::RESTART, Code::SubscriptionEnded, detail);
        };
        for delivery in given {
            if outgoing.feed(message(member, delivery)).await.is_err() {
                return End::Left;
            }
        }
        if outgoing.flush().await.is_err() {
            return End::Left;
        }
    }
}

fn message(member: &Member, delivery: Delivery) -> Message {
    let Delivery { event, ticket, attempt } = delivery;
    let mut event = told(event);
    event.extensions.insert(TICKET.to_owned(), Attribute::Text(ticket_text(member, ticket)));
    let attempt = Attribute::Integer(i32::try_from(attempt).unwrap_or(i32::MAX));
    event.extensions.insert(ATTEMPT.to_owned(), attempt);
    Message::text(event.to_json().to_string())
}

/// Hands in what the caller answers, until it is silent for too long, leaves, or says what makes no sense.
async fn take(incoming: &mut SplitStream<WebSocket>, settler: &Settler, epoch: u64, most: u32) -> End {
    loop {
        let message = match timeout(SILENCE, incoming.next()).await {
            Err(_) => {
                let detail = format!("nothing was heard of you for {} s", SILENCE.as_secs());
                return End::told(close_code::POLICY, Code::ServerTimeout, &detail);
            }
            Ok(None | Some(Ok(Message::Close(_)))) => return End::Left,
            Ok(Some(Err(error))) => return End::refused(close_code::PROTOCOL, &error.to_string()),
            Ok(Some(Ok(message))) => message,
        };
        let text = match message {
            Message::Text(text) if text.len() > MOST_BYTES => {
                return End::refused(close_code::SIZE, &format!("a message has at most {MOST_BYTES} bytes"));
            }
            Message::Text(text) => text,
            Message::Binary(_) => return End::refused(close_code::UNSUPPORTED, "messages are texts"),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => continue,
        };
        match read(&text, epoch) {
            Ok((settled, wanted)) => {
                if settled != Settled::default() {
                    settler.settle(settled).await;
                }
                if let Some(wanted) = wanted {
                    settler.resize(wanted.min(most)).await;
                }
            }
            Err(refusal) => return End::refused(close_code::INVALID, &refusal.detail),
        }
    }
}

/// What a message settles, and how many events the caller wants from now on. Tickets of an earlier driver of the group are
/// worth nothing.
fn read(text: &str, epoch: u64) -> Result<(Settled, Option<u32>), Refusal> {
    let message: PullMessage = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let mut settled = Settled::default();
    for text in message.acks {
        let (of, ticket) = parse_ticket(&text)?;
        if of == epoch {
            settled.acks.push(ticket);
        }
    }
    for refused in message.nacks {
        let (of, ticket) = parse_ticket(&refused.ticket)?;
        if of == epoch {
            settled.nacks.push((ticket, refused.delay_ms.map(Duration::from_millis)));
        }
    }
    Ok((settled, message.most))
}

#[cfg(test)]
mod tests;
