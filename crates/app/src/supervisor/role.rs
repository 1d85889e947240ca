//! Tenon's own children, the server and the data plane: started again whenever they end, and the data plane replaced when
//! that is asked for.

use super::process::{Launcher, Program, Running, end};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Restarts wait from this …
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// … doubling to this, …
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// … and begin anew after a run of this length.
const STEADY: Duration = Duration::from_secs(10);

/// How long a role may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(8);

/// How long a successor may take until it serves.
const SUCCESSION: Duration = Duration::from_secs(15);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// How long a process that was taken over from may take to let go of its connections.
const LETTING_GO: Duration = Duration::from_secs(20);

/// How a role is replaced by a successor that takes over from it.
#[derive(Debug)]
pub(super) struct Renewal {
    /// Changes when it is asked for.
    pub(super) asked: watch::Receiver<u64>,
    /// What takes over.
    pub(super) successor: Program,
    /// The file in which whoever serves writes its process id.
    pub(super) serving: PathBuf,
    /// A successor that does not serve yet.
    pub(super) coming: Option<Running>,
}

/// Runs `program` until `stop` turns true, restarting it whenever it ends by itself, and tells `failures` how often in
/// a row it ended soon. Returns once it has ended.
pub(super) async fn keep_running(
    name: &'static str,
    program: Program,
    mut renewal: Option<Renewal>,
    launcher: Rc<Launcher>,
    failures: watch::Sender<u32>,
    mut stop: watch::Receiver<bool>,
) {
    let mut delay = FIRST_DELAY;
    while !*stop.borrow() {
        let begun = tokio::time::Instant::now();
        run_once(name, &program, renewal.as_mut(), &launcher, &mut stop).await;
        if *stop.borrow() {
            return;
        }
        let was_steady = begun.elapsed() >= STEADY;
        delay = if was_steady { FIRST_DELAY } else { (delay * 2).min(LONGEST_DELAY) };
        failures.send_modify(|count| *count = if was_steady { 0 } else { count.saturating_add(1) });
        // A stop that comes now ends the wait; a sender that is gone means the supervisor is ending.
        let _ = tokio::time::timeout(delay, stop.wait_for(|stop| *stop)).await;
    }
}

async fn run_once(
    name: &str,
    program: &Program,
    mut renewal: Option<&mut Renewal>,
    launcher: &Rc<Launcher>,
    stop: &mut watch::Receiver<bool>,
) {
    let mut running = match launcher.start(program) {
        Ok(running) => running,
        Err(error) => {
            tracing::error!(role = name, %error, "cannot start");
            return;
        }
    };
    tracing::debug!(role = name, pid = running.pid(), "started");
    loop {
        let group = running.group();
        let renewed = async {
            match renewal.as_mut() {
                Some(renewal) => renewal.successor(launcher).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = launcher.wait(&mut running) => {
                match ended {
                    Ok(ending) => tracing::warn!(role = name, "{ending}; another takes its place"),
                    Err(error) => tracing::error!(role = name, %error, "cannot be waited for"),
                }
                // One that was to take over has all that it needs to serve alone.
                match renewal.as_mut().and_then(|renewal| renewal.coming.take()) {
                    Some(successor) => running = successor,
                    None => return,
                }
            }
            _ = stop.wait_for(|stop| *stop) => {
                end(group, GRACE, async {
                    let _ = launcher.wait(&mut running).await;
                })
                .await;
                let _ = launcher.wait(&mut running).await;
                if let Some(successor) = renewal.as_mut().and_then(|renewal| renewal.coming.take()) {
                    end(successor.group(), Duration::ZERO, std::future::pending()).await;
                }
                return;
            }
            successor = renewed => {
                let old = std::mem::replace(&mut running, successor);
                tracing::info!(role = name, old = old.pid(), new = running.pid(), "taken over");
                tokio::task::spawn_local(let_go(old, Rc::clone(launcher)));
            }
        }
    }
}

impl Renewal {
    /// Waits until a successor serves that was asked for. Cancel safe: one that is coming is kept.
    async fn successor(&mut self, launcher: &Launcher) -> Running {
        loop {
            if self.coming.is_none() {
                if self.asked.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                match launcher.start(&self.successor) {
                    Ok(successor) => self.coming = Some(successor),
                    Err(error) => tracing::error!(%error, "a successor cannot be started; what runs goes on"),
                }
            }
            let Some(coming) = self.coming.as_mut() else { continue };
            if serves(coming, &self.serving, launcher).await {
                if let Some(successor) = self.coming.take() {
                    return successor;
                }
            } else {
                end(coming.group(), Duration::ZERO, std::future::pending()).await;
                let _ = launcher.wait(coming).await;
                self.coming = None;
            }
        }
    }
}

/// Whether a successor comes to serve.
async fn serves(successor: &mut Running, serving: &Path, launcher: &Launcher) -> bool {
    let pid = successor.pid().to_string();
    let appears = async {
        while !std::fs::read_to_string(serving).is_ok_and(|text| text.trim() == pid) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = appears => true,
        ended = launcher.wait(successor) => {
            tracing::error!(?ended, "the successor has ended; what runs goes on");
            false
        }
        () = tokio::time::sleep(SUCCESSION) => {
            tracing::error!("the successor does not come to serve; what runs goes on");
            false
        }
    }
}

/// Waits until a process has ended that was taken over from.
async fn let_go(mut old: Running, launcher: Rc<Launcher>) {
    if tokio::time::timeout(LETTING_GO, launcher.wait(&mut old)).await.is_err() {
        tracing::warn!(pid = old.pid(), "a process that was taken over from does not end; it is killed");
        end(old.group(), Duration::ZERO, std::future::pending()).await;
        let _ = launcher.wait(&mut old).await;
    }
}
