use super::*;

#[test]
fn a_request_survives_the_journey() {
    for holder in [Holder::Instance("payment-1".parse().unwrap()), Holder::Gateway] {
        let issue = Issue { holder, signing_request: vec![1, 2, 3] };
        assert_eq!(Issue::try_from(v1::IssueRequest::from(&issue)), Ok(issue));
    }
}

#[test]
fn an_answer_survives_the_journey() {
    let issued = Issued {
        certificates: vec![vec![1]],
        roots: vec![vec![2], vec![3]],
        id: "spiffe://shop/ns/default/sa/payment".parse().unwrap(),
        until: Timestamp::from_micros(7),
    };
    assert_eq!(Issued::try_from(v1::IssueResponse::from(issued.clone())), Ok(issued));
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    let error = |message: v1::IssueRequest| Issue::try_from(message).unwrap_err().to_string();
    assert!(error(v1::IssueRequest::default()).contains("workload"));
    let workload = Some(v1::issue_request::Workload::Gateway(v1::Gateway {}));
    let large = v1::IssueRequest { workload, signing_request: vec![0; MAX_SIGNING_REQUEST + 1].into() };
    assert!(error(large).contains("signing_request"));
    assert!(Issued::try_from(v1::IssueResponse::default()).unwrap_err().to_string().contains("certificates"));
}
