use super::*;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manifest.md");

#[test]
fn the_reference_in_docs_is_up_to_date() {
    let expected = reference();
    if std::env::var_os("TENON_BLESS").is_some() {
        std::fs::write(DOCUMENT, &expected).unwrap();
    }
    let actual = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    let first = expected.lines().zip(actual.lines()).find(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "docs/manifest.md is out of date; write it anew with TENON_BLESS=1: {first:?}"
    );
}

#[test]
fn the_example_at_the_top_has_no_problems() {
    let reference = reference();
    let example = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (system, report) = crate::manifest::read(example, "tenon.yaml");
    assert_eq!(report.problems, []);
    assert!(system.is_some());
}

#[test]
fn every_link_within_the_reference_has_its_anchor() {
    let reference = reference();
    let links = reference.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links {
        assert!(reference.contains(&format!("<a id=\"{link}\"></a>")), "{link}");
    }
}

#[test]
fn every_problem_links_to_an_anchor_that_exists() {
    let reference = reference();
    for problem in crate::manifest::tests::every_bad_problem() {
        let documentation = problem.documentation();
        let anchor = documentation.strip_prefix("docs/manifest.md#").unwrap();
        assert!(reference.contains(&format!("<a id=\"{anchor}\"></a>")), "{documentation}");
    }
}
