//! Whether what is left is whole: by the log, and by the services' own ledgers.

use super::super::journal::{Entry, history};
use super::super::names::{child_key, ids_of};
use super::actors::begun;
use super::world::{Effect, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenon_api::saga::{Beginning, Record};
use tenon_core::saga::{
    Direction, End, Event, Instance, Kind, Outcome, Saga, SagaName, StepIx, Version, Work, invariants, rank,
};
use tenon_core::{Namespace, Position, SagaId, StreamName};
use tenon_store::{Log, Query};

/// A saga, as the log has it in the end.
struct Ended {
    id: SagaId,
    beginning: Beginning,
    saga: Saga,
    instance: Instance,
    entries: Vec<Entry>,
    /// Steps about which somebody or a policy decided.
    decided: BTreeSet<StepIx>,
    /// Steps that could not be undone for a while.
    parked: BTreeSet<StepIx>,
    /// Steps that left something behind, as the saga did that they ran.
    left: BTreeSet<StepIx>,
}

/// Judges all of it.
pub(super) async fn judge(world: &World) -> Result<(), String> {
    if let Some(wrong) = world.wrong() {
        return Err(wrong);
    }
    let log: Arc<dyn Log> = Arc::new(world.log.clone());
    let effects = world.effects();
    let mut all = BTreeMap::new();
    for id in begun(world).await {
        let (beginning, entries) = history(&log, id).await.map_err(|refusal| refusal.to_string())?;
        let beginning = beginning.ok_or_else(|| format!("{id} has no beginning"))?;
        if entries.is_empty() {
            let untouched = effects.iter().all(|effect| effect.saga != id);
            untouched.then_some(()).ok_or_else(|| format!("{id} was never to begin, and did"))?;
            continue;
        }
        let ended = Ended::of(world, id, beginning, entries).map_err(|broken| format!("{id}: {broken}"))?;
        all.insert(id, ended);
    }
    let definitions = defined(world).await?;
    let by_saga = |id: SagaId| effects.iter().filter(move |effect| effect.saga == id);
    for (id, ended) in &all {
        let judged = ended.in_order(by_saga(*id)).and_then(|active| ended.is_whole(&active));
        judged.and_then(|()| ended.children(world, &all)).map_err(|broken| format!("{id}: {broken}"))?;
        ended.as_it_was(world, &all, &definitions).map_err(|broken| format!("{id}: {broken}"))?;
    }
    in_turn(all.values())
}

/// What was defined, and from where in the log on.
async fn defined(world: &World) -> Result<Vec<(Position, SagaName, Version)>, String> {
    let stream = StreamName::new("$tenon/sagas/definitions").map_err(|error| error.to_string())?;
    let query = Query::stream(Namespace::default(), stream);
    let page = world.log.read(query, Position::START, tenon_store::Direction::Forward, usize::MAX).await;
    let of = |event: &tenon_store::Event| match Record::decode(event.event_type.as_str(), &event.data) {
        Ok(Record::Defined { version, definition, .. }) => Some((event.position, definition.name, version)),
        _ => None,
    };
    Ok(page.map_err(|error| error.to_string())?.events.iter().filter_map(of).collect())
}

impl Ended {
    /// Folds what happened, each event of which must be legal and bring the end nearer.
    fn of(world: &World, id: SagaId, beginning: Beginning, entries: Vec<Entry>) -> Result<Self, String> {
        let begun = entries.first().and_then(|entry| Instance::of(&entry.event));
        let mut instance = begun.ok_or("its first event begins nothing")?;
        let saga = world.defined(instance.version()).ok_or("its definition is unknown")?;
        let (mut decided, mut parked, mut left) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (index, entry) in entries.iter().enumerate().skip(1) {
            let before = rank(&saga, &instance);
            invariants::check_event(&saga, &instance, &entry.event)?;
            instance.apply(&entry.event);
            let may_rise =
                matches!(entry.event, Event::Repeated { .. } | Event::Retried { .. } | Event::Edited { .. });
            if rank(&saga, &instance) >= before && !may_rise {
                return Err(format!("{:?} does not bring the end nearer", entry.event));
            }
            if entries.get(index + 1).is_none_or(|next| next.position != entry.position) {
                invariants::check(&saga, &instance)?;
            }
            match &entry.event {
                Event::Skipped { step } | Event::SettledByHand { step, .. } => _ = decided.insert(*step),
                // A call that was under way may come later, and nothing refuses it.
                Event::PivotDenied => decided.extend(saga.pivot()),
                Event::LeftBehind { token, outcome: Outcome::LeftBehind } => _ = left.insert(token.step),
                Event::LeftBehind { token, .. } => _ = decided.insert(token.step),
                Event::Parked { token, .. } if token.direction == Direction::Undo => {
                    parked.insert(token.step);
                }
                _ => {}
            }
        }
        Ok(Self { id, beginning, saga, instance, entries, decided, parked, left })
    }

    fn is_call(&self, step: StepIx) -> bool {
        self.saga.get(step).is_some_and(|step| matches!(step.work, Work::Call { .. }))
    }

    /// Whether nothing undoes it, as it leaves nothing behind: a late call of it does no harm.
    fn leaves_nothing(&self, step: StepIx) -> bool {
        self.saga.get(step).is_some_and(|step| step.kind == Kind::Compensatable && step.undo.is_none())
    }

    /// Whether something about the step holds whatever somebody decided.
    fn binds(&self, step: StepIx) -> bool {
        self.is_call(step) && !self.decided.contains(&step)
    }

    /// What was done was done after what it depends on, and undone before it, and never after the pivot. What is done in the end.
    fn in_order<'a>(&self, effects: impl Iterator<Item = &'a Effect>) -> Result<BTreeSet<StepIx>, String> {
        let mut active = BTreeSet::new();
        for Effect { step: name, direction, .. } in effects {
            let named = |step: &StepIx| self.saga.get(*step).is_some_and(|step| step.name.as_str() == name);
            let step = self.saga.steps().find(named).ok_or("a step was called that it has not")?;
            let excused =
                self.parked.contains(&step) || self.decided.contains(&step) || self.leaves_nothing(step);
            match direction {
                Direction::Do => {
                    let mut needs = self.saga.needs(step).iter();
                    if !excused && needs.any(|need| self.binds(need) && !active.contains(&need)) {
                        return Err(format!("`{name}` was done before what it depends on"));
                    }
                    active.insert(step);
                }
                Direction::Undo => {
                    let free = |other: &StepIx| self.parked.contains(other) || !self.binds(*other);
                    let undoable = |other: &StepIx| self.saga.get(*other).is_some_and(|it| it.undo.is_some());
                    let mut behind = self.saga.behind(step).iter().filter(|it| !free(it) && undoable(it));
                    if behind.any(|other| active.contains(&other)) {
                        return Err(format!("`{name}` was undone before what depends on it"));
                    }
                    if self.saga.pivot().is_some_and(|pivot| active.contains(&pivot)) {
                        return Err(format!("`{name}` was undone after the pivot"));
                    }
                    active.remove(&step);
                }
            }
        }
        Ok(active)
    }

    fn is_whole(&self, active: &BTreeSet<StepIx>) -> Result<(), String> {
        let end = self.instance.ended().ok_or("it has not ended")?;
        for step in self.saga.steps().filter(|step| self.binds(*step)) {
            let Some(definition) = self.saga.get(step) else { continue };
            match (end, active.contains(&step)) {
                (End::Completed, false) => {
                    return Err(format!("it is completed without `{}`", definition.name));
                }
                (End::Compensated | End::Failed, true) if !self.leaves_nothing(step) => {
                    return Err(format!("it is {end:?}, and `{}` is done", definition.name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The sagas that were run as steps ended as it did; where one left something behind, so did it.
    fn children(&self, world: &World, all: &BTreeMap<SagaId, Self>) -> Result<(), String> {
        for step in self.saga.steps().filter(|step| !self.decided.contains(step)) {
            let Some(Work::Child(name)) = self.saga.get(step).map(|step| &step.work) else { continue };
            let rounds = self.instance.progress(step).map_or(0, |progress| progress.round);
            // Both ids that one may have may be the same.
            let ids: BTreeSet<SagaId> = (0..=rounds)
                .flat_map(|round| ids_of(&self.beginning.namespace, name, &child_key(self.id, step.0, round)))
                .collect();
            let ends: Vec<End> = ids.iter().filter_map(|id| all.get(id)?.instance.ended()).collect();
            let whole = match self.instance.ended() {
                Some(End::Completed) => ends.contains(&End::Completed),
                _ if self.left.contains(&step) => ends == [End::Failed],
                _ => ends.iter().all(|end| *end == End::Compensated),
            };
            if self.left.contains(&step) {
                world.note("child left something", &ends.len());
            }
            if !whole {
                return Err(format!(
                    "it is {:?}, and the saga of step {} {ends:?}",
                    self.instance.ended(),
                    step.0
                ));
            }
        }
        Ok(())
    }

    /// If it is a step of another, it is what its name stood for when that began.
    fn as_it_was(
        &self,
        world: &World,
        all: &BTreeMap<SagaId, Self>,
        definitions: &[(Position, SagaName, Version)],
    ) -> Result<(), String> {
        let Some(parent) = self.beginning.parent.and_then(|parent| all.get(&parent)) else { return Ok(()) };
        let at = parent.beginning.defined_at;
        let mut own = definitions.iter().rev().filter(|(_, name, _)| *name == self.beginning.name);
        if own.next().is_some_and(|(_, _, version)| *version != self.instance.version()) {
            world.note("child of a former version", &self.id);
        }
        let mut own = definitions.iter().rev().filter(|(_, name, _)| *name == self.beginning.name);
        let then = own.find(|(since, ..)| Some(*since) <= at).map(|(_, _, version)| *version);
        if self.beginning.defined_at != at || then != Some(self.instance.version()) {
            return Err(format!("it is version {}, as of {at:?} it was {then:?}", self.instance.version()));
        }
        Ok(())
    }

    /// From where to where in the log it ran, if it did.
    fn ran(&self) -> Option<(Position, Position)> {
        let admitted =
            |entry: &&Entry| matches!(entry.event, Event::Started { queued: false, .. } | Event::Admitted);
        let first = self.entries.iter().find(admitted)?.position;
        Some((first, self.entries.last()?.position))
    }
}

/// Those with the same value ran one after the other.
fn in_turn<'a>(all: impl Iterator<Item = &'a Ended>) -> Result<(), String> {
    let mut turns: BTreeMap<_, Vec<(Position, Position)>> = BTreeMap::new();
    for ended in all {
        if let (Some(turn), Some(ran)) = (&ended.beginning.turn, ended.ran()) {
            turns.entry((ended.beginning.name.clone(), turn.clone())).or_default().push(ran);
        }
    }
    for (of, mut ran) in turns {
        ran.sort();
        if ran.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(format!("two ran at the same time by {of:?}: {ran:?}"));
        }
    }
    Ok(())
}
