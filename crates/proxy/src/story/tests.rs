use super::*;

#[test]
fn a_service_fails_by_server_errors_and_by_grpc_statuses_like_them() {
    for status in [500, 502, 503, 504, 599] {
        assert!(is_failure(status, None), "{status}");
    }
    for status in [200, 204, 304, 400, 404, 409, 429, 499, 501] {
        assert!(!is_failure(status, None), "{status}");
    }
    for grpc in [4, 13, 14, 15] {
        assert!(is_failure(200, Some(grpc)), "{grpc}");
    }
    for grpc in [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 16] {
        assert!(!is_failure(200, Some(grpc)), "{grpc}");
    }
}

#[test]
fn grpc_is_counted_under_the_class_that_its_status_corresponds_to() {
    assert_eq!(class_status(200, Some(0)), 200);
    assert_eq!(class_status(200, Some(5)), 400);
    assert_eq!(class_status(200, Some(14)), 500);
    assert_eq!(class_status(404, None), 404);
}

#[test]
fn a_malformed_grpc_status_is_none() {
    let mut headers = HeaderMap::new();
    for malformed in ["", "-1", "256", "ok"] {
        headers.insert("grpc-status", malformed.parse().unwrap());
        assert_eq!(grpc_status(&headers), None, "{malformed}");
    }
    headers.insert("grpc-status", "14".parse().unwrap());
    assert_eq!(grpc_status(&headers), Some(14));
}
