//! The spans of sagas, sent to an OpenTelemetry collector where the manifest names one: those of each saga that is kept when it has
//! ended at this server, in OTLP over HTTP with JSON. A collector that does not take them loses them; no saga waits for it.

use std::sync::Arc;
use std::time::Duration;
use tenon_api::otlp::TracesData;
use tenon_control::Subscriptions;
use tenon_core::{Refusal, SagaId};
use tenon_flow::Sagas;
use tokio_util::sync::CancellationToken;

/// How many sagas go in one request.
const BATCH: usize = 100;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a collector that failed is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Unread(#[from] Refusal),
    #[error("the collector does not take them: {0}")]
    Refused(#[from] reqwest::Error),
}

/// Sends spans as the applied manifest says, until `stop`.
pub(crate) async fn export(sagas: Sagas, mut manifest: Subscriptions, stop: CancellationToken) {
    let exporting = async {
        loop {
            let collector = manifest.collector();
            let sending = async {
                match &collector {
                    Some(collector) => send_all(&sagas, collector).await,
                    None => std::future::pending().await,
                }
            };
            let changed = async {
                while manifest.changed().await {
                    if manifest.collector() != collector {
                        return true;
                    }
                }
                false
            };
            let goes_on = tokio::select! {
                () = sending => true,
                changed = changed => changed,
            };
            if !goes_on {
                return;
            }
        }
    };
    stop.run_until_cancelled(exporting).await;
}

async fn send_all(sagas: &Sagas, collector: &Arc<str>) {
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build() else {
        return tracing::error!("no spans of sagas are sent: there is no HTTP client");
    };
    let mut endings = sagas.endings();
    while let Some(ended) = endings.next().await {
        for batch in ended.chunks(BATCH) {
            if let Err(error) = send(&client, collector, sagas, batch).await {
                tracing::warn!(%collector, %error, sagas = batch.len(), "spans of sagas are lost");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // The log could not be read.
    tokio::time::sleep(PAUSE).await;
}

async fn send(
    client: &reqwest::Client,
    collector: &str,
    sagas: &Sagas,
    batch: &[SagaId],
) -> Result<(), Lost> {
    let mut all = TracesData::default();
    for id in batch {
        all.resource_spans.extend(sagas.spans_to_export(*id).await?.resource_spans);
    }
    if all.resource_spans.is_empty() {
        return Ok(());
    }
    let url = format!("{}/v1/traces", collector.trim_end_matches('/'));
    client.post(url).json(&all).send().await?.error_for_status()?;
    Ok(())
}
