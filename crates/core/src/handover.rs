//! How one data plane takes over from another, so that at every moment somebody takes connections.
//!
//! The old process is the [`Giver`], the new one the [`Taker`]; they talk over one connection. The taker asks; the giver
//! offers its listening sockets and its snapshot; the taker prepares all that can fail, begins to take connections, and
//! says so; only then does the giver stop to. Until that word whatever goes wrong leaves the giver as it was; a giver that
//! dies leaves the taker with all that it needs. Who lives says [`Message::Abandoned`] before it hangs up, so that an
//! ending without a word means that the other is dead.
//!
//! Left out: what is handed over, how long anybody waits, and what becomes of the giver's connections.

/// What the two say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The taker wants to take over.
    Ask,
    /// The giver's sockets and snapshot.
    Offer,
    /// The taker takes connections.
    Accepting,
    /// The giver takes none any more.
    Released,
    /// The giver goes on; the taker is to leave.
    Abandoned,
}

/// The old process, as far as it has come with one taker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Giver {
    /// It serves.
    #[default]
    Serving,
    /// It serves, and has offered what it has.
    Offered,
    /// It takes no more connections and lets go of those that it has.
    Released,
}

/// What happens to a giver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiverInput {
    /// The taker says something.
    Said(Message),
    /// The connection has ended, or brings nonsense.
    Gone,
    /// The taker has been silent for too long.
    Late,
}

/// What a giver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiverCommand {
    /// Send the offer and wait for the answer.
    Offer,
    /// Take no more connections, say [`Message::Released`], and let go of those that there are.
    Release,
    /// Say [`Message::Abandoned`], hang up and go on.
    Abandon,
    /// Hang up and go on.
    HangUp,
}

impl Giver {
    /// What follows.
    #[must_use]
    pub fn step(self, input: GiverInput) -> (Self, GiverCommand) {
        match (self, input) {
            (Self::Serving, GiverInput::Said(Message::Ask)) => (Self::Offered, GiverCommand::Offer),
            (Self::Offered, GiverInput::Said(Message::Accepting)) => (Self::Released, GiverCommand::Release),
            (Self::Serving | Self::Offered, GiverInput::Gone) => (Self::Serving, GiverCommand::HangUp),
            (Self::Serving | Self::Offered, GiverInput::Said(_) | GiverInput::Late) => {
                (Self::Serving, GiverCommand::Abandon)
            }
            // There is no way back.
            (Self::Released, _) => (Self::Released, GiverCommand::HangUp),
        }
    }

    /// Whether it takes connections.
    pub fn accepts(self) -> bool {
        self != Self::Released
    }
}

/// The new process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taker {
    /// It has asked.
    #[default]
    Asking,
    /// It has the offer and makes itself ready.
    Preparing,
    /// The same, and the giver is dead.
    PreparingAlone,
    /// It takes connections, as the giver does.
    Accepting,
    /// It takes connections, alone.
    Serving,
    /// It takes none, or none any more.
    Left,
}

/// What happens to a taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TakerInput {
    /// The giver says something.
    Said(Message),
    /// The connection has ended, or brings nonsense.
    Gone,
    /// The giver has been silent for too long.
    Late,
    /// All is ready that can fail.
    Prepared,
    /// It is not to be made ready.
    Failed,
}

/// What a taker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TakerCommand {
    /// Make everything ready, and say whether that worked.
    Prepare,
    /// Take connections, then say [`Message::Accepting`].
    Accept,
    /// Serve, taking connections if it does not yet: with what was offered, or else with what is on disk.
    Serve,
    /// Take no more connections, let go of those that there are, and end.
    Leave,
    /// Nothing new.
    Wait,
}

impl Taker {
    /// What follows.
    #[must_use]
    pub fn step(self, input: TakerInput) -> (Self, TakerCommand) {
        use TakerInput::{Failed, Gone, Late, Prepared, Said};
        match (self, input) {
            (Self::Asking, Said(Message::Offer)) => (Self::Preparing, TakerCommand::Prepare),
            (Self::Preparing, Prepared) => (Self::Accepting, TakerCommand::Accept),
            (Self::Preparing, Gone) => (Self::PreparingAlone, TakerCommand::Wait),
            (Self::Accepting, Said(Message::Released)) => (Self::Serving, TakerCommand::Serve),
            // The giver died, so nobody serves.
            (Self::Asking | Self::Accepting, Gone) | (Self::PreparingAlone, Prepared) => {
                (Self::Serving, TakerCommand::Serve)
            }
            // It serves, so it can wait until the giver has decided or is dead.
            (Self::Accepting, Late) => (self, TakerCommand::Wait),
            (Self::PreparingAlone, Gone | Late) | (Self::Serving | Self::Left, _) => {
                (self, TakerCommand::Wait)
            }
            (Self::Asking | Self::Preparing | Self::PreparingAlone | Self::Accepting, Said(_))
            | (Self::Asking | Self::Preparing, Late)
            | (Self::Preparing | Self::PreparingAlone, Failed)
            | (Self::Asking | Self::Accepting, Prepared | Failed) => (Self::Left, TakerCommand::Leave),
        }
    }

    /// Whether it takes connections.
    pub fn accepts(self) -> bool {
        matches!(self, Self::Accepting | Self::Serving)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
