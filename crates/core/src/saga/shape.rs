//! A definition whose shape is right, with what follows from it.

use super::definition::{
    Definition, InputOf, Kind, Late, MAX_PROTOS, MAX_STEPS, MAX_TRIES, Step, StepName, UndoWork, Work,
};
use super::{Call, SagaName, SignalName};
use crate::error::{Code, Refusal};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The number of a step: its place in the definition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIx(pub u8);

/// Some of a saga's steps.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepSet(u64);

/// A saga whose shape was checked, unless it is only looked at. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Saga {
    definition: Arc<Definition>,
    /// Of each step, what it waits for.
    needs: Arc<[StepSet]>,
    /// Of each step, what depends on it, also by others.
    behind: Arc<[StepSet]>,
    pivot: Option<StepIx>,
}

/// The longest time-out, timer and deadline.
const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl StepIx {
    /// As an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl StepSet {
    /// No step.
    pub const NONE: Self = Self(0);

    /// Only this step.
    pub fn one(step: StepIx) -> Self {
        Self(1u64.checked_shl(u32::from(step.0)).unwrap_or(0))
    }

    /// Whether the step is one of them.
    pub fn has(self, step: StepIx) -> bool {
        self.0 & Self::one(step).0 != 0
    }

    /// With these as well.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn both(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of these are among `others`.
    pub fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// How many there are.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Each of them, by number.
    pub fn iter(self) -> impl Iterator<Item = StepIx> {
        (0..MAX_STEPS as u8).map(StepIx).filter(move |step| self.has(*step))
    }
}

impl FromIterator<StepIx> for StepSet {
    fn from_iter<T: IntoIterator<Item = StepIx>>(steps: T) -> Self {
        steps.into_iter().fold(Self::NONE, |all, step| all.and(Self::one(step)))
    }
}

impl fmt::Debug for StepSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|step| step.0)).finish()
    }
}

impl Saga {
    /// Checks a definition.
    ///
    /// # Errors
    /// `saga.invalid` names the step, what is wrong about it, and what would be right.
    pub fn new(definition: Definition) -> Result<Self, Refusal> {
        let steps = &definition.steps;
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(invalid(format!("it has {} steps; it may have from 1 to {MAX_STEPS}", steps.len())));
        }
        let all: StepSet = numbers(steps).collect();
        let mut names = BTreeSet::<&StepName>::new();
        let mut signals = BTreeSet::<&SignalName>::new();
        for (step, number) in steps.iter().zip(numbers(steps)) {
            if !names.insert(&step.name) {
                return Err(invalid(format!("two steps are called `{}`; give one another name", step.name)));
            }
            if let Work::Signal { name, .. } = &step.work
                && !signals.insert(name)
            {
                return Err(invalid(format!(
                    "two steps wait for the signal `{name}`; each waits for its own"
                )));
            }
            if !step.after.within(all) || step.after.has(number) {
                return Err(at(step, "depends on itself, or on a step that is not there"));
            }
            check(step).map_err(|problem| at(step, &problem))?;
        }
        if definition
            .deadline
            .is_some_and(|deadline| !(Duration::from_millis(1)..=MAX_SPAN).contains(&deadline))
        {
            return Err(invalid("the deadline may be from 1 ms to 366 days".to_owned()));
        }
        let protos: usize = definition.protos.values().map(|of| of.as_bytes().len()).sum();
        if protos > MAX_PROTOS {
            return Err(invalid(format!("its protos have {protos} bytes; {MAX_PROTOS} is the most")));
        }
        let pivot = pivot(steps)?;
        let stated: Vec<StepSet> = steps.iter().map(|step| step.after).collect();
        kinds(steps, pivot, &behind(steps, &stated)?)?;
        let needs = needs(steps, pivot);
        let behind = behind(steps, &needs)?;
        Ok(Self { definition: Arc::new(definition), needs: needs.into(), behind: behind.into(), pivot })
    }

    /// A definition that is not checked, nor fit to be run: by it, what was run before is looked at.
    pub fn unchecked(definition: Definition) -> Self {
        Self { definition: Arc::new(definition), needs: Arc::default(), behind: Arc::default(), pivot: None }
    }

    /// What it was made of.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// How many steps it has.
    pub fn len(&self) -> u8 {
        self.definition.steps.len() as u8
    }

    /// Never: a saga has a step.
    pub fn is_empty(&self) -> bool {
        self.definition.steps.is_empty()
    }

    /// Every step's number.
    pub fn steps(&self) -> impl Iterator<Item = StepIx> + use<> {
        (0..self.len()).map(StepIx)
    }

    /// A step.
    pub fn get(&self, step: StepIx) -> Option<&Step> {
        self.definition.steps.get(step.index())
    }

    /// The step of a name.
    pub fn named(&self, name: &str) -> Option<StepIx> {
        self.steps().find(|step| self.get(*step).is_some_and(|step| step.name.as_str() == name))
    }

    /// Whether a step runs another saga.
    pub fn is_child(&self, step: StepIx) -> bool {
        self.get(step).is_some_and(|step| matches!(step.work, Work::Child(_)))
    }

    /// What a step waits for: what it says, and the pivot waits for everything that can be undone.
    pub fn needs(&self, step: StepIx) -> StepSet {
        self.needs.get(step.index()).copied().unwrap_or_default()
    }

    /// What depends on a step, also by others.
    pub fn behind(&self, step: StepIx) -> StepSet {
        self.behind.get(step.index()).copied().unwrap_or_default()
    }

    /// The point of no return, if there is one.
    pub fn pivot(&self) -> Option<StepIx> {
        self.pivot
    }
}

