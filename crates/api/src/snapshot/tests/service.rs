//! The snapshot protocol over a real connection, as the server and a data plane use it.

use crate::proto::snapshot::v1;
use crate::snapshot::{
    MAX_MESSAGE_BYTES, Part, SnapshotService, SnapshotServiceClient, SnapshotServiceServer, Watch,
};
use std::pin::Pin;
use tenon_core::manifest::Egress;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes};
use tenon_core::{LogId, Position, Revision, ServiceRef};
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Answers every watch with routes and endpoints that follow what the caller has.
struct Server;

#[tonic::async_trait]
impl SnapshotService for Server {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let position = watch.routes.map_or(0, |routes| routes.position.0) + 1;
        let parts = [Part::Routes(routes(position)), Part::Endpoints(endpoints(position))];
        let messages = parts.map(|part| Ok(v1::SnapshotPart::from(&part)));
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }
}

fn revision(position: u64) -> Revision {
    Revision { log: LogId::from_bytes([7; 16]), position: Position(position) }
}

fn routes(position: u64) -> Routes {
    Routes {
        revision: revision(position),
        policies: Default::default(),
        planes: 1,
        gateway: None,
        services: [("payment".parse::<ServiceRef>().unwrap(), Default::default())].into(),
        resting: Default::default(),
        egress: Egress::Deny,
        telemetry: Default::default(),
    }
}

/// More than the 4 MiB that tonic permits unless told otherwise.
fn endpoints(position: u64) -> Endpoints {
    let endpoint = |number: u32| Endpoint {
        instance: format!("payment-{number}").parse().unwrap(),
        address: "127.0.0.1:20001".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        weight: 1,
        healthy: true,
        since: tenon_core::Timestamp::ZERO,
        metadata: Default::default(),
        inbound: None,
    };
    let all = (0..120_000).map(endpoint).collect();
    Endpoints { revision: revision(position), services: [("payment".parse().unwrap(), all)].into() }
}

#[tokio::test]
async fn a_data_plane_is_told_what_it_lacks_however_large() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = SnapshotServiceServer::new(Server).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let client = SnapshotServiceClient::connect(address).await.unwrap();
    let mut client = client.max_decoding_message_size(MAX_MESSAGE_BYTES);
    let watch = Watch {
        node: "test".into(),
        routes: Some(revision(41)),
        endpoints: None,
        sidecars: None,
        instances: Default::default(),
    };
    let mut parts = client.watch(v1::WatchRequest::from(&watch)).await.unwrap().into_inner();

    let first = Part::try_from(parts.message().await.unwrap().unwrap()).unwrap();
    assert_eq!(first, Part::Routes(routes(42)));
    let second = Part::try_from(parts.message().await.unwrap().unwrap()).unwrap();
    assert_eq!(second, Part::Endpoints(endpoints(42)));
    assert!(parts.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_question_that_is_not_valid_is_refused_with_the_field() {
    let message = v1::WatchRequest { node: "x".repeat(129), ..Default::default() };
    let Err(status) = Server.watch(Request::new(message)).await else { panic!("the name is too long") };
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().starts_with("node: "), "{}", status.message());
}
