//! The proxies beside Tenon's, set up for the same work: one thread, three endpoints in turn, connections kept on both
//! sides, forwarding headers and a request id added. Where everybody is to show a certificate, both sides are mutual TLS 1.3.

use super::core::spawn_on_proxy_core;
use super::door::Door;
use super::load::{Client, request};
use super::papers::{ORIGIN, Papers};
use crate::prepare;
use crate::shell::{Outcome, has, target};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A proxy that runs; dropping it ends it.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) http1: Door,
    /// By prior knowledge; the same as `http1` where both are spoken at one address.
    pub(super) http2: Door,
    process: Child,
}

/// What a proxy is set up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) origins: &'a [SocketAddr],
    /// Who shows what, if nothing is to go in plain text.
    pub(super) papers: Option<&'a Papers>,
}

impl Proxy {
    /// Starts a process that will listen at these addresses. To be called from the main thread: Envoy ends with the thread
    /// that started it.
    pub(super) fn start(
        name: &'static str,
        setup: &Setup<'_>,
        [http1, http2]: [SocketAddr; 2],
        command: &mut Command,
    ) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawn_on_proxy_core(command).map_err(|error| format!("cannot run {name}: {error}"))?;
        let tls = setup.papers.map(Papers::load).transpose()?;
        let (http1, http2) = (Door::new(http1, tls.clone()), Door::new(http2, tls));
        Ok(Self { name, http1, http2, process })
    }

    /// Waits until requests are answered, in whichever way: a proxy may listen before it works.
    pub(super) async fn is_there(&self) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(20);
        let ask = async || Client::connect(&self.http1).await?.ask(&request("/")).await;
        while !timeout(Duration::from_secs(1), ask()).await.is_ok_and(|answered| answered.is_ok()) {
            if Instant::now() > deadline {
                return Err(format!("{} does not answer", self.name).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// HAProxy, nginx and Envoy, set up so.
pub(super) async fn start(setup: &Setup<'_>) -> Outcome<Vec<Proxy>> {
    let missing: Vec<&str> = ["haproxy", "nginx"].into_iter().filter(|it| !is_installed(it)).collect();
    prepare::install(&missing)?;
    let peers = vec![haproxy(setup)?, nginx(setup)?, envoy(setup)?];
    for peer in &peers {
        peer.is_there().await?;
    }
    Ok(peers)
}

fn is_installed(program: &str) -> bool {
    has(program) || PathBuf::from("/usr/sbin").join(program).is_file()
}

/// Addresses that are free now.
pub(super) fn free<const N: usize>() -> Outcome<[SocketAddr; N]> {
    let mut bound = Vec::new();
    for _ in 0..N {
        bound.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let addresses: Result<Vec<SocketAddr>, _> = bound.iter().map(TcpListener::local_addr).collect();
    addresses?.try_into().map_err(|_| "as many addresses as were bound".into())
}

/// A folder for the configuration of the proxies.
pub(super) fn folder() -> Outcome<PathBuf> {
    let folder = target()?.join("bench-proxy");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn haproxy(setup: &Setup<'_>) -> Outcome<Proxy> {
    let addresses @ [http1, http2] = free()?;
    let (scheme, listeners, outwards) = match setup.papers {
        None => ("http", format!("  bind {http1}\n  bind {http2} proto h2\n"), String::new()),
        Some(papers) => {
            let shown = format!(
                "ssl crt {} ca-file {} verify required ssl-min-ver TLSv1.3",
                papers.file("proxy.pem"),
                papers.file("root.pem")
            );
            let outwards = format!(" {shown} verifyhost {ORIGIN} sni str({ORIGIN})");
            ("https", format!("  bind {http1} {shown} alpn http/1.1\n"), outwards)
        }
    };
    let servers: String = (setup.origins.iter().enumerate())
        .map(|(number, origin)| format!("  server s{number} {origin}{outwards}\n"))
        .collect();
    let config = format!(
        "global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 30s
  retries 3
  option redispatch
  option forwardfor
  http-reuse always
  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header x-request-id
frontend in
{listeners}  http-request set-header x-forwarded-proto {scheme}
  default_backend out
backend out
  balance roundrobin
{servers}"
    );
    let file = folder()?.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    Proxy::start("HAProxy", setup, addresses, Command::new("haproxy").arg("-db").arg("-f").arg(file))
}

fn nginx(setup: &Setup<'_>) -> Outcome<Proxy> {
    let addresses @ [http1, http2] = free()?;
    let folder = folder()?;
    let servers: String = setup.origins.iter().map(|origin| format!("    server {origin};\n")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {};\n", folder.join(kind).display()))
        .collect();
    let (scheme, listeners) = match setup.papers {
        None => ("http", format!("    listen {http1};\n    listen {http2} http2;\n")),
        Some(papers) => ("https", nginx_tls(http1, papers)),
    };
    let config = format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {pid};
error_log stderr crit;
events {{ worker_connections 8000; }}
http {{
{temporary}  access_log off;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  proxy_buffering on;
  proxy_buffer_size 64k;
  proxy_buffers 8 64k;
  proxy_busy_buffers_size 128k;
  upstream out {{
{servers}    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
{listeners}    location / {{
      proxy_pass {scheme}://out;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-ID $request_id;
    }}
  }}
}}
",
        pid = folder.join("nginx.pid").display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(file);
    Proxy::start("nginx", setup, addresses, &mut command)
}

fn nginx_tls(at: SocketAddr, papers: &Papers) -> String {
    let (own, key, root) = (papers.file("proxy.crt"), papers.file("proxy.key"), papers.file("root.pem"));
    format!(
        "    listen {at} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate {own};
    ssl_certificate_key {key};
    ssl_client_certificate {root};
    ssl_verify_client on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_certificate {own};
    proxy_ssl_certificate_key {key};
    proxy_ssl_trusted_certificate {root};
    proxy_ssl_verify on;
    proxy_ssl_name {ORIGIN};
    proxy_ssl_server_name on;
"
    )
}

fn envoy(setup: &Setup<'_>) -> Outcome<Proxy> {
    let program = prepare::envoy()?;
    let addresses @ [http1, http2] = free::<2>()?;
    let wanted = if setup.papers.is_some() { vec![http1] } else { vec![http1, http2] };
    let listeners: Vec<Value> = wanted.into_iter().map(|at| envoy_listener(at, setup)).collect();
    let endpoints: Vec<Value> = (setup.origins.iter())
        .map(|origin| json!({"endpoint": {"address": envoy_address(*origin)}}))
        .collect();
    let mut cluster = json!({
        "name": "out", "type": "STATIC", "connect_timeout": "3s", "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": "out", "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if let Some(papers) = setup.papers {
        let name = json!({"san_type": "DNS", "matcher": {"exact": ORIGIN}});
        let tls = envoy_tls(papers, Some(name));
        cluster["transport_socket"] = envoy_socket(
            "UpstreamTlsContext",
            json!({
                "common_tls_context": tls, "sni": ORIGIN,
            }),
        );
    }
    let config = json!({"static_resources": {"listeners": listeners, "clusters": [cluster]}});
    let file = folder()?.join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(program);
    command.arg("--config-path").arg(file).args(["--concurrency", "1", "--use-dynamic-base-id"]);
    Proxy::start("Envoy", setup, addresses, &mut command)
}

fn envoy_listener(at: SocketAddr, setup: &Setup<'_>) -> Value {
    let mut chain = json!({"filters": [{"name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "use_remote_address": true,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "out", "retry_policy": {"retry_on": "connect-failure"}}},
        ]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
    }}]});
    if let Some(papers) = setup.papers {
        chain["transport_socket"] = envoy_socket(
            "DownstreamTlsContext",
            json!({
                "common_tls_context": envoy_tls(papers, None),
                "require_client_certificate": true,
            }),
        );
    }
    json!({"address": envoy_address(at), "filter_chains": [chain]})
}

/// What it shows, and whom it believes.
fn envoy_tls(papers: &Papers, name: Option<Value>) -> Value {
    let file = |name: &str| json!({"filename": papers.file(name)});
    json!({
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": file("proxy.crt"), "private_key": file("proxy.key")}],
        "validation_context": {
            "trusted_ca": file("root.pem"),
            "match_typed_subject_alt_names": name.into_iter().collect::<Vec<_>>(),
        },
        "alpn_protocols": ["http/1.1"],
    })
}

fn envoy_socket(kind: &str, mut context: Value) -> Value {
    context["@type"] = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}").into();
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

fn envoy_address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}
