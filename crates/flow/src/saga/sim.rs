//! Sagas in a simulated world: the driver itself, on a paused clock, over a log, leases and services that fail in seeded order.
//!
//! A seed decides on everything: the shapes of sagas, who starts, cancels, signals and decides, how long each append, read and
//! call takes, and what is lost, repeated, late or refused; which server crashes before or after an append or a call, is
//! stopped in good order, has little room, stands still past its leases, or goes on without any and does not know it. Then nothing fails
//! any more, and all must come to an end; what is in the log and in the services' own ledgers is then judged
//! ([`judge`]).
//!
//! A seed that fails is replayed with `TENON_SEED`; `TENON_TEST_LONG` runs 10,000 of them instead of 200.

mod actors;
mod judge;
mod ports;
mod shapes;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use world::{Tally, World};

/// What happens in the seeds that are run each time, or they would say nothing of it.
const HAPPEN: [&str; 26] = [
    // To servers.
    "crash",
    "appended by the dead",
    "stopped",
    "still",
    "believes",
    "lease",
    "lease unasked",
    "refused",
    "put off",
    // To the log.
    "append lost",
    "append unanswered",
    "log full",
    "read failed",
    // To calls and answers.
    "call unsent",
    "call lost",
    "call doubled",
    "call late",
    "call repeated",
    "answer lost",
    // By services and people.
    "step refused",
    "refusal repeated",
    "nothing to undo",
    "told",
    // By sagas that are steps.
    "redefined",
    "child left something",
    "child of a former version",
];

/// Runs a seed, and answers everything that happened, and how much of what.
fn run(seed: u64) -> Result<(Vec<String>, Tally), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        let lived = actors::live(&world).await;
        let judged = match lived {
            Ok(()) => judge::judge(&world).await,
            Err(stuck) => Err(stuck),
        };
        match judged {
            Ok(()) => Ok((world.story(), world.tally())),
            Err(broken) => Err(format!("{}\n{broken}", world.story().join("\n"))),
        }
    })
}

/// Everything that happened with a seed, however it ended.
fn story(seed: u64) -> Vec<String> {
    run(seed).map(|(story, _)| story).unwrap_or_else(|broken| broken.lines().map(str::to_owned).collect())
}

/// The seeds to run.
fn seeds() -> Vec<u64> {
    let given = std::env::var("TENON_SEED").ok().and_then(|seed| seed.parse().ok());
    let many = if std::env::var_os("TENON_TEST_LONG").is_some() { 10_000 } else { 200 };
    given.map_or_else(|| (0..many).collect(), |seed| vec![seed])
}

#[test]
fn no_failure_of_servers_and_services_leaves_a_saga_half_done() {
    let mut tallies = BTreeMap::new();
    for seed in seeds() {
        match run(seed) {
            Ok((_, tally)) => {
                tally.into_iter().for_each(|(what, count)| *tallies.entry(what).or_insert(0) += count);
            }
            Err(broken) => panic!("{broken}\nreplay it with TENON_SEED={seed}"),
        }
    }
    let never = |what: &&&str| !tallies.contains_key(**what);
    // A single seed need not have everything.
    let never: Vec<_> = HAPPEN.iter().filter(never).filter(|_| seeds().len() > 1).collect();
    assert!(never.is_empty(), "these never happened: {never:?}; of others: {tallies:?}");
}

#[test]
fn a_seed_happens_twice_in_the_same_way() {
    for seed in 0..4 {
        let (once, again) = (story(seed), story(seed));
        let differs = once.iter().zip(&again).position(|(one, other)| one != other);
        assert_eq!(differs.map(|at| (&once[..=at], &again[at])), None, "seed {seed}");
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}
