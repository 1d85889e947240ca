//! Sagas of any shape.

use super::super::tests::{call, saga};
use fastrand::Rng;
use serde_json::{Value, json};
use tenon_core::saga::Definition;

/// The saga that others run as a step.
pub(super) const CHILD: &str = "child";

/// Any saga of up to six steps, with all that there is; or with all but what waits for other sagas.
pub(super) fn any(rng: &mut Rng, name: &str, waits: bool) -> Definition {
    let count = rng.usize(1..7);
    let pivot = rng.bool().then(|| rng.usize(..count));
    let steps: Vec<Value> = (0..count).map(|number| step(rng, number, pivot, true, waits)).collect();
    let mut document = json!({"steps": steps});
    if rng.u8(..5) == 0 {
        document["deadline_ms"] = json!(rng.u64(500..20_000));
    }
    if waits && rng.u8(..3) == 0 {
        document["serialize_by"] = json!("input.customer");
    }
    saga(name, document)
}

/// One that can be reverted: without a pivot, and of services only.
pub(super) fn child(rng: &mut Rng) -> Definition {
    let steps: Vec<Value> =
        (0..rng.usize(1..4)).map(|number| step(rng, number, None, false, false)).collect();
    saga(CHILD, json!({"steps": steps}))
}

fn step(rng: &mut Rng, number: usize, pivot: Option<usize>, with_signal: bool, with_child: bool) -> Value {
    let kind = match pivot {
        Some(pivot) if number == pivot => "pivot",
        Some(pivot) if number > pivot => "retriable",
        _ => "compensatable",
    };
    let mut after: Vec<String> = (0..number).filter(|_| rng.bool()).map(name_of).collect();
    if let Some(pivot) = pivot.filter(|_| kind == "retriable").map(name_of)
        && !after.contains(&pivot)
    {
        after.push(pivot);
    }
    let after: Vec<&str> = after.iter().map(String::as_str).collect();
    let mut step = call(&name_of(number), &after, kind);
    step["retry"] = retry(rng);
    let can_wait = kind != "pivot";
    if kind == "compensatable" {
        step["undo"]["retry"] = retry(rng);
        step["undo"]["on_failure"] = json!(["park", "park", "skip", "escalate"][rng.usize(..4)]);
    }
    match rng.u8(..12) {
        0 if can_wait && with_signal => {
            let late = if kind == "retriable" || rng.bool() { "continue" } else { "fail" };
            let timeout = rng.bool().then_some(2_000);
            step["work"] =
                json!({"signal": {"name": format!("signal{number}"), "timeout_ms": timeout, "late": late}});
            leaves_nothing(&mut step);
        }
        1 if can_wait => {
            step["work"] = json!({"timer": {"delay_ms": rng.u64(1..3_000)}});
            leaves_nothing(&mut step);
        }
        2 | 3 if kind == "compensatable" && with_child => {
            step["work"] = json!({"saga": {"name": CHILD}});
            let undo = &step["undo"];
            step["undo"] = json!({"retry": undo["retry"], "on_failure": undo["on_failure"]});
        }
        4 if kind == "compensatable" => leaves_nothing(&mut step),
        _ => {}
    }
    step
}

fn leaves_nothing(step: &mut Value) {
    step.as_object_mut().unwrap().remove("undo");
}

fn name_of(number: usize) -> String {
    format!("step{number}")
}

fn retry(rng: &mut Rng) -> Value {
    let delay = rng.u64(1..300);
    let backoff = json!({"delay": {"fixed": {"delay_ms": delay}}, "jitter": "none", "max_delay_ms": delay});
    json!({"tries": rng.u32(1..5), "backoff": backoff})
}
