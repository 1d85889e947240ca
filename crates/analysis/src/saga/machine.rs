//! The machine that is explored, and what it makes of what a server learns.
//!
//! Many states have the same saga in them, and the same happens to it in each. So what comes of it is kept ([`Memo`]), and a saga is
//! hashed once. States are told apart by hashes of 64 bits, as Stateright does.

use super::world::Rules;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::Timestamp;
use tenon_core::saga::{
    self, Cause, Data, Event, Illegal, Input, Instance, Operator, Outcome, Output, Saga, StepIx, Token, Work,
    invariants,
};

/// The machine, and how servers use it. Tests plant faults in it.
#[derive(Clone, Copy)]
pub(super) struct Orchestrator {
    pub(super) step: fn(&Saga, &Instance, Input, Timestamp) -> Result<Output, Illegal>,
    /// The log refuses the append of a server that is behind.
    pub(super) fenced: bool,
    /// Calls are made when what led to them was appended, not before.
    pub(super) written_first: bool,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self { step: saga::step, fenced: true, written_first: true }
    }
}

/// A saga as the log has it, or as somebody believes. The same one is shared by many states.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    hash: u64,
    instance: Instance,
}

/// What a server learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum News {
    Succeeded(Token),
    Failed(Token, Outcome),
    Recovered,
    Cancelled,
    Reverted,
    Admitted,
    Signalled(StepIx),
    TimePassed,
    Decided(Decision),
}

/// What somebody decides of a step that waits for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    Retry(StepIx),
    Skip(StepIx),
    /// It is as it should be: done, or undone.
    Settled(StepIx),
    /// The pivot was not done.
    Deny,
}

/// What the machine makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stepped {
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<Token>,
    /// What the saga is then.
    pub(super) next: Arc<Known>,
    /// What does not hold of that.
    pub(super) broken: Option<invariants::Broken>,
}

/// What the machine made of it before. It forgets when it is full.
#[derive(Debug, Default)]
pub(super) struct Memo([Mutex<Part>; PARTS]);

type Part = HashMap<(u64, News), Option<Arc<Stepped>>>;

/// Threads seldom want the same part.
const PARTS: usize = 32;

/// The most that a part keeps.
const MOST_KEPT: usize = 8_192;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Waits that end by themselves are shorter than this; calls wait longer.
const SOON: std::time::Duration = std::time::Duration::from_secs(60 * 60);

impl Known {
    pub(super) fn new(instance: Instance) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        instance.hash(&mut hasher);
        Arc::new(Self { hash: hasher.finish(), instance })
    }

    /// When something happens by itself, other than that a call is late.
    pub(super) fn soon(&self) -> Option<Timestamp> {
        self.wake_at().filter(|at| *at < NOW.after(SOON))
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Deref for Known {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl Memo {
    fn or(
        &self,
        believed: &Known,
        news: News,
        make: impl FnOnce() -> Option<Arc<Stepped>>,
    ) -> Option<Arc<Stepped>> {
        let key = (believed.hash, news);
        let Some(part) = self.0.get(believed.hash as usize % PARTS) else { return make() };
        if let Some(known) = part.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let made = make();
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= MOST_KEPT {
            part.clear();
        }
        part.insert(key, made.clone());
        made
    }
}

impl Rules {
    /// What the machine makes of news, from what a server believes; nothing if nothing follows.
    pub(super) fn taken_in(&self, believed: &Known, news: News) -> Option<Arc<Stepped>> {
        self.memo.or(believed, news, || {
            let (input, now) = self.input(believed, news)?;
            let Output { events, calls } =
                (self.orchestrator.step)(&self.saga, &believed.instance, input, now).ok()?;
            if events.is_empty() {
                return None;
            }
            let (next, broken) = self.appended(&believed.instance, &events);
            Some(Arc::new(Stepped { events, calls, next, broken }))
        })
    }

    fn input(&self, believed: &Known, news: News) -> Option<(Input, Timestamp)> {
        let input = match news {
            News::Succeeded(token) => Input::Succeeded { token, output: None },
            News::Failed(token, outcome) => Input::failed(token, outcome),
            News::Recovered => Input::Recovered,
            News::Cancelled => Input::Cancel { cause: Cause::Cancelled },
            News::Reverted => Input::Revert,
            News::Admitted => Input::Admitted,
            News::Signalled(step) => match self.saga.get(step).map(|step| &step.work) {
                Some(Work::Signal { name, .. }) => Input::Signal { name: name.clone(), data: Data::new("0") },
                _ => return None,
            },
            News::TimePassed => return believed.soon().map(|at| (Input::Time, at)),
            News::Decided(decision) => Input::Operator(match decision {
                Decision::Retry(step) => Operator::Retry(step),
                Decision::Skip(step) => Operator::Skip(step),
                Decision::Settled(step) => Operator::MarkDone(step, None),
                Decision::Deny => Operator::Compensate,
            }),
        };
        Some((input, NOW))
    }

    /// What a saga is after events, and what does not hold of them, or of it.
    pub(super) fn appended(
        &self,
        before: &Instance,
        events: &[Event],
    ) -> (Arc<Known>, Option<invariants::Broken>) {
        let mut instance = before.clone();
        let mut broken = None;
        for event in events {
            broken = broken.or_else(|| invariants::check_event(&self.saga, &instance, event).err());
            let rank = saga::rank(&self.saga, &instance);
            instance.apply(event);
            let repeats = matches!(event, Event::Repeated { .. } | Event::Retried { .. });
            if !repeats && saga::rank(&self.saga, &instance) >= rank {
                broken = broken.or(Some("an event does not bring the end nearer"));
            }
        }
        broken = broken.or_else(|| invariants::check(&self.saga, &instance).err());
        (Known::new(instance), broken)
    }
}
