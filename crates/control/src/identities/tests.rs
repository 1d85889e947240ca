use super::*;
use crate::testing::{Fixture, bare, id, registration, system};
use std::net::SocketAddr;
use tenon_core::platform::Command;
use tenon_core::registry;
use tonic::Code;

async fn asking(holder: Holder, has_sidecar: bool) -> Result<Issued, Code> {
    let fixture = Fixture::with(system([bare("payment")])).await;
    let mut instance = registration("payment", "payment-1", "127.0.0.1:1", None);
    let listener = SocketAddr::from(([127, 0, 0, 1], 2));
    instance.sidecar = has_sidecar.then_some(registry::Sidecar { inbound: listener, outbound: listener });
    fixture.run(Command::Registry(registry::Command::Register(instance))).await;
    let folder = tempfile::tempdir().unwrap();
    let service = Identities::new(
        fixture.writer.clone(),
        fixture.clock.clone(),
        Ca::new(folder.path()),
        vec![("tenon-saga".parse().unwrap(), tenon_core::platform::orchestrator())],
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let issue = Issue { holder, signing_request: request.der().to_vec() };
    let answer = service.issue(Request::new(v1::IssueRequest::from(&issue))).await;
    answer.map(|it| it.into_inner().try_into().unwrap()).map_err(|status| status.code())
}

#[tokio::test]
async fn an_instance_with_a_sidecar_is_its_service() {
    let issued = asking(Holder::Instance(id("payment-1")), true).await.unwrap();
    assert_eq!(issued.id.to_string(), "spiffe://test/ns/default/sa/payment");
}

#[tokio::test]
async fn the_server_is_who_it_calls_as() {
    let issued = asking(Holder::Instance(id("tenon-saga")), false).await.unwrap();
    assert_eq!(issued.id.to_string(), "spiffe://test/ns/tenon/sa/saga");
}

#[tokio::test]
async fn nobody_else_is_given_a_certificate() {
    assert_eq!(asking(Holder::Instance(id("payment-2")), true).await.unwrap_err(), Code::NotFound);
    assert_eq!(asking(Holder::Instance(id("payment-1")), false).await.unwrap_err(), Code::NotFound);
    assert_eq!(asking(Holder::Gateway, true).await.unwrap_err(), Code::NotFound);
}
