//! Rules of traffic that do not do what they seem to.

use super::at;
use crate::manifest::finding::Finding;
use crate::manifest::format::shortest;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::tree::Node;
use tenon_core::balance::Strategy;
use tenon_core::breaker::Window;
use tenon_core::hedge::After;
use tenon_core::manifest::{System, Traffic};

pub(super) fn check(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let services = system.traffic.services.iter().map(|(name, traffic)| (name.as_str(), traffic));
    for (service, traffic) in std::iter::once(("*", &system.traffic.default)).chain(services) {
        let Some(node) = at(root, &["traffic", service]) else { continue };
        let entry = Entry { path: format!("traffic.{service}"), node, traffic };
        let findings = [
            entry.retry_without_effect(),
            entry.hedge_without_effect(),
            entry.concurrency_fixed(),
            entry.breaker_never_opens(),
            entry.breaker_rate_without_window(),
            entry.breaker_wait_too_short(),
        ];
        for draft in findings.into_iter().flatten().chain(entry.balance_without_effect()) {
            problems.add(draft);
        }
    }
}

/// The threshold above which a breaker hardly ever opens: 0.9¹⁰⁰ is 1 in 38,000.
const MOST_FAILURES: u32 = 100;

/// One entry of `traffic` and what holds by it. A finding is made only of what the entry states itself, so
/// that what `"*"` states is not reported for every service.
struct Entry<'a> {
    path: String,
    node: &'a Node,
    traffic: &'a Traffic,
}

impl Entry<'_> {
    fn retry_without_effect(&self) -> Option<Draft> {
        let (timeout, retry) = (self.traffic.timeout, &self.traffic.retry);
        let per_try = retry.per_try_timeout.filter(|per_try| *per_try >= timeout && retry.max_retries > 0)?;
        let (path, place) = self.stated(&[&["retry", "per_try_timeout"], &["timeout"]])?;
        let message = format!(
            "a try may take {}, but the call with all its tries ends after {}",
            shortest(per_try),
            shortest(timeout)
        );
        let draft = Draft::new(Finding::RetryWithoutEffect, place.span, message).path(path);
        Some(draft.label("expected `per_try_timeout` to be shorter than `timeout`"))
    }

    fn hedge_without_effect(&self) -> Option<Draft> {
        let timeout = self.traffic.timeout;
        let Some(After::Fixed(after)) = self.traffic.hedge.map(|hedge| hedge.after) else { return None };
        let (path, place) = self.stated(&[&["hedge", "after"], &["timeout"]]).filter(|_| after >= timeout)?;
        let message = format!(
            "a second try would go out after {}, but the call ends after {}",
            shortest(after),
            shortest(timeout)
        );
        let draft = Draft::new(Finding::HedgeWithoutEffect, place.span, message).path(path);
        Some(draft.label("expected `hedge.after` to be shorter than `timeout`"))
    }

    fn concurrency_fixed(&self) -> Option<Draft> {
        let config = self.traffic.concurrency?;
        let most = config.max.min(self.traffic.max_in_flight);
        let keys: &[&[&str]] = &[&["concurrency", "min"], &["concurrency", "max"], &["concurrency"]];
        let (path, place) = self.stated(keys).filter(|_| config.min >= most)?;
        let message = format!("the limit is {} at least and {most} at most", config.min);
        let draft = Draft::new(Finding::ConcurrencyFixed, place.span, message).path(path);
        Some(draft.label(format!("expected a `min` below {most}")))
    }

    fn balance_without_effect(&self) -> Vec<Draft> {
        let strategy = self.traffic.balance.strategy;
        let effective = [
            ("choices", strategy.compares_choices()),
            ("hash_on", strategy.is_hashing()),
            ("virtual_nodes", strategy == Strategy::RingHash),
            ("max_load_percent", strategy.is_hashing()),
            ("slow_start", !strategy.is_hashing()),
        ];
        let idle = effective.into_iter().filter(|(_, has_effect)| !has_effect);
        idle.filter_map(|(key, _)| {
            let (path, place) = self.stated(&[&["balance", key]])?;
            let message = format!("`{key}` has no effect with `{strategy}`");
            let draft = Draft::new(Finding::BalanceWithoutEffect, place.span, message).path(path);
            Some(draft.label("expected another strategy beside it").help(format!("remove `{key}`")))
        })
        .collect()
    }

    fn breaker_never_opens(&self) -> Option<Draft> {
        if self.traffic.breaker.window != Window::Consecutive {
            return None;
        }
        let threshold = self.traffic.breaker.failure_threshold;
        let (path, place) =
            self.stated(&[&["breaker", "failure_threshold"]]).filter(|_| threshold > MOST_FAILURES)?;
        let message = format!("{threshold} failures in a row will hardly ever come together");
        let draft = Draft::new(Finding::BreakerNeverOpens, place.span, message).path(path);
        Some(
            draft
                .label(format!("expected at most {MOST_FAILURES}"))
                .help("one success starts the count again"),
        )
    }

    fn breaker_rate_without_window(&self) -> Option<Draft> {
        if self.traffic.breaker.window != Window::Consecutive {
            return None;
        }
        let keys: &[&[&str]] =
            &[&["breaker", "failure_rate_percent"], &["breaker", "slow_call"], &["breaker", "minimum_calls"]];
        let (path, place) = self.stated(keys)?;
        let message = "a breaker that looks at failures in a row has no use for rates".to_owned();
        let draft = Draft::new(Finding::BreakerRateWithoutWindow, place.span, message).path(path);
        Some(draft.label("expected a `window` beside it").help("for example `window: {count: 50}`"))
    }

    fn breaker_wait_too_short(&self) -> Option<Draft> {
        let (timeout, wait) = (self.traffic.timeout, self.traffic.breaker.half_open_max_wait);
        let (path, place) =
            self.stated(&[&["breaker", "half_open_max_wait"], &["timeout"]]).filter(|_| wait < timeout)?;
        let message = format!(
            "a half-open breaker waits {} for calls that may take {}",
            shortest(wait),
            shortest(timeout)
        );
        let draft = Draft::new(Finding::BreakerWaitTooShort, place.span, message).path(path);
        Some(draft.label(format!("expected `half_open_max_wait` to be at least {}", shortest(timeout))))
    }

    /// The first of these keys that the entry states.
    fn stated(&self, keys: &[&[&str]]) -> Option<(String, &Node)> {
        let stated =
            |keys: &&[&str]| Some((format!("{}.{}", self.path, keys.join(".")), at(self.node, keys)?));
        keys.iter().find_map(stated)
    }
}
