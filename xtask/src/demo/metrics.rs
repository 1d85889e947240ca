//! Sums over the data plane's Prometheus text.

/// The sum of a metric's samples whose labels contain all of `labels` (written `name="value"`).
pub(super) fn sum(text: &str, metric: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            name == metric && labels.iter().all(|label| line.contains(label))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(0.0, std::ops::Add::add)
}

#[cfg(test)]
mod tests;
