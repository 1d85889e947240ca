use super::*;

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
