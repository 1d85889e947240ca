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
fn a_field_may_be_named_by_a_text() {
    assert_eq!(paths("input['customer']"), ["input.customer"]);
    assert_eq!(
        paths("steps['pay'].id + steps.pay[\"card\"].holder"),
        ["steps.pay.id", "steps.pay.card.holder"]
    );
    assert_eq!(paths("input.items[0].sku + input[input.which]"), ["input.items", "input", "input.which"]);
    assert_eq!(paths("input.items.map(i, i['price'])"), ["input.items"]);
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
        assert!(!problem.is_empty() && !problem.contains(['\n', '\u{0}']), "{text:?}: {problem:?}");
    }
}

#[test]
fn what_is_bound_to_fail_is_found() {
    for (text, problem) in [
        ("foo(input.id)", "uses a function `foo` that is not there"),
        ("input.id.foo()", "uses a function `foo` that is not there"),
        ("[1].map(i, foo(i))", "uses a function `foo` that is not there"),
        ("size(input.a, input.b)", "gives `size` 2 arguments, which it does not take"),
        ("input.a.startsWith()", "gives `startsWith` 0 arguments, which it does not take"),
        ("timestamp(input.at)", "uses a function `timestamp` that is not there"),
        ("size()", "gives `size` 0 arguments, which it does not take"),
    ] {
        assert_eq!(faults(text, &mut Functions::default()), [problem], "{text}");
    }
    for text in ["1 + 'a'", "input.a + string(1 / 0)", "size(1)", "int('x')"] {
        let found = faults(text, &mut Functions::default());
        assert!(matches!(found.as_slice(), [it] if it.starts_with("fails whatever")), "{text}: {found:?}");
    }
    for text in [
        "size(input.a) + size('a')",
        "input.a.size()",
        "has(input.a) ? string(input.a) : 'none'",
        "input.a.startsWith(input.b) && 'a'.matches('[a-z]')",
        "input.items.map(i, i.price * 2).exists(i, i > 3)",
        "true || 1 / 0 == 1",
        "int(input.a) + int('7') - -input.b",
        "type(input.a) == type(1)",
        "{'a': [1, 2][0], 'b': input.x[0]}",
        "double(input.n) * 1.5 + double(uint(3))",
    ] {
        assert_eq!(faults(text, &mut Functions::default()), [""; 0], "{text}");
    }
}
