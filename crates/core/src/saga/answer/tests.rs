use super::*;

fn of(status: u16) -> Result<(), Outcome> {
    judge(Answer { status, retry_after: false, of_mesh: None })
}

#[test]
fn only_what_a_service_says_after_it_looked_is_a_refusal() {
    assert_eq!(of(200), Ok(()));
    assert_eq!(of(204), Ok(()));
    for status in [400, 401, 402, 403, 404, 410, 412, 422] {
        assert_eq!(of(status), Err(Outcome::Refused), "{status}");
    }
    for status in [425, 429] {
        assert_eq!(of(status), Err(Outcome::Unsent), "{status}");
    }
    for status in [101, 301, 408, 409, 500, 502, 503, 504] {
        assert_eq!(of(status), Err(Outcome::Unknown), "{status}");
    }
    assert_eq!(judge(Answer { status: 503, retry_after: true, of_mesh: None }), Err(Outcome::Unsent));
}

#[test]
fn what_the_mesh_did_not_pass_on_was_not_sent() {
    let of =
        |code: Code| judge(Answer { status: code.http_status(), retry_after: false, of_mesh: Some(code) });
    assert_eq!(of(Code::MeshCircuitOpen), Err(Outcome::Unsent));
    assert_eq!(of(Code::MeshServiceNotFound), Err(Outcome::Unsent));
    assert_eq!(of(Code::MeshTimeout), Err(Outcome::Unknown));
    assert_eq!(of(Code::MeshNetwork), Err(Outcome::Unknown));
    assert_eq!(of(Code::MeshUnreachable), Err(Outcome::Unsent));
}

#[test]
fn what_a_service_passes_on_says_nothing_of_its_own_work() {
    let of_mesh = Some(Code::LogClosed);
    assert_eq!(judge(Answer { status: 503, retry_after: false, of_mesh }), Err(Outcome::Unknown));
    assert_eq!(judge(Answer { status: 200, retry_after: false, of_mesh }), Ok(()));
    assert_eq!(
        judge_grpc(GrpcAnswer { status: Some(14), retry_after: false, of_mesh }),
        Err(Outcome::Unknown)
    );
}

#[test]
fn over_grpc_too_only_what_a_service_says_after_it_looked_is_a_refusal() {
    let of = |status, retry_after| judge_grpc(GrpcAnswer { status, retry_after, of_mesh: None });
    assert_eq!(of(Some(0), false), Ok(()));
    for status in [3, 5, 6, 7, 9, 11, 16] {
        assert_eq!(of(Some(status), false), Err(Outcome::Refused), "{status}");
    }
    for status in [1, 2, 4, 8, 10, 13, 14, 15, 17] {
        assert_eq!(of(Some(status), false), Err(Outcome::Unknown), "{status}");
    }
    assert_eq!(of(None, false), Err(Outcome::Unknown));
    assert_eq!(of(None, true), Err(Outcome::Unknown));
    // The method is not there (yet).
    assert_eq!(of(Some(12), false), Err(Outcome::Unsent));
    for status in 0..20 {
        let unsent = of(Some(status), true) == Err(Outcome::Unsent);
        assert_eq!(unsent, [8, 12, 14].contains(&status), "{status}");
    }
    let of = |code: Code| {
        let status = Some(u32::from(code.grpc_status()));
        judge_grpc(GrpcAnswer { status, retry_after: false, of_mesh: Some(code) })
    };
    assert_eq!(of(Code::MeshCircuitOpen), Err(Outcome::Unsent));
    assert_eq!(of(Code::MeshTimeout), Err(Outcome::Unknown));
}
