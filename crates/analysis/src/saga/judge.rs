//! What must hold of services and saga together.

use super::machine::Decision;
use super::world::{Rules, World};
use tenon_core::saga::{self, At, End, Step, StepIx, StepSet, Work, invariants};

impl Rules {
    pub(super) fn check_done(&self, world: &World, step: StepIx) -> Result<(), invariants::Broken> {
        let participant = world.participants.get(step.index()).copied().unwrap_or_default();
        if participant.done > 1 {
            return Err("a step took effect twice");
        }
        // So what it depends on may be undone before a late call of it comes.
        if held_up_nobody(world).has(step) {
            return Ok(());
        }
        let has_effect = |step: &StepIx| {
            let waits = |it: &Step| matches!(it.work, Work::Signal { .. } | Work::Timer(_));
            !self.saga.get(*step).is_some_and(waits) && world.log.at(*step) != At::LeftOut
        };
        let mut needs = self.saga.needs(step).iter().filter(has_effect);
        if needs.any(|needed| !self.active(world).has(needed)) {
            return Err("a step took effect while one that it depends on had none");
        }
        Ok(())
    }

    pub(super) fn check_undone(&self, world: &World, step: StepIx) -> Result<(), invariants::Broken> {
        let participant = world.participants.get(step.index()).copied().unwrap_or_default();
        if participant.undone > participant.done {
            return Err("something was undone that never took effect");
        }
        if self.saga.pivot().is_some_and(|pivot| self.active(world).has(pivot)) {
            return Err("a step was undone after the pivot");
        }
        let left = held_up_nobody(world);
        let undoable = |step: &StepIx| self.saga.get(*step).is_some_and(|step| step.undo.is_some());
        let open = self.saga.behind(step).both(self.active(world));
        if open.iter().any(|step| undoable(&step) && !left.has(step)) {
            return Err("a step was undone before one that depends on it");
        }
        Ok(())
    }

    /// What holds of services and saga together, at the end and ever after.
    pub(super) fn check(&self, world: &World) -> Result<(), invariants::Broken> {
        let active = self.active(world);
        let left = world.log.those(|at| at == At::LeftBehind);
        let left_out = world.log.those(|at| at == At::LeftOut);
        let undoable = |step: StepIx| self.saga.get(step).is_some_and(|step| step.undo.is_some());
        let calls = |step: &StepIx| {
            self.saga.get(*step).is_some_and(|step| matches!(step.work, Work::Call { .. } | Work::Child(_)))
        };
        match world.log.ended() {
            Some(End::Completed)
                if !self.saga.steps().filter(calls).all(|step| active.has(step) || left_out.has(step)) =>
            {
                Err("the saga completed, and a step has no effect")
            }
            Some(End::Compensated | End::Failed)
                if active.iter().any(|step| (undoable(step) && !left.has(step)) || self.binds(step)) =>
            {
                Err("the saga was undone, and a step still has its effect")
            }
            _ => Ok(()),
        }
    }

    /// Whether a step's effect must not be there if the saga was undone, although nothing undoes it.
    fn binds(&self, step: StepIx) -> bool {
        self.saga.get(step).is_some_and(|step| step.kind != saga::Kind::Compensatable)
    }

    /// The steps whose effect is there.
    fn active(&self, world: &World) -> StepSet {
        let numbered = self.saga.steps().zip(&world.participants);
        numbered.filter(|(_, participant)| participant.is_active()).map(|(step, _)| step).collect()
    }
}

/// What waits for somebody, or did, or was left as it is, holds up nobody.
fn held_up_nobody(world: &World) -> StepSet {
    let left = world.log.those(|at| matches!(at, At::UndoParked | At::LeftBehind));
    match world.decided {
        Some(Decision::Retry(step)) if world.log.at(step).is_undo() => left.and(StepSet::one(step)),
        _ => left,
    }
}
