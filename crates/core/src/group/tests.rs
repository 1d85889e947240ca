use super::*;
use crate::retry::{Backoff, Delay, Jitter};
use crate::{EventId, Namespace, StreamName, Tag};
use proptest::prelude::*;

const ADA: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);

fn config() -> Config {
    let delay = Delay::Fixed(Duration::from_millis(100));
    Config {
        ack_deadline: Duration::from_millis(1_000),
        deliveries: 3,
        backoff: Backoff { delay, jitter: Jitter::None, max_delay: Duration::from_secs(1) },
        ..Config::default()
    }
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(number: u64) -> EventId {
    EventId::from_bytes(u128::from(number).to_be_bytes())
}

fn group(config: Config) -> Group {
    let mut group = Group::new(config, Position::START, 7);
    group.step(Input::Joined { member: ADA, most: 100 }, time(0)).unwrap();
    group
}

fn offer(group: &mut Group, at: u64, key: Option<u64>) {
    let offered = Offered { at: Position(at), id: id(at), key: key.map(Key), not_before: None };
    group.offer(offered, time(0)).unwrap();
}

fn given(group: &mut Group, now: u64) -> Vec<(u64, Ticket)> {
    std::iter::from_fn(|| group.poll_delivery(time(now))).map(|it| (it.at.0, it.ticket)).collect()
}

fn positions(given: &[(u64, Ticket)]) -> Vec<u64> {
    given.iter().map(|(at, _)| *at).collect()
}

#[test]
fn events_of_a_key_are_given_one_at_a_time_and_others_run_on() {
    let mut group = group(config());
    for (at, key) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None), (5, None)] {
        offer(&mut group, at, key);
    }
    let first = given(&mut group, 0);
    assert_eq!(positions(&first), [1, 3, 4, 5]);
    group.step(Input::Acked { ticket: first[0].1 }, time(1)).unwrap();
    assert_eq!(positions(&given(&mut group, 1)), [2]);
}

#[test]
fn what_is_refused_is_given_again_before_others_of_its_key_and_then_parked() {
    let mut group = group(config());
    offer(&mut group, 1, Some(1));
    offer(&mut group, 2, Some(1));
    for round in 0..3 {
        let now = 200 * round;
        group.step(Input::Time, time(now)).unwrap();
        let [(1, ticket)] = given(&mut group, now)[..] else { panic!("1 is given") };
        group.step(Input::Refused { ticket, delay: None }, time(now)).unwrap();
        assert_eq!(given(&mut group, now), []);
    }
    let parked = Parked { key: Some(Key(1)), attempts: 3, since: time(400), cause: Cause::Refused };
    assert_eq!(group.parked(), &[(Position(1), parked)].into());
    assert_eq!(given(&mut group, 400), [], "its key is blocked");
    group.step(Input::Retry { at: Position(1) }, time(500)).unwrap();
    let [(1, ticket)] = given(&mut group, 500)[..] else { panic!("1 is given again") };
    group.step(Input::Acked { ticket }, time(500)).unwrap();
    assert_eq!(positions(&given(&mut group, 500)), [2]);
}

#[test]
fn dropping_a_parked_event_frees_its_key() {
    let mut group = group(Config { deliveries: 1, ..config() });
    offer(&mut group, 1, Some(1));
    offer(&mut group, 2, Some(1));
    let ticket = given(&mut group, 0)[0].1;
    group.step(Input::Refused { ticket, delay: None }, time(0)).unwrap();
    assert_eq!(given(&mut group, 0), []);
    group.step(Input::Drop { at: Position(1) }, time(0)).unwrap();
    assert_eq!(positions(&given(&mut group, 0)), [2]);
    let again = group.step(Input::Drop { at: Position(1) }, time(0));
    assert_eq!(again, Err(Illegal::NotParked(Position(1))));
}

#[test]
fn by_policy_a_key_runs_on_past_a_parked_event() {
    let mut group = group(Config { deliveries: 1, parked_key: ParkedKey::Continue, ..config() });
    offer(&mut group, 1, Some(1));
    offer(&mut group, 2, Some(1));
    let ticket = given(&mut group, 0)[0].1;
    group.step(Input::Refused { ticket, delay: None }, time(0)).unwrap();
    assert_eq!(positions(&given(&mut group, 0)), [2]);
}

