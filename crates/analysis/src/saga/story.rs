//! A schedule, told.

use super::world::{Action, Rules, Sent};
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
        let teller = Teller { rules };
        let mut world = rules.begin();
        let begun =
            world.instance.calls().into_iter().map(|token| format!("{} is called", teller.attempt(token)));
        let mut lines = vec![Line { what: "the saga is started".to_owned(), then: begun.collect() }];
        for action in schedule {
            let before = world.participants.clone();
            let Some((next, events)) = rules.act(&world, *action) else { break };
            let had_effect = next.participants != before;
            let then = events.iter().filter_map(|event| teller.event(event)).collect();
            lines.push(Line { what: teller.action(*action, had_effect), then });
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

    fn action(&self, action: Action, had_effect: bool) -> String {
        let late = |token: Token| {
            let done = matches!(token.direction, Direction::Do);
            match (had_effect, done) {
                (true, true) => "its service does it",
                (true, false) => "its service undoes it",
                (false, _) => "its service has nothing to do",
            }
        };
        match action {
            Action::Arrives { sent: Sent { token, .. }, succeeds: true } => {
                format!("the call of {} arrives; {}, and answers", self.attempt(token), late(token))
            }
            Action::Arrives { sent: Sent { token, .. }, succeeds: false } => {
                format!("the call of {} arrives; its service refuses", self.attempt(token))
            }
            Action::ArrivesTwice { sent: Sent { token, .. }, succeeds: false } => {
                format!(
                    "the call of {} arrives, and will arrive again; its service refuses",
                    self.attempt(token)
                )
            }
            Action::ArrivesTwice { sent: Sent { token, .. }, succeeds: true } => {
                format!("the call of {} arrives, and will arrive again; {}", self.attempt(token), late(token))
            }
            Action::Answered { token, succeeded: true } => {
                format!("the answer to {} comes: success", self.attempt(token))
            }
            Action::Answered { token, succeeded: false } => {
                format!("the answer to {} comes: refused", self.attempt(token))
            }
            Action::TimesOut(token) => format!("no answer to {} comes in time", self.attempt(token)),
            Action::Unsent(Sent { token, .. }) => {
                format!("the call of {} cannot be sent", self.attempt(token))
            }
            Action::TakenOver => {
                "the server crashes, or is cut off; another takes the saga over from the log".to_owned()
            }
            Action::Cancelled => "somebody cancels the saga".to_owned(),
            Action::Signalled(step) => format!("the signal that {} waits for comes", self.name(step)),
            Action::TimePasses => "time passes".to_owned(),
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
            Event::TurnedBack { cause } => format!("the saga is turned back: {}", self.cause(*cause)),
            Event::Ended { end } => format!("the saga ends: {}", end_told(*end)),
            Event::Reverted => "the saga is reverted".to_owned(),
            Event::Started { .. }
            | Event::Admitted
            | Event::Overdue
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

fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "it was refused",
        Outcome::Unsent => "it was not sent",
        Outcome::Unknown => "nobody knows whether it ran",
        Outcome::Late => "the signal is late",
        Outcome::Dropped => "it was dropped",
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
