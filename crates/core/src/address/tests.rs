use super::*;
use proptest::prelude::*;

#[test]
fn reads_names_and_both_kinds_of_ip_address() {
    for good in ["localhost:80", "127.0.0.1:7420", "[::1]:8080", "db.internal:5432"] {
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
    }
    for bad in
        ["", "localhost", ":80", "localhost:0", "::1:80", "a b:80", "localhost:65536", "-a:1", "http://a:1"]
    {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}

#[test]
fn only_an_ip_address_is_a_socket_address() {
    assert_eq!("[::1]:80".parse::<Address>().unwrap().socket(), Some("[::1]:80".parse().unwrap()));
    assert_eq!("localhost:80".parse::<Address>().unwrap().socket(), None);
}

proptest! {
    #[test]
    fn what_is_read_prints_as_it_was(text in "[a-z0-9.:\\[\\]-]{1,40}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }
}
