//! Why a saga comes to an end.

use super::definition::Work;
use super::event::End;
use super::instance::{At, Goal, Instance, Progress};
use super::shape::Saga;

/// A number that every event lowers, but for one that repeats a call after a crash, which leaves it, and an operator's new
/// tries and inputs. So without crashes and operators a saga has at most as many events as its rank is at the beginning.
pub fn rank(saga: &Saga, instance: &Instance) -> u64 {
    let steps = saga.definition().steps.iter().zip(instance.steps());
    let goal = match (instance.goal(), instance.ended()) {
        (Goal::Forward, None) => 3,
        (Goal::Forward, Some(End::Completed | End::Compensated | End::Failed)) => 2,
        (Goal::Back(_), None) => 1,
        (Goal::Back(_), Some(_)) => 0,
    };
    let signals =
        saga.definition().steps.iter().filter(|step| matches!(step.work, Work::Signal { .. })).count();
    let open = [instance.is_queued(), !instance.is_overdue(), instance.doubt().is_none()];
    let open = open.into_iter().map(u64::from).sum::<u64>();
    let unheard = signals.saturating_sub(instance.kept_signals()) as u64;
    let of_steps = steps.map(|(step, progress)| {
        let undo = step.undo.as_ref().map(|undo| u64::from(undo.retry.tries));
        of_step(progress, u64::from(step.retry.tries), undo)
    });
    goal + open + unheard + of_steps.sum::<u64>()
}

/// Each try takes two: to begin it, and to learn of it.
fn of_step(progress: &Progress, tries: u64, undo_tries: Option<u64>) -> u64 {
    let undo = undo_tries.map_or(0, |tries| 2 * tries + 1);
    let left = tries.saturating_sub(u64::from(progress.tries));
    let undo_left = undo_tries.unwrap_or_default().saturating_sub(u64::from(progress.tries));
    match progress.at {
        At::Idle => undo + 2 * tries + 2,
        At::Doing { .. } | At::Waiting { .. } => undo + 2 * left + 3,
        At::DoLater { .. } => undo + 2 * left + 2,
        At::DoParked(_) => undo + 1,
        At::Done | At::Doubtful => undo,
        At::Undoing { .. } => 2 * undo_left + 2,
        At::UndoLater { .. } => 2 * undo_left + 1,
        At::UndoParked => 1,
        At::NotDone | At::LeftOut | At::Undone | At::LeftBehind => 0,
    }
}
