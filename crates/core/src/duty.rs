//! Which server has which duty, where several servers work on one log.
//!
//! Some work only one server may do at a time: believing what health checks and heartbeats say, and running processes.
//! Life cycle: whoever holds a duty's lease, which lies outside of the log, takes the duty, and that begins an epoch.
//! What is then recorded under the duty is recorded under its epoch, and is refused once a later one has begun. So a
//! server that lost its lease and does not know it yet, because it was halted or cut off, does no harm: control events are
//! appended only if none came in between, thus its next verdict meets the later epoch.
//!
//! Left out on purpose: leases and time (crates `store` and `control`). An epoch says who may record, not who is alive.

mod share;

pub use share::shares;

use crate::error::{Code, Refusal};
use crate::id::ServerId;
use std::collections::BTreeMap;
use std::fmt;

/// Work that one server does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Checking instances, taking heartbeats, and recording what follows.
    Health,
    /// Running processes.
    Runtime,
}

/// A time during which one server has a duty; the later has the greater number. Zero before anybody took it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Who has a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The server.
    pub server: ServerId,
    /// Since this epoch began.
    pub epoch: Epoch,
}

/// Who has which duty. Empty where one server works alone.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    holders: BTreeMap<Duty, Holder>,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// A server that holds the lease takes the duty.
    Take {
        /// The duty.
        duty: Duty,
        /// The server.
        server: ServerId,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A server took a duty.
    DutyTaken {
        /// The duty.
        duty: Duty,
        /// The server.
        server: ServerId,
        /// The epoch that began.
        epoch: Epoch,
    },
}

impl Duty {
    /// Every duty there is.
    pub const ALL: [Self; 2] = [Self::Health, Self::Runtime];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Runtime => "runtime",
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides on a command: taking a duty always begins a new epoch, also for who had it before.
pub fn decide(state: &State, command: &Command) -> Vec<Event> {
    let Command::Take { duty, server } = command;
    let epoch = Epoch(state.epoch(*duty).0.saturating_add(1));
    vec![Event::DutyTaken { duty: *duty, server: *server, epoch }]
}

impl State {
    /// Who has a duty, if anybody took it.
    pub fn holder(&self, duty: Duty) -> Option<Holder> {
        self.holders.get(&duty).copied()
    }

    /// The present epoch of a duty.
    pub fn epoch(&self, duty: Duty) -> Epoch {
        self.holder(duty).map_or(Epoch::default(), |holder| holder.epoch)
    }

    /// Whether what is done under an epoch of a duty still counts.
    ///
    /// # Errors
    /// `server.off-duty` names the server that has the duty now.
    pub fn check(&self, duty: Duty, epoch: Epoch) -> Result<(), Refusal> {
        match self.holder(duty) {
            Some(holder) if holder.epoch != epoch => Err(off_duty(duty, Some(holder))),
            _ => Ok(()),
        }
    }

    /// Folds an event. An epoch that is not later than the present one changes nothing.
    pub fn evolve(&mut self, event: &Event) {
        let Event::DutyTaken { duty, server, epoch } = event;
        if *epoch > self.epoch(*duty) {
            self.holders.insert(*duty, Holder { server: *server, epoch: *epoch });
        }
    }
}

/// What is answered to who asks a server for what another one does.
pub fn off_duty(duty: Duty, holder: Option<Holder>) -> Refusal {
    let detail = match holder {
        Some(Holder { server, epoch }) => {
            format!("server {server} has the duty `{duty}` (epoch {}); ask it, or ask again", epoch.0)
        }
        None => format!("no server has the duty `{duty}` yet; ask again"),
    };
    Refusal::new(Code::ServerOffDuty, detail)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