#[test]
fn where_no_more_may_be_parked_an_event_is_given_again() {
    let mut group = group(Config { deliveries: 1, most_parked: 1, ..config() });
    offer(&mut group, 1, None);
    offer(&mut group, 2, None);
    for (_, ticket) in given(&mut group, 0) {
        group.step(Input::Refused { ticket, delay: None }, time(0)).unwrap();
    }
    assert_eq!(group.parked().len(), 1);
    group.step(Input::Time, time(100)).unwrap();
    assert_eq!(positions(&given(&mut group, 100)), [2]);
}

#[test]
fn a_delivery_that_reached_nobody_does_not_count_and_is_made_again_ever_more_slowly() {
    let mut group = group(config());
    offer(&mut group, 1, None);
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..12 {
        let delivery = group.poll_delivery(time(now)).unwrap();
        assert_eq!(delivery.attempt, 1);
        group.step(Input::Unreached { ticket: delivery.ticket, delay: None }, time(now)).unwrap();
        let due = group.later.first().unwrap().0.as_millis();
        waits.push(due - now);
        now = due;
        group.step(Input::Time, time(now)).unwrap();
    }
    assert_eq!(waits[..4], [100, 200, 400, 800]);
    assert_eq!(waits[11], 10_000);
    // Whoever stands before the consumer may say when.
    let ticket = given(&mut group, now)[0].1;
    let delay = Some(Duration::from_millis(7));
    group.step(Input::Unreached { ticket, delay }, time(now)).unwrap();
    assert_eq!(group.later.first().unwrap().0, time(now + 7));
    // From then on failures count as they always do.
    for attempt in 1..=3 {
        now += 10_000;
        group.step(Input::Time, time(now)).unwrap();
        let delivery = group.poll_delivery(time(now)).unwrap();
        assert_eq!(delivery.attempt, attempt);
        group.step(Input::Refused { ticket: delivery.ticket, delay: None }, time(now)).unwrap();
    }
    assert_eq!(group.parked()[&Position(1)].attempts, 3);
    assert_eq!(group.status().counts.failed, 3);
}

#[test]
fn a_late_acknowledgement_does_not_count() {
    let mut group = group(config());
    offer(&mut group, 1, Some(1));
    let late = given(&mut group, 0)[0].1;
    assert_eq!(group.wake_at(), Some(time(1_000)));
    group.step(Input::Time, time(1_000)).unwrap();
    group.step(Input::Time, time(1_100)).unwrap();
    let again = given(&mut group, 1_100)[0].1;
    assert_eq!(group.step(Input::Acked { ticket: late }, time(1_100)), Err(Illegal::Stale));
    assert_eq!(group.status().held, 1);
    group.step(Input::Acked { ticket: again }, time(1_100)).unwrap();
    assert_eq!(group.step(Input::Acked { ticket: again }, time(1_100)), Err(Illegal::Stale));
    assert_eq!((group.status().held, group.status().counts.acked), (0, 1));
}

#[test]
fn what_a_member_leaves_behind_is_given_to_others_at_once_and_in_order() {
    let mut group = group(config());
    for at in 1..=4 {
        offer(&mut group, at, None);
    }
    assert_eq!(given(&mut group, 0).len(), 4);
    offer(&mut group, 5, None);
    group.step(Input::Joined { member: BOB, most: 100 }, time(1)).unwrap();
    group.step(Input::Left { member: ADA }, time(1)).unwrap();
    assert_eq!(positions(&given(&mut group, 1)), [1, 2, 3, 4, 5]);
}

#[test]
fn members_take_turns_and_have_no_more_than_they_have_room_for() {
    let mut group = group(config());
    group.step(Input::Joined { member: ADA, most: 1 }, time(0)).unwrap();
    group.step(Input::Joined { member: BOB, most: 2 }, time(0)).unwrap();
    for at in 1..=5 {
        offer(&mut group, at, None);
    }
    let given: Vec<_> = std::iter::from_fn(|| group.poll_delivery(time(0))).collect();
    let to: Vec<MemberId> = given.iter().map(|delivery| delivery.member).collect();
    assert_eq!(to, [ADA, BOB, BOB]);
    group.step(Input::Acked { ticket: given[0].ticket }, time(0)).unwrap();
    assert_eq!(group.poll_delivery(time(0)).unwrap().member, ADA);
}

