//! The events of a saga, as messages.

use super::version;
use crate::InvalidMessage;
use crate::invalid::{Checked, narrowed, parsed, required, stated};
use crate::proto::saga::v1;
use bytes::Bytes;
use tenon_core::Timestamp;
use tenon_core::saga::{Cause, Data, Direction, End, Event, Outcome, StepIx, Token, Why};

impl From<&Event> for v1::Happened {
    fn from(event: &Event) -> Self {
        let kind = event.name().to_owned();
        let micros = |at: &Timestamp| Some(at.as_micros());
        let until = |at: &Option<Timestamp>| at.map(Timestamp::as_micros);
        let data = |data: &Option<Data>| data.as_ref().map(|data| data.as_str().to_owned());
        match event {
            Event::Started { version, steps, input, seed, at, deadline, queued } => Self {
                kind,
                step: u32::from(*steps),
                at_micros: micros(at),
                flag: *queued,
                data: Some(input.as_str().to_owned()),
                version: Bytes::copy_from_slice(&version.0),
                seed: *seed,
                deadline_micros: until(deadline),
                ..Self::default()
            },
            Event::Admitted | Event::Overdue | Event::PivotDenied | Event::Reverted => {
                Self { kind, ..Self::default() }
            }
            Event::Began { token, due: at } | Event::Repeated { token, due: at } => {
                Self { at_micros: until(at), ..Self::of(kind, *token) }
            }
            Event::Waited { token, until: at } => Self { at_micros: until(at), ..Self::of(kind, *token) },
            Event::Succeeded { token, output } => Self { data: data(output), ..Self::of(kind, *token) },
            Event::Deferred { token, outcome, until } => {
                Self { at_micros: micros(until), ..Self::failed(kind, *token, *outcome) }
            }
            Event::GaveUp { token, outcome, may_have_run } => {
                Self { flag: *may_have_run, ..Self::failed(kind, *token, *outcome) }
            }
            Event::Parked { token, outcome, why } => {
                Self { why: v1::Why::from(*why).into(), ..Self::failed(kind, *token, *outcome) }
            }
            Event::LeftBehind { token, outcome } => Self::failed(kind, *token, *outcome),
            Event::Signalled { name, data } => {
                Self { kind, name: name.to_string(), data: Some(data.as_str().to_owned()), ..Self::default() }
            }
            Event::Doubted { cause } | Event::TurnedBack { cause } => {
                let (cause, step) = cause_of(*cause);
                Self { kind, cause: cause.into(), step, ..Self::default() }
            }
            Event::Retried { step, until } => {
                Self { kind, step: u32::from(step.0), at_micros: micros(until), ..Self::default() }
            }
            Event::Edited { step, input } => Self {
                kind,
                step: u32::from(step.0),
                data: Some(input.as_str().to_owned()),
                ..Self::default()
            },
            Event::SettledByHand { step, output } => {
                Self { kind, step: u32::from(step.0), data: data(output), ..Self::default() }
            }
            Event::Skipped { step } => Self { kind, step: u32::from(step.0), ..Self::default() },
            Event::Ended { end } => Self { kind, end: v1::End::from(*end).into(), ..Self::default() },
        }
    }
}

impl v1::Happened {
    fn of(kind: String, token: Token) -> Self {
        Self {
            kind,
            step: u32::from(token.step.0),
            undo: token.direction == Direction::Undo,
            attempt: token.attempt,
            ..Self::default()
        }
    }

    fn failed(kind: String, token: Token, outcome: Outcome) -> Self {
        Self { outcome: v1::Outcome::from(outcome).into(), ..Self::of(kind, token) }
    }

    fn step(&self) -> Checked<StepIx> {
        narrowed("step", self.step).map(StepIx)
    }

    fn token(&self) -> Checked<Token> {
        let direction = if self.undo { Direction::Undo } else { Direction::Do };
        Ok(Token { step: self.step()?, direction, attempt: self.attempt })
    }

    fn at(&self) -> Option<Timestamp> {
        self.at_micros.map(Timestamp::from_micros)
    }

    fn time(&self) -> Checked<Timestamp> {
        required("at_micros", self.at())
    }

    fn read_data(&self) -> Option<Data> {
        self.data.as_deref().map(Data::new)
    }

