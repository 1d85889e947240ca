use super::*;
use proptest::prelude::*;

/// A service that works on `places` requests at once, each for `work`, while the others wait.
#[derive(Debug, Clone, Copy)]
struct Queue {
    places: u32,
    work: Duration,
}

impl Queue {
    /// What is seen in a window of a second by callers who always want `demand` requests in flight.
    fn window(self, demand: u32, limit: u32) -> Window {
        let in_flight = demand.min(limit).max(1);
        let took =
            self.work.as_micros() as u64 * u64::from(in_flight.max(self.places)) / u64::from(self.places);
        let ended = (u64::from(in_flight) * 1_000_000 / took.max(1)).max(1) as u32;
        Window { ended, micros: took * u64::from(ended), overloaded: 0, peak: in_flight }
    }
}

struct Service {
    config: Config,
    state: State,
    now: Timestamp,
}

impl Service {
    fn new(config: Config) -> Self {
        Self { config, state: State::new(&config), now: Timestamp::ZERO }
    }

    fn limit(&self) -> u32 {
        self.state.limit(&self.config)
    }

    fn run(&mut self, queue: Queue, demand: u32, windows: u32) {
        for _ in 0..windows {
            let window = queue.window(demand, self.limit());
            self.now = self.now.after(Duration::from_secs(1));
            self.state = step(self.state, &self.config, &window, self.now, 0);
        }
    }

    /// The found limit, without halving.
    fn found(&self) -> u32 {
        State { phase: Phase::Steady, ..self.state }.limit(&self.config)
    }
}

fn windows() -> impl Strategy<Value = (Window, u64)> {
    let window = (any::<u32>(), any::<u64>(), any::<u32>(), any::<u32>())
        .prop_map(|(ended, micros, overloaded, peak)| Window { ended, micros, overloaded, peak });
    (window, any::<u64>())
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_whatever_is_seen(
        min: u32, max: u32, tolerance: u32, seen in prop::collection::vec((windows(), any::<u64>()), 1..60),
    ) {
        let config = Config { min, max, tolerance, ..Config::default() };
        let mut state = State::new(&config);
        for ((window, random), now) in seen {
            state = step(state, &config, &window, Timestamp::from_micros(now), random);
            let limit = state.limit(&config);
            prop_assert!(limit >= config.least() && limit <= config.most() && limit >= 1);
        }
    }

    #[test]
    fn a_saturated_service_gets_what_it_can_work_on_and_a_little_more(
        places in 4..200u32, work in 1..200u64, measure_every in 10..60u64,
    ) {
        let config = Config { measure_every: Duration::from_secs(measure_every), ..Config::default() };
        let mut service = Service::new(config);
        let queue = Queue { places, work: Duration::from_millis(work) };
        service.run(queue, 2, 5);
        service.run(queue, 100_000, 400);
        for _ in 0..200 {
            service.run(queue, 100_000, 1);
            let found = service.found();
            prop_assert!(found >= places && found <= places * 5 / 2 + 2, "{found} for {places}");
        }
    }

    #[test]
    fn a_service_that_becomes_slower_for_good_is_not_starved(places in 8..100u32, slower in 2..6u32) {
        let config = Config { measure_every: Duration::from_secs(10), ..Config::default() };
        let mut service = Service::new(config);
        let queue = Queue { places, work: Duration::from_millis(10) };
        service.run(queue, 2, 5);
        service.run(queue, 100_000, 300);
        service.run(Queue { work: queue.work * slower, ..queue }, 100_000, 600);
        prop_assert!(service.found() >= places, "{} for {places}", service.found());
    }

    #[test]
    fn a_limit_that_is_not_used_is_left_as_it_is(demand in 1..8u32, windows in 1..100u32) {
        let mut service = Service::new(Config::default());
        let before = service.limit();
        service.run(Queue { places: 50, work: Duration::from_millis(5) }, demand, windows);
        prop_assert_eq!(service.limit(), before);
    }
}

#[test]
fn measuring_halves_the_limit_and_no_more() {
    let mut service = Service::new(Config::default());
    let queue = Queue { places: 40, work: Duration::from_millis(10) };
    service.run(queue, 2, 5);
    let mut lowest = u32::MAX;
    service.run(queue, 100_000, 200);
    for _ in 0..200 {
        service.run(queue, 100_000, 1);
        lowest = lowest.min(service.limit() * 2 + 1);
        assert!(service.limit() >= service.found() / 2);
    }
    assert!(lowest >= 40);
}

#[test]
fn a_service_that_says_that_it_has_too_much_to_do_gets_less() {
    let mut service = Service::new(Config { min: 2, ..Config::default() });
    let window = Window { ended: 100, micros: 100_000, overloaded: 30, peak: 20 };
    for _ in 0..100 {
        service.state = step(service.state, &service.config, &window, service.now, 0);
    }
    assert_eq!(service.limit(), 2);
}

#[test]
fn threads_that_feed_it_find_what_one_would() {
    let config = Config { window: Duration::from_millis(10), ..Config::default() };
    let shared = Shared::default();
    assert_eq!(shared.limit(&config), 20);
    // Nothing ever waits: the limit grows as far as it is used.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for millis in 1..4_000u64 {
                    let now = Timestamp::from_millis(millis);
                    shared.record(&config, (Duration::from_millis(1), false), shared.limit(&config), now, 0);
                }
            });
        }
    });
    let limit = shared.limit(&config);
    assert!(limit > 20 && limit <= config.max, "{limit}");
}
