//! Rules of traffic: what a service's entry states is put over what `"*"` states, key by key, and that over
//! the defaults.

use super::balance::balance;
use super::{boolean, duration, integer, security, set};
use crate::manifest::format::{SERVER_ERROR, grpc_status};
use crate::manifest::tree::{Meaning, Node};
use tenon_core::manifest::{Traffic, TrafficRules};
use tenon_core::{breaker, concurrency, hedge, limit, outlier, priority, retry};

pub(super) fn rules(node: Option<&Node>) -> TrafficRules {
    let all = node.and_then(|node| node.get("*"));
    let default = over(&Traffic::default(), all);
    let entries = node.map(Node::entries).unwrap_or_default();
    let own = entries
        .iter()
        .filter_map(|entry| Some((entry.key.parse().ok()?, over(&default, Some(&entry.value)))));
    TrafficRules { services: own.collect(), default }
}

fn over(base: &Traffic, node: Option<&Node>) -> Traffic {
    let mut traffic = base.clone();
    let Some(node) = node else { return traffic };
    balance(&mut traffic.balance, node.get("balance"));
    set(&mut traffic.timeout, duration(node.get("timeout")));
    set(&mut traffic.max_in_flight, integer(node.get("max_in_flight")));
    if let Some(node) = node.get("retry") {
        retry(&mut traffic.retry, node);
        budget(&mut traffic.budget, node.get("budget"));
    }
    breaker(&mut traffic.breaker, node.get("breaker"));
    if let Some(node) = node.get("hedge") {
        set(&mut traffic.hedge, hedge(node).map(Some));
    }
    if let Some(node) = node.get("concurrency") {
        concurrency(traffic.concurrency.get_or_insert_default(), node);
    }
    if let Some(node) = node.get("priority") {
        priority(&mut traffic.priority, node);
    }
    limits(&mut traffic.limits, node.get("limits"));
    if let Some(node) = node.get("outlier") {
        outlier(&mut traffic.outlier, node);
    }
    security::over(&mut traffic.security, node);
    traffic
}

fn retry(policy: &mut retry::Policy, node: &Node) {
    set(&mut policy.max_retries, integer(node.get("max_retries")));
    set(&mut policy.delay, node.get("delay").and_then(delay));
    set(&mut policy.jitter, node.get("jitter").and_then(jitter));
    set(&mut policy.max_delay, duration(node.get("max_delay")));
    if let Some(timeout) = duration(node.get("per_try_timeout")) {
        policy.per_try_timeout = Some(timeout);
    }
    set(&mut policy.retry_on, node.get("retry_on").map(retry_on));
    set(&mut policy.non_idempotent, boolean(node.get("non_idempotent")));
    set(&mut policy.retry_after, boolean(node.get("retry_after")));
}

pub(super) fn delay(node: &Node) -> Option<retry::Delay> {
    if let Some(fixed) = node.get("fixed") {
        return Some(retry::Delay::Fixed(duration(Some(fixed))?));
    }
    if let Some(linear) = node.get("linear") {
        let (base, increment) = (duration(linear.get("base"))?, duration(linear.get("increment"))?);
        return Some(retry::Delay::Linear { base, increment });
    }
    let exponential = node.get("exponential")?;
    let factor = integer(exponential.get("factor")).unwrap_or(2);
    Some(retry::Delay::Exponential { base: duration(exponential.get("base"))?, factor })
}

pub(super) fn jitter(node: &Node) -> Option<retry::Jitter> {
    match node.text()? {
        "full" => Some(retry::Jitter::Full),
        "none" => Some(retry::Jitter::None),
        "decorrelated" => Some(retry::Jitter::Decorrelated),
        _ => None,
    }
}

fn retry_on(node: &Node) -> retry::RetryOn {
    let words: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
    let statuses = node.items().iter().filter_map(status).collect();
    retry::RetryOn {
        connect_failure: words.contains(&"connect-failure"),
        reset: words.contains(&"reset"),
        per_try_timeout: words.contains(&"per-try-timeout"),
        statuses,
        grpc_statuses: words.iter().filter_map(|word| grpc_status(word)).collect(),
    }
}

fn status(node: &Node) -> Option<u16> {
    match node.scalar()?.meaning() {
        Meaning::Integer(value) => u16::try_from(value).ok(),
        _ => None,
    }
}

fn budget(budget: &mut retry::budget::Config, node: Option<&Node>) {
    let Some(node) = node else { return };
    set(&mut budget.percent, integer(node.get("percent")));
    set(&mut budget.per_second, integer(node.get("per_second")));
    set(&mut budget.burst, integer(node.get("burst")));
}

fn hedge(node: &Node) -> Option<hedge::Policy> {
    let after = match integer(node.get("percentile")) {
        Some(percent) => hedge::After::Percentile(percent),
        None => hedge::After::Fixed(duration(node.get("after"))?),
    };
    Some(hedge::Policy { after, max: integer(node.get("max")).unwrap_or(1) })
}

