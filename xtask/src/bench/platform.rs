//! The platform as a whole, running the shop with nothing to do.

use super::Figure;
use super::envoy::Envoy;
use crate::shell::Outcome;
use crate::stats::Times;
use crate::system::{self, Ports, System};
use std::path::Path;
use std::time::Duration;

/// What is measured runs optimised, as it is shipped.
const PROFILE: &str = "release";

/// How often the shop is started.
const STARTS: usize = 5;

/// How many sidecars the shop has.
const SIDECARS: u32 = 10;

/// How many more sidecars are added to learn what one costs.
const MORE: u32 = 20;

pub(super) async fn measure() -> Outcome<Vec<Figure>> {
    system::build(PROFILE)?;
    let mut starts = Times::default();
    for _ in 1..STARTS {
        starts.add(System::start("bench", PROFILE, Ports::Free).await?.took);
    }
    let system = System::start("bench", PROFILE, Ports::Free).await?;
    starts.add(system.took);
    let mut figures = vec![
        Figure::at_most("from `tenon up` to all healthy, median", seconds(starts.quantile(0.5)), "s", 1.5),
        Figure::at_most("from `tenon up` to all healthy, slowest", seconds(starts.quantile(1.0)), "s", 1.5),
    ];
    figures.extend(memory(&system).await?);
    Ok(figures)
}

/// Proportional set sizes once things are at rest, and what one more idle sidecar adds to the data plane.
async fn memory(system: &System) -> Outcome<Vec<Figure>> {
    settle().await;
    let roles = roles(system)?;
    let mut figures = Vec::new();
    let mut all = 0.0;
    for (role, pid) in &roles {
        let size = mebibytes(*pid)?;
        all += size;
        figures.push(Figure::plain(format!("memory of the {role}, idle, {SIDECARS} sidecars"), size, "MiB"));
    }
    figures.push(Figure::plain(format!("memory of the platform, idle, {SIDECARS} sidecars"), all, "MiB"));
    let peer = Envoy::start(SIDECARS)?;
    settle().await;
    let envoy = mebibytes(peer.pid())?;
    figures.push(Figure::plain("memory of Envoy, idle, as many listeners", envoy, "MiB"));
    drop(peer);
    let proxy = roles.iter().find(|(role, _)| *role == "data plane").ok_or("there is no data plane")?.1;
    let before = mebibytes(proxy)?;
    figures.push(Figure::plain("memory of the data plane / of Envoy", before / envoy, "×"));
    system.tenon(&["scale", "inventory", &(2 + MORE).to_string()])?;
    while !system.is_complete().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    settle().await;
    let one = (mebibytes(proxy)? - before) * 1_024.0 / f64::from(MORE);
    figures.push(Figure::plain("memory of one more idle sidecar", one, "KiB"));
    let peer = Envoy::start(SIDECARS + MORE)?;
    settle().await;
    let one = (mebibytes(peer.pid())? - envoy) * 1_024.0 / f64::from(MORE);
    figures.push(Figure::plain("memory of two more idle listeners of Envoy", one, "KiB"));
    Ok(figures)
}

/// Memory is measured at rest: what starting needed has been given back by then, or never is.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// The platform's own processes: the supervisor and those of its children that run this program.
pub(super) fn roles(system: &System) -> Outcome<Vec<(&'static str, u32)>> {
    let supervisor = system.supervisor_pid();
    let mut found = vec![("supervisor", supervisor)];
    for pid in children(supervisor)? {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let role = match words.get(1).copied() {
            Some(b"server") => "server",
            Some(b"proxy") => "data plane",
            Some(b"reap") => "reaper",
            _ => continue,
        };
        found.push((role, pid));
    }
    Ok(found)
}

fn children(parent: u32) -> Outcome<Vec<u32>> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text =
        if Path::new(&path).exists() { std::fs::read_to_string(path)? } else { scan_for_children(parent)? };
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// For kernels that do not list children: every process whose parent it is.
fn scan_for_children(parent: u32) -> Outcome<String> {
    let mut found = String::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let status = std::fs::read_to_string(format!("/proc/{name}/status")).unwrap_or_default();
        if status
            .lines()
            .any(|line| line.strip_prefix("PPid:").is_some_and(|it| it.trim() == parent.to_string()))
        {
            found.push_str(&name);
            found.push(' ');
        }
    }
    Ok(found)
}

/// The proportional set size, so that pages which processes share are counted once.
pub(super) fn mebibytes(pid: u32) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("smaps_rollup has no Pss")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1_024.0)
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