fn numbers(steps: &[Step]) -> impl Iterator<Item = StepIx> + use<> {
    (0..steps.len() as u8).map(StepIx)
}

fn invalid(detail: String) -> Refusal {
    Refusal::new(Code::SagaInvalid, detail)
}

fn at(step: &Step, problem: &str) -> Refusal {
    invalid(format!("step `{}` {problem}", step.name))
}

/// What a step must be by itself.
fn check(step: &Step) -> Result<(), String> {
    let span = |what: &str, span: Duration| match (Duration::from_millis(1)..=MAX_SPAN).contains(&span) {
        true => Ok(()),
        false => Err(format!("has a {what} of {span:?}; it may be from 1 ms to 366 days")),
    };
    let tries = |what: &str, tries: u32| match (1..=MAX_TRIES).contains(&tries) {
        true => Ok(()),
        false => Err(format!("has {tries} tries to {what} it; they may be from 1 to {MAX_TRIES}")),
    };
    tries("do", step.retry.tries)?;
    match &step.work {
        Work::Call { timeout, action } => {
            span("time-out", *timeout)?;
            variables(&action.call, &step.input)?;
        }
        Work::Signal { timeout: Some(timeout), .. } => span("time-out", *timeout)?,
        Work::Timer(delay) => span("timer", *delay)?,
        Work::Signal { .. } | Work::Child(_) => {}
    }
    let Some(undo) = &step.undo else {
        return match step.work {
            Work::Child(_) => Err("runs a saga; let it be undone by reverting that".to_owned()),
            _ => Ok(()),
        };
    };
    tries("undo", undo.retry.tries)?;
    match (&undo.work, &step.work) {
        (UndoWork::Revert, Work::Child(_)) => Ok(()),
        (UndoWork::Revert, _) => Err("runs no saga that could be reverted; say what undoes it".to_owned()),
        (UndoWork::Call { .. }, Work::Child(_)) => {
            Err("runs a saga, which undoes itself; leave out what undoes it".to_owned())
        }
        (UndoWork::Call { .. }, Work::Signal { .. } | Work::Timer(_)) => {
            Err("only waits, so there is nothing to undo; leave that out".to_owned())
        }
        (UndoWork::Call { timeout, action }, Work::Call { .. }) => {
            span("time-out of what undoes it", *timeout)?;
            variables(&action.call, &undo.input)
        }
    }
}

/// A path's variables are fields of the input.
fn variables(call: &Call, input: &InputOf) -> Result<(), String> {
    let Call::Http { path, .. } = call else { return Ok(()) };
    let variables = path.as_str().split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    for variable in variables {
        let variable = variable.trim_end_matches("...");
        match input {
            InputOf::Fields(fields) if fields.contains_key(variable) => {}
            _ => {
                return Err(format!("has `{{{variable}}}` in its path; give its input a field `{variable}`"));
            }
        }
    }
    Ok(())
}