#[test]
fn an_event_with_a_time_is_not_given_before() {
    let mut group = group(config());
    let (at, key, not_before) = (Position(1), None, Some(time(500)));
    group.offer(Offered { at, id: id(1), key, not_before }, time(0)).unwrap();
    offer(&mut group, 2, None);
    assert_eq!(positions(&given(&mut group, 0)), [2]);
    assert_eq!(group.wake_at(), Some(time(500)));
    group.step(Input::Time, time(500)).unwrap();
    assert_eq!(positions(&given(&mut group, 500)), [1]);
}

#[test]
fn a_second_event_with_an_id_of_the_window_is_left_out() {
    let mut group = group(Config { dedup: 2, ..config() });
    for (at, of) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 1)] {
        let offered = Offered { at: Position(at), id: id(of), key: None, not_before: None };
        group.offer(offered, time(0)).unwrap();
    }
    assert_eq!(positions(&given(&mut group, 0)), [1, 3, 4, 5]);
    assert_eq!(group.status().counts.duplicates, 1);
}

#[test]
fn a_full_group_reads_no_further_or_drops_what_waited_longest() {
    let mut blocking = group(Config { capacity: 2, ..config() });
    offer(&mut blocking, 1, None);
    offer(&mut blocking, 2, None);
    assert!(!blocking.wants_more());
    let offered = Offered { at: Position(3), id: id(3), key: None, not_before: None };
    assert_eq!(blocking.offer(offered, time(0)), Err(Illegal::Full));

    let mut dropping = group(Config { capacity: 2, when_full: WhenFull::DropOldest, ..config() });
    for at in 1..=3 {
        offer(&mut dropping, at, None);
    }
    assert_eq!(positions(&given(&mut dropping, 0)), [2, 3]);
    assert_eq!(dropping.status().counts.dropped, 1);
    assert!(!dropping.wants_more(), "what is under way is not dropped");
}

#[test]
fn a_seek_gives_everything_again_and_old_tickets_do_not_count() {
    let mut group = group(config());
    offer(&mut group, 1, Some(1));
    let old = given(&mut group, 0)[0].1;
    group.step(Input::Seek { after: Position::START }, time(0)).unwrap();
    assert_eq!(group.read_to(), Position::START);
    offer(&mut group, 1, Some(1));
    assert_eq!(positions(&given(&mut group, 0)), [1]);
    assert_eq!(group.step(Input::Acked { ticket: old }, time(0)), Err(Illegal::Stale));
}

#[test]
fn a_checkpoint_keeps_what_is_open_and_how_often_it_was_given() {
    let mut group = group(config());
    for at in 1..=5 {
        offer(&mut group, at, Some(at % 2));
    }
    let first = given(&mut group, 0);
    assert_eq!(positions(&first), [1, 2]);
    group.step(Input::Acked { ticket: first[1].1 }, time(0)).unwrap();
    let checkpoint = group.checkpoint();
    let open = Open { at: Position(1), key: Some(Key(1)), attempts: 1, due: time(0) };
    assert_eq!((checkpoint.to, &checkpoint.open[..]), (Position(2), &[open][..]));
    let mut restored = Group::restore(config(), checkpoint, 7, time(9));
    assert_eq!(restored.read_to(), Position(2));
    for at in 3..=5 {
        offer(&mut restored, at, Some(at % 2));
    }
    restored.step(Input::Joined { member: BOB, most: 9 }, time(9)).unwrap();
    let given: Vec<_> = std::iter::from_fn(|| restored.poll_delivery(time(9))).collect();
    assert_eq!(given.iter().map(|it| (it.at.0, it.attempt)).collect::<Vec<_>>(), [(1, 2), (4, 1)]);
}

#[test]
fn keys_follow_the_stream_or_the_first_tag_that_fits() {
    let (namespace, stream) = (Namespace::default(), StreamName::new("order/7").unwrap());
    let tags = ["customer:ada", "item:1"].map(|tag| Tag::new(tag).unwrap());
    let of = |ordering: Ordering| ordering.key(&namespace, &stream, &tags);
    assert_eq!(of(Ordering::Unordered), None);
    assert_eq!(of(Ordering::Tag("shop:".into())), None);
    assert!(of(Ordering::Tag("item:".into())).is_some());
    assert_ne!(of(Ordering::Tag("item:".into())), of(Ordering::Stream));
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let config = Config { in_flight: 0, ..config() };
    let refusal = config.check().unwrap_err();
    assert_eq!(refusal.detail, "the number in flight is 0; it may be from 1 to 65536");
    assert!(Config::default().check().is_ok());
}

