use super::*;
use crate::manifest::read;
use crate::manifest::tests::SMALLEST;
use miette::Diagnostic;

const PLAIN: Style = Style { color: false, unicode: false, width: 100 };

fn report(text: &str) -> Report {
    read(text, "tenon.yaml").1
}

#[test]
fn the_text_shows_place_expectation_suggestion_and_documentation_of_every_problem() {
    let text = report(&format!("{SMALLEST}    replcias: 2\n    env: {{PORT: 80}}\n")).to_text(PLAIN);
    for part in [
        "tenon.yaml has 1 error, 1 warning",
        "Error: manifest.unknown-key (docs/manifest.md#service)",
        "[tenon.yaml:9:5]",
        "did you mean `replicas`?",
        "Warning: manifest.reserved-variable",
        "[tenon.yaml:10:11]",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn a_clean_report_prints_nothing() {
    let report = report(SMALLEST);
    assert_eq!(
        (report.to_text(PLAIN), report.to_string()),
        (String::new(), "tenon.yaml has no problems".to_owned())
    );
}

#[test]
fn colour_is_used_only_where_it_is_asked_for() {
    let report = report("name: x\n");
    let coloured = report.to_text(Style { color: true, ..PLAIN });
    assert!(coloured.contains('\u{1b}') && !report.to_text(PLAIN).contains('\u{1b}'));
}

#[test]
fn other_handlers_get_every_problem_as_a_related_diagnostic() {
    let report = report(&format!("{SMALLEST}    replcias: 2\n    env: {{PORT: 80}}\n"));
    let related: Vec<_> = report.related().unwrap().collect();
    let codes: Vec<_> = related.iter().map(|it| it.code().unwrap().to_string()).collect();
    assert_eq!(codes, ["manifest.unknown-key", "manifest.reserved-variable"]);
    assert_eq!(
        related.iter().map(|it| it.severity()).collect::<Vec<_>>(),
        [Some(miette::Severity::Error), Some(miette::Severity::Warning)]
    );
}

#[test]
fn a_line_that_is_too_long_to_be_shown_is_named_by_its_number() {
    let text =
        report(&format!("{SMALLEST}    env: {{A: \"{}\", A-B: 1}}\n", "x".repeat(70_000))).to_text(PLAIN);
    assert!(text.contains("line 9, column 70018: expected a variable's name"), "{text}");
    assert!(text.len() < 1_000, "{}", text.len());
    let long_before = report(&format!("# {}\nnames: x\n", "x".repeat(100_000))).to_text(PLAIN);
    assert!(long_before.contains("[tenon.yaml:2:1]") && long_before.len() < 5_000, "{}", long_before.len());
}

#[test]
fn of_very_many_problems_the_first_are_kept_and_the_others_counted() {
    let keys: String = (0..600).map(|number| format!("key{number}: 1\n")).collect();
    let report = report(&format!("{SMALLEST}{keys}"));
    assert_eq!((report.problems.len(), report.omitted), (500, 100));
    assert_eq!(report.to_string(), "tenon.yaml has 500 errors, 100 further problems");
    let places: Vec<_> = report.problems.iter().map(|problem| problem.place.start).collect();
    assert!(places.is_sorted());
}
