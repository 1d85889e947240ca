//! What a process is started with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tenon_api::supervisor::{FileName, Spawn};
use tenon_core::manifest::{DataStore, Service, Workload};
use tenon_core::runtime::Ports;
use tenon_core::{InstanceId, ServiceRef};

/// What is the same for all processes.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// The URL of the API.
    api: String,
}

impl Surroundings {
    /// Surroundings with an API that listens at `api`.
    pub(super) fn new(api: SocketAddr) -> Self {
        // An address that means every interface is no address to call.
        let ip = match api.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self { api: format!("http://{}", SocketAddr::new(ip, api.port())) }
    }
}

/// What to ask the supervisor for; `None` if Tenon does not run the service.
pub(super) fn spawn_of(
    (name, service): (&ServiceRef, &Service),
    instance: &InstanceId,
    ports: Ports,
    secret: &str,
    surroundings: &Surroundings,
) -> Option<Spawn> {
    let Workload::Process(process) = &service.workload else { return None };
    let mut env = process.env.clone();
    // Tenon's variables win.
    env.extend(own_variables(name, service, instance, ports, secret, surroundings));
    Some(Spawn {
        instance: instance.clone(),
        service: name.clone(),
        command: process.command.clone(),
        working_directory: process.working_directory.clone(),
        env,
        secrets: service.data.iter().filter_map(connection).collect(),
        log_file: FileName::log_of(instance),
    })
}

fn own_variables(
    name: &ServiceRef,
    service: &Service,
    instance: &InstanceId,
    ports: Ports,
    secret: &str,
    surroundings: &Surroundings,
) -> BTreeMap<String, String> {
    let proxy = format!("http://{instance}:{secret}@127.0.0.1:{}", ports.outbound);
    let direct = "localhost,127.0.0.1,::1";
    let pairs = [
        ("PORT", ports.application.to_string()),
        ("TENON_SERVICE", name.to_string()),
        ("TENON_INSTANCE", instance.to_string()),
        ("TENON_VERSION", service.version.to_string()),
        ("TENON_API", surroundings.api.clone()),
        ("TENON_TOKEN", secret.to_owned()),
        ("HTTP_PROXY", proxy.clone()),
        ("http_proxy", proxy),
        ("NO_PROXY", direct.to_owned()),
        ("no_proxy", direct.to_owned()),
        // Node's own client heeds the two above only if told so.
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The variable by which a process is given the connection of a data store, and the one of the supervisor's
/// environment that holds it: store `orders-db` is given as `TENON_DATA_ORDERS_DB`.
fn connection(store: &DataStore) -> Option<(String, String)> {
    let secret = store.connection.as_ref()?;
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = store.name.chars().map(upper).collect();
    Some((format!("TENON_DATA_{name}"), secret.0.clone()))
}

#[cfg(test)]
mod tests;
