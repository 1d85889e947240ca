use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn sidecar(secret: &str) -> Sidecar {
    Sidecar {
        service: "order".parse().unwrap(),
        outbound: ([127, 0, 0, 1], 1).into(),
        inbound: ([127, 0, 0, 1], 2).into(),
        application: "127.0.0.1:3".parse().unwrap(),
        credential_sha256: Sha256::digest(secret).into(),
        depends_on: BTreeSet::new(),
        callers: BTreeSet::new(),
    }
}

fn proves(credential: &str, secret: &str) -> bool {
    let value = HeaderValue::from_str(credential).unwrap();
    Shown::default().proves(Some(&value), &"order-1".parse().unwrap(), &sidecar(secret))
}

fn basic_of(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn the_instance_and_its_secret_prove_who_calls() {
    assert!(proves(&basic_of("order-1:s3cret"), "s3cret"));
    assert!(proves(&basic_of("order-1:with:colon"), "with:colon"));
    assert!(proves(&basic_of("order-1:s3cret").replace("Basic", "bAsIc"), "s3cret"));
}

#[test]
fn anything_else_does_not() {
    let wrong = [
        basic_of("order-1:wrong"),
        basic_of("order-2:s3cret"),
        basic_of("order-1"),
        basic_of(""),
        "Basic ".into(),
        "Basic !!!".into(),
        "Bas".into(),
        String::new(),
        format!("Bearer {}", STANDARD.encode("order-1:s3cret")),
        basic_of(&format!("order-1:{}", "x".repeat(1_000))),
    ];
    for credential in wrong {
        assert!(!proves(&credential, "s3cret"), "{credential}");
    }
    assert!(!Shown::default().proves(None, &"order-1".parse().unwrap(), &sidecar("s3cret")));
}

#[test]
fn what_was_shown_before_does_not_count_for_another_secret() {
    let shown = Shown::default();
    let value = HeaderValue::from_str(&basic_of("order-1:s3cret")).unwrap();
    let instance = "order-1".parse().unwrap();
    assert!(shown.proves(Some(&value), &instance, &sidecar("s3cret")));
    assert!(shown.proves(Some(&value), &instance, &sidecar("s3cret")));
    assert!(!shown.proves(Some(&value), &instance, &sidecar("renewed")));
    assert!(!shown.proves(None, &instance, &sidecar("s3cret")));
}

proptest! {
    /// Bytes from the network, some of them close to what is looked for.
    #[test]
    fn no_bytes_but_the_credential_prove_anything(
        scheme in prop_oneof![Just("Basic "), Just("basic"), Just("Basic\t"), Just("")],
        user in prop_oneof![Just(b"order-1:".to_vec()), prop::collection::vec(any::<u8>(), 0..20)],
        secret in prop_oneof![Just(b"s3cret".to_vec()), prop::collection::vec(any::<u8>(), 0..600)],
        coded in any::<bool>(),
        tail in prop_oneof![4 => Just(""), 1 => Just("="), 1 => Just("\0"), 1 => Just(" ")],
    ) {
        let shown = [user, secret].concat();
        let mut value = scheme.as_bytes().to_vec();
        if coded { value.extend(STANDARD.encode(&shown).bytes()) } else { value.extend(&shown) }
        value.extend(tail.bytes());
        let expected = Sha256::digest("s3cret").into();
        let proven = is_credential_of(&value, &"order-1".parse().unwrap(), &expected);
        let is_it = scheme == "Basic " && coded && shown == b"order-1:s3cret" && tail.trim().is_empty();
        prop_assert_eq!(proven, is_it);
    }
}
