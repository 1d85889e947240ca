//! Every order of applying a few manifests.

use super::*;
use crate::fixtures::{applied, external, managed, service, system};
use stateright::{Checker, Model, Property};

struct Manifests(Vec<Applied>);

/// A catalog, what was last asked of it, and whether that was refused or made no event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    state: State,
    last: Option<usize>,
    events: usize,
}

impl Model for Manifests {
    type State = Asked;
    type Action = usize;

    fn init_states(&self) -> Vec<Asked> {
        vec![Asked { state: State::default(), last: None, events: 0 }]
    }

    fn actions(&self, _: &Asked, actions: &mut Vec<usize>) {
        actions.extend(0..self.0.len());
    }

    fn next_state(&self, before: &Asked, which: usize) -> Option<Asked> {
        let mut state = before.state.clone();
        let events = decide(&state, &Command::Apply(self.0[which].clone())).unwrap_or_default();
        for event in &events {
            state.evolve(event);
        }
        Some(Asked { state, last: Some(which), events: events.len() })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was accepted is what is applied", |model, it: &Asked| {
                let Some(wanted) = it.last.map(|which| &model.0[which]) else { return true };
                let accepted = wanted.text.len() <= MAX_TEXT;
                accepted == (it.state.applied() == Some(wanted)) && (accepted || it.events == 0)
            }),
            Property::always(
                "a service is declared exactly if the applied system has it",
                |_, it: &Asked| {
                    let has = |system: &System| system.services.contains_key("payment");
                    it.state.declares(&service("payment")) == it.state.system().is_some_and(has)
                },
            ),
            Property::sometimes("applies again without an event", |_, it: &Asked| {
                it.last.is_some() && it.events == 0 && it.state.applied().is_some()
            }),
        ]
    }
}

#[test]
fn every_order_of_manifests_keeps_the_rules() {
    let small = applied(system(vec![managed("payment", 1, "pay")]));
    let other = applied(system(vec![external("ledger", &[9_000])]));
    let long = Applied { text: "#".repeat(MAX_TEXT + 1).into(), ..other.clone() };
    Manifests(vec![small, other, long]).checker().spawn_bfs().join().assert_properties();
}
