//! What sagas need of the rest: those of the manifest, and the way to services: the server's own sidecar, as soon as there is one.

pub(crate) mod spans;

use crate::bus::Mesh;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::http::{ChangedSaga, FormerVersion};
use tenon_api::saga::version_of;
use tenon_control::{Concerned, SagaChange, Subscriptions};
use tenon_core::saga::{Definition, SagaName};
use tenon_core::{Actor, Code, Refusal, SagaId};
use tenon_flow::Sagas;
use tenon_flow::saga::Former;
use tenon_flow::saga::participants::{GrpcAnswer, HttpAnswer, HttpCall, Unanswered, Web};
use tenon_store::log::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long to wait before a change that failed is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Services, by way of a sidecar that is yet to come.
pub(crate) struct Reached {
    mesh: watch::Receiver<Option<Arc<Mesh>>>,
}

impl Reached {
    /// Nobody yet; the other half says when there is a sidecar.
    pub(crate) fn soon() -> (watch::Sender<Option<Arc<Mesh>>>, Self) {
        let (found, mesh) = watch::channel(None);
        (found, Self { mesh })
    }

    async fn mesh(&self, within: Duration) -> Result<Arc<Mesh>, Unanswered> {
        let mut mesh = self.mesh.clone();
        let found = tokio::time::timeout(within, mesh.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|mesh| mesh.clone());
        found.ok_or_else(|| Unanswered::Unsent("there is no data plane yet".to_owned()))
    }
}

impl Web for Reached {
    fn call(&self, call: HttpCall, most: usize) -> BoxFuture<'_, Result<HttpAnswer, Unanswered>> {
        Box::pin(async move { self.mesh(call.within).await?.sidecar().call(call, most).await })
    }

    fn call_grpc(&self, call: HttpCall, most: usize) -> BoxFuture<'_, Result<GrpcAnswer, Unanswered>> {
        Box::pin(async move { self.mesh(call.within).await?.call_grpc(call, most).await })
    }
}

/// Keeps the sagas as the applied manifest has them, until `stop`.
pub(crate) async fn follow_manifest(sagas: Sagas, mut manifest: Subscriptions, stop: CancellationToken) {
    let following = async {
        let mut applied = None;
        loop {
            let declared = manifest.declared_sagas();
            sagas.sample(manifest.sampling());
            if declared != applied {
                if let Some(declared) = &declared
                    && let Err(refusal) = apply(&sagas, declared).await
                {
                    tracing::warn!(%refusal, "the manifest's sagas cannot be made as it has them");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                applied = declared;
            }
            if !manifest.changed().await {
                return;
            }
        }
    };
    stop.run_until_cancelled(following).await;
}

/// The most sagas of a version that are named.
const NAMED: usize = 5;

/// Says which sagas run that a manifest concerns.
pub(crate) fn concerned(sagas: &Sagas) -> Concerned {
    let sagas = sagas.clone();
    Arc::new(move |changes| {
        let sagas = sagas.clone();
        Box::pin(async move {
            let mut changed = Vec::new();
            for SagaChange { before, after } in changes {
                let Some(of) = after.as_ref().or(before.as_ref()) else { continue };
                let version = after.as_ref().map(version_of);
                let (former, more) = sagas.former(&of.namespace, &of.name, version).await?;
                let version = version.map(|version| version.to_string());
                changed.push(ChangedSaga {
                    name: of.name.clone(),
                    version,
                    former: by_version(&former),
                    more,
                });
            }
            Ok(changed)
        })
    })
}

fn by_version(sagas: &[Former]) -> Vec<FormerVersion> {
    let mut versions = BTreeMap::<String, Vec<SagaId>>::new();
    for saga in sagas {
        versions.entry(saga.version.to_string()).or_default().push(saga.id);
    }
    let of = |(version, ids): (String, Vec<SagaId>)| {
        let running = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        FormerVersion { version, running, last: ids.into_iter().take(NAMED).collect() }
    };
    versions.into_iter().map(of).collect()
}

/// Makes and changes what is declared, and retires what is no longer. One that cannot be run does not keep the others from it.
async fn apply(sagas: &Sagas, declared: &BTreeMap<SagaName, Definition>) -> Result<(), Refusal> {
    let actor = Actor::new("manifest").ok();
    for definition in declared.values() {
        match sagas.define(definition.clone(), true, actor.clone()).await {
            Ok(defined) if defined.changed => {
                let (version, former) = (defined.version, defined.former.len());
                tracing::info!(saga = %definition.name, %version, former, "a saga is as the manifest has it; \
                    those that run on former versions stay with them");
            }
            Ok(_) => {}
            Err(refusal) if refusal.code == Code::SagaInvalid => {
                tracing::warn!(%refusal, saga = %definition.name, "a saga of the manifest cannot be run");
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let is_wanted =
        |it: &Definition| declared.get(&it.name).is_some_and(|wanted| wanted.namespace == it.namespace);
    for defined in sagas.definitions().into_iter().filter(|it| it.declared && !is_wanted(&it.definition)) {
        let Definition { namespace, name, .. } = &defined.definition;
        tracing::info!(saga = %name, "a saga is no longer in the manifest; no more of it begin");
        match sagas.retire(namespace, name, actor.clone()).await {
            Err(refusal) if refusal.code != Code::SagaUnknown => return Err(refusal),
            _ => {}
        }
    }
    Ok(())
}
