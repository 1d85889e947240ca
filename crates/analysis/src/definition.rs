//! Checks a saga that is defined as data rather than in a manifest: its expressions, as the manifest's are checked.

use crate::expressions::{Fault, Known, KnownStep, Scope};
use crate::manifest::expression::Functions;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use std::collections::BTreeMap;
use std::fmt::Write;
use tenon_core::saga::{Action, Call, Definition, Expr, InputOf, Saga, Step, StepIx, StepSet, Work};
use tenon_core::{Code, Refusal, ServiceRef};

/// How many faults are told.
const MOST_TOLD: usize = 10;

/// Whether the expressions of a definition can be what is meant: they can be read, and use what is there by then.
///
/// # Errors
/// `saga.invalid` names each place and what was expected there.
pub fn check(definition: &Definition) -> Result<(), Refusal> {
    let saga = Saga::new(definition.clone())?;
    let definition = saga.definition();
    let mut check = Check { known: known(definition), told: Vec::new(), more: 0 };
    let before = |step: StepIx| saga.steps().filter(|other| saga.behind(*other).has(step)).collect();
    for (number, (step, ix)) in definition.steps.iter().zip(saga.steps()).enumerate() {
        let done: StepSet = before(ix);
        let scope = Scope { before: Some(done), undone: None, of: step.name.as_str() };
        check.each(&step.input, &format!("steps[{number}].input"), &scope);
        if let Some(undo) = &step.undo {
            let scope = Scope { undone: Some(number), ..scope };
            check.each(&undo.input, &format!("steps[{number}].undo.input"), &scope);
        }
    }
    let scope = Scope { before: Some(saga.steps().collect()), undone: None, of: "output" };
    check.each(&definition.output, "output", &scope);
    if let Some(by) = &definition.serialize_by {
        let scope = Scope { before: Some(StepSet::NONE), undone: None, of: "serialize_by" };
        check.one(by, "serialize_by", &scope);
    }
    check.into_result()
}

struct Check<'a> {
    known: Known<'a>,
    told: Vec<String>,
    more: usize,
}

impl Check<'_> {
    fn each(&mut self, input: &InputOf, place: &str, scope: &Scope<'_>) {
        match input {
            InputOf::Nothing => {}
            InputOf::Whole(expr) => self.one(expr, place, scope),
            InputOf::Fields(fields) => {
                fields.iter().for_each(|(name, expr)| self.one(expr, &format!("{place}.{name}"), scope));
            }
        }
    }

    fn one(&mut self, expr: &Expr, place: &str, scope: &Scope<'_>) {
        for fault in self.known.faults(expr.as_str(), scope) {
            match self.told.len() < MOST_TOLD {
                true => self.told.push(told(place, expr, fault)),
                false => self.more += 1,
            }
        }
    }

    fn into_result(self) -> Result<(), Refusal> {
        if self.told.is_empty() {
            return Ok(());
        }
        let mut detail = self.told.join("; ");
        if self.more > 0 {
            // Writing to a text does not fail.
            _ = write!(detail, "; and {} more", self.more);
        }
        Err(Refusal::new(Code::SagaInvalid, detail))
    }
}

fn told(place: &str, expr: &Expr, fault: Fault) -> String {
    let Fault { message, expected, meant } = fault;
    let meant = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
    // Most say what was written; a field alone does not tell which expression it is in.
    let within =
        if message.contains(expr.as_str()) { String::new() } else { format!(" in `{}`", expr.as_str()) };
    format!("{place}: {message}{within}: {expected}{meant}")
}

fn known(definition: &Definition) -> Known<'_> {
    let mut pools: BTreeMap<&ServiceRef, Option<DescriptorPool>> = BTreeMap::new();
    let mut answer = |action: &Action| -> Option<MessageDescriptor> {
        let Call::Grpc(name) = &action.call else { return None };
        let (service, protos) = definition.protos.get_key_value(&action.service)?;
        let pool = pools.entry(service).or_insert_with(|| DescriptorPool::decode(protos.as_bytes()).ok());
        let (service, method) = name.split_once('/')?;
        let service = pool.as_ref()?.get_service_by_name(service)?;
        service.methods().find(|it| it.name() == method).map(|it| it.output())
    };
    let mut step = |step: &Step| match &step.work {
        Work::Call { action, .. } => answer(action),
        Work::Signal { .. } | Work::Timer(_) | Work::Child(_) => None,
    };
    let messages: Vec<_> = definition.steps.iter().map(&mut step).collect();
    let steps = definition.steps.iter().zip(messages).map(|(step, message)| KnownStep {
        name: step.name.as_str(),
        output: step.output.as_ref().map(|fields| fields.names().collect()),
        message,
    });
    Known {
        input: definition.input.as_ref().map(|fields| fields.names().collect()),
        steps: steps.collect(),
        functions: Functions::default(),
    }
}

#[cfg(test)]
mod tests;
