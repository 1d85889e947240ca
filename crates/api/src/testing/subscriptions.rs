//! Subscriptions.

use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::group::{Definition, Delivered, Form, Ordering, ParkedKey, Start, WhenFull};
use tenon_core::retry::Delay;
use tenon_core::{Namespace, SubscriptionName, Timestamp};

/// Two subscriptions: one by the defaults, and one that is otherwise in everything.
pub(super) fn two(namespace: &Namespace) -> BTreeMap<SubscriptionName, Definition> {
    let named = |name: &str| SubscriptionName::new(name).unwrap();
    let plain = Definition::of_types(namespace.clone(), named("plain"), ["a.b".parse().unwrap()].into());
    let mut other = Definition::of_types(namespace.clone(), named("other"), [].into());
    other.filter.tags = ["order:7".parse().unwrap()].into();
    other.filter.prefix = Some("topics/".parse().unwrap());
    other.start = Start::Time(Timestamp::from_millis(1_000));
    other.ordering = Ordering::Tag("order:".to_owned());
    other.config.backoff.delay = Delay::Fixed(Duration::from_secs(1));
    other.config.when_full = WhenFull::DropOldest;
    other.config.parked_key = ParkedKey::Continue;
    other.delivered = Delivered::Push {
        service: "order".parse().unwrap(),
        path: "/events".to_owned(),
        form: Form::Structured,
    };
    let declared = |it| Definition { declared: true, ..it };
    [plain, other].into_iter().map(|it| (it.name.clone(), declared(it))).collect()
}
