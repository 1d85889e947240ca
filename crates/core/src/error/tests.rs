use super::*;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn every_code_has_a_text_of_its_own_that_reads_back() {
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(Code::parse(code.as_str()), Some(*code));
        let (area, reason) = code.as_str().split_once('.').unwrap();
        assert!(!area.is_empty() && !reason.is_empty() && !reason.contains('.'));
    }
}

#[test]
fn every_code_is_an_error_to_http_grpc_and_the_shell() {
    for code in Code::ALL {
        assert!((400..600).contains(&code.http_status()), "{code}");
        assert!((1..=16).contains(&code.grpc_status()), "{code}");
        assert!(code.exit_code() > 2, "{code}");
    }
}

const DOCUMENTATION: &str = include_str!("../../../../docs/errors.md");

/// The sections of the documentation by their anchors.
fn sections() -> BTreeMap<&'static str, &'static str> {
    let section = |text: &'static str| text.split_once('\n').unwrap_or((text, ""));
    DOCUMENTATION.split("\n## ").skip(1).map(section).collect()
}

#[test]
fn every_code_has_its_section_in_the_documentation_and_every_section_its_code() {
    let documented: BTreeSet<String> = sections().keys().map(|anchor| (*anchor).to_owned()).collect();
    let codes = Code::ALL.iter().map(|code| code.as_str().replacen('.', "-", 1)).collect();
    assert_eq!(documented, codes);
    assert_eq!(DOCUMENTATION.matches("\n## ").count(), Code::ALL.len(), "no section stands twice");
}

#[test]
fn the_documentation_states_what_a_code_means_to_http_grpc_and_the_shell() {
    let sections = sections();
    for code in Code::ALL {
        let section = sections[code.as_str().replacen('.', "-", 1).as_str()];
        let (http, grpc, exit) = (code.http_status(), code.grpc_status(), code.exit_code());
        let stated = format!("**HTTP {http} · gRPC {grpc} · exit {exit}.**");
        assert!(section.contains(&stated), "{code}: expected {stated}");
        assert!(section.contains("Mend it: "), "{code}");
    }
}
