//! Two servers that both take themselves for the one that runs the saga.

use super::super::machine::Known;
use super::super::owner::By;
use super::super::participant::Participant;
use super::super::world::{Action as Happens, Rules, Sent, World};
use super::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// All of a state but who runs the saga, and what is on its way.
type Outside = (Arc<Known>, Vec<Participant>, bool);

/// Calls that can change something, and with how few faults they are on their way.
type OnTheirWay = HashMap<BTreeSet<Sent>, u8>;

pub(super) fn rules(saga: &Saga, scope: &Scope, orchestrator: Orchestrator, whole: bool) -> Rules {
    Rules { whole, ..Rules::new(abstraction::small(saga, scope.tries), scope, orchestrator) }
}

/// Every state that can be reached.
pub(super) fn reached(rules: &Rules) -> HashSet<World> {
    let mut reached = HashSet::from([rules.begin()]);
    let mut next: Vec<World> = reached.iter().cloned().collect();
    let mut actions = Vec::new();
    while let Some(world) = next.pop() {
        rules.actions(&world, &mut actions);
        for action in actions.drain(..) {
            if let Some((world, _)) = rules.act(&world, action)
                && reached.insert(world.clone())
            {
                next.push(world);
            }
        }
    }
    reached
}

/// What there is besides the servers.
fn outside(rules: &Rules) -> (usize, HashMap<Outside, OnTheirWay>) {
    let reached = reached(rules);
    let mut outside: HashMap<Outside, OnTheirWay> = HashMap::new();
    for world in &reached {
        let minded = world.calls.iter().filter(|sent| rules.can_change(world, sent));
        let calls = minded.map(|sent| Sent { by: By::Nobody, ..*sent }).collect();
        let of = outside
            .entry((Arc::clone(&world.log), world.participants.clone(), world.broken.is_some()))
            .or_default();
        let faults = of.entry(calls).or_insert(world.faults);
        *faults = world.faults.min(*faults);
    }
    (reached.len(), outside)
}

fn small_sagas() -> Vec<Saga> {
    use Kind::{Compensatable, Pivot, Retriable};
    let mut approval = call("approval", Compensatable, &[0]);
    let name = saga::SignalName::new("approved").unwrap();
    let timeout = Some(Duration::from_secs(60));
    (approval.work, approval.undo) = (Work::Signal { name, timeout, late: saga::Late::Fail }, None);
    let mut delay = call("delay", Retriable, &[0]);
    (delay.work, delay.undo) = (Work::Timer(Duration::from_secs(1)), None);
    vec![
        saga(vec![call("order", Compensatable, &[])]),
        saga(vec![call("order", Compensatable, &[]), call("payment", Compensatable, &[0])]),
        saga(vec![call("order", Compensatable, &[]), call("payment", Pivot, &[0])]),
        saga(vec![call("order", Compensatable, &[]), approval]),
        saga(vec![call("payment", Pivot, &[]), delay]),
        with_deadline(&saga(vec![call("order", Compensatable, &[]), call("payment", Compensatable, &[])])),
        with_child(),
    ]
}

#[test]
fn what_is_left_out_of_servers_that_are_behind_makes_no_difference() {
    for (saga, faults) in small_sagas().into_iter().zip([3, 2, 3, 2, 2, 2, 2]) {
        let scope = Scope { faults, ..Scope::default() };
        let (all, whole) = outside(&rules(&saga, &scope, Orchestrator::default(), true));
        let (few, reduced) = outside(&rules(&saga, &scope, Orchestrator::default(), false));
        eprintln!("{all} states, of which {few} are looked at; {} without servers", whole.len());
        assert!(few < all);
        assert_eq!(whole.len(), reduced.len());
        for (outside, calls) in &whole {
            let among =
                reduced.get(outside).unwrap_or_else(|| panic!("only with servers kept whole: {outside:?}"));
            // That a call of a server behind certainly does not arrive adds nothing to that it may not.
            for (calls, faults) in calls {
                let mut more =
                    among.iter().filter(|(more, least)| more.is_superset(calls) && *least <= faults);
                assert!(more.next().is_some(), "only with servers kept whole: {calls:?} of {outside:?}");
            }
            for (calls, faults) in among {
                assert_eq!(whole[outside].get(calls), Some(faults), "never: {calls:?} of {outside:?}");
            }
        }
    }
}

/// In long runs the larger one as well, of 2,361,166 states.
#[cfg(feature = "manifest")]
#[test]
fn the_shops_sagas_come_to_the_same_with_servers_kept_as_they_are() {
    let long = std::env::var_os("TENON_TEST_LONG").is_some();
    for saga in shop().into_iter().filter(|saga| long || saga.definition().name.as_str() == "cancel-order") {
        let explored = [true, false].map(|whole| {
            let rules = rules(&saga, &Scope::default(), Orchestrator::default(), whole);
            let explored = model::explore(&rules, &Scope::default(), &mut |_| {});
            assert!(explored.complete && explored.broken.is_none());
            (rules.seen.told(&rules.saga), explored.states)
        });
        let [(all, states), (told, looked_at)] = explored;
        assert_eq!(all, told);
        assert!(looked_at < states);
    }
}

#[test]
fn a_server_that_is_behind_is_refused_and_may_come_back() {
    let scope = Scope { faults: 2, ..Scope::default() };
    let rules = rules(&in_a_row(), &scope, Orchestrator::default(), true);
    let (mut refused, mut raced, mut came_back) = (false, false, false);
    for world in reached(&rules).iter().filter(|world| world.faults < 2) {
        let mut actions = Vec::new();
        rules.actions(world, &mut actions);
        for action in actions {
            let Some((_, told)) = rules.act(world, action) else { continue };
            refused |= told.refused && matches!(action, Happens::Answered(_));
            // It read the log, and the other one appended before it did.
            raced |= told.refused && matches!(action, Happens::GoesOn(_));
            came_back |= matches!(action, Happens::ComesBack(_, Some(_)));
        }
    }
    assert!(refused && raced && came_back, "{refused} {raced} {came_back}");
}
