use super::*;

#[test]
fn only_the_named_metric_with_the_labels_is_summed() {
    let text = "# HELP a b\na{x=\"1\",to=\"open\"} 2\na{x=\"2\",to=\"open\"} 3\na{to=\"closed\"} 7\nab 9\n";
    assert_eq!(sum(text, "a", &["to=\"open\""]), 5.0);
    assert_eq!(sum(text, "a", &[]), 12.0);
    assert_eq!(sum(text, "none", &[]), 0.0);
}
