//! Finding the system that a command is about: its data folder, its addresses and its token.

use crate::cli::Global;
use crate::data_dir::DataDir;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tenon_core::Code;

/// The addresses of a running system, as its supervisor writes them to `run/endpoints.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// The API's URL.
    pub(crate) api: String,
    /// The URL of the data plane's admin address.
    pub(crate) admin: String,
    /// The gateway's URL, if there is a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<String>,
    /// The URL where a gateway that speaks TLS is asked in plain text, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway_plain: Option<String>,
}

/// How a program on this machine reaches what listens on `address`: an address that stands for all of them is no
/// place to connect to, and no name that the server answers to.
pub(crate) fn url_of(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

/// The same for the gateway, which may speak TLS.
pub(crate) fn gateway_url_of(address: SocketAddr, tls: bool) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(address))
}

fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

/// The data folder of a manifest: `--data`, or `.tenon` beside it.
pub(crate) fn data_folder_of(manifest: &Path, global: &Global) -> PathBuf {
    global.data.clone().unwrap_or_else(|| folder_of(manifest).join(".tenon"))
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The data folder of a command that names no manifest: `--data`, or the nearest `.tenon` upwards from here.
pub(crate) fn find_data_folder(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(folder) = &global.data {
        return Ok(folder.clone());
    }
    let here = std::env::current_dir()?;
    let found = here.ancestors().map(|folder| folder.join(".tenon")).find(|folder| folder.is_dir());
    found.ok_or_else(|| {
        let message =
            "there is no .tenon folder here or above; go to the manifest's folder, or name one with --data";
        Failure::new(Code::ServerUnavailable, message)
    })
}

/// Where the system of a data folder answers.
pub(crate) fn endpoints(data: &DataDir) -> Result<Endpoints, Failure> {
    let path = data.endpoints_file();
    let text = std::fs::read_to_string(&path).map_err(|_| not_running(data))?;
    // A supervisor that was killed leaves the file behind, and its ports, and so the token, to whoever is next.
    if !data.is_supervised() {
        return Err(not_running(data));
    }
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Internal, format!("{} is damaged: {error}", path.display())))
}

/// The API's token.
pub(crate) fn token(data: &DataDir) -> Result<String, Failure> {
    let path = data.token_file();
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(not_running(data)),
        Err(error) => {
            let message = format!("cannot read the token {}: {error}", path.display());
            Err(Failure::new(Code::AccessUnauthenticated, message))
        }
    }
}

fn not_running(data: &DataDir) -> Failure {
    let message = format!("nothing runs on {}; start it with `tenon up`", data.root().display());
    Failure::new(Code::ServerUnavailable, message)
}

/// Who makes a change, as the log will have it: `cli:USER`.
pub(crate) fn actor() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let plain: String = user.chars().filter(char::is_ascii_graphic).take(64).collect();
    if plain.is_empty() { "cli".to_owned() } else { format!("cli:{plain}") }
}

#[cfg(test)]
mod tests;
