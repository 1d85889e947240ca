use super::*;

/// The example shop's manifest.
pub(super) const SHOP: &str = include_str!("../../../../examples/shop/tenon.yaml");

/// The smallest system.
pub(super) const SMALLEST: &str = "\
name: small
services:
  one:
    command: [./one]
    interfaces:
      - name: api
        endpoints:
          - path: /
";

/// Reads a manifest whose files are the corpus's.
fn read(text: &str, name: &str) -> (Option<System>, Report) {
    let proto = include_str!("../../corpus/protos/pay/v1/payments.proto");
    let files: Arc<dyn Files> =
        Arc::new(BTreeMap::from([("protos/pay/v1/payments.proto".to_owned(), proto.to_owned())]));
    read_with(text, name, &files)
}

/// The codes of all problems, in order.
pub(super) fn codes(text: &str) -> Vec<&'static str> {
    read(text, "tenon.yaml").1.problems.iter().map(Problem::code).collect()
}

/// The only problem of a manifest.
#[track_caller]
pub(super) fn only(text: &str) -> Problem {
    let (_, mut report) = read(text, "tenon.yaml");
    assert_eq!(report.problems.len(), 1, "{:#?}", report.problems);
    report.problems.remove(0)
}

#[test]
fn the_shop_has_no_problems() {
    let (system, report) = read(SHOP, "examples/shop/tenon.yaml");
    assert_eq!(report.to_text(Style { color: false, unicode: true, width: 100 }), "");
    assert_eq!(system.map(|system| system.services.len()), Some(6));
}

#[test]
fn a_system_is_there_if_and_only_if_there_are_no_errors() {
    let warned = SMALLEST.replace("[./one]", "[./one]\n    env: {PORT: 80}");
    let (system, report) = read(&warned, "tenon.yaml");
    assert!(system.is_some() && !report.has_errors() && !report.is_clean());
    let (system, report) = read(&SMALLEST.replace("name: small", "nam: small"), "tenon.yaml");
    assert!(system.is_none() && report.has_errors());
}

#[test]
fn every_problem_is_reported_not_only_the_first() {
    let text = "\
name: Shop
servces: {}
services:
  order:
    command: ./order
    interfaces: []
    depends_on: [nobody]
traffic: 5
";
    assert_eq!(
        codes(text),
        [
            "manifest.invalid-value",
            "manifest.unknown-key",
            "manifest.wrong-type",
            "manifest.wrong-count",
            "manifest.unknown-service",
            "manifest.wrong-type",
        ]
    );
}

#[test]
fn strict_makes_errors_of_warnings() {
    let warned = SMALLEST.replace("[./one]", "[./one]\n    env: {PORT: 80}");
    let report = read(&warned, "tenon.yaml").1.strict();
    assert!(report.has_errors());
    assert_eq!(report.count(Severity::Error), 1);
}

/// The manifests of a folder of the corpus, by name.
pub(super) fn corpus(folder: &str) -> Vec<(String, String)> {
    let folder = format!("{}/corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name.trim_end_matches(".yaml").to_owned(), std::fs::read_to_string(entry.path()).unwrap())
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

/// Every problem of every bad manifest of the corpus.
pub(super) fn every_bad_problem() -> Vec<Problem> {
    corpus("bad").into_iter().flat_map(|(name, text)| read(&text, &name).1.problems).collect()
}

#[test]
fn every_finding_is_found_alone_in_its_manifest() {
    let manifests = corpus("bad");
    for finding in Finding::ALL {
        let text = manifests.iter().find(|(name, _)| name == finding.code()).map(|(_, text)| text.as_str());
        assert_eq!(codes(text.unwrap()), [finding.code()]);
    }
    assert_eq!(manifests.len(), Finding::ALL.len());
}

#[test]
fn every_problem_has_a_place_and_says_what_was_expected() {
    for problem in every_bad_problem() {
        assert!(problem.place.line > 0 && !problem.label.is_empty(), "{problem:?}");
        let whole_file =
            matches!(problem.finding, Finding::Syntax | Finding::TooLarge | Finding::DuplicateKey);
        assert!(whole_file || !problem.place.text.is_empty(), "{problem:?}");
        assert!(
            whole_file || problem.finding == Finding::MissingKey || !problem.path.is_empty(),
            "{problem:?}"
        );
    }
}

#[test]
fn a_good_manifest_has_no_problems() {
    for (name, text) in corpus("good") {
        let (system, report) = read(&text, &name);
        assert_eq!(report.problems, [], "{name}");
        assert!(system.is_some(), "{name}");
    }
}

mod robust;
