//! Answers data planes that ask for certificates: only for a workload that there is, and that has a sidecar.
//!
//! Who may call at all stands in `rest::guard`: administrators, which data planes are.

use crate::ca::{Ca, CaError};
use crate::clock::Clock;
use crate::writer::Handle;
use tenon_api::identity::{Holder, IdentityService, Issue, Issued};
use tenon_api::proto::identity::v1;
use tenon_core::identity::Workload;
use tenon_core::platform::State;
use tenon_core::{InstanceId, ServiceName, ServiceRef};
use tonic::{Request, Response, Status};

/// The gRPC service.
#[derive(Clone)]
pub(crate) struct Identities {
    writer: Handle,
    clock: Clock,
    ca: Ca,
    /// The server itself, when it calls: as which service.
    own: Vec<(InstanceId, ServiceRef)>,
}

impl Identities {
    pub(crate) fn new(writer: Handle, clock: Clock, ca: Ca, own: Vec<(InstanceId, ServiceRef)>) -> Self {
        Self { writer, clock, ca, own }
    }

    fn answer(&self, issue: &Issue) -> Result<Issued, Status> {
        let (system, workload, ttl) =
            self.writer.read(|view| known(&view.state, &issue.holder, &self.own))?;
        let issued = self.ca.issue(&system, workload, &issue.signing_request, ttl, self.clock.now());
        let issued = issued.map_err(|error| match &error {
            CaError::Request(cause) => Status::invalid_argument(format!("{error}: {cause}")),
            _ => {
                tracing::error!(error = %chain(&error), "no certificate can be signed");
                Status::internal(error.to_string())
            }
        })?;
        tracing::debug!(id = %issued.id, until = %issued.until, "signed a certificate");
        Ok(issued)
    }
}

#[tonic::async_trait]
impl IdentityService for Identities {
    async fn issue(&self, request: Request<v1::IssueRequest>) -> Result<Response<v1::IssueResponse>, Status> {
        let issue = Issue::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Signing takes a fraction of a millisecond, but making the authority syncs files.
        let own = self.clone();
        let issued = tokio::task::spawn_blocking(move || own.answer(&issue)).await;
        let issued = issued.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(issued.into()))
    }
}

/// Whose certificate it is, and for how long.
fn known(
    state: &State,
    holder: &Holder,
    own: &[(InstanceId, ServiceRef)],
) -> Result<(ServiceName, Workload, std::time::Duration), Status> {
    let system = state.catalog.system().ok_or_else(|| {
        Status::failed_precondition("no manifest has been applied yet, so there are no workloads")
    })?;
    let of_own = |id: &InstanceId| own.iter().find(|(own, _)| own == id).map(|(_, service)| service.clone());
    let workload = match holder {
        Holder::Gateway if system.gateway.is_none() => {
            return Err(Status::not_found("the manifest has no gateway"));
        }
        Holder::Gateway => Workload::Gateway,
        Holder::Instance(id) => {
            Workload::Service(of_own(id).or_else(|| service_of(state, id)).ok_or_else(|| {
                Status::not_found(format!("no instance `{id}` with a sidecar is registered or run here"))
            })?)
        }
    };
    Ok((system.name.clone(), workload, system.mesh.certificate_ttl))
}

/// The service of an instance that has a sidecar.
fn service_of(state: &State, id: &InstanceId) -> Option<ServiceRef> {
    let run = state.runtime.get(id).map(|(service, _)| service.clone());
    run.or_else(|| {
        let registration = &state.registry.get(id)?.registration;
        registration.sidecar.map(|_| registration.service.clone())
    })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
