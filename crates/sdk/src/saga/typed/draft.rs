//! A saga while it is written down, in stages: before the pivot, and behind it.

use super::step::{Calling, Child, Compensatable, Method, Pivot, Retriable, Signal, Target, Undone};
use super::value::{Any, Brand, Expressions, Sent, Shape, Value, literal, plain_name, select};
use serde::Serialize;
use std::marker::PhantomData;
use std::time::Duration;
use tenon_core::manifest::{HttpMethod, PathPattern};
use tenon_core::saga::{
    self, Action, Call, InputOf, Kind, Late, OnUndoFailure, Retry, StepIx, StepName, StepSet, Undo, UndoWork,
    Work,
};
use tenon_core::{Code, InvalidName, Refusal, ServiceRef};

/// Before the pivot: everything can be undone.
#[derive(Debug)]
pub enum Undoable {}

/// Behind the pivot: the saga only goes forward.
#[derive(Debug)]
pub enum Forward {}

/// A saga that is being written down. Steps are added in an order in which each comes after those that it depends on; what
/// runs beside what follows from the dependencies alone.
///
/// `'s` marks it and its values, so that none is used in another saga.
#[derive(Debug)]
pub struct Draft<'s, Stage = Undoable> {
    pub(super) written: Written,
    of: PhantomData<(Brand<'s>, Stage)>,
}

/// What was written down so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) expressions: Expressions,
    pub(super) steps: Vec<saga::Step>,
    /// What the next step depends on besides.
    after: StepSet,
    pivot: StepSet,
    /// The first thing that is wrong.
    pub(super) problem: Option<Refusal>,
}

/// A saga that was written down to its end.
#[derive(Debug)]
pub struct Finished<'s, O> {
    pub(super) written: Written,
    pub(super) output: Sent,
    of: PhantomData<(Brand<'s>, fn() -> O)>,
}

impl<'s> Draft<'s, Undoable> {
    pub(super) fn begin() -> Self {
        Self { written: Written::default(), of: PhantomData }
    }

    /// Adds a step that can be undone. It depends on the steps whose values it is given; its own values are the answer.
    pub fn step<I: Shape, O: Shape>(&mut self, step: Compensatable<I, O>, input: I::Of<'s>) -> O::Of<'s> {
        let undo = step.undo.map(|undo| (undo, fields_of::<I, O>()));
        let sent = I::sent(input);
        self.opened::<O>(|written| written.call(step.calling, Kind::Compensatable, &sent, undo))
    }

    /// Adds the point of no return, which waits for everything before it.
    pub fn pivot<I: Shape, O: Shape>(
        mut self,
        step: Pivot<I, O>,
        input: I::Of<'s>,
    ) -> (Draft<'s, Forward>, O::Of<'s>) {
        let sent = I::sent(input);
        let output = self.opened::<O>(|written| {
            let ix = written.call(step.calling, Kind::Pivot, &sent, None);
            written.pivot = StepSet::one(ix);
            ix
        });
        (Draft { written: self.written, of: PhantomData }, output)
    }

    /// Adds another saga as a step.
    pub fn child<I: Shape, O: Shape>(&mut self, child: Child<I, O>, input: I::Of<'s>) -> O::Of<'s> {
        let sent = I::sent(input);
        self.opened::<O>(|written| {
            written.child(child.name, child.saga, child.retry, child.on_failure, &sent)
        })
    }

    /// Waits for a signal for so long; if it does not come, the saga is turned back.
    pub fn wait_within<T: Shape>(&mut self, signal: Signal<T>, timeout: Duration) -> T::Of<'s> {
        self.opened::<T>(|written| written.wait(signal.name(), Some(timeout), Late::Fail))
    }
}

impl<'s> Draft<'s, Forward> {
    /// Adds a step that is tried until it is done. It depends on the pivot, and on the steps whose values it is given.
    pub fn step<I: Shape, O: Shape>(&mut self, step: Retriable<I, O>, input: I::Of<'s>) -> O::Of<'s> {
        let sent = I::sent(input);
        self.opened::<O>(|written| written.call(step.calling, Kind::Retriable, &sent, None))
    }
}

impl<'s, Stage> Draft<'s, Stage> {
    /// Lets the next step depend on a value's steps, though it is not given the value. The pivot waits for all anyway.
    pub fn after<T>(&mut self, value: Value<'s, T>) -> &mut Self {
        self.written.after = self.written.after.and(self.written.expressions.steps(value.slot()));
        self
    }

