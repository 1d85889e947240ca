use super::*;
use crate::system::SagaDoc;
use serde_json::json;
use tenon_core::Namespace;
use tenon_core::saga::SagaName;

/// What the build makes of `.proto` files of this crate's own: `tenon.saga.v1` and more.
fn protos(file: &str) -> Protos {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let mut compiler = protox::Compiler::new([root]).unwrap();
    let compiler = compiler.include_imports(true).include_source_info(true).open_file(file).unwrap();
    Protos::new(&compiler.file_descriptor_set().encode_to_vec())
}

fn calling(methods: &[&str], protos: Option<Protos>) -> Definition {
    let step = |(number, method): (usize, &&str)| {
        let action = json!({"service": "payment", "grpc": method});
        json!({"name": format!("s{number}"), "work": {"call": {"action": action, "timeout_ms": 1}}})
    };
    let steps: Vec<_> = methods.iter().enumerate().map(step).collect();
    let document: SagaDoc = serde_json::from_value(json!({"steps": steps})).unwrap();
    let name = SagaName::new("order").unwrap();
    let mut definition = document.to_definition(Namespace::default(), name).unwrap();
    definition.protos = protos.into_iter().map(|it| ("payment".parse().unwrap(), it)).collect();
    definition
}

fn refused(methods: &[&str], protos: Option<Protos>) -> String {
    cut(&mut calling(methods, protos)).unwrap_err().detail
}

const START: &str = "tenon.saga.v1.SagaService/Start";
const SIGNAL: &str = "tenon.saga.v1.SagaService/Signal";

#[test]
fn what_the_methods_need_is_left_and_nothing_else() {
    let all = protos("tenon/saga/v1/saga.proto");
    let mut definition = calling(&[SIGNAL, START], Some(all.clone()));
    cut(&mut definition).unwrap();
    let left = definition.protos.values().next().unwrap().clone();
    assert!(left.as_bytes().len() * 4 < all.as_bytes().len());
    let set = FileDescriptorSet::decode(left.as_bytes()).unwrap();
    let service = set.file.iter().flat_map(|file| &file.service).next().unwrap();
    let methods: Vec<&str> = service.method.iter().map(MethodDescriptorProto::name).collect();
    assert_eq!(methods, ["Start", "Signal"]);
    let messages: Vec<&str> =
        set.file.iter().flat_map(|file| &file.message_type).map(DescriptorProto::name).collect();
    assert!(messages.contains(&"StartRequest") && messages.contains(&"Saga"), "{messages:?}");
    assert!(!messages.contains(&"DefineRequest"), "{messages:?}");
    // Cutting what was cut, or the same without comments, is the same.
    cut(&mut definition).unwrap();
    assert_eq!(definition.protos.values().next(), Some(&left));
}

#[test]
fn what_no_step_can_call_is_refused() {
    let all = || Some(protos("tenon/saga/v1/saga.proto"));
    assert_eq!(
        refused(&[START], None),
        format!(
            "step `s0` calls `{START}`: `protos` has nothing for `payment`; give the FileDescriptorSet of its methods there"
        )
    );
    let unknown = refused(&["tenon.saga.v1.SagaService/Begin"], all());
    assert!(unknown.contains("there is no method `tenon.saga.v1.SagaService/Begin`"), "{unknown}");
    assert!(unknown.contains("`tenon.saga.v1.SagaService/Start`"), "{unknown}");
    assert!(refused(&["tenon.saga.v1.SagaService/History"], all()).contains("it streams"));
    let mut any = FileDescriptorSet::decode(all().unwrap().as_bytes()).unwrap();
    let start = any.file.iter_mut().flat_map(|file| &mut file.service).flat_map(|it| &mut it.method);
    start.for_each(|method| method.output_type = Some(ANY.to_owned()));
    let any = refused(&[START], Some(Protos::new(&any.encode_to_vec())));
    assert!(any.contains("`google.protobuf.Any`"), "{any}");
    assert!(refused(&[START], Some(Protos::new(b"\xff"))).contains("no FileDescriptorSet"));
    let mut lacking = FileDescriptorSet::decode(all().unwrap().as_bytes()).unwrap();
    lacking.file.retain(|file| !file.service.is_empty());
    lacking.file.iter_mut().for_each(|file| file.message_type.clear());
    let lacking = refused(&[START], Some(Protos::new(&lacking.encode_to_vec())));
    assert!(lacking.contains("give them with their imports"), "{lacking}");
}
