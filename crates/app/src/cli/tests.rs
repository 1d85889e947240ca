use super::*;

#[test]
fn the_definition_of_the_commands_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn the_number_of_replicas_is_the_manifests_unless_it_is_given() {
    let replicas = |words: &[&str]| match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Scale(scale)) => scale.replicas,
        other => panic!("{other:?}"),
    };
    assert_eq!(replicas(&["tenon", "scale", "payment", "3"]), Some(3));
    assert_eq!(replicas(&["tenon", "scale", "payment"]), None);
}

#[test]
fn a_negative_number_is_a_value_and_no_option() {
    let parsed = Cli::try_parse_from(["tenon", "config", "set", "payment", "limit", "-5"]);
    let Ok(Cli { command: Command::Config { command: ConfigCommand::Set { value, .. } }, .. }) = parsed
    else {
        panic!("{parsed:?}")
    };
    assert_eq!(value, "-5");
}

#[test]
fn a_decision_is_about_one_saga_or_about_all_that_are_named() {
    let is_accepted = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
    assert!(is_accepted("tenon saga edit ID mail {}"));
    assert!(is_accepted("tenon saga edit --all --step mail --with {} --data folder"));
    assert!(is_accepted("tenon saga compensate --all --name order --since 2026-11-01T00:00:00Z"));
    for wrong in ["edit ID mail", "edit ID mail {} --all", "skip --step mail", "done ID", "compensate"] {
        assert!(!is_accepted(&format!("tenon saga {wrong}")), "{wrong}");
    }
}
