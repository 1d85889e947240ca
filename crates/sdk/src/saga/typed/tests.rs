use super::*;
use crate::saga::{Retry, record};
use prost::Message as _;
use serde_json::json;

mod run;
mod shapes;

record! {
    pub(super) struct Order as OrderOf { customer: String, pieces: u64, card: String }
    pub(super) struct Stock as StockOf { order: String, pieces: u64 }
    pub(super) struct Created as CreatedOf { id: String, total: u64 }
    pub(super) struct Payment as PaymentOf { order: String, amount: u64, currency: String }
    pub(super) struct Paid as PaidOf { receipt: String }
    pub(super) struct Placed as PlacedOf { order: String, receipt: String, approved_by: Option<String> }
    pub(super) struct Approval as ApprovalOf { by: String }
}

const CREATE: Compensatable<Order, Created> =
    Compensatable::new("create_order", post("order", "/orders"), post("order", "/orders/{id}/cancel"))
        .timeout(Duration::from_secs(2));
const RESERVE: Compensatable<Stock, ()> = Compensatable::new(
    "reserve_stock",
    post("inventory", "/reservations"),
    delete("inventory", "/reservations/{order}"),
);
const APPROVED: Signal<Approval> = Signal::new("approved");
const PAY: Pivot<Payment, Paid> = Pivot::new("take_payment", post("payment", "/payments"));
const PACK: Retriable<Stock, ()> = Retriable::new("pack", post("warehouse", "/parcels"));

