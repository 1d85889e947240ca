use super::*;
use crate::error::{Code, Refusal};
use crate::fixtures::{catalog, key, managed, millis, service, stamp, system, value, with_config};
use proptest::prelude::*;

fn initial(values: &[(&str, &str)]) -> Initial {
    catalog(with_config(system(vec![managed("payment", 1, "pay")]), "payment", values)).config()
}

fn payment() -> ServiceRef {
    service("payment")
}

fn set(k: &str, v: &str) -> Command {
    Command::Set { service: payment(), key: key(k), value: value(v), expected: None }
}

fn remove(k: &str) -> Command {
    Command::Remove { service: payment(), key: key(k), expected: None }
}

fn apply(before: &[(&str, &str)], after: &[(&str, &str)]) -> Command {
    Command::ApplyManifest { before: initial(before), after: initial(after) }
}

/// Carries out a command at a position.
fn carry_out(state: &mut State, position: u64, command: &Command) -> Result<Vec<Change>, Refusal> {
    let events = decide(state, command)?;
    let at = stamp(position, millis(position));
    Ok(events.iter().filter_map(|event| state.evolve(&at, event)).collect())
}

fn after(commands: &[Command]) -> State {
    let mut state = State::default();
    for (index, command) in commands.iter().enumerate() {
        carry_out(&mut state, 1 + index as u64, command).unwrap();
    }
    state
}

fn read(state: &State, k: &str) -> Option<String> {
    state.get(&payment(), &key(k)).map(|it| it.value.to_string())
}

#[test]
fn a_change_carries_old_and_new() {
    let mut state = after(&[set("limit", "1")]);
    let changes = carry_out(&mut state, 7, &set("limit", "2")).unwrap();
    let (old, new) = (Some(value("1")), Some(value("2")));
    let change = Change { service: payment(), key: key("limit"), old, new, position: Position(7) };
    assert_eq!(changes, [change]);
    let entry = state.get(&payment(), &key("limit")).unwrap();
    assert_eq!((entry.revision, entry.set_by.as_str(), entry.set_at), (Position(7), "cli:ada", millis(7)));
}

#[test]
fn a_change_based_on_another_revision_is_refused() {
    let state = after(&[set("limit", "1"), set("limit", "2")]);
    let based_on = |expected| {
        let expected = Some(Position(expected));
        decide(&state, &Command::Set { service: payment(), key: key("limit"), value: value("3"), expected })
    };
    assert_eq!(based_on(1).unwrap_err().code, Code::ConfigConflict);
    assert_eq!(based_on(0).unwrap_err().code, Code::ConfigConflict, "0 means that it has no value");
    assert_eq!(based_on(2).unwrap().len(), 1);
    let expected = Some(Position(1));
    let remove = Command::Remove { service: payment(), key: key("limit"), expected };
    assert_eq!(decide(&state, &remove).unwrap_err().code, Code::ConfigConflict);
}

#[test]
fn what_changes_nothing_is_no_event_and_what_is_not_there_cannot_be_removed() {
    let state = after(&[set("limit", "1")]);
    assert_eq!(decide(&state, &set("limit", "1")).unwrap(), []);
    assert_eq!(decide(&state, &remove("burst")).unwrap_err().code, Code::ConfigUnknownKey);
}

#[test]
fn a_refusal_names_a_command_that_there_is() {
    let refused = decide(&State::default(), &remove("limit")).unwrap_err();
    assert_eq!(refused.code, Code::ConfigUnknownKey);
    assert!(refused.detail.contains("`tenon config get payment`"), "{}", refused.detail);
}

#[test]
fn too_large_a_value_and_too_many_keys_are_refused() {
    let large = format!("\"{}\"", "x".repeat(Value::MAX_BYTES));
    let refused = |state: &State, command: &Command| decide(state, command).unwrap_err().code;
    assert_eq!(refused(&State::default(), &set("limit", &large)), Code::ConfigInvalidValue);
    let commands: Vec<_> = (0..MAX_KEYS).map(|index| set(&format!("k{index}"), "1")).collect();
    let full = after(&commands);
    assert_eq!(refused(&full, &set("one-more", "1")), Code::ConfigFull);
    assert_eq!(decide(&full, &set("k0", "2")).unwrap().len(), 1, "a key that has a value may change");
}

#[test]
fn a_manifest_applied_again_overrides_only_what_it_changed() {
    let first = [("limit", "1"), ("burst", "5"), ("mode", "\"a\"")];
    let second = [("limit", "2"), ("burst", "5"), ("mode", "\"a\"")];
    let by_hand = [set("limit", "10"), set("burst", "50")];
    let [limit, burst] = by_hand;
    let mut state = after(&[apply(&[], &first), limit, burst]);
    carry_out(&mut state, 9, &apply(&first, &second)).unwrap();
    assert_eq!(read(&state, "limit").as_deref(), Some("2"), "the manifest changed it");
    assert_eq!(read(&state, "burst").as_deref(), Some("50"), "set by hand and not changed since");
    assert_eq!(read(&state, "mode").as_deref(), Some("\"a\""));
}

