use super::*;

#[test]
fn every_path_that_the_documents_name_exists() {
    assert_eq!(problems().unwrap(), [""; 0]);
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    let text = "see `xtask/src/main.rs`, `xtask/none.rs`, `crates/*/src` and [this](docs/none.md#a)";
    assert_eq!(missing_paths(text).collect::<Vec<_>>(), ["xtask/none.rs", "docs/none.md"]);
}
