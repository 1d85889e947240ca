use super::*;

#[test]
fn a_target_is_shown_without_its_password() {
    let target = Target::parse("postgres://ada:secret@db.example:6432/shop").unwrap();
    assert_eq!(target.to_string(), "database shop at db.example:6432");
    assert!(!format!("{target:?}").contains("secret"));
    let target = Target::parse("postgres:///shop?host=/run/pg&user=ada&password=secret").unwrap();
    assert_eq!(target.to_string(), "database shop at /run/pg");
}

#[test]
fn what_is_no_address_is_refused_without_showing_it() {
    for url in ["mysql://ada:secret@db/shop", "postgres://ada:secret@db:port/shop", "secret"] {
        let error = Target::parse(url).unwrap_err();
        assert!(matches!(error, ConnectError::Address(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
