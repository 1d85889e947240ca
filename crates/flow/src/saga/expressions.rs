//! What is sent, made of a saga's input and the outputs of its steps by expressions (CEL).
//!
//! An expression knows `input`, `steps` with the output of each step by its name (null where there is none), and `saga` with `id`,
//! `key` and `problem`, what was said whose failure turned it back; where a step is undone, also `output`, the step's own, or null. Whole numbers of JSON are `int`, others `double`.
//!
//! Most expressions only name a field. Those are looked up in the JSON ([`fields`]); the others, and those whose field is not
//! there, are evaluated.
//!
//! Bounded: an expression is short and goes through lists at most [`Expr::MOST_LOOPS`] times, and what it makes has at most
//! [`MAX_DATA`] bytes, and [`MOST_LEVELS`] levels: it may be read again, by a saga that is a step.

mod fields;

use super::MAX_DATA;
use cel::{Context, Env, Program, Value as Cel};
use fields::{Field, MOST_LEVELS, Sources, is_too_deep, size};
use serde_json::Value;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use tenon_core::saga::{Data, Definition, Direction, Expr, InputOf, Instance, Progress, Saga, StepIx};
use tenon_core::{Code, Refusal, SagaId};

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What expressions may know, beside the steps' own names.
const VARIABLES: [&str; 4] = ["input", "steps", "saga", "output"];

/// The expressions of a definition, read.
#[derive(Default)]
pub(super) struct Expressions(HashMap<Expr, Read>);

/// An expression that was read.
struct Read {
    program: Program,
    /// Which of the variables it uses: the others need not be made, and an input may be large.
    uses: Vec<&'static str>,
    /// The field that it names, if it does nothing else.
    field: Option<Field>,
}

/// What expressions are about.
pub(super) struct Scope<'a> {
    pub(super) id: SagaId,
    pub(super) key: Option<&'a str>,
    pub(super) saga: &'a Saga,
    pub(super) instance: &'a Instance,
    /// What was said whose failure turned it back.
    pub(super) problem: Option<&'a Data>,
}

impl Expressions {
    /// Reads all expressions of a definition.
    pub(super) fn of(definition: &Definition) -> Result<Self, Refusal> {
        let mut programs = HashMap::new();
        let mut add = |place: &str, input: &InputOf| -> Result<(), Refusal> {
            each(input).try_for_each(|expr| {
                let program = compile(expr).map_err(|problem| {
                    let field =
                        field_of(input, expr).map(|name| format!(", field `{name}`")).unwrap_or_default();
                    let detail = format!("{place}{field}: the expression `{}` {problem}", expr.as_str());
                    Refusal::new(Code::SagaInvalid, detail)
                })?;
                let used = program.references();
                let uses = VARIABLES.into_iter().filter(|name| used.has_variable(name)).collect();
                drop(used);
                let field = Field::of(expr, definition);
                programs.insert(expr.clone(), Read { program, uses, field });
                Ok(())
            })
        };
        for step in &definition.steps {
            add(&format!("the input of step `{}`", step.name), &step.input)?;
            if let Some(undo) = &step.undo {
                add(&format!("the input of what undoes step `{}`", step.name), &undo.input)?;
            }
        }
        add("the output", &definition.output)?;
        if let Some(by) = &definition.serialize_by {
            add("serialize_by", &InputOf::Whole(by.clone()))?;
        }
        Ok(Self(programs))
    }

    /// What is sent to do or to undo a step. Where a step is undone that has no output, a field that cannot be made for that
    /// reason is null.
    pub(super) fn input(
        &self,
        scope: &Scope<'_>,
        step: StepIx,
        direction: Direction,
    ) -> Result<Option<Value>, String> {
        let Some(of) = scope.saga.get(step) else { return Ok(None) };
        let progress = scope.instance.progress(step);
        if let Some(edited) = progress.and_then(|progress| progress.edited.as_ref()) {
            return serde_json::from_str(edited.as_str()).map(Some).map_err(|error| error.to_string());
        }
        match (direction, &of.undo) {
            (Direction::Undo, Some(undo)) => {
                let lenient = progress.is_none_or(|progress| progress.output.is_none());
                self.make(scope, &undo.input, Some(step), lenient)
            }
            _ => self.make(scope, &of.input, None, false),
        }
    }

    /// What a saga that has completed answers with.
    pub(super) fn output(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.make(scope, &scope.saga.definition().output, None, false)
    }

