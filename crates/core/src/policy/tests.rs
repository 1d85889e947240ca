use super::*;
use crate::manifest::PathPattern;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;

struct Given(Vec<(&'static str, &'static str)>);

impl Fields for Given {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().any(|(own, value)| *own == name && test(value.as_bytes()))
    }
}

fn service(name: &str) -> ServiceRef {
    name.parse().unwrap()
}

fn condition(field: Field, test: Test) -> Condition {
    Condition { field, test }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn header(name: &str) -> Field {
    Field::Header(name.parse().unwrap())
}

/// Whether a condition holds for `POST /a/b?x=1+1&y=2` by `order` to `payment`.
fn holds(field: Field, test: Test) -> Option<bool> {
    let (order, payment) = (service("order"), service("payment.shop"));
    let headers = Given(vec![("x-tenant", "blue"), ("x-tenant", "green")]);
    let facts = Facts {
        source: Source::Service(&order),
        destination: &payment,
        client: IpAddr::from([10, 1, 2, 3]),
        http: Some(Http {
            method: "POST",
            path: "/a/b",
            query: Some("x=1+1&y=2"),
            host: "Payment.Shop",
            headers: &headers,
        }),
    };
    condition(field, test).holds(&facts)
}

#[test]
fn each_test_holds_for_what_it_says() {
    let query = |name: &str| Field::Query(name.into());
    let pattern = |text: &str| Test::Matches(vec![PathPattern::new(text).unwrap()]);
    let range = |text: &str| Test::InCidr(vec![text.parse().unwrap()]);
    let yes = [
        (Field::Method, Test::Equals(texts(&["GET", "POST"]))),
        (Field::Method, Test::NotEquals(texts(&["GET"]))),
        (Field::Path, Test::Prefix(texts(&["/a"]))),
        (Field::Path, Test::Prefix(texts(&["/"]))),
        (Field::Path, Test::Suffix(texts(&["/b"]))),
        (Field::Path, Test::Contains(texts(&["a/"]))),
        (Field::Path, pattern("/a/{it}")),
        (Field::Host, Test::Equals(texts(&["payment.shop"]))),
        (Field::Source, Test::Equals(texts(&["order"]))),
        (Field::Source, Test::Prefix(texts(&["or"]))),
        (Field::Destination, Test::Equals(texts(&["payment.shop"]))),
        (Field::Destination, Test::NotEquals(texts(&["payment"]))),
        (Field::Client, range("10.0.0.0/8")),
        (header("x-tenant"), Test::Equals(texts(&["green"]))),
        (header("x-tenant"), Test::Exists),
        (header("x-other"), Test::Absent),
        (header("x-other"), Test::NotEquals(texts(&["blue"]))),
        (query("x"), Test::Equals(texts(&["1 1"]))),
        (query("x"), Test::Suffix(texts(&[" 1"]))),
        (query("y"), Test::Contains(texts(&["2"]))),
        (query("z"), Test::Absent),
    ];
    for (field, test) in yes {
        assert_eq!(holds(field.clone(), test.clone()), Some(true), "{field:?} {test:?}");
    }
    let no = [
        (Field::Method, Test::Equals(texts(&["post"]))),
        (Field::Path, Test::Prefix(texts(&["/a/bc", "/ab"]))),
        (Field::Path, pattern("/{it}")),
        (Field::Source, Test::Equals(texts(&["order.shop", "@gateway"]))),
        (Field::Client, range("10.2.0.0/16")),
        // One of its values is blue.
        (header("x-tenant"), Test::NotEquals(texts(&["blue"]))),
        (header("x-tenant"), Test::Absent),
        (query("x"), Test::Equals(texts(&["1+1"]))),
        (query("z"), Test::Exists),
    ];
    for (field, test) in no {
        assert_eq!(holds(field.clone(), test.clone()), Some(false), "{field:?} {test:?}");
    }
}

#[test]
fn ranges_of_addresses_read_back_and_hold_what_begins_alike() {
    for text in ["10.0.0.0/8", "192.168.1.7", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1"] {
        assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
    }
    for bad in ["10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0", "order", "10.0.0.0/-1", ""] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
    let contains =
        |range: &str, address: &str| range.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
    assert!(contains("10.0.0.0/8", "::ffff:10.9.9.9"));
    assert!(contains("2001:db8::/32", "2001:db8:1::1"));
    assert!(!contains("0.0.0.0/0", "::1"));
    assert!(!contains("192.168.1.7", "192.168.1.8"));
}

#[test]
fn headers_that_frame_a_message_or_are_tenons_own_cannot_be_changed() {
    let editable = |name: &str| is_editable(&name.parse().unwrap());
    assert!(["x-tenant", "authorization", "cache-control"].into_iter().all(editable));
    assert!(
        !["Host", "content-length", "tenon-timeout-ms", "TE", "x-forwarded-for"].into_iter().any(editable)
    );
}

#[test]
fn percent_of_a_hundred_are_drawn() {
    let drawn = |percent| (0..100_u128).filter(|it| is_drawn(percent, ((it << 64) / 100 + 1) as u64)).count();
    assert_eq!([drawn(0), drawn(1), drawn(50), drawn(100)], [0, 1, 50, 100]);
    assert!(is_drawn(100, u64::MAX) && !is_drawn(0, 0));
}

/// A call of which little or much is known.
#[derive(Debug, Clone)]
struct Call {
    source: Option<&'static str>,
    http: Option<(&'static str, &'static str)>,
}

fn call() -> impl Strategy<Value = Call> {
    let source = prop::option::of(prop::sample::select(vec!["order", "stock", "@gateway"]));
    let http = (prop::sample::select(vec!["GET", "POST"]), prop::sample::select(vec!["/a", "/b/c"]));
    (source, prop::option::of(http)).prop_map(|(source, http)| Call { source, http })
}

fn some_condition() -> impl Strategy<Value = Condition> {
    let field = prop::sample::select(vec![Field::Source, Field::Method, Field::Path, Field::Destination]);
    let value =
        prop::sample::select(vec!["order", "@gateway", "GET", "/a", "payment"]).prop_map(String::from);
    (field, value, 0..4_u8).prop_map(|(field, value, test)| {
        let test = match test {
            0 => Test::Equals(vec![value]),
            1 => Test::NotEquals(vec![value]),
            2 => Test::Prefix(vec![value]),
            _ => Test::Exists,
        };
        condition(field, test)
    })
}

fn some_policy() -> impl Strategy<Value = Policy> {
    let action = prop_oneof![
        Just(Action::Allow),
        Just(Action::Deny),
        (1..9_u64).prop_map(|it| Action::Timeout(Duration::from_secs(it))),
        (1..9_u32).prop_map(|max_attempts| Action::Retry { max_attempts }),
    ];
    (vec(some_condition(), 0..3), vec(some_condition(), 0..2), action)
        .prop_map(|(rules, unless, action)| Policy { rules, unless, action })
}

fn policies() -> impl Strategy<Value = Vec<(PolicyName, Arc<Policy>)>> {
    let named = |list: Vec<Policy>| {
        let name = |index: usize| format!("p{index}").parse().unwrap();
        list.into_iter().enumerate().map(|(index, it)| (name(index), Arc::new(it))).collect()
    };
    vec(some_policy(), 0..6).prop_map(named)
}

fn set(policies: &[(PolicyName, Arc<Policy>)]) -> Set {
    Set::new(policies.iter().map(|(name, policy)| (name, policy))).unwrap()
}

/// What becomes of a call: what holds for it, or nothing if it is refused.
fn judged(set: &Set, call: &Call, doubt: Doubt) -> Option<(Vec<String>, Option<Duration>, Option<u32>)> {
    let (source, payment) = (call.source.and_then(|it| it.parse().ok()), service("payment"));
    let headers = Given(Vec::new());
    let facts = Facts {
        source: match (call.source, &source) {
            (Some("@gateway"), _) => Source::Gateway,
            (_, Some(source)) => Source::Service(source),
            _ => Source::Unknown,
        },
        destination: &payment,
        client: IpAddr::from([127, 0, 0, 1]),
        http: call.http.map(|(method, path)| Http {
            method,
            path,
            query: None,
            host: "payment",
            headers: &headers,
        }),
    };
    let applied = set.judge(&facts, doubt).ok()?;
    let names = set.applied(applied).map(|(_, name, _)| name.to_string()).collect();
    Some((names, set.timeout(applied), set.max_attempts(applied)))
}

proptest! {
    #[test]
    fn the_order_makes_no_difference(given in policies().prop_shuffle(), call in call()) {
        let mut sorted = given.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let twice = [given.clone(), sorted.clone()].concat();
        for doubt in [Doubt::Against, Doubt::InFavour] {
            let expected = judged(&set(&sorted), &call, doubt);
            prop_assert_eq!(&judged(&set(&given), &call, doubt), &expected);
            prop_assert_eq!(judged(&set(&twice), &call, doubt), expected);
        }
    }

    #[test]
    fn adding_a_deny_lets_nothing_more_through(given in policies(), deny in some_policy(), call in call()) {
        let deny = Policy { action: Action::Deny, ..deny };
        let more = [given.clone(), vec![("another".parse().unwrap(), Arc::new(deny))]].concat();
        if judged(&set(&given), &call, Doubt::Against).is_none() {
            prop_assert_eq!(judged(&set(&more), &call, Doubt::Against), None);
        }
    }

    #[test]
    fn a_policy_is_enforced_whatever_stands_beside_it(given in policies(), call in call()) {
        let alone = given.iter().map(|it| judged(&set(std::slice::from_ref(it)), &call, Doubt::Against));
        let allows = given.iter().any(|(_, it)| it.action == Action::Allow);
        let verdicts: Vec<_> = alone.collect();
        let denied = given.iter().zip(&verdicts).any(|((_, it), verdict)| it.action == Action::Deny && verdict.is_none());
        let allowed = !allows
            || given.iter().zip(&verdicts).any(|((_, it), verdict)| it.action == Action::Allow && verdict.is_some());
        let together = judged(&set(&given), &call, Doubt::Against);
        prop_assert_eq!(together.is_some(), allowed && !denied);
        if let Some((_, timeout, attempts)) = together {
            let timeouts = verdicts.iter().flatten().filter_map(|it| it.1);
            prop_assert_eq!(timeout, timeouts.min());
            prop_assert_eq!(attempts, verdicts.iter().flatten().filter_map(|it| it.2).min());
        }
    }

    #[test]
    fn who_shows_less_gets_no_further(given in policies(), call in call()) {
        let set = set(&given);
        for less in [Call { source: None, ..call.clone() }, Call { http: None, ..call.clone() }] {
            // What passes with less known passes with all of it known; and what is refused even in favour of doubt is
            // refused for certain.
            if judged(&set, &less, Doubt::Against).is_some() {
                prop_assert!(judged(&set, &call, Doubt::Against).is_some());
            }
            if judged(&set, &less, Doubt::InFavour).is_none() {
                prop_assert!(judged(&set, &call, Doubt::InFavour).is_none());
            }
        }
    }
}

#[test]
fn no_more_are_attached_than_can_be() {
    let allow = Arc::new(Policy { rules: Vec::new(), unless: Vec::new(), action: Action::Allow });
    let named: Vec<(PolicyName, _)> =
        (0..=MAX_ATTACHED).map(|it| (format!("p{it}").parse().unwrap(), Arc::clone(&allow))).collect();
    let attached = Set::new(named.iter().map(|(name, policy)| (name, policy)));
    assert_eq!(attached, Err(TooMany { attached: MAX_ATTACHED + 1 }));
}
