use super::*;

const ALL: [Security; 4] = [
    Security { mtls: Mtls::Strict, authorization: Authorization::Open },
    Security { mtls: Mtls::Permissive, authorization: Authorization::Open },
    Security { mtls: Mtls::Strict, authorization: Authorization::Declared },
    Security { mtls: Mtls::Permissive, authorization: Authorization::Declared },
];

#[test]
fn nobody_is_let_in_only_where_plain_text_and_everybody_are() {
    let let_in: Vec<bool> = ALL.map(|security| admits(security, None, |_| true).is_ok()).into();
    assert_eq!(let_in, [false, true, false, false]);
}

#[test]
fn a_service_is_let_in_where_everybody_is_or_it_declares_the_other() {
    let order = Workload::Service("order".parse().unwrap());
    for security in ALL {
        assert_eq!(admits(security, Some(&order), |it| it.name.as_str() == "order"), Ok(()));
        let undeclared = admits(security, Some(&order), |_| false);
        let expected =
            if security.authorization == Authorization::Open { Ok(()) } else { Err(Denied::Undeclared) };
        assert_eq!(undeclared, expected);
    }
}

#[test]
fn the_gateway_is_let_in_since_its_routes_say_where_it_goes() {
    for security in ALL {
        assert_eq!(admits(security, Some(&Workload::Gateway), |_| false), Ok(()));
    }
}
