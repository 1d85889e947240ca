use super::*;
use proptest::prelude::*;

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000 * seconds)
}

const fn healthy() -> Standing {
    Standing { healthy: true, since: Timestamp::ZERO, distance: Distance::Elsewhere }
}

fn unhealthy_since(at: u64) -> Standing {
    Standing { healthy: false, since: seconds(at), distance: Distance::Elsewhere }
}

fn used(plan: &Plan) -> Vec<usize> {
    let mut all: Vec<usize> = plan.levels.iter().flat_map(|level| level.members.clone()).collect();
    all.sort_unstable();
    all
}

fn standings() -> impl Strategy<Value = Vec<Standing>> {
    let distance = prop::sample::select(vec![Distance::Zone, Distance::Region, Distance::Elsewhere]);
    let standing = (any::<bool>(), 0..200_u64, distance).prop_map(|(healthy, since, distance)| Standing {
        healthy,
        since: seconds(since),
        distance,
    });
    prop::collection::vec(standing, 0..12)
}

proptest! {
    #[test]
    fn shares_add_up_and_every_level_has_members(standings in standings(), panic in 0..=100_u32, now in 0..300_u64) {
        let plan = plan(&standings, panic, seconds(now));
        let shares: u32 = plan.levels.iter().map(|level| level.share).sum();
        prop_assert_eq!(shares, if plan.levels.is_empty() { 0 } else { ALL });
        for level in &plan.levels {
            prop_assert!(level.share > 0 && !level.members.is_empty());
            prop_assert!(level.members.iter().all(|index| *index < standings.len()));
        }
    }

    #[test]
    fn unhealthy_ones_are_used_in_panic_and_under_guard_only(standings in standings(), panic in 0..=100_u32, now in 0..300_u64) {
        let standings: Vec<_> =
            standings.iter().map(|it| Standing { distance: Distance::Elsewhere, ..*it }).collect();
        let plan = plan(&standings, panic, seconds(now));
        let unhealthy = used(&plan).into_iter().filter(|index| !standings[*index].healthy).count();
        match plan.mode {
            Mode::Normal => prop_assert_eq!(unhealthy, 0),
            Mode::Guarded => prop_assert!(unhealthy > 1),
            Mode::Panic => prop_assert_eq!(used(&plan).len(), standings.len()),
        }
    }

    #[test]
    fn without_a_preference_everyone_healthy_is_used(standings in standings(), now in 0..300_u64) {
        let flat: Vec<_> =
            standings.iter().map(|it| Standing { distance: Distance::Elsewhere, ..*it }).collect();
        let used = used(&plan(&flat, 50, seconds(now)));
        for index in (0..flat.len()).filter(|index| flat[*index].healthy) {
            prop_assert!(used.contains(&index));
        }
    }

    #[test]
    fn somebody_is_used_if_there_are_several_and_panic_is_on(standings in standings(), panic in 1..=100_u32) {
        prop_assume!(standings.len() > 1);
        prop_assert!(!plan(&standings, panic, seconds(300)).levels.is_empty());
    }
}

#[test]
fn all_are_used_when_too_few_are_healthy() {
    let one_of_three = [healthy(), unhealthy_since(0), unhealthy_since(100)];
    let plan_at = |panic| plan(&one_of_three, panic, seconds(1_000));
    assert_eq!((plan_at(50).mode, used(&plan_at(50))), (Mode::Panic, vec![0, 1, 2]));
    assert_eq!((plan_at(33).mode, used(&plan_at(33))), (Mode::Normal, vec![0]));
    assert_eq!((plan_at(0).mode, used(&plan_at(0))), (Mode::Normal, vec![0]));
}

#[test]
fn the_only_endpoint_of_a_service_is_believed() {
    let alone = plan(&[unhealthy_since(0)], 100, seconds(1));
    assert_eq!((alone.mode, alone.levels), (Mode::Normal, vec![]));
}

#[test]
fn those_that_fail_at_once_are_used_on_for_a_while_but_not_those_that_failed_before() {
    let all = [healthy(), unhealthy_since(1_000), unhealthy_since(1_009), unhealthy_since(10)];
    let guarded = plan(&all, 0, seconds(1_010));
    assert_eq!((guarded.mode, used(&guarded)), (Mode::Guarded, vec![0, 1, 2]));
    assert_eq!(guarded.until, Some(seconds(1_060)));
    let after = plan(&all, 0, seconds(1_061));
    assert_eq!((after.mode, used(&after)), (Mode::Normal, vec![0]));
}

#[test]
fn those_that_fail_one_by_one_are_believed() {
    let all = [healthy(), unhealthy_since(1_000), unhealthy_since(1_030), unhealthy_since(1_050)];
    assert_eq!(plan(&all, 0, seconds(1_055)).mode, Mode::Normal);
}

fn there(distance: Distance, healthy: usize, unhealthy: usize) -> Vec<Standing> {
    let standing = |healthy| Standing { healthy, since: Timestamp::ZERO, distance };
    [vec![standing(true); healthy], vec![standing(false); unhealthy]].concat()
}

fn shares(standings: &[Standing]) -> Vec<u32> {
    // In percent, rounded.
    plan(standings, 0, seconds(1_000))
        .levels
        .iter()
        .map(|level| (level.share * 100 + ALL / 2) / ALL)
        .collect()
}

#[test]
fn near_ones_carry_all_until_they_have_no_more_to_spare() {
    let far = there(Distance::Elsewhere, 4, 0);
    assert_eq!(shares(&[there(Distance::Zone, 4, 0), far.clone()].concat()), [100]);
    assert_eq!(shares(&[there(Distance::Zone, 3, 1), far.clone()].concat()), [100]);
    // Half of them carry 70 %.
    assert_eq!(shares(&[there(Distance::Zone, 2, 2), far.clone()].concat()), [70, 30]);
    assert_eq!(shares(&[there(Distance::Zone, 0, 4), far.clone()].concat()), [100]);
    let region = there(Distance::Region, 1, 1);
    assert_eq!(shares(&[there(Distance::Zone, 1, 3), region, far].concat()), [35, 65]);
    // All together carry 70 %: in proportion.
    let weak = [there(Distance::Zone, 1, 3), there(Distance::Region, 1, 3)].concat();
    assert_eq!(shares(&weak), [50, 50]);
}

#[test]
fn a_zone_is_a_zone_of_its_region() {
    let place = |region: &str, zone: &str| {
        BTreeMap::from([("region".to_owned(), region.to_owned()), ("zone".to_owned(), zone.to_owned())])
    };
    let here = Locality::of(&place("north", "a"));
    assert_eq!(here.distance(&place("north", "a")), Distance::Zone);
    assert_eq!(here.distance(&place("north", "b")), Distance::Region);
    assert_eq!(here.distance(&place("south", "a")), Distance::Elsewhere);
    assert_eq!(here.distance(&BTreeMap::new()), Distance::Elsewhere);
    assert_eq!(Locality::default().distance(&place("north", "a")), Distance::Elsewhere);
}
