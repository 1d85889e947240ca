//! Gets certificates for the workloads that live here, and new ones in time. The private key is made here for each, and
//! never leaves: the server is shown that we have it.
//!
//! What came is used at once and kept on disk beside that: a disk that stands still for seconds delays no renewal.

use super::identities::Identity;
use super::keep;
use crate::plane::Plane;
use crate::pool::chain;
use crate::subscribe::{self, Ended, Server};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_api::identity::{Holder, IdentityServiceClient, Issue, Issued};
use tenon_api::proto::identity::v1;
use tenon_core::Timestamp;
use tenon_core::identity::Workload;
use tenon_core::identity::renewal::{Input, Next, Renewal};
use tokio::sync::Notify;

/// How often the workloads are looked at, should nothing else happen.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// Certificates that are not on disk yet.
#[derive(Default)]
struct Unsaved {
    latest: Mutex<BTreeMap<Workload, Identity>>,
    more: Notify,
}

/// The time that certificates are compared with.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::ZERO.after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Keeps the plane's certificates fresh, and those on disk. Does not end.
pub(crate) async fn follow(plane: &Plane, server: &Server) {
    let unsaved = Unsaved::default();
    tokio::join!(renew_in_time(plane, server, &unsaved), unsaved.save(plane.identities_folder()));
}

async fn renew_in_time(plane: &Plane, server: &Server, unsaved: &Unsaved) {
    let mut renewals: BTreeMap<Workload, Renewal> = BTreeMap::new();
    // Those that were read from disk are renewed in time, as if they had just been given out.
    for (workload, until) in plane.identities().ends() {
        let input = Input::Issued { until, random: fastrand::u64(..) };
        renewals.insert(workload, Renewal::new(wall_clock()).step(input, wall_clock()));
    }
    loop {
        // Before looking, so that no change is missed.
        let changed = plane.changed();
        let holders = holders(plane);
        renewals.retain(|workload, _| holders.contains_key(workload));
        if plane.knows_its_workloads() {
            plane.identities().keep_only(|workload| holders.contains_key(workload));
        }
        let mut sleep = LONGEST_SLEEP;
        for (workload, holder) in &holders {
            let renewal = renewals.entry(workload.clone()).or_insert_with(|| Renewal::new(wall_clock()));
            if renewal.next(wall_clock()) == Next::Ask {
                let input = renew(plane, server, workload, holder, unsaved).await;
                *renewal = renewal.step(input, wall_clock());
            }
            if let Next::Wait(at) = renewal.next(wall_clock()) {
                sleep = sleep.min(at.since(wall_clock()));
            }
        }
        let _ = tokio::time::timeout(sleep, changed).await;
    }
}

/// The workloads that live here, each with somebody for whom its certificate can be asked.
fn holders(plane: &Plane) -> BTreeMap<Workload, Holder> {
    let told = plane.parts();
    let sidecars = told.sidecars.iter().flat_map(|part| &part.sidecars);
    let services = sidecars
        .map(|(id, sidecar)| (Workload::Service(sidecar.service.clone()), Holder::Instance(id.clone())));
    let gateway = told.routes.as_ref().and_then(|routes| routes.gateway.as_ref());
    let gateway = gateway.map(|_| (Workload::Gateway, Holder::Gateway));
    services.chain(gateway).collect()
}

async fn renew(
    plane: &Plane,
    server: &Server,
    workload: &Workload,
    holder: &Holder,
    unsaved: &Unsaved,
) -> Input {
    let random = fastrand::u64(..);
    match ask(plane, server, holder).await {
        Ok(identity) => {
            let until = identity.until;
            tracing::debug!(%workload, %until, "has a new certificate");
            unsaved.add(identity);
            Input::Issued { until, random }
        }
        Err(error) => {
            tracing::debug!(%workload, error = chain(&error), "got no certificate");
            Input::Failed { random }
        }
    }
}

/// Asks for a certificate, and uses it.
async fn ask(plane: &Plane, server: &Server, holder: &Holder) -> Result<Identity, Ended> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let signing_request = params.serialize_request(&key)?.der().to_vec();
    let issue = Issue { holder: holder.clone(), signing_request };
    let mut client = IdentityServiceClient::new(subscribe::channel(server).await?);
    let mut request = tonic::Request::new(v1::IssueRequest::from(&issue));
    request.metadata_mut().insert("authorization", subscribe::token(server)?);
    let Issued { certificates, roots, id, until } =
        Issued::try_from(client.issue(request).await?.into_inner())?;
    let identity = Identity { id, certificates, key: key.serialize_der(), roots, until };
    plane.apply_identity(&identity)?;
    Ok(identity)
}

impl Unsaved {
    fn add(&self, identity: Identity) {
        self.lock().insert(identity.id.workload.clone(), identity);
        self.more.notify_one();
    }

    /// Saves what comes, the latest of each workload. Does not end.
    async fn save(&self, folder: Option<&Path>) {
        loop {
            self.more.notified().await;
            let identities = std::mem::take(&mut *self.lock());
            let Some(folder) = folder.map(Path::to_owned) else { continue };
            let saving = move || identities.values().for_each(|identity| keep::save(&folder, identity));
            if tokio::task::spawn_blocking(saving).await.is_err() {
                tracing::error!("certificates could not be kept: the thread that does so panicked");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Workload, Identity>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
