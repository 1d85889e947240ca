//! Who may do what at the API.
//!
//! Three questions to every request, in this order: is it addressed to us (`Host`), does it come from a page
//! of ours (`Origin`), and who calls (`Authorization: Bearer`)? The first two keep a web page that somebody
//! visits from driving the API: a page cannot choose the `Host` of what its browser sends, so a name that
//! was rebound to 127.0.0.1 gives itself away, and a browser tells the page's own origin.
//!
//! Callers are administrators, who hold the API's token and may do everything, and instances, whose secret
//! opens what their service needs and no more: see [`check_permitted`].
//!
//! Left out on purpose: users and roles.

use crate::keys::{Keys, sha256};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use tenon_api::caller::Caller;
use tenon_api::headers::ACTOR;
use tenon_api::openapi::{self as api, Endpoint};
use tenon_core::{Actor, Code, InstanceId, Refusal, Revision, ServiceRef};

/// Who acts when an administrator does not say.
const UNNAMED_ACTOR: &str = "api";

/// The rules, with what they depend on.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Keys,
    hosts: Hosts,
    identities: Mutex<Identities>,
}

impl Access {
    /// Rules for a server that listens at `listen` and also answers to the names of `also`.
    pub(crate) fn new(keys: Keys, listen: SocketAddr, also: BTreeSet<String>) -> Self {
        Self { keys, hosts: Hosts { listen, also }, identities: Mutex::default() }
    }

    /// The token of an instance.
    pub(crate) fn token_of(&self, id: &InstanceId) -> String {
        self.keys.instance_secret(id)
    }

    /// Whether a request is addressed to this server, and not sent by a foreign page.
    ///
    /// # Errors
    /// `access.origin`.
    pub(crate) fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        self.hosts.check_host(uri, headers)?;
        self.hosts.check_origin(headers)
    }

    /// Who calls. `instances` gives the instances as of a revision; it is asked again only when the revision
    /// moved since the last time, because each one costs an HMAC.
    ///
    /// # Errors
    /// `access.unauthenticated` if there is no token or a wrong one; `request.invalid` for a bad actor.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        registered: &dyn Registered,
    ) -> Result<Caller, Refusal> {
        let token = bearer(headers)?;
        if self.keys.is_api_token(token) {
            return Ok(Caller::Admin(actor_of(headers)?));
        }
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        identities.refresh(&self.keys, registered);
        let (id, service) =
            identities.by_secret.get(&sha256(token.as_bytes())).cloned().ok_or_else(|| {
                Refusal::new(Code::AccessUnauthenticated, "the token is neither the API's nor an instance's")
            })?;
        Ok(Caller::Instance { id, service })
    }
}

/// The instances that there are.
pub(crate) trait Registered {
    /// What the answer of [`Registered::instances`] depends on.
    fn revision(&self) -> Revision;

    /// Every instance with its service.
    fn instances(&self) -> Vec<(InstanceId, ServiceRef)>;
}

/// Whether a caller may use an endpoint of the table. An instance may use those that the table opens to
/// instances: with its own service and its own id where the path names them, except that it may look up any
/// service.
///
/// # Errors
/// `access.forbidden`, which says what is permitted.
pub(crate) fn check_permitted(
    caller: &Caller,
    endpoint: &Endpoint,
    parameter: impl Fn(&str) -> Option<String>,
) -> Result<(), Refusal> {
    let Caller::Instance { id, service: own } = caller else { return Ok(()) };
    let is_own_service = || match parameter("service") {
        Some(text) => text.parse().is_ok_and(|it: ServiceRef| it == *own),
        None => true,
    };
    let is_own_id = || parameter("id").is_none_or(|text| text == id.as_str());
    let concerns_itself = || endpoint.path == LOOKUP || (is_own_service() && is_own_id());
    match endpoint.access {
        api::Access::Public => Ok(()),
        api::Access::Instance if concerns_itself() => Ok(()),
        api::Access::Instance | api::Access::Operator => Err(forbidden(id, own)),
    }
}

