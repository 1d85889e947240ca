//! Clients that know nothing of the mesh but `HTTP_PROXY`. One that is not installed here is not asked.

use crate::support::*;
use std::process::Stdio;
use tenon_core::manifest::Traffic;

/// Runs a program with the environment that an application gets; `None` if there is no such program.
async fn run(mesh: &Mesh, program: &str, arguments: &[&str]) -> Option<String> {
    let proxy = format!("http://order-1:{SECRET}@{}", mesh.outbound.address);
    let started = tokio::process::Command::new(program)
        .args(arguments)
        .envs([("HTTP_PROXY", &proxy), ("http_proxy", &proxy)])
        .envs([("NO_PROXY", "localhost,127.0.0.1,::1"), ("NODE_USE_ENV_PROXY", "1")])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(std::time::Duration::from_secs(60), started).await.unwrap() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// The program's answers, if it is there, must be the service's.
async fn reaches(program: &str, arguments: &[&str]) {
    let app = App::saying("paid").await;
    let mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).applied().await;
    match run(&mesh, program, arguments).await {
        Some(said) => assert_eq!((said.trim(), app.hits()), ("paid", 1)),
        None => eprintln!("not asked: {program} is not installed"),
    }
}

#[tokio::test]
async fn curl_reaches_a_service_by_name() {
    reaches("curl", &["--silent", "--show-error", "--fail", "http://payment/take"]).await;
}

#[tokio::test]
async fn curl_reaches_a_service_through_a_tunnel() {
    reaches("curl", &["--silent", "--show-error", "--fail", "--proxytunnel", "http://payment/take"]).await;
}

#[tokio::test]
async fn curl_speaks_http2_through_a_tunnel() {
    let arguments = ["--silent", "--show-error", "--fail", "--proxytunnel", "--http2-prior-knowledge"];
    reaches("curl", &[&arguments[..], &["http://payment/take"]].concat()).await;
}

#[tokio::test]
async fn python_reaches_a_service_by_name() {
    let program =
        "import urllib.request; print(urllib.request.urlopen('http://payment/take').read().decode())";
    reaches("python3", &["-c", program]).await;
}

/// As Node without a proxy setting of its own has it: an absolute URI, asked of the proxy.
#[tokio::test]
async fn node_reaches_a_service_by_name() {
    let program = "
        const proxy = new URL(process.env.HTTP_PROXY);
        const credentials = Buffer.from(`${proxy.username}:${proxy.password}`).toString('base64');
        require('http').get({
            host: proxy.hostname, port: proxy.port, path: 'http://payment/take',
            headers: { host: 'payment', 'proxy-authorization': `Basic ${credentials}` },
        }, response => response.pipe(process.stdout));";
    reaches("node", &["-e", program]).await;
}
