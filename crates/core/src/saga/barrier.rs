//! What a service that takes part in sagas must do with a call, so that one which comes twice, late, or after it was
//! undone does no harm.
//!
//! For every saga and step the service keeps one [`Record`], in the same transaction as the effect itself. Life cycle: a
//! call arrives; [`arrive`] says by the record whether to run it, or what to answer instead; the record becomes what the
//! verdict or [`settle`] says, and all of this is committed together.
//!
//! It takes care of four things. A *repeat*: the call was done, and is answered as before. A *null compensation*: what is
//! to be undone never came; there is nothing to do, which is a success, and it is recorded. *Hanging*: the call arrives
//! after it was undone; it is refused. And a refusal is final under its key, so that a copy of the call that arrives later
//! does nothing either.
//!
//! Left out on purpose: the effect, and where records are kept.

/// What a service knows of a step of a saga.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// Nothing was heard of it.
    #[default]
    Nothing,
    /// It was done.
    Done,
    /// It was refused, under the key of this round.
    Refused(u32),
    /// It was undone, or was to be undone before it came. It will never be done.
    Undone,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// To do the step, under the key of this round.
    Do(u32),
    /// To undo it.
    Undo,
}

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Run it, and [`settle`].
    Run,
    /// It was run before: answer as then.
    Repeat,
    /// It was refused before: refuse it again.
    RepeatRefusal,
    /// There is nothing to undo: that is a success, to be recorded as [`Record::Undone`].
    NothingToUndo,
    /// It was undone before it came: refuse it.
    Hanging,
}

/// Judges a call by what is known of its step.
pub fn arrive(record: Record, ask: Ask) -> Verdict {
    match (record, ask) {
        (Record::Nothing, Ask::Do(_)) => Verdict::Run,
        (Record::Refused(round), Ask::Do(asked)) if asked > round => Verdict::Run,
        (Record::Refused(_), Ask::Do(_)) => Verdict::RepeatRefusal,
        (Record::Done, Ask::Do(_)) => Verdict::Repeat,
        (Record::Undone, Ask::Do(_)) => Verdict::Hanging,
        (Record::Nothing | Record::Refused(_), Ask::Undo) => Verdict::NothingToUndo,
        (Record::Done, Ask::Undo) => Verdict::Run,
        (Record::Undone, Ask::Undo) => Verdict::Repeat,
    }
}

/// What is known after a call was judged. `succeeded` is whether it was run and did what was asked for; one that only was
/// judged does not look at it.
pub fn settle(record: Record, ask: Ask, succeeded: bool) -> Record {
    match (arrive(record, ask), ask) {
        (Verdict::Run, Ask::Do(_)) if succeeded => Record::Done,
        (Verdict::Run, Ask::Do(round)) => Record::Refused(round),
        (Verdict::Run, Ask::Undo) if succeeded => Record::Undone,
        (Verdict::NothingToUndo, _) => Record::Undone,
        (Verdict::Run | Verdict::Repeat | Verdict::RepeatRefusal | Verdict::Hanging, _) => record,
    }
}

#[cfg(test)]
mod tests;
