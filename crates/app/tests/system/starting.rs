//! Services that do not start.

use crate::support::process::environment;
use crate::support::{Folder, System, eventually, system_of, worker};
use std::collections::BTreeMap;
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

    let mut delays = BTreeMap::new();
    eventually("it has ended five times", async || {
        for failed in system.api.instances().await.unwrap().failed {
            delays.insert(failed.failures, failed.restart_at.since(failed.ended_at));
        }
        delays.keys().any(|failures| *failures >= 5).then_some(())
    })
    .await;
    for (failures, delay) in &delays {
        assert_eq!(*delay, Duration::from_millis(100 << (failures - 1)), "{delays:?}");
    }
    assert!(starts(&system) >= 5);
}

/// How often the service was started, by its output.
fn starts(system: &System) -> usize {
    let logs = fs::read_dir(system.folder.data().join("logs")).unwrap().flatten();
    let of_broken = logs.filter(|it| it.file_name().to_string_lossy().starts_with("broken"));
    let text: String = of_broken.map(|it| fs::read_to_string(it.path()).unwrap()).collect();
    text.lines().filter(|line| line.ends_with(" out started")).count()
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_and_one_that_is_reaches_only_the_service() {
    let stores = |variable: &str| {
        format!("data: [{{name: orders-db, type: postgresql, connection: {{env: {variable}}}}}]")
    };
    let without = worker("without", &[&stores("TENON_TEST_NO_SUCH_VARIABLE")]);
    // Any variable that is there will do.
    let with = worker("with", &[&stores("PATH").replace("orders-db", "other-db")]);
    let folder = Folder::with(&system_of(&[without, with], ""));
    let system = System::begin(folder, &["--wait", "1"]).await;
    let env = environment(system.pid_of("with").await);
    assert_eq!(env["TENON_DATA_OTHER_DB"], std::env::var("PATH").unwrap());
    let named = async || {
        let failed = system.api.instances().await.unwrap().failed;
        failed.iter().any(|it| it.exit.contains("TENON_TEST_NO_SUCH_VARIABLE")).then_some(())
    };
    eventually("the variable that is missing is named", named).await;

    let log = log_of(&system);
    assert!(contains(&log, b"InstanceStarted"), "this is the log");
    for secret in [&env["TENON_DATA_OTHER_DB"], &env["TENON_TOKEN"], &system.token] {
        assert!(!contains(&log, secret.as_bytes()), "a secret stands in the log");
    }
}

/// All bytes of the log's files.
fn log_of(system: &System) -> Vec<u8> {
    let files = fs::read_dir(system.folder.data().join("log")).unwrap().flatten();
    files.filter(|it| it.path().is_file()).flat_map(|it| fs::read(it.path()).unwrap()).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
