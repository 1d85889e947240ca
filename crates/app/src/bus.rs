//! What the bus needs of the rest: the subscriptions of the manifest, and the way to services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use tenon_api::headers;
use tenon_control::{OwnSidecar, Subscriptions};
use tenon_core::group::{Definition, GroupName};
use tenon_core::retry::{Advice, after};
use tenon_core::{Actor, Refusal, Timestamp};
use tenon_flow::Bus;
use tenon_flow::bus::push::{Answer, Call, Services, Unreached, changes_of};
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
                let definitions = declared.iter().flat_map(BTreeMap::values).cloned().collect();
                if drives && let Err(refusal) = apply(&bus, definitions).await {
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
async fn apply(bus: &Bus, declared: Vec<Definition>) -> Result<(), Refusal> {
    let actor = Actor::new("manifest").ok();
    let names: BTreeSet<GroupName> = declared.iter().map(Definition::group).collect();
    for definition in declared {
        let defined = bus.define(definition.clone(), actor.clone()).await?;
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
    client: reqwest::Client,
}

impl Mesh {
    pub(crate) fn new(sidecar: &OwnSidecar) -> reqwest::Result<Self> {
        let proxy = reqwest::Proxy::http(format!("http://{}", sidecar.outbound))?;
        let proxy = proxy.basic_auth(sidecar.instance.as_str(), &sidecar.secret);
        let client = reqwest::Client::builder().proxy(proxy).redirect(reqwest::redirect::Policy::none());
        Ok(Self { client: client.build()? })
    }

    async fn post(&self, call: Call) -> Result<Answer, Unreached> {
        let url = format!("http://{}{}", call.service, call.path);
        let ends = tokio::time::Instant::now() + call.within;
        loop {
            let request = self.client.post(&url).headers(call.headers.clone()).body(call.body.clone());
            match request.timeout(call.within).send().await {
                Ok(response) => return Ok(answer(&response)),
                // No data plane is there, or none has been told yet.
                Err(error) if error.is_connect() && tokio::time::Instant::now() + AGAIN < ends => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(Unreached(error.to_string())),
            }
        }
    }
}

impl Services for Mesh {
    fn post(&self, call: Call) -> BoxFuture<'_, Result<Answer, Unreached>> {
        Box::pin(self.post(call))
    }
}

fn answer(response: &reqwest::Response) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let advice = header("retry-after").map(|text| after::retry_after(text, Timestamp::ZERO.after(now)));
    let retry_after = match advice {
        Some(Advice::After(wait)) => Some(wait),
        _ => None,
    };
    if let Some(code) = header(headers::ERROR) {
        tracing::debug!(code, "an event did not come to its service");
    }
    Answer { status: response.status().as_u16(), retry_after }
}
