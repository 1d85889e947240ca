//! Sagas.

use prost::Message;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::Namespace;
use tenon_core::priority::Priority;
use tenon_core::saga::{
    Action, Call, Definition, Expr, Fields, InputOf, Kind, Late, OnUndoFailure, Protos, Retry, SagaName,
    SignalName, Step, StepIx, StepName, StepSet, Undo, UndoWork, Work,
};

/// Two sagas that use everything, of which one runs the other.
pub(super) fn two(namespace: &Namespace) -> BTreeMap<SagaName, Definition> {
    let child = Definition {
        deadline: None,
        serialize_by: None,
        ..saga(namespace, "child", vec![call("only", &[])])
    };
    let undo =
        Undo { work: UndoWork::Revert, input: InputOf::Nothing, on_failure: OnUndoFailure::Park, ..undo() };
    let run = Step { work: Work::Child(child.name.clone()), undo: Some(undo), ..call("run", &[0]) };
    let name = SignalName::new("approved").unwrap();
    let signal = Work::Signal { name, timeout: Some(Duration::from_secs(60)), late: Late::Continue };
    let wait = Step { work: signal, undo: None, ..call("wait", &[0]) };
    let timer = Step { work: Work::Timer(Duration::from_secs(1)), undo: None, ..call("timer", &[]) };
    let pivot = Step { kind: Kind::Pivot, undo: None, ..call("pay", &[]) };
    let grpc =
        Action { service: "order".parse().unwrap(), call: Call::Grpc("shop.v1.Orders/Confirm".into()) };
    let confirm = Work::Call { action: grpc, timeout: Duration::from_secs(1) };
    let confirm = Step { kind: Kind::Retriable, undo: None, work: confirm, ..call("confirm", &[4]) };
    let steps = vec![call("create", &[]), run, wait, timer, pivot, confirm];
    let protos = [("order".parse().unwrap(), protos())].into();
    let place_order = Definition { protos, ..saga(namespace, "place-order", steps) };
    [place_order, child].into_iter().map(|it| (it.name.clone(), it)).collect()
}

fn saga(namespace: &Namespace, name: &str, steps: Vec<Step>) -> Definition {
    Definition {
        namespace: namespace.clone(),
        name: SagaName::new(name).unwrap(),
        steps,
        input: Fields::new(["customer", "note?"]).ok(),
        deadline: Some(Duration::from_secs(60)),
        priority: Priority::Critical,
        serialize_by: Some(expr("input.customer")),
        output: InputOf::Whole(expr("input")),
        protos: BTreeMap::new(),
    }
}

/// What the method of a step is given and answers: a message without fields.
fn protos() -> Protos {
    let message = DescriptorProto { name: Some("Nothing".to_owned()), ..DescriptorProto::default() };
    let method = MethodDescriptorProto {
        name: Some("Confirm".to_owned()),
        input_type: Some(".shop.v1.Nothing".to_owned()),
        output_type: Some(".shop.v1.Nothing".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service =
        ServiceDescriptorProto { name: Some("Orders".to_owned()), method: vec![method], options: None };
    let file = FileDescriptorProto {
        name: Some("orders.proto".to_owned()),
        package: Some("shop.v1".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![message],
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    Protos::new(&FileDescriptorSet { file: vec![file] }.encode_to_vec())
}

fn expr(text: &str) -> Expr {
    Expr::new(text).unwrap()
}

fn action() -> Action {
    let call = Call::Http {
        method: tenon_core::manifest::HttpMethod::new("POST").unwrap(),
        path: tenon_core::manifest::PathPattern::new("/orders/{id}").unwrap(),
    };
    Action { service: "order".parse().unwrap(), call }
}

fn undo() -> Undo {
    Undo {
        work: UndoWork::Call { action: action(), timeout: Duration::from_secs(2) },
        input: InputOf::Fields([("id".to_owned(), expr("output.id"))].into()),
        retry: Retry::default(),
        on_failure: OnUndoFailure::Escalate,
    }
}

fn call(name: &str, after: &[u8]) -> Step {
    Step {
        name: StepName::new(name).unwrap(),
        after: after.iter().copied().map(StepIx).collect::<StepSet>(),
        kind: Kind::Compensatable,
        work: Work::Call { action: action(), timeout: Duration::from_secs(1) },
        input: InputOf::Fields([("id".to_owned(), expr("input.id"))].into()),
        output: Fields::new(["id"]).ok(),
        retry: Retry::default(),
        undo: Some(undo()),
    }
}