/// The endpoint that tells an instance about other services.
const LOOKUP: &str = "/v1/services/{service}/lookup";

/// The names that this server answers to.
#[derive(Debug)]
struct Hosts {
    listen: SocketAddr,
    also: BTreeSet<String>,
}

impl Hosts {
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let header = headers.get(HOST).and_then(|value| value.to_str().ok());
        let Some(host) = uri.authority().map(http::uri::Authority::as_str).or(header) else {
            return Err(Refusal::new(Code::AccessOrigin, "the request names no host; send a Host header"));
        };
        if host_of(host).is_some_and(|name| self.answers_to(name)) {
            return Ok(());
        }
        let detail = format!(
            "this server does not answer to the host {host:?}; use 127.0.0.1 or localhost, or permit the name when \
             the server is started"
        );
        Err(Refusal::new(Code::AccessOrigin, detail))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        if origin.to_str().is_ok_and(|origin| self.is_own_origin(origin)) {
            return Ok(());
        }
        let detail = format!("requests from pages of the origin {origin:?} are not accepted");
        Err(Refusal::new(Code::AccessOrigin, detail))
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        let Ok(uri) = origin.parse::<Uri>() else { return false };
        let port = uri.port_u16().or_else(|| default_port(uri.scheme_str()));
        port == Some(self.listen.port())
            && uri.authority().and_then(|it| host_of(it.as_str())).is_some_and(|name| self.answers_to(name))
    }

    fn answers_to(&self, name: &str) -> bool {
        let is_own_ip = |ip: IpAddr| ip.is_loopback() || (ip == self.listen.ip() && !ip.is_unspecified());
        match name.parse() {
            Ok(ip) => is_own_ip(ip) || self.also.contains(name),
            Err(_) => name == "localhost" || self.also.contains(name),
        }
    }
}

/// Which instance has which secret, as digests: finding one takes as long as not finding one.
#[derive(Debug, Default)]
struct Identities {
    as_of: Option<Revision>,
    by_secret: BTreeMap<[u8; 32], (InstanceId, ServiceRef)>,
}

impl Identities {
    fn refresh(&mut self, keys: &Keys, registered: &dyn Registered) {
        let revision = registered.revision();
        if self.as_of == Some(revision) {
            return;
        }
        let mut known: BTreeMap<_, _> =
            std::mem::take(&mut self.by_secret).into_iter().map(|(digest, (id, _))| (id, digest)).collect();
        for (id, service) in registered.instances() {
            let digest = known.remove(&id).unwrap_or_else(|| keys.instance_credential(&id));
            self.by_secret.insert(digest, (id, service));
        }
        self.as_of = Some(revision);
    }
}

/// The host of `host[:port]`, lower case not being insisted on by clients we know; brackets taken off.
fn host_of(authority: &str) -> Option<&str> {
    if authority.contains('@') {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    if host.is_empty() { None } else { Some(host) }
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    token.ok_or_else(|| {
        let detail =
            "a token is needed: send `Authorization: Bearer TOKEN` with the token in keys/api-token below the data folder \
             (`--data`; .tenon beside the manifest unless stated)";
        Refusal::new(Code::AccessUnauthenticated, detail)
    })
}

fn actor_of(headers: &HeaderMap) -> Result<Actor, Refusal> {
    let text = match headers.get(ACTOR) {
        Some(value) => value.to_str().unwrap_or(""),
        None => UNNAMED_ACTOR,
    };
    Actor::new(text).map_err(|error| Refusal::new(Code::RequestInvalid, format!("{ACTOR}: {error}")))
}

fn forbidden(id: &InstanceId, own: &ServiceRef) -> Refusal {
    let detail = format!(
        "instance {id} may look up services, read the configuration of {own}, send its own heartbeats, and append and \
         read events of its namespace; for anything else use the API's token"
    );
    Refusal::new(Code::AccessForbidden, detail)
}

#[cfg(test)]
mod tests;
