use super::*;

#[test]
fn only_groups_that_were_not_taken_back_are_left() {
    let pid = |raw| Pid::from_raw(raw).unwrap();
    let text = [started(pid(11)), started(pid(12)), ended(pid(11)), "noise\n+0\n".into()].concat();
    assert_eq!(left_over(text.as_bytes()).unwrap(), HashSet::from([pid(12)]));
}
