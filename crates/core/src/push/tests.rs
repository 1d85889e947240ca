use super::*;
use proptest::prelude::*;

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![(100..600_u16).prop_map(Status::Http), (0..17_u32).prop_map(Status::Grpc)]
}

fn refused() -> impl Strategy<Value = Option<Code>> {
    proptest::option::of(proptest::sample::select(Code::ALL))
}

proptest! {
    #[test]
    fn only_success_acknowledges_and_only_too_much_to_do_sets_the_wait(
        status in status(),
        seconds in proptest::option::of(0..100_u64),
        refused in refused(),
    ) {
        let wait = seconds.map(Duration::from_secs);
        let succeeds = matches!(status, Status::Http(200..=299) | Status::Grpc(0));
        let busy = matches!(status, Status::Http(429 | 503) | Status::Grpc(8 | 14));
        match judge(Outcome::Answered(Answer { status, retry_after: wait, refused })) {
            Verdict::Acked => prop_assert!(succeeds),
            Verdict::Refused(Some(asked)) => prop_assert!(busy && Some(asked) == wait),
            Verdict::Refused(None) => prop_assert!(!succeeds && (wait.is_none() || !busy)),
            Verdict::Unreached(asked) => prop_assert!(refused.is_some() && asked == wait),
        }
    }
}

#[test]
fn an_outage_does_not_count_and_what_somebody_must_mend_does() {
    let answered =
        |refused| judge(Outcome::Answered(Answer { status: Status::Http(503), retry_after: None, refused }));
    assert_eq!(answered(None), Verdict::Refused(None), "the service's own word");
    for code in
        [Code::MeshServiceUnavailable, Code::MeshUnreachable, Code::MeshCircuitOpen, Code::MeshNotReady]
    {
        assert_eq!(answered(Some(code)), Verdict::Unreached(None), "{code}");
    }
    for code in [Code::MeshPolicyDenied, Code::MeshIdentityDenied, Code::MeshNetwork, Code::MeshTimeout] {
        assert_eq!(answered(Some(code)), Verdict::Refused(None), "{code}");
    }
    assert_eq!(judge(Outcome::NotSent), Verdict::Unreached(None));
    assert_eq!(judge(Outcome::NoAnswer), Verdict::Refused(None));
}
