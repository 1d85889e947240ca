//! Services that do not start.

use crate::support::{Folder, System, eventually, system_of, worker};
use std::fs;
use std::time::Duration;

const MISSING: &str = "  broken:
    command: [./nowhere]
    interfaces: [{name: api, endpoints: [{path: /}]}]";

#[tokio::test]
async fn a_program_that_is_missing_is_named_while_the_rest_runs() {
    let folder = Folder::with(&system_of(&[worker("worker", &[]), MISSING.to_owned()], ""));
    let system = System::begin(folder, &["--wait", "2"]).await;
    system.has_healthy("worker", 1).await;
    let says = async || system.printed().contains("broken (0 of 1 healthy)").then_some(());
    eventually("`tenon up` says what is missing", says).await;
    let says = async || system.printed().contains("is up").then_some(());
    eventually("`tenon up` says where it answers all the same", says).await;
    let printed = system.printed();
    assert!(printed.contains("nowhere is not an executable file"), "{printed}");
    assert!(printed.contains("test is up in part") && !printed.contains("all healthy"), "{printed}");

    let shown = async || {
        let said = system.tenon().run(&["instances", "broken"]).await.succeeded();
        (said.out.contains("nowhere is not an executable file") && said.out.contains("again in"))
            .then_some(())
    };
    eventually("`tenon instances` says why", shown).await;
    let services = system.tenon().run(&["services"]).await.succeeded();
    assert!(services.out.contains("unavailable"), "{}", services.out);
}

#[tokio::test]
async fn a_service_that_exits_at_once_is_restarted_ever_more_slowly() {
    let broken = worker("broken", &["env: {EXIT: \"3\"}"]);
    let system = System::begin(Folder::with(&system_of(&[broken], "")), &["--wait", "1"]).await;
    let says = async || system.printed().contains("broken (0 of 1 healthy)").then_some(());
    eventually("`tenon up` says what is missing", says).await;

    let shown = async || {
        let said = system.tenon().run(&["instances", "broken"]).await.succeeded();
        said.out.contains("exited with code 3").then_some(())
    };
    eventually("`tenon instances` says why", shown).await;
    let said = system.tenon().run(&["logs", "broken"]).await.succeeded();
    assert!(said.out.contains("there is no database"), "{}", said.out);

    let starts = eventually("it was started five times", async || {
        let starts = starts(&system);
        (starts.len() >= 5).then_some(starts)
    })
    .await;
    // 100 ms, 200 ms, 400 ms, 800 ms at least from an end to the next start.
    for (index, pair) in starts.windows(2).enumerate() {
        let waited = pair[1].saturating_sub(pair[0]);
        assert!(waited >= Duration::from_millis(100 << index), "start {index}: {starts:?}");
    }
}

/// When the service was started, since the day began, by its output.
fn starts(system: &System) -> Vec<Duration> {
    let logs = fs::read_dir(system.folder.data().join("logs")).unwrap().flatten();
    let of_broken = logs.filter(|it| it.file_name().to_string_lossy().starts_with("broken"));
    let text: String = of_broken.map(|it| fs::read_to_string(it.path()).unwrap()).collect();
    let lines = text.lines().filter(|line| line.ends_with(" started"));
    let mut starts: Vec<Duration> = lines.map(|line| since_midnight(line)).collect();
    starts.sort_unstable();
    starts
}

/// `2026-03-01T12:00:00.000250Z out started`
fn since_midnight(line: &str) -> Duration {
    let number = |from: usize, to: usize| line[from..to].parse::<u64>().unwrap();
    let seconds = number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    Duration::from_secs(seconds) + Duration::from_micros(number(20, 26))
}
