//! What the bus needs of the rest: the subscriptions of the manifest, and the way to services, which sagas go over gRPC as well.

use crate::failure::chain;
use crate::sidecar::Sidecar;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use tenon_api::headers::ERROR;
use tenon_control::{OwnSidecar, Subscriptions};
use tenon_core::group::{Definition, GroupName};
use tenon_core::push::{Answer, Outcome, Status};
use tenon_core::retry::{Advice, after};
use tenon_core::{Actor, Code, Position, Refusal, SubscriptionName, Timestamp};
use tenon_flow::Bus;
use tenon_flow::bus::push::{Call, Services, changes_of};
use tenon_flow::saga::participants::{GrpcAnswer, HttpCall, Unanswered};
use tenon_store::log::BoxFuture;
use tokio_util::sync::CancellationToken;

/// How long to wait before the sidecar is tried again, and a change that failed.
const AGAIN: Duration = Duration::from_millis(200);

/// Keeps the subscriptions as the applied manifest has them, while this server drives them, until `stop`.
pub(crate) async fn follow_manifest(bus: Bus, mut manifest: Subscriptions, stop: CancellationToken) {
    let following = async {
        let mut on_duty = bus.on_duty();
        let mut applied = None;
        loop {
            let drives = *on_duty.borrow_and_update();
            let declared = manifest.declared().filter(|_| drives);
            if declared != applied {
                if let Some((applied_at, definitions)) = &declared
                    && let Err(refusal) = apply(&bus, *applied_at, definitions).await
                {
                    tracing::warn!(%refusal, "the manifest's subscriptions cannot be made as it has them");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                applied = declared;
            }
            let goes_on = tokio::select! {
                changed = manifest.changed() => changed,
                () = changes_of(&mut on_duty) => true,
            };
            if !goes_on {
                return;
            }
        }
    };
    stop.run_until_cancelled(following).await;
}

/// Makes and changes what is declared, and deletes what is no longer.
async fn apply(
    bus: &Bus,
    applied_at: Position,
    declared: &BTreeMap<SubscriptionName, Definition>,
) -> Result<(), Refusal> {
    let actor = Actor::new("manifest").ok();
    let names: BTreeSet<GroupName> = declared.values().map(Definition::group).collect();
    for definition in declared.values() {
        let defined = bus.declare(definition.clone(), applied_at, actor.clone()).await?;
        if defined.changed {
            tracing::info!(subscription = %definition.group(), "a subscription is as the manifest has it");
        }
    }
    for subscription in bus.list(None).into_iter().filter(|it| it.definition.declared) {
        let name = subscription.definition.group();
        if !names.contains(&name) {
            tracing::info!(subscription = %name, "a subscription is no longer in the manifest, and is deleted");
            bus.delete(&name, actor.clone()).await?;
        }
    }
    Ok(())
}

/// Services, by way of the server's own sidecar: with balancing, breakers, retries and policies.
pub(crate) struct Mesh {
    http: reqwest::Client,
    grpc: reqwest::Client,
    sidecar: Sidecar,
}

impl Mesh {
    pub(crate) fn new(sidecar: &OwnSidecar) -> reqwest::Result<Self> {
        let client = || -> reqwest::Result<reqwest::ClientBuilder> {
            let proxy = reqwest::Proxy::http(format!("http://{}", sidecar.outbound))?;
            let proxy = proxy.basic_auth(sidecar.instance.as_str(), &sidecar.secret);
            Ok(reqwest::Client::builder().proxy(proxy).redirect(reqwest::redirect::Policy::none()))
        };
        // A sidecar takes HTTP/2 at once, as gRPC has it.
        let (http, grpc) = (client()?.build()?, client()?.http2_prior_knowledge().build()?);
        Ok(Self { http, grpc, sidecar: Sidecar::new(sidecar) })
    }

    /// What calls of sagas go through.
    pub(crate) fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    async fn post(&self, call: Call) -> Outcome {
        let url = format!("http://{}{}", call.service, call.path);
        let client = if call.grpc { &self.grpc } else { &self.http };
        match sent(client, &url, &call.headers, &call.body, call.within).await {
            Ok(response) if call.grpc => grpc_outcome(response).await,
            Ok(response) => {
                let status = Status::Http(response.status().as_u16());
                Outcome::Answered(answer(status, response.headers()))
            }
            Err(error) if error.is_connect() => Outcome::NotSent,
            Err(error) => {
                tracing::debug!(%error, "an event was sent, and no answer came");
                Outcome::NoAnswer
            }
        }
    }

    /// Makes a gRPC call of one message, and reads at most so many bytes of what is answered, and the trailers behind it.
    pub(crate) async fn call_grpc(&self, call: HttpCall, most: usize) -> Result<GrpcAnswer, Unanswered> {
        let HttpCall { service, target, headers, body, within, .. } = call;
        let url = format!("http://{service}{target}");
        let calling = async {
            let response = sent(&self.grpc, &url, &headers, &body, within).await.map_err(|error| {
                let told = chain(&error);
                if error.is_connect() { Unanswered::Unsent(told) } else { Unanswered::Lost(told) }
            })?;
            Ok(grpc_answer(response, most).await)
        };
        let late = |_| Unanswered::Lost(format!("not within {} ms", within.as_millis()));
        tokio::time::timeout(within, calling).await.map_err(late)?
    }
}

impl Services for Mesh {
    fn post(&self, call: Call) -> BoxFuture<'_, Outcome> {
        Box::pin(self.post(call))
    }
}