/// What a shell does, by chance.
#[derive(Debug, Clone, Copy)]
enum Act {
    Offer { key: Option<u64>, delay: Option<u64> },
    Deliver,
    Settle { which: usize, ack: bool },
    Unreached { which: usize, delay: Option<u64> },
    Stale { which: usize },
    Join(u64),
    Leave(u64),
    Wait(u64),
    Retry(usize),
    Drop(usize),
    Crash { keep: bool },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (proptest::option::weighted(0.8, 0..3_u64), proptest::option::weighted(0.2, 0..500_u64))
            .prop_map(|(key, delay)| Act::Offer { key, delay }),
        5 => Just(Act::Deliver),
        5 => (any::<usize>(), proptest::bool::weighted(0.7)).prop_map(|(which, ack)| Act::Settle { which, ack }),
        2 => (any::<usize>(), proptest::option::of(0..300_u64))
            .prop_map(|(which, delay)| Act::Unreached { which, delay }),
        1 => any::<usize>().prop_map(|which| Act::Stale { which }),
        1 => (1..3_u64).prop_map(Act::Join),
        1 => (1..3_u64).prop_map(Act::Leave),
        2 => (0..1_200_u64).prop_map(Act::Wait),
        1 => any::<usize>().prop_map(Act::Retry),
        1 => any::<usize>().prop_map(Act::Drop),
        1 => any::<bool>().prop_map(|keep| Act::Crash { keep }),
    ]
}

/// A group with all that its surroundings know.
struct World {
    group: Group,
    saved: Checkpoint,
    log: Vec<(Option<Key>, Option<Timestamp>)>,
    now: u64,
    flying: Vec<Delivery>,
    past: Vec<Ticket>,
    /// Acknowledged, dropped or discarded.
    done: BTreeSet<Position>,
}

impl World {
    fn new(config: Config) -> Self {
        let group = Group::new(config, Position::START, 3);
        let saved = group.checkpoint();
        let (log, flying, past) = (Vec::new(), Vec::new(), Vec::new());
        Self { group, saved, log, now: 1, flying, past, done: BTreeSet::new() }
    }

    fn step(&mut self, input: Input) -> Result<(), Illegal> {
        let result = self.group.step(input, time(self.now));
        self.flying.retain(|delivery| self.group.held.is_flying(delivery.ticket));
        result
    }

    /// Offers what there is up to the end of the log.
    fn read(&mut self) {
        while self.group.wants_more()
            && let Some((key, not_before)) = self.log.get(self.group.read_to().0 as usize).copied()
        {
            let at = Position(self.group.read_to().0 + 1);
            let taken =
                self.group.offer(Offered { at, id: id(at.0), key, not_before }, time(self.now)).unwrap();
            self.done.extend(taken.dropped);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Offer { key, delay } => {
                self.log.push((key.map(Key), delay.map(|delay| time(self.now + delay))));
                self.read();
            }
            Act::Deliver => {
                if let Some(delivery) = self.group.poll_delivery(time(self.now)) {
                    self.past.push(delivery.ticket);
                    self.flying.push(delivery);
                    self.check_delivery(&delivery);
                }
            }
            Act::Settle { which, ack } if !self.flying.is_empty() => {
                let Delivery { at, ticket, .. } = self.flying[which % self.flying.len()];
                if ack {
                    self.step(Input::Acked { ticket }).unwrap();
                    self.done.insert(at);
                } else {
                    self.step(Input::Refused { ticket, delay: None }).unwrap();
                }
            }
            Act::Unreached { which, delay } if !self.flying.is_empty() => {
                let Delivery { at, ticket, attempt, .. } = self.flying[which % self.flying.len()];
                let (failed, parked) = (self.group.counts.failed, self.group.parked().len());
                self.step(Input::Unreached { ticket, delay: delay.map(Duration::from_millis) }).unwrap();
                let item = self.group.held.iter().find(|item| item.at == at).unwrap();
                assert_eq!(item.attempts, attempt - 1, "it does not count");
                assert!(item.due <= time(self.now).after(LONGEST_UNREACHED));
                assert_eq!((self.group.counts.failed, self.group.parked().len()), (failed, parked));
            }
            Act::Stale { which } if !self.past.is_empty() => {
                let ticket = self.past[which % self.past.len()];
                if !self.flying.iter().any(|delivery| delivery.ticket == ticket) {
                    let before = self.group.clone();
                    assert_eq!(self.step(Input::Acked { ticket }), Err(Illegal::Stale));
                    assert_eq!(self.group, before);
                }
            }
            Act::Join(member) => {
                self.step(Input::Joined { member: MemberId(member), most: 3 }).unwrap();
            }
            Act::Leave(member) => _ = self.step(Input::Left { member: MemberId(member) }),
            Act::Wait(millis) => {
                self.now += millis;
                self.step(Input::Time).unwrap();
            }
            Act::Retry(which) | Act::Drop(which) if !self.group.parked().is_empty() => {
                let at = *self.group.parked().keys().nth(which % self.group.parked().len()).unwrap();
                if matches!(act, Act::Retry(_)) {
                    self.step(Input::Retry { at }).unwrap();
                } else {
                    self.step(Input::Drop { at }).unwrap();
                    self.done.insert(at);
                }
            }
            Act::Crash { keep } => {
                if keep {
                    self.saved = self.group.checkpoint();
                }
                let config = self.group.config().clone();
                self.group = Group::restore(config, self.saved.clone(), 3, time(self.now));
                self.flying.clear();
                self.past.clear();
                self.read();
            }
            _ => {}
        }
        self.read();
        self.check();
    }