fn place_order() -> Saga<Order, Placed> {
    let head = Saga::define("place-order")
        .deadline(Duration::from_secs(60))
        .serialize_by(|it: OrderOf<'_>| it.customer);
    let saga = head.steps(|mut saga, input| {
        let order = saga.step(CREATE, input);
        saga.step(RESERVE, StockOf { order: order.id, pieces: input.pieces });
        let approval = saga.after(order.id).wait_or_go_on(APPROVED, Duration::from_secs(5));
        let currency = saga.literal(&"EUR".to_owned());
        let (mut saga, paid) = saga.pivot(PAY, PaymentOf { order: order.id, amount: order.total, currency });
        saga.step(PACK, StockOf { order: order.id, pieces: input.pieces });
        let approved_by = saga.compute("$1 == null ? null : $1.by", [approval.any()]);
        saga.done(PlacedOf { order: order.id, receipt: paid.receipt, approved_by })
    });
    saga.unwrap()
}

#[test]
fn a_saga_in_rust_is_the_same_data_as_one_in_json() {
    let retry = json!(SagaDoc::from(place_order().definition()).steps[0].retry);
    let call = |service: &str, path: &str, timeout: u64| {
        let action = json!({"service": service, "method": "POST", "path": path});
        json!({"call": {"action": action, "timeout_ms": timeout}})
    };
    let expected = json!({
        "steps": [
            {
                "name": "create_order", "kind": "compensatable", "work": call("order", "/orders", 2_000),
                "input": {"customer": "input.customer", "pieces": "input.pieces", "card": "input.card"},
                "retry": retry,
                "undo": {
                    "action": {"service": "order", "method": "POST", "path": "/orders/{id}/cancel"},
                    "timeout_ms": 10_000, "retry": retry, "on_failure": "park",
                    "input": {
                        "input": "{\"customer\": input.customer, \"pieces\": input.pieces, \"card\": input.card}",
                        "output": "output",
                        "id": "output == null ? saga.id : output.id",
                    },
                },
            },
            {
                "name": "reserve_stock", "kind": "compensatable", "after": ["create_order"],
                "work": call("inventory", "/reservations", 10_000),
                "input": {"order": "steps.create_order.id", "pieces": "input.pieces"},
                "retry": retry,
                "undo": {
                    "action": {"service": "inventory", "method": "DELETE", "path": "/reservations/{order}"},
                    "timeout_ms": 10_000, "retry": retry, "on_failure": "park",
                    "input": {
                        "input": "{\"order\": steps.create_order.id, \"pieces\": input.pieces}",
                        "output": "output",
                        "order": "steps.create_order.id",
                    },
                },
            },
            {
                "name": "approved", "kind": "compensatable", "after": ["create_order"],
                "work": {"signal": {"name": "approved", "timeout_ms": 5_000, "late": "continue"}},
                "retry": retry,
            },
            {
                "name": "take_payment", "kind": "pivot", "after": ["create_order"],
                "work": call("payment", "/payments", 10_000),
                "input": {"order": "steps.create_order.id", "amount": "steps.create_order.total", "currency": "\"EUR\""},
                "retry": retry,
            },
            {
                "name": "pack", "kind": "retriable", "after": ["create_order", "take_payment"],
                "work": call("warehouse", "/parcels", 10_000),
                "input": {"order": "steps.create_order.id", "pieces": "input.pieces"},
                "retry": retry,
            },
        ],
        "deadline_ms": 60_000,
        "priority": "default",
        "serialize_by": "input.customer",
        "output": {
            "order": "steps.create_order.id",
            "receipt": "steps.take_payment.receipt",
            "approved_by": "steps.approved == null ? null : steps.approved.by",
        },
    });
    let saga = place_order();
    assert_eq!(serde_json::to_value(saga.document()).unwrap(), expected);
    let Definition { namespace, name, .. } = saga.definition().clone();
    assert_eq!(&saga.document().to_definition(namespace, name).unwrap(), saga.definition());
    assert_eq!(saga.version(), place_order().version());
}

/// What a saga of one step is refused for.
fn refused(step: Compensatable<u64, ()>) -> String {
    let saga = Saga::<u64, ()>::define("one").steps(|mut saga, input| {
        let end = saga.step(step, input);
        saga.done(end)
    });
    saga.unwrap_err().detail
}

#[test]
fn what_no_type_says_is_refused_with_its_reason() {
    let undo = post("till", "/take");
    let refusals = [
        (refused(Compensatable::new("Put", post("till", "/put"), undo)), "step name"),
        (refused(Compensatable::new("put", post("The Till", "/put"), undo)), "The Till"),
        (refused(Compensatable::new("put", post("till", "put"), undo)), "begin with '/'"),
        (refused(Compensatable::new("put", post("till", "/{account}"), undo)), "{account}"),
        (refused(Compensatable::new("put", post("till", "/put"), post("till", "/{entry}"))), "{entry}"),
        (refused(Compensatable::new("put", post("till", "/put"), undo).timeout(Duration::ZERO)), "time-out"),
        (
            refused(
                Compensatable::new("put", post("till", "/put"), undo)
                    .retry(Retry { tries: 0, ..Retry::default() }),
            ),
            "tries",
        ),
    ];
    for (refusal, expected) in refusals {
        assert!(refusal.contains(expected), "{refusal} does not say {expected}");
    }
    let unknown = Saga::<u64, u64>::define("one").steps(|mut saga, input| {
        saga.step(RESERVE_ONE, input);
        let end = saga.compute("$1 + $2", [input.any()]);
        saga.done(end)
    });
    assert!(unknown.unwrap_err().detail.contains("$1 + $2"));
    let twice = Saga::<u64, ()>::define("twice").steps(|mut saga, input| {
        saga.step(RESERVE_ONE, input);
        let end = saga.step(RESERVE_ONE, input);
        saga.done(end)
    });
    assert!(twice.unwrap_err().detail.contains("reserve_one"));
}

const RESERVE_ONE: Compensatable<u64, ()> =
    Compensatable::new("reserve_one", post("inventory", "/one"), post("inventory", "/one/undo"));

#[test]
fn a_step_that_is_taken_twice_has_two_names() {
    let twice = Saga::<u64, ()>::define("twice").steps(|mut saga, input| {
        saga.step(RESERVE_ONE, input);
        let end = saga.step(RESERVE_ONE.named("reserve_another"), input);
        saga.done(end)
    });
    assert_eq!(twice.unwrap().definition().steps.len(), 2);
}

#[test]
fn the_checker_verifies_it_in_a_unit_test() {
    let checked = place_order().verify_within(crate::kit::saga::Scope { faults: 1, ..Default::default() });
    checked.assert_verified();
    assert!(checked.to_string().contains("place-order is verified"), "{checked}");
}

#[test]
fn the_checker_tells_the_schedule_that_breaks_it() {
    use crate::kit::saga::{Lapse, Scope};
    let lapses = [(CREATE.name().parse().unwrap(), Lapse::Repeats)].into();
    let checked = place_order().verify_within(Scope { faults: 1, lapses, ..Default::default() });
    let told = checked.to_string();
    assert!(
        told.contains("the shortest schedule that breaks it") && told.contains("`create_order`"),
        "{told}"
    );
    let failed = std::panic::catch_unwind(|| checked.assert_verified()).unwrap_err();
    assert_eq!(failed.downcast_ref::<String>(), Some(&told));
}

#[test]
fn versions_differ_where_definitions_do() {
    let of = |timeout| {
        let saga = Saga::<u64, ()>::define("one").steps(|mut saga, input| {
            let end = saga.step(RESERVE_ONE.timeout(timeout), input);
            saga.done(end)
        });
        saga.unwrap().version()
    };
    assert_eq!(of(Duration::from_secs(1)), of(Duration::from_secs(1)));
    assert_ne!(of(Duration::from_secs(1)), of(Duration::from_secs(2)));
}

#[test]
fn a_grpc_step_takes_along_what_its_method_needs() {
    const START: &str = "tenon.saga.v1.SagaService/Start";
    const STEP: Pivot<u64, ()> = Pivot::new("start", grpc("sagas", START));
    let of = |proto: Option<&str>| {
        let define = Saga::<u64, ()>::define("one");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/proto");
        let set = proto.map(|proto| protox::compile([proto], [root]).unwrap().encode_to_vec());
        let define = match &set {
            Some(set) => define.protos("sagas", set),
            None => define,
        };
        define.steps(|saga, input| {
            let (saga, end) = saga.pivot(STEP, input);
            saga.done(end)
        })
    };
    let saga = of(Some("tenon/saga/v1/saga.proto")).unwrap();
    let (service, protos) = saga.definition().protos.first_key_value().unwrap();
    assert_eq!(service.to_string(), "sagas");
    assert!(tenon_api::saga::protos::callable(protos, START).is_ok());
    assert!(tenon_api::saga::protos::callable(protos, "tenon.saga.v1.SagaService/Cancel").is_err());
    assert!(saga.document().protos.contains_key("sagas"));
    assert!(of(None).unwrap_err().detail.contains("`protos` has nothing for `sagas`"));
    assert!(of(Some("tenon/bus/v1/bus.proto")).unwrap_err().detail.contains(START));
}
