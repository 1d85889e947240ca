use super::*;

#[test]
fn the_workspace_keeps_its_edges() {
    assert_eq!(problems().unwrap(), [""; 0]);
}
