use super::*;

#[test]
fn the_definition_of_the_commands_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
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