    fn read_outcome(&self) -> Checked<Outcome> {
        stated("outcome", self.outcome, v1::Outcome::known)
    }

    fn read_cause(&self) -> Checked<Cause> {
        let step = self.step()?;
        stated("cause", self.cause, |cause: v1::Cause| cause.known(step))
    }
}

impl TryFrom<v1::Happened> for Event {
    type Error = InvalidMessage;

    fn try_from(message: v1::Happened) -> Checked<Self> {
        let given = |data: Option<Data>| required("data", data);
        Ok(match message.kind.as_str() {
            "Started" => Self::Started {
                version: version("version", &message.version)?,
                steps: message.step()?.0,
                input: given(message.read_data())?,
                seed: message.seed,
                at: message.time()?,
                deadline: message.deadline_micros.map(Timestamp::from_micros),
                queued: message.flag,
            },
            "Admitted" => Self::Admitted,
            "Began" => Self::Began { token: message.token()?, due: message.at() },
            "Repeated" => Self::Repeated { token: message.token()?, due: message.at() },
            "Waited" => Self::Waited { token: message.token()?, until: message.at() },
            "Succeeded" => Self::Succeeded { token: message.token()?, output: message.read_data() },
            "Deferred" => Self::Deferred {
                token: message.token()?,
                outcome: message.read_outcome()?,
                until: message.time()?,
            },
            "GaveUp" => Self::GaveUp {
                token: message.token()?,
                outcome: message.read_outcome()?,
                may_have_run: message.flag,
            },
            "Parked" => Self::Parked {
                token: message.token()?,
                outcome: message.read_outcome()?,
                why: stated("why", message.why, v1::Why::known)?,
            },
            "LeftBehind" => Self::LeftBehind { token: message.token()?, outcome: message.read_outcome()? },
            "Signalled" => {
                Self::Signalled { name: parsed("name", &message.name)?, data: given(message.read_data())? }
            }
            "Doubted" => Self::Doubted { cause: message.read_cause()? },
            "TurnedBack" => Self::TurnedBack { cause: message.read_cause()? },
            "Overdue" => Self::Overdue,
            "Retried" => Self::Retried { step: message.step()?, until: message.time()? },
            "Edited" => Self::Edited { step: message.step()?, input: given(message.read_data())? },
            "SettledByHand" => Self::SettledByHand { step: message.step()?, output: message.read_data() },
            "Skipped" => Self::Skipped { step: message.step()? },
            "PivotDenied" => Self::PivotDenied,
            "Reverted" => Self::Reverted,
            "Ended" => Self::Ended { end: stated("end", message.end, v1::End::known)? },
            other => {
                let problem = format_args!("{other:?} is not known here; was it written by a later version?");
                return Err(InvalidMessage::new("kind", problem));
            }
        })
    }
}

fn cause_of(cause: Cause) -> (v1::Cause, u32) {
    match cause {
        Cause::Failed(step) => (v1::Cause::Failed, u32::from(step.0)),
        Cause::Cancelled => (v1::Cause::Cancelled, 0),
        Cause::Deadline => (v1::Cause::Deadline, 0),
        Cause::Parent => (v1::Cause::Parent, 0),
        Cause::Operator => (v1::Cause::Operator, 0),
    }
}

impl v1::Cause {
    fn known(self, step: StepIx) -> Option<Cause> {
        match self {
            Self::Unspecified => None,
            Self::Failed => Some(Cause::Failed(step)),
            Self::Cancelled => Some(Cause::Cancelled),
            Self::Deadline => Some(Cause::Deadline),
            Self::Parent => Some(Cause::Parent),
            Self::Operator => Some(Cause::Operator),
        }
    }
}

/// An enum of the messages that has the variants of one of `core`, and one for none.
macro_rules! known {
    ($name:ident: $($variant:ident)*) => {
        impl From<$name> for v1::$name {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant,)* }
            }
        }

        impl v1::$name {
            pub(super) fn known(self) -> Option<$name> {
                match self {
                    Self::Unspecified => None,
                    $(Self::$variant => Some($name::$variant),)*
                }
            }
        }
    };
}

known!(Outcome: Refused Unsent Unknown Late Dropped LeftBehind);
known!(Why: PivotUnknown Spent UndoSpent);
known!(End: Completed Compensated Failed);
