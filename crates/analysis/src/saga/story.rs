//! A schedule, told.

use super::machine::Decision;
use super::owner::{By, Told};
use super::participant::Reply;
use super::world::{Action, Answer, Rules, Sent, World};
use std::fmt;
use tenon_core::saga::{Cause, Direction, End, Event, Outcome, StepIx, Token, Why};

/// How something breaks, from the beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What is broken at the end.
    pub broken: String,
    /// What happened, in order.
    pub lines: Vec<Line>,
    /// Whether no shorter schedule breaks anything.
    pub shortest: bool,
}

/// One thing that happened, and what the saga made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happened.
    pub what: String,
    /// What was written to the log.
    pub then: Vec<String>,
}

impl Story {
    pub(super) fn new(rules: &Rules, schedule: &[Action], shortest: bool) -> Self {
        let takes_over = |action: &Action| matches!(action, Action::TakenOver(_));
        let teller = Teller { rules, named: schedule.iter().any(takes_over) };
        let mut world = rules.begin();
        let begun = world.log.calls().into_iter().map(|token| format!("{} is called", teller.attempt(token)));
        let mut lines = vec![Line { what: "the saga is started".to_owned(), then: begun.collect() }];
        for action in schedule {
            let Some((next, told)) = rules.act(&world, *action) else { break };
            let had_effect = next.participants != world.participants;
            lines.push(Line { what: teller.action(&world, *action, had_effect), then: teller.then(&told) });
            world = next;
        }
        let broken = world.broken.unwrap_or("nothing").to_owned();
        Self { broken, lines, shortest }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.lines) {
            writeln!(f, "{number:>3}. {}", line.what)?;
            line.then.iter().try_for_each(|then| writeln!(f, "       → {then}"))?;
        }
        write!(f, "     Broken: {}.", self.broken)
    }
}

struct Teller<'a> {
    rules: &'a Rules,
    /// Whether there is more than one server, so that they need names.
    named: bool,
}

