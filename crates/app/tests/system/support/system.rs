//! A running system.

use super::folder::Folder;
use super::http::{Answer, Http};
use super::process::{self, Signal};
use super::tenon::Tenon;
use super::{PATIENCE, eventually, within};
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tenon_api::client::{Client, DataPlane, Options};
use tenon_api::http::{HealthStatus, Instance};

/// How long a system may take to be healthy. Interpreters start slowly on a busy machine.
pub(super) const START: Duration = Duration::from_secs(240);

/// `tenon up` on free ports.
pub(crate) const UP: [&str; 7] =
    ["up", "--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"];

/// A system that `tenon up` runs in a folder of its own on free ports. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct System {
    supervisor: Supervisor,
    /// The folder with the manifest.
    pub(crate) folder: Rc<Folder>,
    /// Where it answers.
    pub(crate) urls: Urls,
    /// The API's token.
    pub(crate) token: String,
    /// The API.
    pub(crate) api: Client,
    /// The data plane's admin address.
    pub(crate) admin: DataPlane,
    /// Calls as from outside.
    pub(crate) http: Http,
}

/// The addresses of a system, each a URL without a path.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) api: String,
    pub(crate) admin: String,
    pub(crate) gateway: String,
}

impl System {
    /// Starts a system and waits until all of it is healthy.
    pub(crate) async fn start(manifest: &str) -> Self {
        Self::start_in(Folder::with(manifest)).await
    }

    /// The same in a folder that is there already.
    pub(crate) async fn start_in(folder: impl Into<Rc<Folder>>) -> Self {
        let system = Self::begin(folder, &[]).await;
        system.is_healthy().await;
        system
    }

    /// Starts a system and waits only until its API answers; `more` are further options of `tenon up`.
    pub(crate) async fn begin(folder: impl Into<Rc<Folder>>, more: &[&str]) -> Self {
        let folder = folder.into();
        let mut supervisor = Supervisor { child: up(&folder, more), folder: Rc::clone(&folder) };
        let (urls, token) = supervisor.answers().await;
        let with_token = Options { token: Some(token.clone()), ..Options::new(urls.api.as_str()) };
        Self {
            supervisor,
            folder,
            api: Client::new(&with_token).unwrap(),
            admin: DataPlane::new(&Options::new(urls.admin.as_str())).unwrap(),
            http: Http::new(),
            urls,
            token,
        }
    }

    /// Waits until `tenon up` says that everything is healthy, and it is.
    pub(crate) async fn is_healthy(&self) {
        let says = async || self.printed().contains("all healthy after").then_some(());
        within(START, "`tenon up` says that everything is healthy", says).await;
        let complete = async || self.is_complete().await.then_some(());
        eventually("all instances of every service are healthy", complete).await;
    }

    /// Whether as many instances of every service are healthy as there should be.
    pub(crate) async fn is_complete(&self) -> bool {
        let Ok(list) = self.api.services().await else { return false };
        let complete = list.services.iter().all(|it| {
            it.stopped && it.instances == 0 || it.replicas == Some(it.healthy) && it.instances == it.healthy
        });
        complete && !list.services.is_empty()
    }

    /// Starts a system that has ended again, in the same folder.
    pub(crate) async fn start_again(self) -> Self {
        Self::start_in(Rc::clone(&self.folder)).await
    }

    /// The instances of a service, by id.
    pub(crate) async fn instances(&self, service: &str) -> Vec<Instance> {
        self.api.service_instances(&service.parse().unwrap()).await.unwrap().instances
    }

    /// Waits until a service has exactly so many instances, all healthy and in rotation.
    pub(crate) async fn has_healthy(&self, service: &str, number: usize) -> Vec<Instance> {
        let name = service.parse().unwrap();
        eventually(&format!("{service} has {number} healthy instances"), async || {
            let instances = self.api.service_instances(&name).await.ok()?.instances;
            let good = |it: &Instance| it.status == HealthStatus::Healthy && !it.draining && it.pid.is_some();
            (instances.len() == number && instances.iter().all(good)).then_some(instances)
        })
        .await
    }

