//! That everything which may go wrong is among what is explored. A call that comes after it was undone is there only where its
//! service would do it ([`Lapse::Hangs`]); otherwise it can change nothing, and is left out.

use super::super::machine::Decision;
use super::super::participant::Reply;
use super::super::world::{Action as Happens, Answer, Rules, World};
use super::owners::{reached, rules};
use super::*;
use std::collections::BTreeSet;
use tenon_core::saga::{At, Cause, Expr, Token};

/// What happens in some state, in words.
fn troubles(rules: &Rules) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut actions = Vec::new();
    for world in reached(rules) {
        assert_eq!(world.broken, None);
        rules.actions(&world, &mut actions);
        let goes_on = world.log.ended().is_none();
        let may_crash = actions.iter().any(|action| matches!(action, Happens::TakenOver(_)));
        assert_eq!(may_crash, goes_on && world.faults < rules.faults, "a server may crash at any moment");
        for action in actions.drain(..) {
            let Some((next, told)) = rules.act(&world, action) else { continue };
            found.extend(happens(&world, action, &next));
            found.extend(told.events().iter().filter_map(follows));
        }
    }
    found
}

fn happens(world: &World, action: Happens, next: &World) -> Option<&'static str> {
    let latest = |token: Token| world.log.token(token.step).is_some_and(|last| last == token);
    let changed = next.log != world.log;
    Some(match action {
        Happens::ArrivesTwice { .. } => "a call arrives twice",
        Happens::Arrives { sent, .. } if !latest(sent.token) => "a call arrives late",
        Happens::Arrives { sent, reply: Reply::Refusal } if sent.token.direction == Direction::Undo => {
            "undoing is refused"
        }
        Happens::Arrives { reply: Reply::Refusal, .. } => "a step is refused",
        Happens::Arrives { sent, reply: Reply::LeftBehind } => match sent.token.direction {
            Direction::Do => "a saga that is a step leaves something behind",
            Direction::Undo => "a saga that is reverted leaves something behind",
        },
        Happens::Answered(Answer { token, .. }) if changed && !latest(token) => {
            "an answer comes late, and counts"
        }
        Happens::Answered(Answer { by, token, .. })
            if world.answers.iter().any(|other| other.by == by && other.token < token) =>
        {
            "answers come in another order"
        }
        Happens::TimesOut(_, token) if world.answers.iter().any(|answer| answer.token == token) => {
            "an answer is lost, or late"
        }
        Happens::TimesOut(..) => "a call is lost, or late",
        Happens::Unsent(_) => "a call is not sent",
        Happens::Cancelled(_) if !changed => return None,
        Happens::Cancelled(_) if world.log.is_queued() => "the saga is cancelled before its turn",
        Happens::Cancelled(_) => "the saga is cancelled",
        Happens::TimePasses(_) if changed && world.log.is_queued() => "the deadline passes before its turn",
        Happens::Admitted(_) => "its turn comes",
        Happens::Reverted(_) => "it is reverted after it completed",
        Happens::TakenOver(_) if !world.log.calls().is_empty() => "a server crashes with calls under way",
        Happens::TakenOver(_) => "a server crashes",
        Happens::ComesBack(_, Some(_)) => "a server comes back with an answer",
        Happens::ComesBack(_, None) => "a server comes back",
        Happens::Decided(_, Decision::Retry(_)) => "somebody has a step tried again",
        Happens::Decided(_, Decision::Skip(_)) => "somebody leaves a step out",
        Happens::Decided(_, Decision::Settled(_)) => "somebody says that a step is done, or undone",
        Happens::Decided(_, Decision::Deny) => "somebody says that the pivot was not done",
        Happens::Signalled(_, step) if world.log.at(step) == At::Idle => "a signal comes early",
        Happens::Signalled(..) => "a signal comes",
        Happens::Arrives { .. } | Happens::Answered(_) | Happens::TimePasses(_) | Happens::GoesOn(_) => {
            return None;
        }
    })
}

fn follows(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Overdue => "the deadline passes",
        Event::Doubted { .. } => "nobody knows of the pivot when the saga is to be turned back",
        Event::TurnedBack { cause: Cause::Failed(_) } => "a step's failure turns the saga back",
        Event::GaveUp { outcome: Outcome::Late, .. } => "a signal is late",
        Event::GaveUp { outcome: Outcome::Dropped, .. } => "a step is dropped",
        Event::GaveUp { may_have_run: true, .. } => "a step is given up that may have run",
        Event::Parked { why: Why::PivotUnknown, .. } => "the pivot waits for somebody",
        Event::Parked { why: Why::Spent, .. } => "a step behind the pivot waits for somebody",
        Event::Parked { why: Why::UndoSpent, .. } => "what undoes a step waits for somebody",
        Event::LeftBehind { .. } => "what cannot be undone is left",
        Event::Ended { end: End::Completed } => "it ends completed",
        Event::Ended { end: End::Compensated } => "it ends compensated",
        Event::Ended { end: End::Failed } => "it ends failed",
        _ => return None,
    })
}