fn pivot(steps: &[Step]) -> Result<Option<StepIx>, Refusal> {
    let mut pivots = numbers(steps).zip(steps).filter(|(_, step)| step.kind == Kind::Pivot);
    let first = pivots.next();
    match pivots.next() {
        None => Ok(first.map(|(number, _)| number)),
        Some((_, second)) => Err(at(
            second,
            "is a second pivot: if one were done and the other refused, the saga could go neither way; a saga has one at \
             most",
        )),
    }
}

fn needs(steps: &[Step], pivot: Option<StepIx>) -> Vec<StepSet> {
    let undoable = numbers(steps).zip(steps).filter(|(_, step)| step.kind == Kind::Compensatable);
    let undoable: StepSet = undoable.map(|(number, _)| number).collect();
    let needs = |(number, step): (StepIx, &Step)| match Some(number) == pivot {
        true => step.after.and(undoable),
        false => step.after,
    };
    numbers(steps).zip(steps).map(needs).collect()
}

/// Whether running a saga runs another in the end, or is running it: by the sagas that are its steps. `of` is what a name stands
/// for, if it does for anything.
pub fn runs<'a>(
    saga: &'a SagaName,
    other: &SagaName,
    of: impl Fn(&SagaName) -> Option<&'a Definition>,
) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![saga]);
    while let Some(name) = next.pop() {
        if name == other {
            return true;
        }
        if seen.insert(name) {
            next.extend(of(name).into_iter().flat_map(Definition::children).map(|(_, child)| child));
        }
    }
    false
}

/// What depends on each step; a step that depends on itself in the end is refused.
fn behind(steps: &[Step], needs: &[StepSet]) -> Result<Vec<StepSet>, Refusal> {
    let mut reached = needs.to_vec();
    for _ in 0..steps.len() {
        let last = reached.clone();
        for set in &mut reached {
            *set = set
                .iter()
                .fold(*set, |all, step| all.and(last.get(step.index()).copied().unwrap_or_default()));
        }
    }
    for ((number, step), before) in numbers(steps).zip(steps).zip(&reached) {
        if before.has(number) {
            let is_on_it =
                |other: StepIx, of: StepSet| other != number && before.has(other) && of.has(number);
            let others = numbers(steps).zip(&reached).filter(|(other, of)| is_on_it(*other, **of));
            let others = others.filter_map(|(other, _)| steps.get(other.index()));
            let others: Vec<String> = others.map(|step| format!("`{}`", step.name)).collect();
            let problem = format!(
                "depends on itself in the end, by way of {}; take one dependency of the circle away",
                others.join(", ")
            );
            return Err(at(step, &problem));
        }
    }
    let behind = |step: StepIx| {
        numbers(steps)
            .filter(|other| reached.get(other.index()).is_some_and(|before| before.has(step)))
            .collect()
    };
    Ok(numbers(steps).map(behind).collect())
}

fn kinds(steps: &[Step], pivot: Option<StepIx>, behind: &[StepSet]) -> Result<(), Refusal> {
    let after_pivot = pivot.and_then(|pivot| behind.get(pivot.index()).copied()).unwrap_or_default();
    for (number, step) in numbers(steps).zip(steps) {
        match step.kind {
            Kind::Compensatable if after_pivot.has(number) => {
                return Err(at(
                    step,
                    "is behind the pivot, where nothing is undone any more; make it retriable",
                ));
            }
            Kind::Retriable if !after_pivot.has(number) => {
                return Err(at(step, "is retriable, but not behind a pivot; let it depend on one"));
            }
            Kind::Retriable | Kind::Pivot if matches!(step.work, Work::Child(_)) => {
                return Err(at(
                    step,
                    "runs a saga, which may be turned back, so it must be before the pivot",
                ));
            }
            Kind::Retriable | Kind::Pivot if step.undo.is_some() => {
                let problem = format!("is a {}, which is never undone; leave out what undoes it", step.kind);
                return Err(at(step, &problem));
            }
            Kind::Retriable
                if matches!(step.work, Work::Signal { late: Late::Fail, timeout: Some(_), .. }) =>
            {
                return Err(at(
                    step,
                    "is behind the pivot, so it must not fail when its signal is late; let it continue",
                ));
            }
            Kind::Pivot if !matches!(step.work, Work::Call { .. }) => {
                return Err(at(step, "is a pivot, so it must be a call"));
            }
            Kind::Compensatable | Kind::Retriable | Kind::Pivot => {}
        }
    }
    Ok(())
}
