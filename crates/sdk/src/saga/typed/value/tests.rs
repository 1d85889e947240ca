use super::*;
use serde_json::json;

#[test]
fn literals_are_written_as_the_expression_language_has_them() {
    let value = json!({"a": [1, -2, 2.5, true, null], "b": "say \"hi\"\n"});
    assert_eq!(literal(&value), r#"{"a": [1, -2, 2.5, true, null], "b": "say \"hi\"\n"}"#);
    assert_eq!(literal(&json!(i64::MIN)), "(-9223372036854775807 - 1)");
    assert_eq!(literal(&json!(u64::MAX)), "18446744073709551615u");
}

#[test]
fn fields_are_selected_whatever_their_names() {
    assert_eq!(
        (select("total"), select("r#type"), select("in")),
        (".total".into(), ".type".into(), "[\"in\"]".into())
    );
    let expressions = Expressions::default();
    let sum = expressions.template::<u64>("1 + 2", &[]).unwrap();
    assert_eq!(expressions.text(expressions.field::<_, u64>(sum, "x").slot()), "(1 + 2).x");
}

#[test]
fn templates_put_values_in_and_gather_their_steps() {
    let expressions = Expressions::default();
    let step = |number| StepSet::one(tenon_core::saga::StepIx(number));
    let price: Value<'_, u64> = expressions.closed("steps.a.price".to_owned(), step(0));
    let pieces = expressions.template::<u64>("$1 + 1", &[price.any()]).unwrap();
    let total = expressions.template::<u64>("$2 * $1", &[price.any(), pieces.any()]).unwrap();
    assert_eq!(expressions.text(total.slot()), "(steps.a.price + 1) * steps.a.price");
    assert_eq!(expressions.steps(total.slot()), step(0));
    for wrong in ["$0", "$3", "$", "$x"] {
        assert!(expressions.template::<u64>(wrong, &[price.any(), price.any()]).is_none(), "{wrong}");
    }
}
