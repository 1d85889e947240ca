//! The services that take part, as the checker imagines them.

use tenon_core::saga::barrier::{self, Ask, Record, Verdict};

/// How a service fails to keep the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lapse {
    /// It does a call again that comes again.
    Repeats,
    /// It undoes what it never did.
    UndoesNothing,
    /// It does a call that comes after it was undone.
    Hangs,
    /// It forgets that it refused, so that a late copy of the call is done.
    ForgetsRefusals,
}

impl Lapse {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Repeats, Self::UndoesNothing, Self::Hangs, Self::ForgetsRefusals];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repeats => "repeats",
            Self::UndoesNothing => "undoes-nothing",
            Self::Hangs => "hangs",
            Self::ForgetsRefusals => "forgets-refusals",
        }
    }

    /// The lapse of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lapse| lapse.as_str() == text)
    }
}

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reply {
    Success,
    Refusal,
    /// By a saga that is a step: it is over, and left something as it is, as a policy or somebody decided there.
    LeftBehind,
}

/// What a step's service has done, or the saga that it runs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Participant {
    pub(super) record: Record,
    /// How often it took effect.
    pub(super) done: u8,
    /// How often that was undone.
    pub(super) undone: u8,
    /// It is a saga that is over, and left something as it is.
    pub(super) left: bool,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Handled {
    /// It had an effect just now.
    pub(super) ran: bool,
    pub(super) reply: Reply,
    /// It came after it was undone.
    pub(super) hung: bool,
}

impl Participant {
    /// Whether its effect is there.
    pub(super) fn is_active(self) -> bool {
        self.done > self.undone
    }

    /// Judges a call; by the barrier, but for the lapse.
    pub(super) fn judge(self, ask: Ask, lapse: Option<Lapse>) -> Verdict {
        match (barrier::arrive(self.record, ask), lapse) {
            (Verdict::Repeat, Some(Lapse::Repeats)) if ask != Ask::Undo => Verdict::Run,
            (Verdict::NothingToUndo, Some(Lapse::UndoesNothing)) => Verdict::Run,
            (Verdict::Hanging, Some(Lapse::Hangs)) => Verdict::Run,
            (Verdict::RepeatRefusal, Some(Lapse::ForgetsRefusals)) => Verdict::Run,
            (verdict, _) => verdict,
        }
    }

    /// Whether a call would be run now.
    pub(super) fn runs(self, ask: Ask, lapse: Option<Lapse>) -> bool {
        !self.left && self.judge(ask, lapse) == Verdict::Run
    }

    /// Handles a call that would be answered so if it were run.
    pub(super) fn handle(&mut self, ask: Ask, reply: Reply, lapse: Option<Lapse>) -> Handled {
        if self.left {
            return Handled { ran: false, reply: Reply::LeftBehind, hung: false };
        }
        if reply == Reply::LeftBehind && self.runs(ask, lapse) {
            // Whatever it was, it is there, and stays.
            self.left = true;
            self.done = self.done.max(1);
            return Handled { ran: true, reply, hung: false };
        }
        let succeeds = reply == Reply::Success;
        let verdict = self.judge(ask, lapse);
        let hung = barrier::arrive(self.record, ask) == Verdict::Hanging;
        let ran = verdict == Verdict::Run && succeeds;
        match ask {
            Ask::Do(_) => self.done = self.done.saturating_add(u8::from(ran)),
            Ask::Undo => self.undone = self.undone.saturating_add(u8::from(ran)),
        }
        self.record = match ask {
            _ if verdict == barrier::arrive(self.record, ask) => barrier::settle(self.record, ask, succeeds),
            Ask::Do(_) if ran => Record::Done,
            Ask::Undo if ran => Record::Undone,
            Ask::Do(_) | Ask::Undo => self.record,
        };
        let succeeded = match verdict {
            Verdict::Run => succeeds,
            Verdict::Repeat | Verdict::NothingToUndo => true,
            Verdict::RepeatRefusal | Verdict::Hanging => false,
        };
        Handled { ran, reply: if succeeded { Reply::Success } else { Reply::Refusal }, hung }
    }

    /// Whether such a call could still change something, at once or later.
    pub(super) fn minds(self, ask: Ask, lapse: Option<Lapse>) -> bool {
        let settled = match ask {
            Ask::Do(round) => match self.record {
                Record::Nothing => false,
                Record::Refused(refused) => round <= refused,
                Record::Done | Record::Undone => true,
            },
            Ask::Undo => self.record == Record::Undone,
        };
        !self.left && (lapse.is_some() || !settled)
    }
}
