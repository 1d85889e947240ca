//! What a saga is, as data.

use super::fields::Fields;
use super::shape::StepSet;
use crate::Text;
use crate::id::{InvalidName, Namespace, ServiceRef, text_id};
use crate::manifest::{HttpMethod, PathPattern};
use crate::priority::Priority;
use crate::retry::{Backoff, Delay, Jitter};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The most steps of a saga.
pub const MAX_STEPS: usize = 64;
/// The most tries of a step, in each direction.
pub const MAX_TRIES: u32 = 1_000;
/// The most bytes of an expression.
pub const MAX_EXPR: usize = 4_096;
/// The most bytes of a definition's [`Protos`], all together.
pub const MAX_PROTOS: usize = 256 << 10;

/// A saga. What is right about it by its types alone; [`Saga`](super::Saga) has its shape checked too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Where it is.
    pub namespace: Namespace,
    /// Its name there.
    pub name: SagaName,
    /// Its steps; their numbers are their places here.
    pub steps: Vec<Step>,
    /// The fields that it is given, if they are stated.
    pub input: Option<Fields>,
    /// How long the whole may take until it is turned back.
    pub deadline: Option<Duration>,
    /// How much its calls matter.
    pub priority: Priority,
    /// Of the saga's input: those with the same value run one after the other.
    pub serialize_by: Option<Expr>,
    /// What the saga answers with.
    pub output: InputOf,
    /// Of the services that it calls over gRPC: what their methods are given and answer.
    pub protos: BTreeMap<ServiceRef, Protos>,
}

/// A step of a saga.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its name, by which expressions know its output.
    pub name: StepName,
    /// What it depends on.
    pub after: StepSet,
    /// Whether it can be undone, and when it may run.
    pub kind: Kind,
    /// What it does.
    pub work: Work,
    /// What is sent.
    pub input: InputOf,
    /// The fields that are answered, if they are stated. The machine does not look at answers.
    pub output: Option<Fields>,
    /// How often and how soon it is tried.
    pub retry: Retry,
    /// What undoes it; nothing if it leaves nothing behind.
    pub undo: Option<Undo>,
}

/// Whether a step can be undone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Before the pivot: it can be undone.
    #[default]
    Compensatable,
    /// The point of no return: it cannot be undone, and once it is done everything else is done as well.
    Pivot,
    /// Behind the pivot: it is tried until it is done.
    Retriable,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// A service is called.
    Call {
        /// What is called.
        action: Action,
        /// How long to wait for the answer.
        timeout: Duration,
    },
    /// An event from outside is waited for.
    Signal {
        /// Its name.
        name: SignalName,
        /// How long.
        timeout: Option<Duration>,
        /// What happens then.
        late: Late,
    },
    /// Time passes.
    Timer(Duration),
    /// Another saga is run.
    Child(SagaName),
}

/// What becomes of a step whose signal does not come in time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Late {
    /// It fails.
    #[default]
    Fail,
    /// It is done, without an output.
    Continue,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Action {
    /// The service.
    pub service: ServiceRef,
    /// Which of its methods.
    pub call: Call,
}

/// A method of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Over HTTP. The path's variables are the fields of the input that have their names.
    Http {
        /// The method.
        method: HttpMethod,
        /// The path.
        path: PathPattern,
    },
    /// Over gRPC: `package.Service/Method`.
    Grpc(Arc<str>),
}

/// What undoes a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Undo {
    /// What it does.
    pub work: UndoWork,
    /// What is sent. It may use the step's own output, if there is one.
    pub input: InputOf,
    /// How often and how soon it is tried: a budget of its own.
    pub retry: Retry,
    /// What happens when that is spent.
    pub on_failure: OnUndoFailure,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UndoWork {
    /// A service is called.
    Call {
        /// What is called.
        action: Action,
        /// How long to wait for the answer.
        timeout: Duration,
    },
    /// The saga that the step ran is reverted.
    Revert,
}

/// What happens when a step cannot be undone, however often it is tried. What failed is recorded, always. It is not asked where a
/// saga that is a step left something behind: that was decided there, so it is left here as well.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnUndoFailure {
    /// It waits for somebody. The other steps are undone meanwhile.
    #[default]
    Park,
    /// It is left as it is, the others are undone, and the saga ends as failed.
    Skip,
    /// It waits for somebody, and so do all others that are not being undone yet.
    Escalate,
}

/// How often and how soon something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The tries, the first included.
    pub tries: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
}

/// What is sent: made of expressions over the saga's input and the outputs of the steps before.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub enum InputOf {
    /// Nothing.
    #[default]
    Nothing,
    /// The value of one expression.
    Whole(Expr),
    /// An object, with an expression for each field.
    Fields(BTreeMap<String, Expr>),
}

