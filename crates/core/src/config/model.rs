//! Every order of a few changes by hand and by manifest.

use super::*;
use crate::fixtures::{key, millis, service, stamp, value};
use stateright::{Checker, Model, Property};

/// Manifests that state nothing, one value, or the other.
const MANIFESTS: [Option<&str>; 3] = [None, Some("1"), Some("2")];

struct Configured {
    depth: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Set(&'static str),
    SetIfUnchanged(&'static str),
    Remove,
    Apply(usize),
}

/// The configuration, and the last act with the state that it came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    state: State,
    manifest: usize,
    position: u64,
    last: Option<(Act, Box<Step>)>,
}

impl Step {
    fn value(&self) -> Option<Value> {
        self.state.get(&service("payment"), &key("k")).map(|it| it.value.clone())
    }

    fn origin(&self) -> Option<Origin> {
        self.state.get(&service("payment"), &key("k")).map(|it| it.origin)
    }
}

fn stated(manifest: usize) -> Initial {
    let entry = |text| (key("k"), ConfigEntry { value: value(text), schema: None });
    [(service("payment"), MANIFESTS[manifest].map(entry).into_iter().collect())].into()
}

fn command(step: &Step, act: Act) -> Command {
    let (service, key) = (service("payment"), key("k"));
    match act {
        Act::Set(text) => Command::Set { service, key, value: value(text), expected: None },
        Act::SetIfUnchanged(text) => {
            let revision = step.state.get(&service, &key).map_or(Position::START, |it| it.revision);
            Command::Set { service, key, value: value(text), expected: Some(revision) }
        }
        Act::Remove => Command::Remove { service, key, expected: None },
        Act::Apply(which) => Command::ApplyManifest { before: stated(step.manifest), after: stated(which) },
    }
}

impl Model for Configured {
    type State = Step;
    type Action = Act;

    fn init_states(&self) -> Vec<Step> {
        vec![Step { state: State::default(), manifest: 0, position: 0, last: None }]
    }

    fn actions(&self, _: &Step, actions: &mut Vec<Act>) {
        actions.extend([Act::Set("1"), Act::Set("3"), Act::SetIfUnchanged("2"), Act::Remove]);
        actions.extend((0..MANIFESTS.len()).map(Act::Apply));
    }

    fn next_state(&self, before: &Step, act: Act) -> Option<Step> {
        let events = decide(&before.state, &command(before, act)).ok()?;
        let position = before.position + 1;
        let mut state = before.state.clone();
        for event in &events {
            state.evolve(&stamp(position, millis(0)), event);
        }
        let manifest = if let Act::Apply(which) = act { which } else { before.manifest };
        let before = Step { last: None, ..before.clone() };
        Some(Step { state, manifest, position, last: Some((act, Box::new(before))) })
    }

    fn within_boundary(&self, step: &Step) -> bool {
        step.position <= self.depth
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a manifest that states the same changes nothing", |_, it: &Step| {
                match &it.last {
                    Some((Act::Apply(which), before)) if *which == before.manifest => {
                        it.state == before.state
                    }
                    _ => true,
                }
            }),
            Property::always("a value that a manifest changed is the manifest's", |_, it: &Step| {
                match &it.last {
                    Some((Act::Apply(which), before)) if *which != before.manifest => {
                        MANIFESTS[*which].is_none_or(|text| it.value() == Some(value(text)))
                    }
                    _ => true,
                }
            }),
            Property::always(
                "what was set by hand outlives what the manifest drops",
                |_, it: &Step| match &it.last {
                    Some((Act::Apply(0), before)) if before.origin() == Some(Origin::Hand) => {
                        it.value() == before.value()
                    }
                    Some((Act::Apply(0), _)) => it.value().is_none(),
                    _ => true,
                },
            ),
            Property::always("revisions are of the last change", |_, it: &Step| {
                let revision = it.state.get(&service("payment"), &key("k")).map(|it| it.revision.0);
                match &it.last {
                    Some((_, before)) if it.value() != before.value() => {
                        revision.is_none_or(|at| at == it.position)
                    }
                    _ => revision.is_none_or(|at| at <= it.position),
                }
            }),
            Property::sometimes("a value set by hand outlives another manifest", |_, it: &Step| {
                matches!(it.last, Some((Act::Apply(_), _))) && it.origin() == Some(Origin::Hand)
            }),
            Property::sometimes("a manifest removes a value", |_, it: &Step| {
                matches!(&it.last, Some((Act::Apply(0), before)) if before.value().is_some())
                    && it.value().is_none()
            }),
        ]
    }
}

#[test]
fn every_order_of_changes_keeps_the_rules() {
    Configured { depth: 5 }.checker().spawn_bfs().join().assert_properties();
}
