//! Envoy as a peer, from its Python package: as many listeners as the data plane has, doing nothing.

use crate::prepare;
use crate::shell::{Outcome, target};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running Envoy; dropping it ends it.
#[derive(Debug)]
pub(super) struct Envoy {
    process: Child,
}

impl Envoy {
    /// Starts Envoy with two HTTP listeners for each sidecar, and returns once all of them answer.
    pub(super) fn start(sidecars: u32) -> Outcome<Self> {
        let program = prepare::envoy()?;
        let ports = free_ports(2 * sidecars as usize)?;
        let file = target()?.join("bench-envoy.json");
        std::fs::write(&file, config(&ports).to_string())?;
        let mut command = Command::new(program);
        command.arg("--config-path").arg(&file).args(["--concurrency", "2", "--use-dynamic-base-id"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let envoy = Self { process };
        let deadline = Instant::now() + Duration::from_secs(20);
        for port in ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                if Instant::now() > deadline {
                    return Err("Envoy does not listen".into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(envoy)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that are free now; all are held until all are found.
fn free_ports(count: usize) -> Outcome<Vec<u16>> {
    let bound: Result<Vec<TcpListener>, _> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    Ok(bound?.iter().map(|it| it.local_addr().map(|address| address.port())).collect::<Result<_, _>>()?)
}

fn config(ports: &[u16]) -> Value {
    let listeners: Vec<Value> = ports.iter().map(|port| listener(*port)).collect();
    json!({"static_resources": {
        "listeners": listeners,
        "clusters": [{
            "name": "application", "type": "STATIC", "connect_timeout": "3s",
            "load_assignment": {"cluster_name": "application", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(1)}},
            ]}]},
        }],
    }})
}

fn listener(port: u16) -> Value {
    let manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": manager,
            "stat_prefix": "sidecar",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "application"}},
            ]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
        }}]}],
    })
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
