use super::*;
use proptest::prelude::*;

prop_compose! {
    fn found()(key in any::<bool>(), tombstone in any::<bool>(), told in any::<bool>()) -> Found {
        Found { key, tombstone, told }
    }
}

proptest! {
    #[test]
    fn forgetting_takes_three_steps_at_most_and_each_is_needed(start in found()) {
        let mut found = start;
        let mut steps = Vec::new();
        while let Some(step) = forget(found) {
            prop_assert_ne!(found.after(step), found);
            found = found.after(step);
            steps.push(step);
        }
        prop_assert!(steps.is_sorted() && steps.len() <= 3);
        prop_assert_eq!(found, Found { key: false, tombstone: true, told: true });
    }

    #[test]
    fn no_step_brings_a_subject_back(found in found()) {
        for step in [Step::Bury, Step::Destroy, Step::Tell] {
            if found.state() == State::Forgotten {
                prop_assert_eq!(found.after(step).state(), State::Forgotten);
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_neither_encrypted_nor_decrypted(found in found()) {
        let forgotten = found.tombstone || found.told;
        prop_assert_eq!(seal(found) == Seal::Refuse, forgotten);
        prop_assert_eq!(open(found) == Open::Forgotten, forgotten);
        prop_assert_eq!(mend(found).is_some(), forgotten && forget(found).is_some());
    }
}
