use super::*;
use crate::manifest::form;
use crate::manifest::problems::Problems;
use crate::manifest::source::Source;
use crate::manifest::tree;
use std::collections::BTreeSet;

fn problems(yaml: &str, check: impl Fn(&tree::Node, &mut Problems<'_>)) -> Vec<String> {
    let source = Source::new(yaml);
    let mut problems = Problems::new(&source);
    let node = tree::load(&source, &mut problems).unwrap();
    check(&node, &mut problems);
    problems.into_report("").problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn every_record_has_its_own_anchor_and_every_key_is_documented() {
    let records = records();
    let anchors: BTreeSet<_> = records.iter().map(|record| record.anchor).collect();
    assert_eq!(anchors.len(), records.len());
    for record in records {
        let keys: BTreeSet<_> = record.fields.iter().map(|field| field.key).collect();
        assert_eq!(keys.len(), record.fields.len(), "{}", record.anchor);
        for field in record.fields {
            assert!(field.doc.ends_with('.'), "{}.{}", record.anchor, field.key);
            assert!(field.key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(!field.elsewhere.iter().any(|other| keys.contains(other)), "{}", field.key);
        }
    }
}

#[test]
fn every_example_is_a_value_of_its_record() {
    for record in records() {
        let found = problems(record.example, |node, problems| form::check_record(node, record, problems));
        assert_eq!(found, Vec::<String>::new(), "{}", record.anchor);
    }
}

#[test]
fn a_rule_speaks_of_keys_that_are_there_and_not_required() {
    for record in records() {
        for rule in record.rules {
            let keys = match rule {
                Rule::ExactlyOne(keys) | Rule::AtMostOne(keys) => keys.to_vec(),
                Rule::Needs(key, other) => vec![*key, *other],
            };
            for key in keys {
                let field = record.field(key).unwrap();
                assert!(!matches!(field.presence, Presence::Required), "{}.{key}", record.anchor);
            }
        }
    }
}

#[test]
fn durations_have_the_form_of_the_gateway_api() {
    assert_eq!(duration("1h30m10s200ms"), Some(Duration::from_millis(5_410_200)));
    assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(duration("0s"), Some(Duration::ZERO));
    assert_eq!(duration("99999h"), Some(Duration::from_secs(99_999 * 3_600)));
    for bad in ["", "1", "s", "1.5s", "1 s", "-1s", "100000s", "1s1s1s1s1s", "1d", "1us", "１s"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
}

#[test]
fn a_duration_is_shown_as_one_would_write_it() {
    for text in ["0s", "1ms", "1s", "1m30s", "24h", "1h500ms"] {
        assert_eq!(duration(text).map(shortest).as_deref(), Some(text));
    }
}

#[test]
fn quantities_have_the_units_of_kubernetes() {
    assert_eq!(
        ["250m", "0.5", "2", ".5", "1."].map(cpu_millis),
        [Some(250), Some(500), Some(2_000), Some(500), None]
    );
    assert_eq!(["", "m", "1.2345", "-1", "0.5m", "1k"].map(cpu_millis), [None; 6]);
    assert_eq!(
        ["64Mi", "1.5Gi", "1k", "1024", "2T"].map(memory_bytes),
        [Some(64 << 20), Some(3 << 29), Some(1_000), Some(1_024), Some(2_000_000_000_000)]
    );
    assert_eq!(["", "Mi", "1.5", "1 Mi", "64MB", "9999999999999999Ti"].map(memory_bytes), [None; 6]);
}
