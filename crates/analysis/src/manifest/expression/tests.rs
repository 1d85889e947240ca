use super::*;

fn paths(text: &str) -> Vec<String> {
    read(text).unwrap().into_iter().map(|path| path.join(".")).collect()
}

#[test]
fn variables_and_their_fields_are_found_wherever_they_are() {
    assert_eq!(paths("input.customer"), ["input.customer"]);
    assert_eq!(paths("steps.pay.id + '-' + input.a.b"), ["steps.pay.id", "input.a.b"]);
    assert_eq!(paths("{'a': [input.x, size(input.y)]}"), ["input.x", "input.y"]);
    assert_eq!(paths("has(input.x) ? input.x : output"), ["input.x", "input.x", "output"]);
    assert_eq!(paths("1 + 2 == 3 && 'a'.startsWith('b')"), [""; 0]);
}

#[test]
fn what_a_macro_binds_is_no_variable() {
    assert_eq!(paths("input.items.map(i, i.price * input.rate)"), ["input.items", "input.rate"]);
    assert_eq!(paths("input.items.all(i, i.n > 0) && i.n == 1"), ["input.items", "i.n"]);
}

#[test]
fn what_is_wrong_is_told_in_a_line() {
    for text in ["input.", "1 +", "(", "a b", "'", "\u{0}"] {
        let problem = read(text).unwrap_err();
        assert!(!problem.is_empty() && !problem.contains('\n'), "{text:?}: {problem:?}");
    }
}