/// An expression (CEL). The machine does not read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expr(Arc<str>);

/// What a service's gRPC methods are given and answer: a `google.protobuf.FileDescriptorSet`. The machine does not read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protos(Arc<[u8]>);

/// A JSON text: an input or an output. The machine does not read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Data(Arc<str>);

/// Which version of a definition: the hash of how it is written down. A running saga stays with its own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [u8; 16]);

text_id! {
    /// The name of a saga within its namespace: a DNS label.
    SagaName, "saga name", crate::id::dns_label
}

text_id! {
    /// The name of a step, as expressions use it: 1 to 63 of `a-z 0-9 _`, the first a letter.
    StepName, "step name", identifier
}

text_id! {
    /// The name of a signal: 1 to 63 of `a-z 0-9 _`, the first a letter.
    SignalName, "signal name", identifier
}

fn identifier(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 63 {
        return Err("must have 1 to 63 characters");
    }
    if !bytes.first().is_some_and(u8::is_ascii_lowercase) {
        return Err("must begin with one of a-z");
    }
    if !bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_') {
        return Err("may hold only a-z, 0-9 and '_'");
    }
    Ok(())
}

impl Expr {
    /// How often an expression may go through lists.
    pub const MOST_LOOPS: usize = 2;

    /// An expression, as it is written.
    ///
    /// # Errors
    /// [`InvalidName`] if it is empty or too long.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.trim().is_empty() || text.len() > MAX_EXPR {
            return Err(InvalidName::new("expression", text, "must have 1 to 4,096 bytes"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is wrong where reading it stopped, in words: at a line and a character, counted from 1, or nobody knows where.
    pub fn stopped(text: &str, (line, character): (isize, isize)) -> String {
        let (line, character) = (usize::try_from(line).unwrap_or(0), usize::try_from(character).unwrap_or(0));
        let found = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let rest = found.char_indices().nth(character.saturating_sub(1)).map(|(at, _)| &found[at..]);
        let rest = rest.unwrap_or_default().trim();
        match (rest, text.lines().nth(line)) {
            ("", Some(_)) if line > 0 => {
                return format!("something is missing at the end of its line {line}");
            }
            ("", None) => return "something is missing at its end".to_owned(),
            _ if line == 0 => return "something is missing at its end".to_owned(),
            _ => {}
        }
        let is_word = |it: char| it.is_alphanumeric() || it == '_';
        let word = rest
            .find(|it| !is_word(it))
            .unwrap_or(rest.len())
            .max(rest.chars().next().map_or(0, char::len_utf8));
        let (what, _) = rest.split_at(word);
        let what = what.escape_debug();
        match text.lines().nth(1) {
            None => format!("`{what}` cannot stand at its character {character}"),
            Some(_) => format!("`{what}` cannot stand in its line {line}, character {character}"),
        }
    }

    /// How often it goes through lists, by the macros that do; a text that looks like one counts as well.
    pub fn loops(&self) -> usize {
        const LOOPS: [&str; 5] = [".map(", ".filter(", ".all(", ".exists(", ".exists_one("];
        LOOPS.iter().map(|of| self.as_str().matches(of).count()).sum()
    }
}

impl Definition {
    /// Whether it has a point of no return, so that it cannot be reverted once it is past that.
    pub fn has_pivot(&self) -> bool {
        self.steps.iter().any(|step| step.kind == Kind::Pivot)
    }

    /// The steps that are sagas themselves, with which.
    pub fn children(&self) -> impl Iterator<Item = (&Step, &SagaName)> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Child(child) => Some((step, child)),
            Work::Call { .. } | Work::Signal { .. } | Work::Timer(_) => None,
        })
    }
}

impl Step {
    /// What is called to do it, and to undo it.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let does = match &self.work {
            Work::Call { action, .. } => Some(action),
            Work::Signal { .. } | Work::Timer(_) | Work::Child(_) => None,
        };
        let undoes = match self.undo.as_ref().map(|undo| &undo.work) {
            Some(UndoWork::Call { action, .. }) => Some(action),
            Some(UndoWork::Revert) | None => None,
        };
        does.into_iter().chain(undoes)
    }
}

impl Protos {
    /// Descriptors, as they are encoded.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// How they are encoded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Protos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Data {
    /// A value, as its JSON text.
    pub fn new(json: &str) -> Self {
        Self(json.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Default for Retry {
    /// Five tries within about fifteen seconds.
    fn default() -> Self {
        Self {
            tries: 5,
            backoff: Backoff {
                delay: Delay::Exponential { base: Duration::from_millis(500), factor: 2 },
                jitter: Jitter::Full,
                max_delay: Duration::from_secs(30),
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compensatable => "compensatable",
            Self::Pivot => "pivot",
            Self::Retriable => "retriable",
        })
    }
}