    /// By what a saga with this input waits for others.
    pub(super) fn turn(&self, by: &Expr, input: &Value) -> Result<String, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("input", to_cel(input));
        let value = self.run(by, &context)?;
        // The log has no empty text, so that is one of quotes.
        let text = value.as_str().filter(|text| !text.is_empty());
        let text = text.map_or_else(|| value.to_string(), str::to_owned);
        match text.len() {
            0..=256 => Ok(text),
            _ => Err("makes a text of more than 256 bytes".to_owned()),
        }
    }

    fn make(
        &self,
        scope: &Scope<'_>,
        of: &InputOf,
        undone: Option<StepIx>,
        lenient: bool,
    ) -> Result<Option<Value>, String> {
        let value = match self.looked_up(scope, of, undone) {
            Some(value) => value,
            None => self.evaluated(scope, of, undone, lenient)?,
        };
        let Some(value) = value else { return Ok(None) };
        let size = size(&value);
        if is_too_deep(&value) {
            Err(format!("makes lists and objects in each other; {MOST_LEVELS} levels are the most"))
        } else if size > MAX_DATA {
            Err(format!("makes {size} bytes; {MAX_DATA} is the most"))
        } else {
            Ok(Some(value))
        }
    }

    /// What is made of fields alone, if they are all there.
    fn looked_up(&self, scope: &Scope<'_>, of: &InputOf, undone: Option<StepIx>) -> Option<Option<Value>> {
        let mut sources = Sources::new(scope.instance, undone);
        let mut find = |expr: &Expr| sources.find(self.0.get(expr)?.field.as_ref()?);
        Some(Some(match of {
            InputOf::Nothing => return Some(None),
            InputOf::Whole(expr) => find(expr)?,
            InputOf::Fields(fields) => {
                let made = fields.iter().map(|(name, expr)| Some((name.clone(), find(expr)?)));
                Value::Object(made.collect::<Option<_>>()?)
            }
        }))
    }

    fn evaluated(
        &self,
        scope: &Scope<'_>,
        of: &InputOf,
        undone: Option<StepIx>,
        lenient: bool,
    ) -> Result<Option<Value>, String> {
        let uses = |variable: &str| {
            let read = each(of).filter_map(|expr| self.0.get(expr));
            read.into_iter().any(|read| read.uses.contains(&variable))
        };
        let context = scope.context(undone, uses);
        let run = |expr: &Expr| match self.run(expr, &context) {
            Err(_) if lenient => Ok(Value::Null),
            other => other.map_err(|problem| format!("the expression `{}` {problem}", expr.as_str())),
        };
        Ok(match of {
            InputOf::Nothing => None,
            InputOf::Whole(expr) => Some(run(expr)?),
            InputOf::Fields(fields) => {
                let made = fields.iter().map(|(name, expr)| run(expr).map(|value| (name.clone(), value)));
                Some(Value::Object(made.collect::<Result<_, _>>()?))
            }
        })
    }

    fn run(&self, expr: &Expr, context: &Context<'_, '_>) -> Result<Value, String> {
        let Read { program, .. } = self.0.get(expr).ok_or("is not known")?;
        // Whatever the interpreter does to itself is the expression's failure.
        let value = catch_unwind(AssertUnwindSafe(|| program.execute(context)));
        let value = value.map_err(|_| "cannot be evaluated")?.map_err(|error| format!("fails: {error}"))?;
        value.json().map_err(|_| "makes something that is not JSON".to_owned())
    }
}

impl Scope<'_> {
    /// The variables that are used.
    fn context<'v>(&self, undone: Option<StepIx>, uses: impl Fn(&str) -> bool) -> Context<'v, 'v> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        let output = |progress: &Progress| progress.output.as_ref().map_or(Cel::Null, parsed);
        if uses("input") {
            context.add_variable_from_value("input", parsed(self.instance.input()));
        }
        if uses("steps") {
            let steps = self.saga.definition().steps.iter().zip(self.instance.steps());
            let outputs = steps.map(|(step, progress)| (step.name.as_str(), output(progress)));
            context.add_variable_from_value("steps", Cel::from(outputs.collect::<HashMap<&str, Cel>>()));
        }
        if let Some(undone) = undone.filter(|_| uses("output")) {
            let own = self.instance.progress(undone).map_or(Cel::Null, output);
            context.add_variable_from_value("output", own);
        }
        if uses("saga") {
            let key = self.key.map_or(Cel::Null, Cel::from);
            let problem = self.problem.map_or(Cel::Null, parsed);
            let saga =
                HashMap::from([("id", Cel::from(self.id.to_string())), ("key", key), ("problem", problem)]);
            context.add_variable_from_value("saga", Cel::from(saga));
        }
        context
    }
}

fn compile(expr: &Expr) -> Result<Program, String> {
    let loops = expr.loops();
    if loops > Expr::MOST_LOOPS {
        return Err(format!("goes through lists {loops} times; {} is the most", Expr::MOST_LOOPS));
    }
    match catch_unwind(|| ENV.compile(expr.as_str())) {
        Ok(Ok(program)) => Ok(program),
        // The parser's own words are about its grammar.
        Ok(Err(errors)) => Err(match errors.errors.first() {
            Some(error) => format!("cannot be read: {}", Expr::stopped(expr.as_str(), error.pos)),
            None => "cannot be read".to_owned(),
        }),
        Err(_) => Err("cannot be read".to_owned()),
    }
}

fn each(input: &InputOf) -> impl Iterator<Item = &Expr> {
    let (whole, fields) = match input {
        InputOf::Nothing => (None, None),
        InputOf::Whole(expr) => (Some(expr), None),
        InputOf::Fields(fields) => (None, Some(fields.values())),
    };
    whole.into_iter().chain(fields.into_iter().flatten())
}

/// The field that an expression makes.
fn field_of<'a>(input: &'a InputOf, of: &Expr) -> Option<&'a str> {
    let InputOf::Fields(fields) = input else { return None };
    fields.iter().find(|(_, expr)| *expr == of).map(|(name, _)| name.as_str())
}

fn parsed(data: &Data) -> Cel {
    serde_json::from_str(data.as_str()).map_or(Cel::Null, |value: Value| to_cel(&value))
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(it) => Cel::Bool(*it),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(whole)) => Cel::UInt(whole),
            (None, None) => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(items) => Cel::from(items.iter().map(to_cel).collect::<Vec<Cel>>()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), to_cel(value)));
            Cel::from(fields.collect::<HashMap<&str, Cel>>())
        }
    }
}

#[cfg(test)]
mod tests;
