//! Two servers that may both take themselves for the one that runs the saga.
//!
//! Life cycle of a server: it takes the saga over, which is to read the log, and to append what follows from that
//! ([`Input::Recovered`](tenon_core::saga::Input::Recovered)). From then on it takes in what happens: it steps the machine, from what it believes, appends what follows, and only
//! then makes the calls. The log takes an append only from a server that has read everything before it. A server whose append was
//! refused knows that it is behind, and does nothing more, unless it reads the log again.
//!
//! A server that is behind can only be refused, by that rule. So nothing of it is kept but the answers to its calls, with one of which
//! it may come back; that is checked against servers that are kept as they are ([`Rules::whole`]), and where
//! the rule is broken in a test they are.

use super::machine::{Known, News, Stepped};
use super::participant::Reply;
use super::world::{Answer, Rules, Sent, World};
use std::sync::Arc;
use tenon_core::saga::{At, Direction, Event, Instance, Token};

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// What it believes, if that is not what the log says.
    behind: Option<Arc<Known>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// It has read the log, and is about to append what follows from that.
    TakesOver,
    Runs,
    /// Its append was refused; or it is behind, and would be.
    Refused,
}

/// What a server made of what it learned.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Told {
    stepped: Option<Arc<Stepped>>,
    /// The log did not take the events.
    pub(super) refused: bool,
}

/// Which of the two. A call or an answer may be of one that is there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    One,
    Two,
    Nobody,
}

/// A server behind is as good as refused.
const REFUSED: Owner = Owner { behind: None, stage: Stage::Refused };

impl By {
    pub(super) const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
            Self::Nobody => Self::Nobody,
        }
    }
}

impl Told {
    pub(super) fn events(&self) -> &[Event] {
        self.stepped.as_ref().map_or(&[], |stepped| &stepped.events)
    }

    /// What is called.
    pub(super) fn calls(&self) -> &[Token] {
        self.stepped.as_ref().map_or(&[], |stepped| &stepped.calls)
    }
}

impl Owner {
    /// One that runs it, and has read all there is.
    pub(super) const RUNS: Self = Self { behind: None, stage: Stage::Runs };

    pub(super) fn is_up_to_date(&self) -> bool {
        self.behind.is_none() && self.stage != Stage::Refused
    }
}

impl World {
    pub(super) fn owner(&self, by: By) -> Option<&Owner> {
        self.owners.get(by.index())?.as_ref()
    }

    pub(super) fn is(&self, by: By, is: fn(&Owner) -> bool) -> bool {
        self.owner(by).is_some_and(is)
    }

    /// What a server believes that does something.
    pub(super) fn view(&self, by: By) -> Option<&Arc<Known>> {
        let owner = self.owner(by)?;
        (owner.stage == Stage::Runs).then(|| owner.behind.as_ref().unwrap_or(&self.log))
    }

    pub(super) fn takes_over(&self, by: By) -> bool {
        self.is(by, |owner| owner.stage == Stage::TakesOver)
    }

    pub(super) fn is_refused(&self, by: By) -> bool {
        self.is(by, |owner| owner.stage == Stage::Refused)
    }

    fn set(&mut self, by: By, owner: Option<Owner>) {
        if let Some(place) = self.owners.get_mut(by.index()) {
            *place = owner;
        }
    }

    /// Nobody hears the answers to a server's calls any more.
    fn let_go(&mut self, by: By) {
        self.set(by, None);
        self.answers.retain(|answer| answer.by != by);
        let orphaned = |sent: &mut Sent| {
            if sent.by == by {
                sent.by = By::Nobody;
            }
        };
        if self.calls.iter().any(|sent| sent.by == by) {
            self.calls.change(orphaned);
        }
    }

    /// The first is one that is up to date, so that it makes no difference which of the two it is.
    fn in_order(&mut self) {
        if self.is(By::One, Owner::is_up_to_date) || !self.is(By::Two, Owner::is_up_to_date) {
            return;
        }
        self.owners.swap(0, 1);
        self.names.swap(0, 1);
        self.calls.change(|sent| sent.by = sent.by.other());
        self.answers.change(|answer| answer.by = answer.by.other());
    }
}

impl Rules {
    /// A server reads the log and, unless others append meanwhile, what follows from that.
    pub(super) fn take_over(&self, world: &mut World, by: By) -> Told {
        world.let_go(by);
        world.newest = world.newest.saturating_add(1);
        if let Some(name) = world.names.get_mut(by.index()) {
            *name = world.newest;
        }
        world.set(by, Some(Owner { behind: None, stage: Stage::TakesOver }));
        if self.whole { Told::default() } else { self.recover(world, by) }
    }

