//! The proxies beside Tenon's, set up for the same work: one thread, three endpoints in turn, connections kept on both
//! sides, forwarding headers and a request id added.

use super::core::spawn_on_proxy_core;
use super::load::{Client, request};
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
    pub(super) http1: SocketAddr,
    pub(super) http2: SocketAddr,
    process: Child,
}

impl Proxy {
    /// Starts a process that will listen at these addresses. To be called from the main thread: Envoy ends with the thread
    /// that started it.
    pub(super) fn start(
        name: &'static str,
        [http1, http2]: [SocketAddr; 2],
        command: &mut Command,
    ) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = spawn_on_proxy_core(command).map_err(|error| format!("cannot run {name}: {error}"))?;
        Ok(Self { name, http1, http2, process })
    }

    /// Waits until requests are answered, in whichever way: a proxy may listen before it works.
    pub(super) async fn is_there(&self) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(20);
        let ask = async || Client::connect(self.http1).await?.ask(&request("/")).await;
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

/// HAProxy, nginx and Envoy before these origins.
pub(super) async fn start(origins: &[SocketAddr]) -> Outcome<Vec<Proxy>> {
    let missing: Vec<&str> = ["haproxy", "nginx"].into_iter().filter(|it| !is_installed(it)).collect();
    prepare::install(&missing)?;
    let peers = vec![haproxy(origins)?, nginx(origins)?, envoy(origins)?];
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

fn haproxy(origins: &[SocketAddr]) -> Outcome<Proxy> {
    let addresses @ [http1, http2] = free()?;
    let servers: String =
        origins.iter().enumerate().map(|(number, origin)| format!("  server s{number} {origin}\n")).collect();
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
  bind {http1}
  bind {http2} proto h2
  http-request set-header x-forwarded-proto http
  default_backend out
backend out
  balance roundrobin
{servers}"
    );
    let file = folder()?.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    Proxy::start("HAProxy", addresses, Command::new("haproxy").arg("-db").arg("-f").arg(file))
}

fn nginx(origins: &[SocketAddr]) -> Outcome<Proxy> {
    let addresses @ [http1, http2] = free()?;
    let folder = folder()?;
    let servers: String = origins.iter().map(|origin| format!("    server {origin};\n")).collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {};\n", folder.join(kind).display()))
        .collect();
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
    listen {http1};
    listen {http2} http2;
    location / {{
      proxy_pass http://out;
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
    Proxy::start("nginx", addresses, Command::new("nginx").arg("-p").arg(&folder).arg("-c").arg(file))
}

fn envoy(origins: &[SocketAddr]) -> Outcome<Proxy> {
    let program = prepare::envoy()?;
    let addresses = free::<2>()?;
    let listeners: Vec<Value> = addresses.into_iter().map(envoy_listener).collect();
    let endpoints: Vec<Value> =
        origins.iter().map(|origin| json!({"endpoint": {"address": envoy_address(*origin)}})).collect();
    let config = json!({"static_resources": {
        "listeners": listeners,
        "clusters": [{
            "name": "out", "type": "STATIC", "connect_timeout": "3s", "lb_policy": "ROUND_ROBIN",
            "load_assignment": {"cluster_name": "out", "endpoints": [{"lb_endpoints": endpoints}]},
        }],
    }});
    let file = folder()?.join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(program);
    command.arg("--config-path").arg(file).args(["--concurrency", "1", "--use-dynamic-base-id"]);
    Proxy::start("Envoy", addresses, &mut command)
}

fn envoy_listener(at: SocketAddr) -> Value {
    json!({
        "address": envoy_address(at),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "use_remote_address": true,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "out", "retry_policy": {"retry_on": "connect-failure"}}},
            ]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
        }}]}],
    })
}

fn envoy_address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}
