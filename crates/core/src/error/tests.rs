use super::*;
use std::collections::BTreeSet;

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
