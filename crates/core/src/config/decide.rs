//! What the configuration permits.

use super::{Command, Entry, Event, Initial, MAX_ENTRIES, MAX_KEYS, Origin, State, Value, diff};
use crate::error::{Code, Refusal};
use crate::id::{Position, ServiceRef};
use crate::manifest::ConfigKey;
use std::collections::BTreeMap;

/// Decides on a command. What would change nothing is no event.
///
/// # Errors
/// - `config.conflict` when the key's revision is not the expected one,
/// - `config.unknown-key` when a key to be removed has no value,
/// - `config.invalid-value` for a value over [`Value::MAX_BYTES`],
/// - `config.full` when a service would have over [`MAX_KEYS`] keys, or all together over [`MAX_ENTRIES`].
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Refusal> {
    let events = match command {
        Command::Set { service, key, value, expected } => {
            let entry = state.get(service, key);
            expect(entry, service, key, *expected)?;
            let unchanged = entry.is_some_and(|it| it.value == *value);
            if unchanged { Vec::new() } else { vec![set(service, key, value, Origin::Hand)] }
        }
        Command::Remove { service, key, expected } => {
            let entry = state.get(service, key);
            expect(entry, service, key, *expected)?;
            entry.ok_or_else(|| unknown_key(service, key))?;
            vec![removed(service, key, Origin::Hand)]
        }
        Command::Rollback { service, to } => roll_back(state, service, to),
        Command::ApplyManifest { before, after } => apply(state, before, after),
    };
    check_bounds(state, &events)?;
    Ok(events)
}

fn roll_back(state: &State, service: &ServiceRef, to: &BTreeMap<ConfigKey, Value>) -> Vec<Event> {
    let back = |it: super::Difference| match it.new {
        Some(value) => set(service, &it.key, &value, Origin::Hand),
        None => removed(service, &it.key, Origin::Hand),
    };
    diff(&state.values(service), to).into_iter().map(back).collect()
}

/// What another manifest changes: keys that it states otherwise than the last one did, and keys that it no
/// longer states, if nobody set them by hand since.
fn apply(state: &State, before: &Initial, after: &Initial) -> Vec<Event> {
    let mut events = Vec::new();
    for (service, key, value) in values(after) {
        let stated_before = stated(before, service, key) == Some(value);
        let is_so =
            state.get(service, key).is_some_and(|it| it.value == *value && it.origin == Origin::Manifest);
        if !stated_before && !is_so {
            events.push(set(service, key, value, Origin::Manifest));
        }
    }
    for (service, key, _) in values(before) {
        let stated = stated(after, service, key).is_some();
        let by_manifest = state.get(service, key).is_some_and(|it| it.origin == Origin::Manifest);
        if !stated && by_manifest {
            events.push(removed(service, key, Origin::Manifest));
        }
    }
    events
}

fn values(initial: &Initial) -> impl Iterator<Item = (&ServiceRef, &ConfigKey, &Value)> {
    initial.iter().flat_map(|(service, keys)| keys.iter().map(move |(key, it)| (service, key, &it.value)))
}

fn stated<'a>(initial: &'a Initial, service: &ServiceRef, key: &ConfigKey) -> Option<&'a Value> {
    Some(&initial.get(service)?.get(key)?.value)
}

fn expect(
    entry: Option<&Entry>,
    service: &ServiceRef,
    key: &ConfigKey,
    expected: Option<Position>,
) -> Result<(), Refusal> {
    let actual = entry.map_or(Position::START, |it| it.revision);
    if expected.is_none_or(|expected| expected == actual) {
        return Ok(());
    }
    let detail = match entry {
        Some(it) => format!(
            "{service} {key} was changed by {} at {}; read it again and decide anew",
            it.set_by, it.set_at
        ),
        None => format!("{service} {key} has no value; read it again and decide anew"),
    };
    Err(Refusal::new(Code::ConfigConflict, detail))
}

fn check_bounds(state: &State, events: &[Event]) -> Result<(), Refusal> {
    let mut added: BTreeMap<&ServiceRef, usize> = BTreeMap::new();
    for event in events {
        let Event::ValueSet { service, key, value, .. } = event else { continue };
        if value.as_json().len() > Value::MAX_BYTES {
            return Err(too_large(service, key, value));
        }
        if state.get(service, key).is_none() {
            *added.entry(service).or_default() += 1;
        }
    }
    let most_of = |(service, added): (&&ServiceRef, &usize)| state.entries(service).count() + added;
    if added.iter().map(most_of).any(|keys| keys > MAX_KEYS) {
        return Err(full(format!("a service may have at most {MAX_KEYS} keys; remove some first")));
    }
    if !added.is_empty() && state.len() + added.values().sum::<usize>() > MAX_ENTRIES {
        return Err(full(format!("all services may have at most {MAX_ENTRIES} keys; remove some first")));
    }
    Ok(())
}

fn set(service: &ServiceRef, key: &ConfigKey, value: &Value, origin: Origin) -> Event {
    Event::ValueSet { service: service.clone(), key: key.clone(), value: value.clone(), origin }
}

fn removed(service: &ServiceRef, key: &ConfigKey, origin: Origin) -> Event {
    Event::ValueRemoved { service: service.clone(), key: key.clone(), origin }
}

fn unknown_key(service: &ServiceRef, key: &ConfigKey) -> Refusal {
    let detail =
        format!("{service} has no value for {key}; `tenon config get {service}` shows what there is");
    Refusal::new(Code::ConfigUnknownKey, detail)
}

fn too_large(service: &ServiceRef, key: &ConfigKey, value: &Value) -> Refusal {
    let (has, most) = (value.as_json().len(), Value::MAX_BYTES);
    let detail = format!("the value of {service} {key} has {has} bytes; at most {most} are accepted");
    Refusal::new(Code::ConfigInvalidValue, detail)
}

fn full(detail: String) -> Refusal {
    Refusal::new(Code::ConfigFull, detail)
}
