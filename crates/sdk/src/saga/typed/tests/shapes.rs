//! Whatever is built of steps that are right by themselves is a saga.

use super::*;
use proptest::prelude::*;

record! {
    struct Two as TwoOf { left: u64, right: u64 }
}

const NAMES: [&str; 16] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "import", "in", "k", "l", "m", "n", "o", "null"];

/// Something that may be added to a saga, with the numbers of the values that it uses.
#[derive(Debug, Clone, Copy)]
enum Part {
    Step,
    Reads,
    Child,
    Wait,
    WaitWithin,
    WaitOrGoOn,
    Sleep,
    Compute,
    Literal,
}

type Use = (Part, usize, usize, bool);

fn parts() -> impl Strategy<Value = Vec<Use>> {
    let part = prop::sample::select(vec![
        Part::Step,
        Part::Step,
        Part::Reads,
        Part::Child,
        Part::Wait,
        Part::WaitWithin,
        Part::WaitOrGoOn,
        Part::Sleep,
        Part::Compute,
        Part::Literal,
    ]);
    prop::collection::vec((part, any::<usize>(), any::<usize>(), any::<bool>()), 0..7)
}

const SECOND: Duration = Duration::from_secs(1);

/// The values that there are, and the names that are left.
struct Made<'s> {
    values: Vec<Value<'s, u64>>,
    names: std::slice::Iter<'static, &'static str>,
}

impl<'s> Made<'s> {
    fn name(&mut self) -> &'static str {
        self.names.next().unwrap()
    }

    fn of(&self, number: usize) -> Value<'s, u64> {
        self.values[number % self.values.len()]
    }

    fn two(&self, left: usize, right: usize) -> TwoOf<'s> {
        TwoOf { left: self.of(left), right: self.of(right) }
    }

    /// What may be added at every stage.
    fn add<Stage>(&mut self, draft: &mut Draft<'s, Stage>, (part, left, right, _): Use) {
        match part {
            Part::Wait | Part::WaitWithin => {
                let value = draft.wait(Signal::<u64>::new(self.name()));
                self.values.push(value);
            }
            Part::WaitOrGoOn => {
                let signal = Signal::<u64>::new(self.name());
                let value = draft.wait_or_go_on(signal, SECOND);
                let value = draft.compute("$1 == null ? 0 : $1", [value.any()]);
                self.values.push(value);
            }
            Part::Sleep => {
                draft.sleep(self.name(), SECOND);
            }
            Part::Literal => {
                let value = draft.literal(&7);
                self.values.push(value);
            }
            Part::Step | Part::Reads | Part::Child | Part::Compute => {
                let value = draft.compute("$1 + $2", [self.of(left).any(), self.of(right).any()]);
                self.values.push(value);
            }
        }
    }

    fn add_undoable(&mut self, draft: &mut Draft<'s>, of: Use) {
        let (part, left, right, explicit) = of;
        if explicit {
            draft.after(self.of(right));
        }
        let (undo, get) = (post("x", "/{left}/undo"), get("x", "/y"));
        let value = match part {
            Part::Step => {
                let step = Compensatable::<Two, u64>::new(self.name(), post("x", "/{right}"), undo);
                draft.step(step, self.two(left, right))
            }
            Part::Reads => draft.step(Compensatable::<u64, u64>::reads(self.name(), get), self.of(left)),
            Part::Child => draft.child(Child::<Two, u64>::new(self.name(), "other"), self.two(left, right)),
            Part::WaitWithin => draft.wait_within(Signal::<u64>::new(self.name()), SECOND),
            _ => return self.add(draft, of),
        };
        self.values.push(value);
    }

    fn add_forward(&mut self, draft: &mut Draft<'s, Forward>, of: Use) {
        let (part, left, right, explicit) = of;
        if explicit {
            draft.after(self.of(right));
        }
        match part {
            Part::Step => {
                let step = Retriable::<Two, u64>::new(self.name(), post("x", "/{right}"));
                let value = draft.step(step, self.two(left, right));
                self.values.push(value);
            }
            _ => self.add(draft, of),
        }
    }
}

fn built(before: &[Use], behind: Option<&[Use]>) -> Result<Saga<Two, u64>, Refusal> {
    Saga::<Two, u64>::define("any").steps(|mut draft, input| {
        let mut made = Made { values: vec![input.left, input.right], names: NAMES.iter() };
        let first = draft.step(Compensatable::<Two, u64>::reads("first", get("x", "/y")), input);
        made.values.push(first);
        before.iter().for_each(|part| made.add_undoable(&mut draft, *part));
        let Some(behind) = behind else {
            let last = made.of(made.values.len() - 1);
            return draft.done(last);
        };
        let (left, right) = (made.values.len() - 1, 0);
        let (mut draft, paid) =
            draft.pivot(Pivot::<Two, u64>::new("pivot", post("x", "/p")), made.two(left, right));
        made.values.push(paid);
        behind.iter().for_each(|part| made.add_forward(&mut draft, *part));
        let last = made.of(made.values.len() - 1);
        draft.done(last)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_saga_in_rust_is_refused(before in parts(), behind in prop::option::of(parts())) {
        let saga = built(&before, behind.as_deref()).unwrap();
        let Definition { namespace, name, .. } = saga.definition().clone();
        prop_assert_eq!(&saga.document().to_definition(namespace, name).unwrap(), saga.definition());
    }

    #[test]
    fn a_step_comes_after_those_whose_values_it_uses(before in parts(), behind in prop::option::of(parts())) {
        let saga = built(&before, behind.as_deref()).unwrap();
        let steps = &saga.definition().steps;
        for step in steps {
            let InputOf::Fields(fields) = &step.input else { continue };
            for (number, other) in steps.iter().enumerate() {
                let uses = |text: &str| text.contains(&format!("steps{}", value_select(other.name.as_str())));
                let used = fields.values().any(|expr| uses(expr.as_str()) && other.name.as_str().len() > 1);
                prop_assert!(!used || step.after.has(saga::StepIx(number as u8)), "{} uses {}", step.name, other.name);
            }
        }
    }
}

fn value_select(name: &str) -> String {
    value::select(name)
}
