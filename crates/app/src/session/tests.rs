use super::*;

#[test]
fn an_address_that_stands_for_all_is_reached_by_loopback() {
    let url = |address: &str| url_of(address.parse().unwrap());
    assert_eq!(url("0.0.0.0:7420"), "http://127.0.0.1:7420");
    assert_eq!(url("[::]:7420"), "http://[::1]:7420");
    assert_eq!(url("192.0.2.7:7420"), "http://192.0.2.7:7420");
    assert_eq!(url("127.0.0.1:7420"), "http://127.0.0.1:7420");
    assert_eq!(gateway_url_of("0.0.0.0:443".parse().unwrap(), true), "https://127.0.0.1:443");
}