    fn check_delivery(&self, delivery: &Delivery) {
        let (key, not_before) = self.log[delivery.at.0 as usize - 1];
        assert!(not_before.is_none_or(|due| due <= time(self.now)), "not before its time");
        if let Some(key) = key {
            let of_key = |other: &&Delivery| self.log[other.at.0 as usize - 1].0 == Some(key);
            assert_eq!(self.flying.iter().filter(of_key).count(), 1, "one of a key at a time");
            let earlier = self.group.held.iter().find(|item| item.key == Some(key) && item.at < delivery.at);
            let blocks = self.group.config().parked_key == ParkedKey::Block;
            assert!(!blocks || earlier.is_none(), "in the order of the key");
            let mut parked = self.group.parked().iter().filter(|(_, parked)| parked.key == Some(key));
            assert!(!blocks || parked.all(|(at, _)| *at > delivery.at), "a parked event blocks its key");
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let group = &self.group;
        assert!(group.flying <= group.config().in_flight);
        assert_eq!(group.flying as usize, self.flying.len());
        assert!(group.held.len() <= group.config().capacity + group.config().most_parked);
        assert!(group.parked().len() <= group.config().most_parked as usize);
        let held: BTreeSet<Position> = group.held.iter().map(|item| item.at).collect();
        let now = group.checkpoint();
        for at in (1..=self.log.len() as u64).map(Position) {
            let there = at > group.read_to() || held.contains(&at) || group.parked().contains_key(&at);
            assert!(there || self.done.contains(&at), "{at:?} is lost");
            assert!(now.has(at) || self.done.contains(&at), "{at:?} is in no checkpoint");
            assert!(self.saved.has(at) || self.done.contains(&at), "{at:?} is not in the saved one");
        }
        for item in group.held.iter().filter(|item| item.place == Place::Ready) {
            assert!(item.due <= time(self.now));
        }
    }
}

fn settings() -> impl Strategy<Value = Config> {
    (1..5_u32, 2..8_u32, 1..3_u32, any::<bool>(), 0..3_u8).prop_map(
        |(in_flight, capacity, parked, block, full)| Config {
            in_flight,
            capacity,
            most_parked: parked,
            parked_key: if block { ParkedKey::Block } else { ParkedKey::Continue },
            when_full: [WhenFull::Block, WhenFull::Reject, WhenFull::DropOldest][full as usize],
            ..config()
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_lost_and_order_bounds_and_tickets_hold(
        config in settings(), acts in proptest::collection::vec(act(), 1..120)
    ) {
        let mut world = World::new(config);
        for act in acts {
            world.act(act);
        }
    }

    #[test]
    fn in_the_end_everything_is_done_with_or_parked(
        config in settings(), acts in proptest::collection::vec(act(), 1..60)
    ) {
        let mut world = World::new(config);
        for act in acts {
            world.act(act);
        }
        world.act(Act::Join(1));
        for _ in 0..400 {
            world.act(Act::Deliver);
            world.act(Act::Settle { which: 0, ack: true });
            world.act(Act::Wait(100));
            world.act(Act::Drop(0));
        }
        for at in (1..=world.log.len() as u64).map(Position) {
            prop_assert!(world.done.contains(&at), "{at:?} waits for ever");
        }
    }
}