impl Teller<'_> {
    fn name(&self, step: StepIx) -> String {
        self.rules
            .saga
            .get(step)
            .map_or_else(|| format!("step {}", step.0), |step| format!("`{}`", step.name))
    }

    fn attempt(&self, token: Token) -> String {
        let name = self.name(token.step);
        match token.direction {
            Direction::Do => format!("{name} (attempt {})", token.attempt),
            Direction::Undo => format!("what undoes {name} (attempt {})", token.attempt),
        }
    }

    /// A server, if there is more than one.
    fn server(&self, world: &World, before: &str, by: By) -> String {
        match world.names.get(by.index()) {
            Some(number) if self.named => format!("{before}server {number}"),
            _ => String::new(),
        }
    }

    fn then(&self, told: &Told) -> Vec<String> {
        let calls = || told.calls().iter().map(|token| format!("{} is called", self.attempt(*token)));
        match told.refused {
            false => told.events().iter().filter_map(|event| self.event(event)).collect(),
            true => {
                let refused = "the log refuses what it appends, for others have appended since it looked";
                calls().chain([refused.to_owned()]).collect()
            }
        }
    }

    fn action(&self, world: &World, action: Action, had_effect: bool) -> String {
        let server = |before, by| self.server(world, before, by);
        match action {
            Action::Arrives { sent: Sent { token, .. }, reply } => {
                let (call, effect) = (self.attempt(token), effect(token, reply, had_effect));
                let answers = if reply == Reply::Success { ", and answers" } else { "" };
                format!("the call of {call} arrives; {effect}{answers}")
            }
            Action::ArrivesTwice { sent: Sent { token, .. }, reply } => {
                let (call, effect) = (self.attempt(token), effect(token, reply, had_effect));
                format!("the call of {call} arrives, and will arrive again; {effect}")
            }
            Action::Answered(Answer { by, token, reply }) => {
                let how = match reply {
                    Reply::Success => "success",
                    Reply::Refusal => "refused",
                    Reply::LeftBehind => "failed, with something left as it is",
                };
                format!("the answer to {} comes{}: {how}", self.attempt(token), server(" to ", by))
            }
            Action::TimesOut(by, token) => {
                format!("no answer to {} comes{} in time", self.attempt(token), server(" to ", by))
            }
            Action::Unsent(Sent { token, by, .. }) => {
                format!("the call of {} cannot be sent{}", self.attempt(token), server(" by ", by))
            }
            Action::Cancelled(by) => format!("somebody cancels the saga{}", server(", at ", by)),
            Action::Reverted(by) => {
                format!("the saga that it is a step of is turned back{}", server(", says ", by))
            }
            Action::Admitted(by) => {
                format!("its turn comes{}, as those before it have ended", server(" at ", by))
            }
            Action::Signalled(by, step) => {
                format!("the signal that {} waits for comes{}", self.name(step), server(" to ", by))
            }
            Action::TimePasses(by) => format!("time passes{}", server(" at ", by)),
            Action::Decided(by, decision) => {
                let what = match decision {
                    Decision::Retry(step) => format!("{} is tried again", self.name(step)),
                    Decision::Skip(step) => format!("{} is left as it is", self.name(step)),
                    Decision::Settled(step) => format!("{} is as it should be", self.name(step)),
                    Decision::Deny => "the pivot was not done".to_owned(),
                };
                format!("somebody decides{}: {what}", server(", at ", by))
            }
            Action::TakenOver(by) => {
                let before = if world.owner(by.other()).is_some() { by.other() } else { by };
                let does =
                    if self.rules.whole { "reads the log" } else { "takes the saga over from the log" };
                let after = world.newest.saturating_add(1);
                format!("{} crashes, or is cut off; server {after} {does}", server("", before))
            }
            Action::GoesOn(by) => format!("{} goes on with the saga", server("", by)),
            Action::ComesBack(by, with) => {
                let with = with.map(|token| format!(", with the answer to {}", self.attempt(token)));
                format!("{} reads the log, and goes on{}", server("", by), with.unwrap_or_default())
            }
        }
    }

    /// What an event says, where that is more than the action before it.
    fn event(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Began { token, .. } | Event::Repeated { token, .. } => {
                format!("{} is called", self.attempt(*token))
            }
            Event::Waited { token, .. } => format!("{} waits", self.name(token.step)),
            Event::Succeeded { token, .. } if token.direction == Direction::Undo => {
                format!("{} is undone", self.name(token.step))
            }
            Event::Succeeded { token, .. } => format!("{} is done", self.name(token.step)),
            Event::Deferred { outcome, .. } => format!("it will be tried again ({})", told(*outcome)),
            Event::GaveUp { token, outcome: Outcome::LeftBehind, .. } => {
                format!("{} is given up; it left something as it is", self.name(token.step))
            }
            Event::GaveUp { token, may_have_run: true, .. } => {
                format!("{} is given up; it may have run", self.name(token.step))
            }
            Event::GaveUp { token, .. } => format!("{} is not done", self.name(token.step)),
            Event::Parked { token, why, .. } => {
                format!("{} waits for somebody: {}", self.name(token.step), why_told(*why))
            }
            Event::LeftBehind { token, .. } => format!("{} is left as it is", self.name(token.step)),
            Event::Signalled { name, .. } => format!("the signal `{name}` is kept"),
            Event::Doubted { .. } => "the saga is to be turned back, if the pivot was not done".to_owned(),
            Event::Overdue => "the deadline has passed".to_owned(),
            Event::TurnedBack { cause } => format!("the saga is turned back: {}", self.cause(*cause)),
            Event::Ended { end } => format!("the saga ends: {}", end_told(*end)),
            Event::Reverted => "the saga is reverted".to_owned(),
            Event::Started { .. }
            | Event::Admitted
            | Event::Retried { .. }
            | Event::Edited { .. }
            | Event::SettledByHand { .. }
            | Event::Skipped { .. }
            | Event::PivotDenied => return None,
        })
    }

    fn cause(&self, cause: Cause) -> String {
        match cause {
            Cause::Failed(step) => format!("{} failed", self.name(step)),
            Cause::Cancelled => "it was cancelled".to_owned(),
            Cause::Deadline => "its deadline passed".to_owned(),
            Cause::Parent => "the saga that it is a step of was".to_owned(),
            Cause::Operator => "somebody said so".to_owned(),
        }
    }
}

/// What a service does with a call that would succeed, or not.
fn effect(token: Token, reply: Reply, had_effect: bool) -> &'static str {
    match (reply, had_effect, token.direction) {
        (Reply::Refusal, ..) => "its service refuses",
        (Reply::LeftBehind, ..) => "its saga fails, and leaves something as it is",
        (Reply::Success, true, Direction::Do) => "its service does it",
        (Reply::Success, true, Direction::Undo) => "its service undoes it",
        (Reply::Success, false, _) => "its service has nothing to do",
    }
}

fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "it was refused",
        Outcome::Unsent => "it was not sent",
        Outcome::Unknown => "nobody knows whether it ran",
        Outcome::Late => "the signal is late",
        Outcome::Dropped => "it was dropped",
        Outcome::LeftBehind => "it left something as it is",
    }
}

/// Why a step waits for somebody, in words.
pub fn why_told(why: Why) -> &'static str {
    match why {
        Why::PivotUnknown => "nobody knows whether the pivot was done, and its tries are spent",
        Why::Spent => "it is behind the pivot, and its tries are spent",
        Why::UndoSpent => "the tries to undo it are spent",
    }
}

/// How a saga ended, in a word.
pub fn end_told(end: End) -> &'static str {
    match end {
        End::Completed => "completed",
        End::Compensated => "compensated",
        End::Failed => "failed",
    }
}