    /// The process of a service's only instance.
    pub(crate) async fn pid_of(&self, service: &str) -> u32 {
        self.has_healthy(service, 1).await[0].pid.unwrap()
    }

    /// `GET` through the gateway.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http.get(&format!("{}{path}", self.urls.gateway)).await
    }

    /// A `tenon` command on this system.
    pub(crate) fn tenon(&self) -> Tenon {
        self.folder.tenon()
    }

    /// The process of the supervisor.
    pub(crate) fn supervisor(&self) -> u32 {
        self.supervisor.child.id()
    }

    /// The process of a role, `server` or `proxy`, once it runs.
    pub(crate) async fn role(&self, role: &str) -> u32 {
        let is_role = |pid: &u32| process::command_line(*pid).get(1).is_some_and(|it| it == role);
        let find = async || process::children(self.supervisor()).into_iter().find(is_role);
        eventually(&format!("there is a {role}"), find).await
    }

    /// Waits until a role runs as another process than `old`.
    pub(crate) async fn role_other_than(&self, role: &str, old: u32) -> u32 {
        let other = async || {
            let found = self.role(role).await;
            (found != old).then_some(found)
        };
        eventually(&format!("{role} is started again"), other).await
    }

    /// Waits until a data plane is connected to the server.
    pub(crate) async fn has_data_plane(&self) {
        let connected = async || {
            let status = self.api.status().await.ok()?;
            (!status.data_planes.is_empty() && status.supervisor).then_some(())
        };
        eventually("a data plane is connected to the server", connected).await;
    }

    /// Waits until the supervisor has ended.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        within(limit, "`tenon up` ends", async || self.supervisor.child.try_wait().unwrap()).await
    }

    /// What `tenon up` has printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.folder.printed()).unwrap()
    }
}

/// The process of `tenon up`. Dropping it ends it, and shows what was printed if a test fails.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    folder: Rc<Folder>,
}

impl Supervisor {
    /// Waits until the API answers; says where, and with which token.
    async fn answers(&mut self) -> (Urls, String) {
        within(START, "the API answers", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("`tenon up` ended: {status}");
            }
            let (urls, token) = addresses(&self.folder)?;
            let health = Client::new(&Options::new(urls.api.as_str())).unwrap().health().await;
            health.is_ok_and(|it| it.ready).then_some((urls, token))
        })
        .await
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            self.folder.show_logs();
        }
    }
}

/// What a system says in its data folder of where it answers.
fn addresses(folder: &Folder) -> Option<(Urls, String)> {
    let text = fs::read_to_string(folder.data().join("run/endpoints.json")).ok()?;
    let token = fs::read_to_string(folder.data().join("keys/api-token")).ok()?;
    let endpoints: Value = serde_json::from_str(&text).unwrap();
    let url = |name: &str| endpoints[name].as_str().unwrap_or_default().to_owned();
    Some((Urls { api: url("api"), admin: url("admin"), gateway: url("gateway") }, token.trim().to_owned()))
}

fn up(folder: &Folder, more: &[&str]) -> Child {
    let mut command: Command = folder.tenon().command(&[&UP[..], more].concat()).into_std();
    let printed = File::create(folder.printed()).unwrap();
    command.stdout(Stdio::null()).stderr(printed).spawn().unwrap()
}

/// SIGTERM, and SIGKILL if that is of no use.
fn end(supervisor: &mut Child) {
    if let Ok(None) = supervisor.try_wait() {
        process::send(supervisor.id(), Signal::TERM);
    }
    let deadline = Instant::now() + PATIENCE;
    while let Ok(None) = supervisor.try_wait() {
        if Instant::now() > deadline {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
            eprintln!("`tenon up` did not end within {PATIENCE:?} of SIGTERM and was killed");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