/// The most bytes of an answer over gRPC, which nobody looks at.
const MOST_ANSWERED: usize = 1 << 20;

/// Posts; if nobody listens yet, it waits for that as long as the call may take.
async fn sent(
    client: &reqwest::Client,
    url: &str,
    headers: &HeaderMap,
    body: &Bytes,
    within: Duration,
) -> reqwest::Result<reqwest::Response> {
    let ends = tokio::time::Instant::now() + within;
    loop {
        let request = client.post(url).headers(headers.clone()).body(body.clone());
        match request.timeout(within).send().await {
            // No data plane is there, or none has been told yet.
            Err(error) if error.is_connect() && tokio::time::Instant::now() + AGAIN < ends => {
                tokio::time::sleep(AGAIN).await;
            }
            sent => return sent,
        }
    }
}

/// What is answered over gRPC, with at most so many bytes of the body, and the trailers behind it.
pub(crate) async fn grpc_answer(response: reqwest::Response, most: usize) -> GrpcAnswer {
    let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    let Read { body, trailers } = read(body, most).await;
    GrpcAnswer { status: head.status.as_u16(), headers: head.headers, body, trailers }
}

/// What was read of a body.
struct Read {
    body: Bytes,
    /// If it was read to its end, and there were any.
    trailers: Option<HeaderMap>,
}

async fn read(mut body: reqwest::Body, most: usize) -> Read {
    let mut whole = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        match frame.into_data() {
            Ok(data) => {
                let room = most - whole.len();
                whole.extend_from_slice(data.get(..room).unwrap_or(&data));
                if whole.len() >= most {
                    break;
                }
            }
            Err(frame) => {
                return Read { body: whole.freeze(), trailers: frame.into_trailers().ok() };
            }
        }
    }
    Read { body: whole.freeze(), trailers: None }
}

/// The status of a gRPC call is in the trailers, or in the head if there is nothing else.
async fn grpc_outcome(response: reqwest::Response) -> Outcome {
    let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    if let Some(status) = grpc_status(&head.headers) {
        return Outcome::Answered(answer(status, &head.headers));
    }
    let Read { trailers, .. } = read(body, MOST_ANSWERED).await;
    if let Some((status, trailers)) = trailers.as_ref().and_then(|it| Some((grpc_status(it)?, it))) {
        return Outcome::Answered(answer(status, trailers));
    }
    if head.status.is_success() {
        return Outcome::NoAnswer;
    }
    // Not from a gRPC server at all.
    Outcome::Answered(answer(Status::Http(head.status.as_u16()), &head.headers))
}

fn grpc_status(headers: &HeaderMap) -> Option<Status> {
    text(headers, "grpc-status")?.parse().ok().map(Status::Grpc)
}

fn answer(status: Status, headers: &HeaderMap) -> Answer {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let advice =
        text(headers, "retry-after").map(|text| after::retry_after(text, Timestamp::ZERO.after(now)));
    // A negative one asks not to be called again, which is no time.
    let pushback = text(headers, "grpc-retry-pushback-ms").and_then(|text| text.parse().ok());
    let retry_after = match advice {
        Some(Advice::After(wait)) => Some(wait),
        _ => pushback.map(Duration::from_millis),
    };
    let refused = text(headers, ERROR).and_then(Code::parse);
    if let Some(code) = refused {
        tracing::debug!(%code, "an event did not come to its service");
    }
    Answer { status, retry_after, refused }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
