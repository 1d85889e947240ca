//! Tenon's data plane as it is shipped, following a server.

use super::peers::{Proxy, Setup, folder, free};
use super::server::{self, Server};
use crate::shell::{Outcome, programs};
use std::process::Command;

/// A data plane with the server that it follows.
#[derive(Debug)]
pub(super) struct Tenon {
    pub(super) proxy: Proxy,
    pub(super) server: Server,
}

impl Tenon {
    /// A data plane of one worker whose gateway leads to these origins by so many routes, of which so many can be changed.
    pub(super) async fn start(
        profile: &str,
        setup: &Setup<'_>,
        routes: usize,
        changes: usize,
    ) -> Outcome<Self> {
        let [gateway, admin, api] = free()?;
        let data = folder()?.join(format!("tenon-{}", gateway.port()));
        // What a former run left would be served until the server is heard.
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(data.join("keys"))?;
        std::fs::write(data.join("keys").join("api-token"), "bench\n")?;
        let mut tls = Vec::new();
        if let Some(papers) = setup.papers {
            papers.give_identity(&data)?;
            tls = vec![papers.file("proxy.crt"), papers.file("proxy.key")];
        }
        let origin = setup.origins.to_vec();
        let server = Server::start(&server::Options { api, gateway, origin, routes, changes, tls })?;
        let mut command = Command::new(programs(profile)?.join("tenon"));
        command.arg("proxy").args(["--workers", "1"]).arg("--data").arg(&data);
        command.args(["--admin-listen", &admin.to_string(), "--api", &format!("http://{api}")]);
        let proxy = Proxy::start("Tenon", setup, [gateway; 2], &mut command)?;
        proxy.is_there().await?;
        Ok(Self { proxy, server })
    }
}