    /// Waits for a signal, as long as it takes.
    pub fn wait<T: Shape>(&mut self, signal: Signal<T>) -> T::Of<'s> {
        self.opened::<T>(|written| written.wait(signal.name(), None, Late::Fail))
    }

    /// Waits for a signal for so long; if it does not come, the saga goes on, and there is no value.
    pub fn wait_or_go_on<T>(&mut self, signal: Signal<T>, timeout: Duration) -> Value<'s, Option<T>> {
        self.opened::<Option<T>>(|written| written.wait(signal.name(), Some(timeout), Late::Continue))
    }

    /// Lets time pass: with [`after`](Self::after), from then on, else from the beginning (or the pivot).
    pub fn sleep(&mut self, name: &'static str, delay: Duration) -> Value<'s, ()> {
        self.opened::<()>(|written| written.add(name, Work::Timer(delay), InputOf::Nothing, StepSet::NONE))
    }

    /// The fields of a value.
    pub fn open<T: Shape>(&self, value: Value<'s, T>) -> T::Of<'s> {
        T::open(value, &self.written.expressions)
    }

    /// A value that is known now. One that cannot be written as JSON makes the saga invalid.
    pub fn literal<T: Serialize>(&mut self, value: &T) -> Value<'s, T> {
        let value = serde_json::to_value(value).unwrap_or_else(|error| {
            self.written.note(format!("a literal cannot be written down: {error}"));
            serde_json::Value::Null
        });
        self.written.expressions.closed(literal(&value), StepSet::NONE)
    }

    /// A value that is computed, by an expression (CEL) in which `$1` to `$9` are other values. That its type is `T` is
    /// yours to know.
    ///
    /// ```no_run
    /// # use tenon_sdk::saga::{Draft, Value};
    /// # fn sum<'s>(saga: &mut Draft<'s>, price: Value<'s, u64>, pieces: Value<'s, u64>) {
    /// let total: Value<'_, u64> = saga.compute("$1 * $2", [price.any(), pieces.any()]);
    /// # }
    /// ```
    pub fn compute<T>(&mut self, text: &str, of: impl IntoIterator<Item = Value<'s, Any>>) -> Value<'s, T> {
        let of: Vec<_> = of.into_iter().collect();
        self.written.expressions.template(text, &of).unwrap_or_else(|| {
            self.written
                .note(format!("`{text}` uses a value that it is not given; it is given {}", of.len()));
            self.written.expressions.closed("null".to_owned(), StepSet::NONE)
        })
    }

    /// The id of the saga.
    pub fn id(&self) -> Value<'s, String> {
        self.written.expressions.closed("saga.id".to_owned(), StepSet::NONE)
    }

    /// The key that the saga was started with.
    pub fn key(&self) -> Value<'s, Option<String>> {
        self.written.expressions.closed("saga.key".to_owned(), StepSet::NONE)
    }

    /// The end of it, with what the saga answers with.
    pub fn done<O: Shape>(self, output: O::Of<'s>) -> Finished<'s, O> {
        Finished { written: self.written, output: O::sent(output), of: PhantomData }
    }

    /// Adds a step, and takes its output apart.
    fn opened<T: Shape>(&mut self, add: impl FnOnce(&mut Written) -> StepIx) -> T::Of<'s> {
        let ix = add(&mut self.written);
        let name = self.written.steps.last().map_or("", |step| step.name.as_str());
        let whole = self.written.expressions.closed(format!("steps{}", select(name)), StepSet::one(ix));
        T::open(whole, &self.written.expressions)
    }
}

/// The fields of a step's input and of its output.
type Fields = (&'static [&'static str], &'static [&'static str]);

fn fields_of<I: Shape, O: Shape>() -> Fields {
    (I::FIELDS, O::FIELDS)
}

impl Written {
    fn call(&mut self, of: Calling, kind: Kind, sent: &Sent, undo: Option<(Undone, Fields)>) -> StepIx {
        let Some(action) = self.action(of.target) else { return self.nowhere() };
        let (input, needs) = self.input(of.name, sent);
        let undo = undo.and_then(|(undo, fields)| self.undo(&undo, sent, fields));
        let ix = self.add(of.name, Work::Call { action, timeout: of.timeout }, input, needs);
        if let Some(step) = self.steps.last_mut() {
            step.kind = kind;
            step.retry = of.retry.unwrap_or_default();
            step.undo = undo;
        }
        ix
    }