    /// A server that was refused reads the log again, with what it was about to take in.
    pub(super) fn come_back(&self, world: &mut World, by: By, with: Option<Token>) -> Told {
        let kept = with.map(|token| Answer { by, token, reply: Reply::Success });
        world.let_go(by);
        world.answers.extend(kept);
        world.set(by, Some(Owner { behind: None, stage: Stage::TakesOver }));
        if self.whole { Told::default() } else { self.recover(world, by) }
    }

    /// It appends what follows from having read the log; or reads it again, if others were faster.
    pub(super) fn recover(&self, world: &mut World, by: By) -> Told {
        let Some(owner) = world.owner(by).cloned() else { return Told::default() };
        world.set(by, Some(Owner { stage: Stage::Runs, ..owner }));
        let answers = world.answers.clone();
        let told = self.learn(world, by, News::Recovered);
        if told.refused {
            world.answers = answers;
            world.set(by, Some(Owner { behind: None, stage: Stage::TakesOver }));
        }
        told
    }

    /// A server takes something in: it appends what follows, and then makes the calls.
    pub(super) fn learn(&self, world: &mut World, by: By, news: News) -> Told {
        let Some(believed) = world.view(by).cloned() else { return Told::default() };
        let Some(stepped) = self.taken_in(&believed, news) else { return Told::default() };
        let up_to_date = world.is(by, Owner::is_up_to_date);
        let refused = self.orchestrator.fenced && !up_to_date;
        if !refused || !self.orchestrator.written_first {
            let round = |token: &Token| stepped.next.round(*token);
            let made = stepped.calls.iter().map(|token| Sent {
                token: *token,
                round: round(token),
                by,
                copy: false,
            });
            world.calls.extend(made);
        }
        if refused {
            let kept = match news {
                News::Succeeded(token) => Some(Answer { by, token, reply: Reply::Success }),
                _ => None,
            };
            world.let_go(by);
            world.answers.extend(kept);
            world.set(by, Some(REFUSED));
            return Told { stepped: Some(stepped), refused };
        }
        let (next, broken) = match up_to_date {
            true => (Arc::clone(&stepped.next), stepped.broken),
            false => self.appended(&world.log, &stepped.events),
        };
        let before = std::mem::replace(&mut world.log, next);
        world.broken = world.broken.or(broken);
        if !up_to_date {
            let behind = Some(Arc::clone(&stepped.next));
            world.set(by, Some(Owner { behind, stage: Stage::Runs }));
        }
        if let Some(Some(other)) = world.owners.get_mut(by.other().index())
            && other.is_up_to_date()
        {
            other.behind = Some(before);
        }
        Told { stepped: Some(stepped), refused }
    }

    /// Leaves out of the servers what makes no difference.
    pub(super) fn settle(&self, world: &mut World) {
        let harmless = self.orchestrator.fenced && self.orchestrator.written_first;
        for by in By::BOTH {
            if harmless && !self.whole && world.is(by, |owner| owner.behind.is_some()) {
                world.set(by, Some(REFUSED));
            }
            if world.is_refused(by) && (world.faults >= self.faults || world.log.ended().is_some()) {
                world.let_go(by);
            }
        }
        world.in_order();
    }

    /// Whether the answer to a call would make a difference to whoever made it.
    pub(super) fn hears(&self, world: &World, by: By, token: Token) -> bool {
        let Some(owner) = world.owner(by) else { return false };
        let view = owner.behind.as_ref().unwrap_or(&world.log);
        waits(view, token)
    }

    /// Whether a call that failed makes a difference to whoever made it.
    pub(super) fn minds_failure(world: &World, by: By, token: Token) -> bool {
        world.view(by).is_some_and(|view| view.token(token.step) == Some(token))
    }
}

fn waits(view: &Instance, token: Token) -> bool {
    let Some(step) = view.progress(token.step) else { return false };
    let waits = match token.direction {
        Direction::Do => matches!(step.at, At::Doing { .. } | At::DoLater { .. } | At::DoParked(_)),
        Direction::Undo => matches!(step.at, At::Undoing { .. } | At::UndoLater { .. } | At::UndoParked),
    };
    waits && step.since <= token.attempt
}
