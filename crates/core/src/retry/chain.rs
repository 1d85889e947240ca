//! Five services, each of which calls the next, and every way for them to fail: how many requests arrive at each of
//! them for those that come in from outside, with the machines that run in production.

use super::{Advice, Attempts, Decision, Outcome, Policy, Tried, budget};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const HOPS: usize = 5;

/// How one service fails.
#[derive(Debug, Clone, Copy)]
struct Service {
    /// Of 100 requests, those that it refuses before it calls anybody.
    refuses: u32,
    /// Of 100 requests that the next service has answered well, those that it fails all the same.
    breaks: u32,
}

/// What the hops tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// What they tell in production.
    All,
    /// Nothing, as in a mesh whose hops know nothing of each other.
    Nothing,
}

#[derive(Debug)]
struct Mesh {
    policy: Policy,
    budget: budget::Config,
    services: [Service; HOPS],
    budgets: [budget::State; HOPS],
    arrived: [u64; HOPS],
    told: Told,
    now: Timestamp,
    random: u64,
}

/// An answer, as the hop above sees it.
#[derive(Debug, Clone, Copy)]
struct Answer {
    failed: bool,
    stops_callers: bool,
}

impl Mesh {
    fn new(services: [Service; HOPS], budget: budget::Config, told: Told) -> Self {
        Self {
            policy: Policy::default(),
            budget,
            services,
            budgets: Default::default(),
            arrived: [0; HOPS],
            told,
            now: Timestamp::from_millis(1),
            random: 1,
        }
    }

    /// A number below 100 (Knuth's constants).
    fn dice(&mut self) -> u32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) % 100) as u32
    }

    /// A call by the sidecar before service `hop`.
    fn call(&mut self, hop: usize, repetition: bool) -> Answer {
        let heard = self.told == Told::All;
        if !(repetition && heard) {
            self.budgets[hop] =
                budget::step(self.budgets[hop], &self.budget, budget::Input::Request, self.now).0;
        }
        let mut attempts = Attempts::new();
        loop {
            let answer = self.serve(hop, repetition || attempts.ended() > 0);
            let tried = Tried {
                outcome: Outcome::Status(if answer.failed { 503 } else { 200 }),
                idempotent: true,
                replayable: true,
                repetition: repetition && heard,
                advice: if answer.stops_callers && heard { Advice::Never } else { Advice::Nothing },
                remaining: None,
                random: self.random,
            };
            let (bucket, config, now) = (&mut self.budgets[hop], &self.budget, self.now);
            let decision = attempts.after_try(&self.policy, tried, || {
                let (next, granted) = budget::step(*bucket, config, budget::Input::Retry, now);
                *bucket = next;
                granted
            });
            if let Decision::GiveUp { .. } = decision {
                return Answer { failed: answer.failed, stops_callers: attempts.stops_callers() };
            }
        }
    }

    /// What service `hop` makes of a request. It passes on what it is told, down and up.
    fn serve(&mut self, hop: usize, repetition: bool) -> Answer {
        self.arrived[hop] += 1;
        let Service { refuses, breaks } = self.services[hop];
        if self.dice() < refuses {
            return Answer { failed: true, stops_callers: false };
        }
        if hop + 1 < HOPS {
            let below = self.call(hop + 1, repetition);
            if below.failed {
                return below;
            }
        }
        Answer { failed: self.dice() < breaks, stops_callers: false }
    }

    /// Requests from outside, a thousand a second.
    fn run(&mut self, requests: u64) {
        for _ in 0..requests {
            self.now = self.now.after(Duration::from_millis(1));
            self.call(0, false);
        }
    }

    /// What a budget pays for at most, in a hundredth of a request.
    fn paid(&self, requests: u64) -> u64 {
        let budget::Config { percent, per_second, burst } = self.budget;
        requests * u64::from(percent) + u64::from(per_second) * requests / 10 + u64::from(burst) * 100
    }
}

fn budgets() -> impl Strategy<Value = budget::Config> {
    (0..=20u32, 0..=10u32, 1..=20u32).prop_map(|(percent, per_second, burst)| budget::Config {
        percent,
        per_second,
        burst,
    })
}

fn every(service: Service) -> [Service; HOPS] {
    [service; HOPS]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The bound of one budget, not of five on top of each other.
    #[test]
    fn no_service_gets_more_than_one_budget_adds(
        refuses in prop::array::uniform5(prop_oneof![0..=100u32, Just(100)]), budget in budgets(), seed: u64,
    ) {
        let services = refuses.map(|refuses| Service { refuses, breaks: 0 });
        let mut mesh = Mesh { random: seed, ..Mesh::new(services, budget, Told::All) };
        mesh.run(1_000);
        for arrived in mesh.arrived {
            prop_assert!(arrived * 100 <= 100_000 + mesh.paid(1_000), "{:?}", mesh.arrived);
        }
    }

    /// Where services fail after the one below has served them, each hop may spend, but no try is tried again.
    #[test]
    fn budgets_add_up_at_worst_and_never_multiply(
        breaks in prop::array::uniform5(0..=100u32), budget in budgets(), seed: u64,
    ) {
        let services = breaks.map(|breaks| Service { refuses: 0, breaks });
        let mut mesh = Mesh { random: seed, ..Mesh::new(services, budget, Told::All) };
        mesh.run(1_000);
        for (hop, arrived) in mesh.arrived.into_iter().enumerate() {
            prop_assert!(arrived * 100 <= 100_000 + (hop as u64 + 1) * mesh.paid(1_000), "{:?}", mesh.arrived);
        }
    }
}

#[test]
fn five_hops_of_which_each_fails_cost_less_than_a_fifth_more() {
    for service in [Service { refuses: 100, breaks: 0 }, Service { refuses: 0, breaks: 100 }] {
        let budget = budget::Config { percent: 19, per_second: 0, burst: 1 };
        let mut mesh = Mesh::new(every(service), budget, Told::All);
        mesh.run(10_000);
        let most = *mesh.arrived.iter().max().unwrap();
        assert!((10_000..12_000).contains(&most), "{:?}", mesh.arrived);
    }
}

#[test]
fn hops_that_know_nothing_of_each_other_multiply() {
    let budget = budget::Config { percent: 20, per_second: 0, burst: 1 };
    let mut mesh = Mesh::new(every(Service { refuses: 0, breaks: 100 }), budget, Told::Nothing);
    mesh.run(10_000);
    // 1.2 to the power of 5 is 2.49.
    assert!(mesh.arrived[HOPS - 1] > 22_000, "{:?}", mesh.arrived);
}
