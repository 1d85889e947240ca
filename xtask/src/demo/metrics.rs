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
mod tests {
    use super::*;

    #[test]
    fn only_the_named_metric_with_the_labels_is_summed() {
        let text =
            "# HELP a b\na{x=\"1\",to=\"open\"} 2\na{x=\"2\",to=\"open\"} 3\na{to=\"closed\"} 7\nab 9\n";
        assert_eq!(sum(text, "a", &["to=\"open\""]), 5.0);
        assert_eq!(sum(text, "a", &[]), 12.0);
        assert_eq!(sum(text, "none", &[]), 0.0);
    }
}