fn concurrency(config: &mut concurrency::Config, node: &Node) {
    set(&mut config.min, integer(node.get("min")));
    set(&mut config.max, integer(node.get("max")));
    set(&mut config.tolerance, integer(node.get("tolerance")));
    set(&mut config.window, duration(node.get("window")));
    set(&mut config.measure_every, duration(node.get("measure_every")));
}

fn priority(rules: &mut priority::Rules, node: &Node) {
    let calls = node.get("calls").and_then(|node| priority::Priority::parse(node.text()?));
    set(&mut rules.calls, calls);
    set(&mut rules.sheddable, integer(node.get("sheddable")));
    set(&mut rules.default, integer(node.get("default")));
}

fn breaker(breaker: &mut breaker::Config, node: Option<&Node>) {
    let Some(node) = node else { return };
    set(&mut breaker.mode, node.get("mode").and_then(|node| breaker::Mode::parse(node.text()?)));
    set(&mut breaker.window, node.get("window").and_then(window));
    set(&mut breaker.failure_threshold, integer(node.get("failure_threshold")));
    set(&mut breaker.minimum_calls, integer(node.get("minimum_calls")));
    set(&mut breaker.failure_rate_percent, integer(node.get("failure_rate_percent")));
    if let Some(rule) = node.get("slow_call").and_then(slow_call) {
        breaker.slow_call = Some(rule);
    }
    set(&mut breaker.open_timeout, duration(node.get("open_timeout")));
    set(&mut breaker.permitted_half_open_calls, integer(node.get("permitted_half_open_calls")));
    set(&mut breaker.half_open_max_wait, duration(node.get("half_open_max_wait")));
    set(&mut breaker.failures, node.get("failures").map(outcomes));
    set(&mut breaker.ignored, node.get("ignored").map(outcomes));
}

fn window(node: &Node) -> Option<breaker::Window> {
    if node.text().is_some() {
        return Some(breaker::Window::Consecutive);
    }
    let count = integer(node.get("count")).map(|size| breaker::Window::Count { size });
    count.or_else(|| duration(node.get("time")).map(|span| breaker::Window::Time { span }))
}

fn slow_call(node: &Node) -> Option<breaker::SlowCall> {
    let rate_percent = integer(node.get("rate_percent")).unwrap_or(100);
    Some(breaker::SlowCall { longer_than: duration(node.get("longer_than"))?, rate_percent })
}

fn outcomes(node: &Node) -> breaker::Outcomes {
    let words: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
    let server_errors = words.contains(&SERVER_ERROR);
    let all = (500..600).filter(|status| server_errors && *status != 501);
    let statuses = node.items().iter().filter_map(status).chain(all);
    let grpc = words.iter().filter_map(|word| grpc_status(word));
    breaker::Outcomes::of(statuses, grpc).and(words.contains(&"network"), words.contains(&"timeout"))
}

fn limits(limits: &mut limit::Config, node: Option<&Node>) {
    let Some(node) = node else { return };
    set(&mut limits.connections, integer(node.get("connections")));
    set(&mut limits.pending, integer(node.get("pending")));
}

fn outlier(outlier: &mut outlier::Config, node: &Node) {
    set(&mut outlier.consecutive_failures, integer(node.get("consecutive_failures")));
    set(&mut outlier.consecutive_refusals, integer(node.get("consecutive_refusals")));
    switch(&mut outlier.success_rate, node.get("success_rate"), |rule, node| {
        set(&mut rule.minimum_calls, integer(node.get("minimum_calls")));
        set(&mut rule.minimum_instances, integer(node.get("minimum_instances")));
        set(&mut rule.deviations_thousandths, integer(node.get("deviations_thousandths")));
    });
    switch(&mut outlier.latency, node.get("latency"), |rule, node| {
        set(&mut rule.minimum_calls, integer(node.get("minimum_calls")));
        set(&mut rule.factor_percent, integer(node.get("factor_percent")));
    });
    set(&mut outlier.interval, duration(node.get("interval")));
    set(&mut outlier.base_ejection, duration(node.get("base_ejection")));
    set(&mut outlier.max_ejection, duration(node.get("max_ejection")));
    set(&mut outlier.max_ejected_percent, integer(node.get("max_ejected_percent")));
}

/// Switches a rule on or off by `true` or `false`, or on by saying how.
fn switch<T: Default>(rule: &mut Option<T>, node: Option<&Node>, fill: impl FnOnce(&mut T, &Node)) {
    let Some(node) = node else { return };
    match boolean(Some(node)) {
        Some(false) => *rule = None,
        Some(true) => *rule = Some(rule.take().unwrap_or_default()),
        None => fill(rule.get_or_insert_default(), node),
    }
}
