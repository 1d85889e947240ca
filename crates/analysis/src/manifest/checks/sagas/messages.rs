//! Steps that call gRPC methods: which they call, what these are given, and what is used of their answers.

use super::{Check, Entry, Node, Span, suggest};
use crate::expressions::{has_own_form, no_field};
use crate::manifest::finding::Finding;
use crate::manifest::problems::Draft;
use crate::manifest::source::shortened;
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use tenon_api::saga::protos::callable;
use tenon_core::ServiceRef;

impl<'a> Check<'a, '_, '_> {
    /// The methods that are called are there, and have the fields that they are given.
    pub(super) fn methods(&mut self) {
        for step in self.steps() {
            let undo = step.value.get("undo");
            let directions = [("", Some(&step.value)), ("undo.", undo)];
            for (place, of) in directions {
                let Some(of) = of else { continue };
                let Some(call) = of.get("call").filter(|call| call.get("grpc").is_some()) else { continue };
                let path = format!("steps.{}.{place}", step.key);
                if let Some(method) = self.method(call, &path) {
                    self.given(of.get("input"), &method.input(), &format!("{path}input"));
                    if place.is_empty() {
                        self.answered(step, &method.output());
                    }
                }
            }
        }
    }

    /// What a call that is written down calls; none where it is said what is wrong, or not over gRPC.
    fn method(&mut self, call: &'a Node, path: &str) -> Option<MethodDescriptor> {
        let (node, service) = (call.get("grpc")?, call.get("service")?);
        let (name, wanted) = (node.text()?, self.service(service)?);
        let path = format!("{path}call.grpc");
        if !self.protos.is_own(&wanted) {
            let message =
                format!("`{wanted}` is a service of another manifest, so its messages are not known");
            self.add(Finding::SagaMethod, node.span, &path, message, "expected a service of this manifest");
            return None;
        }
        let protos = self.protos;
        let Some(of) = protos.get(&wanted) else {
            // One that is not there is reported as such, and so are files that cannot be read.
            if self.names_protos(service) == Some(false) {
                let message =
                    format!("nothing says what the methods of `{}` are given and answer", wanted.name);
                let path = self.path(&path);
                let draft = Draft::new(Finding::SagaMethod, node.span, message).path(path);
                let draft = draft.label("expected a method of a service with `protos`");
                let help = format!(
                    "name the .proto files under `protos:` of the gRPC interface of `{}`",
                    wanted.name
                );
                self.problems.add(draft.help(help));
            }
            return None;
        };
        let Some(method) = of.method(name) else {
            let message = format!("`{}` has no method `{}`", wanted.name, shortened(name));
            let draft = Draft::new(Finding::SagaMethod, node.span, message).path(self.path(&path));
            let known = of.methods();
            let draft = draft.suggestion(suggest::nearest(name, known.iter().map(String::as_str)));
            self.problems.add(draft.label("expected one of the methods that its .proto files describe"));
            return None;
        };
        if let Err(problem) = callable(&of.protos, name) {
            let message = format!("a step cannot call `{}`: {problem}", shortened(name));
            self.add(Finding::SagaMethod, node.span, &path, message, "expected another method");
        }
        Some(method)
    }

    fn service(&self, node: &Node) -> Option<ServiceRef> {
        let text = node.text()?;
        let mut service: ServiceRef = text.parse().ok()?;
        if !text.contains('.') {
            service.namespace = self.protos.namespace().clone();
        }
        Some(service)
    }

    /// Whether an interface of a service names files; none if there is no such service.
    fn names_protos(&self, service: &Node) -> Option<bool> {
        let name = service.text()?.split('.').next()?;
        let service = super::super::services(self.root).iter().find(|entry| entry.key == name)?;
        let interfaces = service.value.get("interfaces").map(Node::items).unwrap_or_default();
        Some(interfaces.iter().any(|interface| interface.get("protos").is_some()))
    }

    /// What a step answers, if it calls a method that is known.
    pub(super) fn output_of(&self, step: &Entry) -> Option<MessageDescriptor> {
        let call = step.value.get("call")?;
        let wanted = self.service(call.get("service")?)?;
        Some(self.protos.get(&wanted)?.method(call.get("grpc")?.text()?)?.output())
    }

    /// The fields of an input are the message's.
    fn given(&mut self, input: Option<&'a Node>, message: &MessageDescriptor, path: &str) {
        if has_own_form(message) {
            return;
        }
        for entry in input.map(Node::entries).unwrap_or_default() {
            let known = |name: &str| {
                message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name)).is_some()
            };
            if !known(&entry.key) {
                self.no_field(message, &entry.key, entry.key_span, &format!("{path}.{}", entry.key));
            }
        }
    }

    /// The fields that a step says it answers are the message's.
    fn answered(&mut self, step: &'a Entry, message: &MessageDescriptor) {
        let declared = step.value.get("output").map(Node::items).unwrap_or_default();
        for (index, item) in declared.iter().enumerate() {
            let name = item.text().map(|text| text.strip_suffix('?').unwrap_or(text));
            if let Some(name) = name.filter(|name| message.get_field_by_name(name).is_none()) {
                self.no_field(message, name, item.span, &format!("steps.{}.output[{index}]", step.key));
            }
        }
    }

    fn no_field(&mut self, message: &MessageDescriptor, field: &str, span: Span, path: &str) {
        self.fault(no_field(message, field), span, path);
    }
}
