//! Tenon's own children, the server and the data plane: started again whenever they end.

use super::process::{Launcher, Program, end};
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

/// Runs `program` until `stop` turns true, restarting it whenever it ends by itself, and tells `failures` how often in
/// a row it ended soon. Returns once it has ended.
pub(super) async fn keep_running(
    name: &'static str,
    program: Program,
    launcher: Rc<Launcher>,
    failures: watch::Sender<u32>,
    mut stop: watch::Receiver<bool>,
) {
    let mut delay = FIRST_DELAY;
    while !*stop.borrow() {
        let begun = tokio::time::Instant::now();
        run_once(name, &program, &launcher, &mut stop).await;
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

async fn run_once(name: &str, program: &Program, launcher: &Launcher, stop: &mut watch::Receiver<bool>) {
    let mut running = match launcher.start(program) {
        Ok(running) => running,
        Err(error) => {
            tracing::error!(role = name, %error, "cannot start");
            return;
        }
    };
    let group = running.group();
    tracing::debug!(role = name, pid = running.pid(), "started");
    tokio::select! {
        ended = launcher.wait(&mut running) => match ended {
            Ok(ending) => tracing::warn!(role = name, "{ending}; starting it again"),
            Err(error) => tracing::error!(role = name, %error, "cannot be waited for"),
        },
        _ = stop.wait_for(|stop| *stop) => {
            end(group, GRACE, async {
                let _ = launcher.wait(&mut running).await;
            })
            .await;
            let _ = launcher.wait(&mut running).await;
        }
    }
}
