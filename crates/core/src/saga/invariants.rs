//! What always holds of a saga: for the property tests, the models and the checker alike.

use super::definition::Kind;
use super::event::{Direction, End, Event, Outcome, Why};
use super::instance::{At, Goal, Instance};
use super::shape::{Saga, StepIx, StepSet};

/// What does not hold, in words.
pub type Broken = &'static str;

/// What holds of every instance.
///
/// # Errors
/// The first that does not.
pub fn check(saga: &Saga, instance: &Instance) -> Result<(), Broken> {
    goes_one_way(saga, instance)?;
    ends_whole(saga, instance)?;
    keeps_budgets(saga, instance)?;
    parks_when_spent(saga, instance)?;
    is_not_stuck(instance)
}

/// What holds of every event, given the instance before it.
///
/// # Errors
/// The first that does not.
pub fn check_event(saga: &Saga, before: &Instance, event: &Event) -> Result<(), Broken> {
    let token = match event {
        Event::Began { token, .. } => token,
        Event::GaveUp { outcome: Outcome::LeftBehind, may_have_run: false, .. } => {
            return Err("a saga that is a step left something behind, and is not to be undone");
        }
        _ => return Ok(()),
    };
    match token.direction {
        Direction::Do if before.goal() != Goal::Forward => {
            Err("a step begins although the saga was turned back")
        }
        Direction::Do if !saga.needs(token.step).within(before.those(At::is_done)) => {
            Err("a step begins before one that it depends on is done")
        }
        Direction::Undo if before.goal() == Goal::Forward => {
            Err("a step is undone although the saga goes forward")
        }
        Direction::Undo if !before.at(token.step).is_undo() => undo_in_order(saga, before, token.step),
        Direction::Do | Direction::Undo => Ok(()),
    }
}

/// A step is undone when all that depend on it are, or wait for somebody.
fn undo_in_order(saga: &Saga, before: &Instance, step: StepIx) -> Result<(), Broken> {
    let open: StepSet = before.owed(saga).iter().filter(|step| !before.at(*step).is_parked()).collect();
    let doing = before.those(|at| matches!(at, At::Doing { .. } | At::DoLater { .. }));
    if saga.behind(step).both(open.and(doing)).is_empty() {
        Ok(())
    } else {
        Err("a step is undone before one that depends on it")
    }
}

/// Behind the pivot nothing is undone; before it nothing that is behind it begins.
fn goes_one_way(saga: &Saga, instance: &Instance) -> Result<(), Broken> {
    let undone = instance.those(At::is_undo);
    if instance.is_committed(saga) && (instance.goal() != Goal::Forward || !undone.is_empty()) {
        return Err("a step is undone after the pivot");
    }
    if instance.goal() == Goal::Forward && !undone.is_empty() {
        return Err("a step is undone although the saga goes forward");
    }
    Ok(())
}

/// All is done, or nothing is left that may have run; unless somebody or a policy decided otherwise.
fn ends_whole(saga: &Saga, instance: &Instance) -> Result<(), Broken> {
    let left = instance.those(|at| at == At::LeftBehind);
    match instance.ended() {
        Some(End::Completed) if instance.those(At::is_done).len() < u32::from(saga.len()) => {
            Err("the saga completed without all of its steps")
        }
        Some(End::Compensated | End::Failed) if !instance.owed(saga).is_empty() => {
            Err("the saga ended with a step that was not undone")
        }
        Some(End::Compensated) if !left.is_empty() => {
            Err("the saga ended as compensated, and left a step behind")
        }
        Some(End::Failed) if left.is_empty() => Err("the saga ended as failed, and left nothing behind"),
        Some(_) if !instance.those(At::is_under_way).is_empty() => {
            Err("the saga ended with a step under way")
        }
        _ => Ok(()),
    }
}

fn keeps_budgets(saga: &Saga, instance: &Instance) -> Result<(), Broken> {
    for step in saga.steps() {
        let (Some(definition), Some(progress)) = (saga.get(step), instance.progress(step)) else { continue };
        let budget = match progress.at.is_undo() {
            true => definition.undo.as_ref().map_or(0, |undo| undo.retry.tries),
            false => definition.retry.tries,
        };
        if progress.tries > budget {
            return Err("a step was tried more often than its budget says");
        }
    }
    Ok(())
}

/// A step waits for somebody only when its tries are spent.
fn parks_when_spent(saga: &Saga, instance: &Instance) -> Result<(), Broken> {
    for step in saga.steps() {
        let (Some(definition), Some(progress)) = (saga.get(step), instance.progress(step)) else { continue };
        let undo_tries = definition.undo.as_ref().map(|undo| undo.retry.tries);
        let right = match progress.at {
            At::DoParked(Why::PivotUnknown) => {
                definition.kind == Kind::Pivot && progress.unsure && progress.tries == definition.retry.tries
            }
            At::DoParked(Why::Spent) => {
                definition.kind == Kind::Retriable && progress.tries == definition.retry.tries
            }
            At::DoParked(Why::UndoSpent) => false,
            At::UndoParked => Some(progress.tries) == undo_tries,
            _ => true,
        };
        if !right {
            return Err("a step waits for somebody although its tries are not spent");
        }
    }
    Ok(())
}

/// Something goes on, or it waits for somebody, or it is over.
fn is_not_stuck(instance: &Instance) -> Result<(), Broken> {
    let goes_on = !instance.those(At::is_under_way).is_empty() || instance.is_queued();
    if instance.ended().is_some() || instance.is_parked() || goes_on {
        Ok(())
    } else {
        Err("the saga is stuck")
    }
}
