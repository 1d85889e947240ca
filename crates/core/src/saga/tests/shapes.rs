//! Which definitions are accepted.

use super::*;
use std::time::Duration;

fn refusal(steps: Vec<Step>) -> String {
    Saga::new(definition(steps)).unwrap_err().detail
}

#[test]
fn a_wrong_shape_is_refused_with_the_step_and_the_remedy() {
    use Kind::{Compensatable, Pivot, Retriable};
    let cases = [
        (vec![], "it has 0 steps"),
        (vec![call("a", Compensatable, &[]), call("a", Compensatable, &[])], "two steps are called `a`"),
        (vec![call("a", Compensatable, &[0])], "`a` depends on itself"),
        (vec![call("a", Compensatable, &[7])], "not there"),
        (
            vec![call("a", Compensatable, &[1]), call("b", Compensatable, &[0])],
            "depends on itself in the end",
        ),
        (vec![call("a", Pivot, &[]), call("b", Pivot, &[])], "`b` is a second pivot"),
        (vec![call("a", Pivot, &[]), call("b", Compensatable, &[0])], "`b` is behind the pivot"),
        (vec![call("a", Retriable, &[])], "`a` is retriable, but not behind a pivot"),
        (vec![call("a", Pivot, &[]), call("b", Retriable, &[])], "`b` is retriable, but not behind a pivot"),
    ];
    for (steps, expected) in cases {
        let detail = refusal(steps);
        assert!(detail.contains(expected), "{detail}\nshould say {expected}");
    }
}

#[test]
fn what_undoes_a_step_must_fit_it() {
    let undo = undo(1, OnUndoFailure::Park);
    let pivot = Step { undo: Some(undo.clone()), ..call("a", Kind::Pivot, &[]) };
    assert!(refusal(vec![pivot]).contains("never undone"));
    let timer = Step {
        work: Work::Timer(Duration::from_secs(1)),
        undo: Some(undo.clone()),
        ..call("a", Kind::Compensatable, &[])
    };
    assert!(refusal(vec![timer]).contains("nothing to undo"));
    let child = Work::Child(SagaName::new("other").unwrap());
    let child = Step { work: child, undo: None, ..call("a", Kind::Compensatable, &[]) };
    assert!(refusal(vec![child]).contains("reverting"));
    let revert = Undo { work: UndoWork::Revert, ..undo };
    let call = Step { undo: Some(revert), ..call("a", Kind::Compensatable, &[]) };
    assert!(refusal(vec![call]).contains("no saga that could be reverted"));
}

#[test]
fn a_path_has_its_variables_from_the_input() {
    let mut step = call("a", Kind::Pivot, &[]);
    let Work::Call { action, .. } = &mut step.work else { unreachable!() };
    action.call = Call::Http {
        method: crate::manifest::HttpMethod::new("POST").unwrap(),
        path: crate::manifest::PathPattern::new("/payments/{id}/refund").unwrap(),
    };
    assert!(refusal(vec![step.clone()]).contains("`{id}`"));
    step.input = InputOf::Fields([("id".to_owned(), Expr::new("input.id").unwrap())].into());
    assert!(Saga::new(definition(vec![step])).is_ok());
}

#[test]
fn the_pivot_waits_for_everything_that_can_be_undone() {
    let steps = vec![
        call("a", Kind::Compensatable, &[]),
        call("b", Kind::Compensatable, &[]),
        call("pay", Kind::Pivot, &[0]),
    ];
    let saga = Saga::new(definition(steps)).unwrap();
    assert_eq!(saga.needs(StepIx(2)), [StepIx(0), StepIx(1)].into_iter().collect());
    assert_eq!(saga.behind(StepIx(1)), StepSet::one(StepIx(2)));
}

#[test]
fn a_saga_that_runs_itself_in_the_end_is_told_from_one_that_does_not() {
    let name = |name: &str| SagaName::new(name).unwrap();
    let of = |children: &[&str]| {
        let child = |of: &&str| Step { work: Work::Child(name(of)), ..call(of, Kind::Compensatable, &[]) };
        definition(children.iter().map(child).collect())
    };
    let all = [
        ("a", of(&["b", "c"])),
        ("b", of(&["d"])),
        ("c", of(&["d", "gone"])),
        ("d", of(&["e"])),
        ("e", of(&["d"])),
    ];
    let reaches = |from: &str, to: &str| {
        let known = |wanted: &SagaName| all.iter().find(|(it, _)| *it == wanted.as_str()).map(|(_, it)| it);
        runs(&name(from), &name(to), known)
    };
    for (from, to) in [("a", "a"), ("a", "d"), ("c", "e"), ("e", "d"), ("d", "d")] {
        assert!(reaches(from, to), "{from} {to}");
    }
    for (from, to) in [("b", "a"), ("e", "a"), ("c", "b"), ("gone", "a")] {
        assert!(!reaches(from, to), "{from} {to}");
    }
}

#[test]
fn where_reading_an_expression_stopped_is_told_in_words() {
    for (text, at, told) in [
        ("1 +", (1, 4), "something is missing at its end"),
        ("1 +", (0, 0), "something is missing at its end"),
        ("a bc d", (1, 3), "`bc` cannot stand at its character 3"),
        ("a ? é", (1, 5), "`é` cannot stand at its character 5"),
        ("a\nb )", (2, 3), "`)` cannot stand in its line 2, character 3"),
        ("a +\nb", (1, 4), "something is missing at the end of its line 1"),
        ("\u{0}", (1, 1), "`\\0` cannot stand at its character 1"),
        ("a", (-1, -1), "something is missing at its end"),
        ("", (1, 1), "something is missing at its end"),
    ] {
        assert_eq!(Expr::stopped(text, at), told, "{text:?}");
    }
}
