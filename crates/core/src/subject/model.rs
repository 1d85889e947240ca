//! A subject that is written about, forgotten and restored from copies, with a crash at any point.

use super::{Found, Open, Seal, Step, forget, mend, open, seal};
use stateright::{Checker, Model, Property};

struct Subjects;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    found: Found,
    /// Somebody is forgetting, and has not been told that it is done.
    forgetting: bool,
    /// Forgetting was acknowledged.
    forgotten: bool,
    /// What was restored has not been looked at yet, so nothing is served.
    unmended: bool,
    /// Copies: of the keys' folder (key, tombstone), and of the log (told).
    copy_of_keys: Option<(bool, bool)>,
    copy_of_log: Option<bool>,
    /// A payload was told, or a new one taken, after forgetting had been acknowledged.
    betrayed: bool,
    mended_a_key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Write,
    Read,
    Forget,
    Go,
    Crash,
    CopyKeys,
    CopyLog,
    RestoreKeys,
    RestoreLog,
    Mend,
}

impl Model for Subjects {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            found: Found::default(),
            forgetting: false,
            forgotten: false,
            unmended: false,
            copy_of_keys: None,
            copy_of_log: None,
            betrayed: false,
            mended_a_key: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.unmended {
            actions.push(Action::Mend);
            return;
        }
        actions.extend([Action::Write, Action::Read, Action::Forget, Action::CopyKeys, Action::CopyLog]);
        if world.forgetting {
            actions.extend([Action::Go, Action::Crash]);
        }
        if world.copy_of_keys.is_some() {
            actions.push(Action::RestoreKeys);
        }
        if world.copy_of_log.is_some() {
            actions.push(Action::RestoreLog);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let found = &mut next.found;
        match action {
            Action::Write => match seal(*found) {
                Seal::MakeKey => {
                    found.key = true;
                    next.betrayed |= world.forgotten;
                }
                Seal::UseKey => next.betrayed |= world.forgotten,
                Seal::Refuse => {}
            },
            Action::Read => next.betrayed |= world.forgotten && open(*found) == Open::UseKey,
            Action::Forget => next.forgetting = true,
            Action::Go => match forget(*found) {
                Some(step) => *found = found.after(step),
                None => (next.forgetting, next.forgotten) = (false, true),
            },
            // What is on disk stays; whoever waited learns nothing; then everything is looked at anew.
            Action::Crash => (next.forgetting, next.unmended) = (false, true),
            Action::CopyKeys => next.copy_of_keys = Some((found.key, found.tombstone)),
            Action::CopyLog => next.copy_of_log = Some(found.told),
            Action::RestoreKeys => {
                (found.key, found.tombstone) = world.copy_of_keys?;
                (next.forgetting, next.unmended) = (false, true);
            }
            Action::RestoreLog => {
                found.told = world.copy_of_log?;
                (next.forgetting, next.unmended) = (false, true);
            }
            Action::Mend => match mend(*found) {
                Some(step) => {
                    next.mended_a_key |= step == Step::Destroy && world.forgotten;
                    *found = found.after(step);
                }
                None => next.unmended = false,
            },
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was forgotten stays forgotten", |_, world: &World| !world.betrayed),
            Property::sometimes("forgetting is acknowledged", |_, world: &World| world.forgotten),
            Property::sometimes("a key that a copy brought back is destroyed", |_, world: &World| {
                world.mended_a_key
            }),
        ]
    }
}

#[test]
fn no_copy_and_no_crash_brings_a_key_back() {
    Subjects.checker().spawn_bfs().join().assert_properties();
}