#[test]
fn what_was_removed_by_hand_stays_removed_until_the_manifest_changes_it() {
    let mut state = after(&[apply(&[], &[("limit", "1")]), remove("limit")]);
    carry_out(&mut state, 8, &apply(&[("limit", "1")], &[("limit", "1")])).unwrap();
    assert_eq!(read(&state, "limit"), None);
    carry_out(&mut state, 9, &apply(&[("limit", "1")], &[("limit", "2")])).unwrap();
    assert_eq!(read(&state, "limit").as_deref(), Some("2"));
}

#[test]
fn a_key_that_the_manifest_drops_goes_unless_it_was_set_by_hand() {
    let first = [("limit", "1"), ("burst", "5")];
    let mut state = after(&[apply(&[], &first), set("burst", "50")]);
    carry_out(&mut state, 9, &apply(&first, &[])).unwrap();
    assert_eq!((read(&state, "limit"), read(&state, "burst").as_deref()), (None, Some("50")));
}

#[test]
fn a_rollback_restores_values_adds_what_was_removed_and_removes_what_was_added() {
    let past = after(&[set("limit", "1"), set("burst", "5")]);
    let mut state = past.clone();
    for (position, command) in [set("limit", "2"), remove("burst"), set("mode", "true")].iter().enumerate() {
        carry_out(&mut state, 5 + position as u64, command).unwrap();
    }
    let to = past.values(&payment());
    let changes =
        carry_out(&mut state, 9, &Command::Rollback { service: payment(), to: to.clone() }).unwrap();
    assert_eq!(state.values(&payment()), to);
    assert_eq!(changes.len(), 3);
}

fn command() -> impl Strategy<Value = Command> {
    let entry = || (0..3u8, 0..3u8).prop_map(|(k, v)| (key(&format!("k{k}")), value(&v.to_string())));
    let manifest = || proptest::collection::btree_map(0..3u8, 0..3u8, 0..3);
    prop_oneof![
        4 => (entry(), proptest::option::of(0..8u64)).prop_map(|((key, value), expected)| {
            let expected = expected.map(Position);
            Command::Set { service: payment(), key, value, expected }
        }),
        2 => entry().prop_map(|(key, _)| Command::Remove { service: payment(), key, expected: None }),
        1 => proptest::collection::vec(entry(), 0..3).prop_map(|to| {
            Command::Rollback { service: payment(), to: to.into_iter().collect() }
        }),
        2 => (manifest(), manifest()).prop_map(|(before, after)| {
            Command::ApplyManifest { before: stated(&before), after: stated(&after) }
        }),
    ]
}

fn stated(values: &BTreeMap<u8, u8>) -> Initial {
    let entry = |(k, v): (&u8, &u8)| {
        (key(&format!("k{k}")), ConfigEntry { value: value(&v.to_string()), schema: None })
    };
    [(payment(), values.iter().map(entry).collect())].into()
}

proptest! {
    #[test]
    fn the_changes_told_are_exactly_the_differences(commands in proptest::collection::vec(command(), 0..40)) {
        let mut state = State::default();
        for (index, command) in commands.iter().enumerate() {
            let before = state.values(&payment());
            let Ok(changes) = carry_out(&mut state, 1 + index as u64, command) else { continue };
            let now = state.values(&payment());
            let told: BTreeSet<_> = changes.into_iter().map(|it| (it.key, it.old, it.new)).collect();
            let differ: BTreeSet<_> = diff(&before, &now).into_iter().map(|it| (it.key, it.old, it.new)).collect();
            prop_assert_eq!(told, differ);
        }
    }

    #[test]
    fn a_rollback_gives_back_the_values_of_then(
        commands in proptest::collection::vec(command(), 1..30), then in 0..30usize,
    ) {
        let mut state = State::default();
        let mut past = State::default();
        for (index, command) in commands.iter().enumerate() {
            if index == then {
                past = state.clone();
            }
            let _ = carry_out(&mut state, 1 + index as u64, command);
        }
        let to = past.values(&payment());
        carry_out(&mut state, 99, &Command::Rollback { service: payment(), to: to.clone() }).unwrap();
        prop_assert_eq!(state.values(&payment()), to.clone());
        let again = decide(&state, &Command::Rollback { service: payment(), to }).unwrap();
        prop_assert_eq!(again, Vec::new());
    }
}