#[test]
fn every_trouble_of_calls_servers_and_people_is_explored() {
    let steps = vec![
        call("order", Kind::Compensatable, &[]),
        call("payment", Kind::Pivot, &[]),
        call("mail", Kind::Retriable, &[1]),
    ];
    let scope = Scope { faults: 2, ..Scope::default() };
    let mut found = troubles(&rules(&with_deadline(&saga(steps)), &scope, Orchestrator::default(), false));
    let mut beside = call("stock", Kind::Compensatable, &[]);
    beside.undo.iter_mut().for_each(|undo| undo.on_failure = OnUndoFailure::Skip);
    let steps = vec![call("order", Kind::Compensatable, &[]), beside];
    found.extend(troubles(&rules(&saga(steps), &scope, Orchestrator::default(), false)));
    found.extend(troubles(&rules(&with_child(), &scope, Orchestrator::default(), false)));
    let expected = BTreeSet::from([
        "a call arrives late",
        "a call arrives twice",
        "a call is lost, or late",
        "a call is not sent",
        "a saga that is a step leaves something behind",
        "a saga that is reverted leaves something behind",
        "a server comes back",
        "a server comes back with an answer",
        "a server crashes with calls under way",
        "a step behind the pivot waits for somebody",
        "a step is given up that may have run",
        "a step is dropped",
        "a step is refused",
        "a step's failure turns the saga back",
        "an answer comes late, and counts",
        "an answer is lost, or late",
        "answers come in another order",
        "it ends compensated",
        "it ends completed",
        "it ends failed",
        "it is reverted after it completed",
        "nobody knows of the pivot when the saga is to be turned back",
        "somebody has a step tried again",
        "somebody leaves a step out",
        "somebody says that a step is done, or undone",
        "somebody says that the pivot was not done",
        "the deadline passes",
        "the pivot waits for somebody",
        "the saga is cancelled",
        "undoing is refused",
        "what cannot be undone is left",
        "what undoes a step waits for somebody",
    ]);
    let missing: Vec<_> = expected.difference(&found).collect();
    let unexpected: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && unexpected.is_empty(), "missing: {missing:?}; unexpected: {unexpected:?}");
}

#[test]
fn signals_times_and_sagas_that_are_steps_are_explored() {
    let mut approval = call("approval", Kind::Compensatable, &[0]);
    let name = saga::SignalName::new("approved").unwrap();
    let timeout = Some(Duration::from_secs(60));
    (approval.work, approval.undo) = (Work::Signal { name, timeout, late: saga::Late::Fail }, None);
    let mut child = call("child", Kind::Compensatable, &[]);
    child.work = Work::Child(SagaName::new("other").unwrap());
    child.undo = child.undo.map(|undo| Undo { work: UndoWork::Revert, ..undo });
    let steps = vec![child, approval];
    let scope = Scope { faults: 1, ..Scope::default() };
    let found = troubles(&rules(&with_deadline(&saga(steps)), &scope, Orchestrator::default(), false));
    for expected in [
        "a server crashes",
        "a signal comes",
        "a signal comes early",
        "a signal is late",
        "a step is dropped",
        "it ends compensated",
    ] {
        assert!(found.contains(expected), "{expected}: not among {found:?}");
    }
}

#[test]
fn one_that_waits_for_its_turn_may_come_to_an_end_before() {
    let steps = vec![call("order", Kind::Compensatable, &[]), call("payment", Kind::Pivot, &[])];
    let definition = with_deadline(&saga(steps)).definition().clone();
    let queued = Definition { serialize_by: Expr::new("input.customer").ok(), ..definition };
    let queued = Saga::new(queued).unwrap();
    let scope = Scope { faults: 1, ..Scope::default() };
    let found = troubles(&rules(&queued, &scope, Orchestrator::default(), false));
    for expected in [
        "its turn comes",
        "the saga is cancelled before its turn",
        "the deadline passes before its turn",
        "the saga is cancelled",
        "a server crashes",
        "it ends completed",
    ] {
        assert!(found.contains(expected), "{expected}: {found:?}");
    }
    assert_verified(&check(&queued, &scope));
}
