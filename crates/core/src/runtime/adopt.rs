//! What a server makes of the processes that it finds when it connects to the supervisor.

use super::{Command, Exit, Instance, State};
use crate::id::InstanceId;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What the supervisor says of one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Observed {
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// It has ended, and nobody took note yet.
    Ended(Exit),
}

/// What to do about what was found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Adoption {
    /// What to record, in order.
    pub commands: Vec<Command>,
    /// Processes that the log does not know; the supervisor is to end them.
    pub unknown: Vec<InstanceId>,
}

/// Compares the log with all that the supervisor knows: processes that run are adopted, ends that were missed
/// are recorded, instances that nobody knows of are lost. Only when no start is under way.
pub fn adopt(state: &State, observed: &BTreeMap<InstanceId, Observed>) -> Adoption {
    let commands = state.instances().filter_map(|(_, it)| report(it, observed.get(&it.id))).collect();
    let runs = |it: &Observed| matches!(it, Observed::Running { .. });
    let unknown = observed.iter().filter(|(id, it)| runs(it) && state.get(id).is_none());
    Adoption { commands, unknown: unknown.map(|(id, _)| id.clone()).collect() }
}

fn report(known: &Instance, observed: Option<&Observed>) -> Option<Command> {
    let instance = known.id.clone();
    match observed {
        None => Some(Command::ReportExited { instance, exit: Exit::Lost }),
        Some(Observed::Ended(exit)) => Some(Command::ReportExited { instance, exit: exit.clone() }),
        Some(Observed::Running { pid, started_at }) => {
            let same = known.process.is_some_and(|it| it.pid == *pid && it.started_at == *started_at);
            (!same).then_some(Command::ReportStarted { instance, pid: *pid, started_at: *started_at })
        }
    }
}