    fn child(
        &mut self,
        name: &str,
        child: &str,
        retry: Option<Retry>,
        on_failure: OnUndoFailure,
        sent: &Sent,
    ) -> StepIx {
        let Some(child) = self.checked(child.parse()) else { return self.nowhere() };
        let (input, needs) = self.input(name, sent);
        let ix = self.add(name, Work::Child(child), input, needs);
        if let Some(step) = self.steps.last_mut() {
            let retry = retry.unwrap_or_default();
            step.retry = retry;
            step.undo = Some(Undo { work: UndoWork::Revert, input: InputOf::Nothing, retry, on_failure });
        }
        ix
    }

    fn wait(&mut self, name: &str, timeout: Option<Duration>, late: Late) -> StepIx {
        let Some(signal) = self.checked(name.parse()) else { return self.nowhere() };
        self.add(name, Work::Signal { name: signal, timeout, late }, InputOf::Nothing, StepSet::NONE)
    }

    /// Adds a step of the present stage.
    fn add(&mut self, name: &str, work: Work, input: InputOf, needs: StepSet) -> StepIx {
        let Some(name) = self.checked(StepName::new(name)) else { return self.nowhere() };
        let number = u8::try_from(self.steps.len()).unwrap_or(u8::MAX);
        self.steps.push(saga::Step {
            name,
            after: needs.and(self.after).and(self.pivot),
            kind: if self.pivot.is_empty() { Kind::Compensatable } else { Kind::Retriable },
            work,
            input,
            output: None,
            retry: Retry::default(),
            undo: None,
        });
        self.after = StepSet::NONE;
        StepIx(number)
    }

    /// What undoing sends: what the step was given and what it answered, and the variables of the path.
    fn undo(&mut self, of: &Undone, sent: &Sent, (inputs, outputs): Fields) -> Option<Undo> {
        let action = self.action(of.target)?;
        let mut fields = vec![
            ("input".to_owned(), self.expressions.whole(sent)),
            ("output".to_owned(), "output".to_owned()),
        ];
        for variable in variables(of.target) {
            let is_it = |field: &&&str| plain_name(field) == variable;
            let text = match (sent, inputs.iter().find(is_it), outputs.iter().find(is_it)) {
                (Sent::Fields(sent), Some(name), _) => {
                    let slot = sent.iter().find(|(field, _)| field == name).map(|(_, slot)| *slot);
                    slot.map(|slot| self.expressions.text(slot))
                }
                (_, _, Some(name)) => Some(format!("output == null ? saga.id : output{}", select(name))),
                _ => None,
            };
            let Some(text) = text else {
                self.note(format!(
                    "`{{{variable}}}` in the path of what undoes a step is no field of its input or output"
                ));
                return None;
            };
            fields.push((variable.to_owned(), text));
        }
        let fields =
            fields.into_iter().map(|(name, text)| Some((name, self.checked(saga::Expr::new(&text))?)));
        let input = InputOf::Fields(fields.collect::<Option<_>>()?);
        let work = UndoWork::Call { action, timeout: of.timeout };
        Some(Undo { work, input, retry: of.retry.unwrap_or_default(), on_failure: of.on_failure })
    }

    fn action(&mut self, target: Target) -> Option<Action> {
        let service = self.checked(target.service.parse::<ServiceRef>())?;
        let call = match target.call {
            Method::Http { method, path } => Call::Http {
                method: self.checked(HttpMethod::new(method))?,
                path: self.checked(PathPattern::new(path))?,
            },
            Method::Grpc(method) => Call::Grpc(method.into()),
        };
        Some(Action { service, call })
    }

    fn input(&mut self, step: &str, sent: &Sent) -> (InputOf, StepSet) {
        self.expressions.input(sent).unwrap_or_else(|| {
            self.note(format!("step `{step}` has an expression of more than 4,096 bytes in its input"));
            (InputOf::Nothing, StepSet::NONE)
        })
    }

    fn checked<T>(&mut self, read: Result<T, InvalidName>) -> Option<T> {
        read.map_err(|error| self.note(error.to_string())).ok()
    }

    /// The place of a step that was not added; a problem says why.
    fn nowhere(&self) -> StepIx {
        StepIx(u8::MAX)
    }

    pub(super) fn note(&mut self, problem: String) {
        self.problem.get_or_insert(Refusal::new(Code::SagaInvalid, problem));
    }
}

/// The variables of a path.
fn variables(of: Target) -> impl Iterator<Item = &'static str> {
    let path = match of.call {
        Method::Http { path, .. } => path,
        Method::Grpc(_) => "",
    };
    let variables = path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    variables.map(|variable| variable.trim_end_matches("..."))
}
