use crate::manifest::Problem;
use crate::manifest::tests::{SMALLEST, codes, only};

fn service(line: &str) -> String {
    format!("{SMALLEST}    {line}\n")
}

fn traffic(entry: &str) -> String {
    format!("{SMALLEST}traffic: {{one: {entry}}}\n")
}

fn suggestion(text: &str) -> Option<String> {
    only(text).suggestion
}

fn help(problem: &Problem) -> &str {
    problem.help.as_deref().unwrap_or_default()
}

#[test]
fn an_unknown_key_is_shown_with_its_place_and_the_key_that_was_meant() {
    let problem = only(&service("replcias: 2"));
    assert_eq!((problem.place.line, problem.place.column, problem.place.text.as_str()), (9, 5, "replcias"));
    assert_eq!(problem.path, "services.one.replcias");
    assert_eq!(problem.suggestion.as_deref(), Some("replicas"));
    assert_eq!(problem.documentation(), "docs/manifest.md#service");
}

#[test]
fn what_other_tools_call_a_key_is_understood() {
    assert_eq!(suggestion(&service("environment: {A: b}")).as_deref(), Some("env"));
    assert_eq!(suggestion(&service("dependsOn: []")).as_deref(), Some("depends_on"));
    assert_eq!(suggestion(&traffic("{circuit_breaker: {}}")).as_deref(), Some("breaker"));
    assert_eq!(suggestion(&traffic("{retry: {attempts: 2}}")).as_deref(), Some("max_retries"));
}

#[test]
fn a_key_in_the_wrong_place_is_told_where_it_belongs() {
    let problem = only(&service("breaker: {}"));
    assert!(help(&problem).contains("traffic"), "{problem:?}");
    let problem = only(&service("<<: {a: b}"));
    assert!(help(&problem).contains("merge keys"), "{problem:?}");
    let problem = only(&service("zzzzzz: 1"));
    assert!(help(&problem).contains("`command`"), "{problem:?}");
}

#[test]
fn a_missing_key_is_reported_where_it_should_stand() {
    let problem = only(&SMALLEST.replace("name: api", "direction: input"));
    assert_eq!(
        (problem.code(), problem.path.as_str()),
        ("manifest.missing-key", "services.one.interfaces[0]")
    );
    assert!(problem.message.contains("`name`"));
}

#[test]
fn a_value_of_another_type_is_told_what_was_expected() {
    let problem = only(&traffic("{timeout: 30}"));
    assert_eq!((problem.code(), problem.suggestion.as_deref()), ("manifest.wrong-type", Some("30s")));
    let problem = only(&SMALLEST.replace("[./one]", "./one --fast"));
    assert_eq!(problem.suggestion.as_deref(), Some("[./one, --fast]"));
    let problem = only(&service("version: 1.10"));
    assert!(help(&problem).contains("\"1.10\""), "{problem:?}");
    let problem = only(&service("replicas: \"2\""));
    assert_eq!((problem.suggestion.as_deref(), help(&problem)), (Some("2"), "remove the quotes"));
    let problem = only(&service("replicas:"));
    assert_eq!((problem.message.as_str(), problem.place.text.as_str()), ("`replicas` is empty", "replicas"));
}

#[test]
fn a_value_of_the_wrong_form_is_told_the_right_one() {
    assert_eq!(suggestion(&SMALLEST.replace("name: small", "name: My Shop")).as_deref(), Some("my-shop"));
    assert_eq!(suggestion(&traffic("{timeout: 30 seconds}")).as_deref(), Some("30s"));
    assert_eq!(suggestion(&traffic("{timeout: 1.5s}")).as_deref(), Some("1s500ms"));
    assert_eq!(suggestion(&traffic("{balance: LeastConnections}")).as_deref(), Some("least-connections"));
    assert_eq!(suggestion(&SMALLEST.replace("path: /", "path: orders")).as_deref(), Some("/orders"));
    assert_eq!(suggestion(&SMALLEST.replace("path: /", "{path: /, method: get}")).as_deref(), Some("GET"));
    let gateway = "gateway: {listen: \":8080\", routes: [{name: a, backends: [{service: one}]}]}";
    assert_eq!(suggestion(&format!("{SMALLEST}{gateway}\n")).as_deref(), Some("127.0.0.1:8080"));
}

#[test]
fn a_number_out_of_range_is_refused() {
    for bad in [service("replicas: -1"), service("replicas: 1001"), traffic("{max_in_flight: 0}")] {
        assert_eq!(codes(&bad), ["manifest.invalid-value"]);
    }
    for bad in
        ["{timeout: 0s}", "{timeout: 25h}", "{breaker: {failure_threshold: 0}}", "{retry: {retry_on: [200]}}"]
    {
        assert_eq!(codes(&traffic(bad)), ["manifest.invalid-value"], "{bad}");
    }
}

#[test]
fn resources_must_be_above_zero() {
    for bad in ["{cpu: 0}", "{cpu: 0m}", "{cpu: 0.0}", "{memory: 0}", "{memory: 0Mi}"] {
        assert_eq!(codes(&service(&format!("resources: {bad}"))), ["manifest.resource-constraint"], "{bad}");
    }
    assert_eq!(codes(&service("resources: {cpu: -1}")), ["manifest.invalid-value"]);
}

#[test]
fn a_service_either_is_started_or_runs_already() {
    let both = service("addresses: [\"127.0.0.1:9000\"]");
    assert_eq!(codes(&both), ["manifest.conflicting-keys"]);
    assert_eq!(codes(&SMALLEST.replace("    command: [./one]\n", "")), ["manifest.missing-key"]);
    let elsewhere = SMALLEST.replace("command: [./one]", "addresses: [\"127.0.0.1:9000\"]");
    for key in ["replicas: 2", "env: {A: b}", "working_directory: x"] {
        assert_eq!(codes(&format!("{elsewhere}    {key}\n")), ["manifest.misplaced-key"], "{key}");
    }
}

#[test]
fn an_object_of_configuration_has_the_long_form() {
    let config = |value: &str| format!("{SMALLEST}config: {{one: {{limits: {value}}}}}\n");
    assert_eq!(codes(&config("[1, 2]")), Vec::<&str>::new());
    assert_eq!(codes(&config("{value: {max: 1}}")), Vec::<&str>::new());
    assert_eq!(codes(&config("{max: 1}")), ["manifest.missing-key", "manifest.unknown-key"]);
    assert_eq!(codes(&config(".nan")), ["manifest.invalid-value"]);
}

#[test]
fn names_of_a_map_have_a_form_too() {
    let problem = only(&SMALLEST.replace("  one:", "  One_Service:"));
    assert_eq!(
        (problem.code(), problem.suggestion.as_deref()),
        ("manifest.invalid-value", Some("one-service"))
    );
    assert_eq!(codes(&service("env: {A-B: c}")), ["manifest.invalid-value"]);
}

#[test]
fn a_value_with_nul_never_reaches_a_process() {
    assert_eq!(codes(&service("env: {A: \"x\\0y\"}")), ["manifest.invalid-value"]);
    assert_eq!(codes(&SMALLEST.replace("[./one]", "[\"./one\\0\"]")), ["manifest.invalid-value"]);
}
