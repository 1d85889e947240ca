use super::*;
use tenon_store::MemoryLog;

fn config(listen: SocketAddr, folder: &tempfile::TempDir) -> ServerConfig {
    ServerConfig {
        listen,
        hosts: BTreeSet::new(),
        log: MemoryLog::default().into_log(),
        leases: None,
        keys: Keys::open(folder.path()).unwrap(),
        supervisor: Some(folder.path().join("none.sock")),
        output: folder.path().to_owned(),
        read_manifest: Arc::new(|_, _, _| Err(Vec::new())),
        concerned: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
        more: Router::new(),
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::start(config(address, &folder)).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(error.code(), Code::ServerUnavailable);
}

#[tokio::test]
async fn a_server_that_was_stopped_listens_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config("127.0.0.1:0".parse().unwrap(), &folder)).await.unwrap();
    let address = server.address();
    tokio::time::timeout(STOP_TIMEOUT, server.stop()).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
