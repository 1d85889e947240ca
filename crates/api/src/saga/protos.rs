//! What a saga knows of the gRPC methods that it calls: descriptors, cut down to what these need.
//!
//! What is left are the methods and what their messages are made of, in the order in which it was given: no comments, no other
//! services, no options but those by which messages are encoded. So the version of a saga changes when what is sent or answered
//! does, and not when something else in the same files does. Cutting what was cut changes nothing.

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto,
    FieldOptions, FileDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tenon_core::saga::{Call, Definition, Protos};
use tenon_core::{Code, Refusal, ServiceRef};

/// Cuts the protos of a definition down to what its steps need.
///
/// # Errors
/// `saga.invalid` names the step that calls a method over gRPC of which they have nothing, or one that no step can call.
pub fn cut(definition: &mut Definition) -> Result<(), Refusal> {
    let mut sets: BTreeMap<ServiceRef, Set> = BTreeMap::new();
    for step in &definition.steps {
        for action in step.actions() {
            let (service, Call::Grpc(method)) = (&action.service, &action.call) else { continue };
            let at = |problem: String| {
                Refusal::new(Code::SagaInvalid, format!("step `{}` calls `{method}`: {problem}", step.name))
            };
            if !sets.contains_key(service) {
                let protos = definition.protos.get(service).ok_or_else(|| {
                    at(format!(
                        "`protos` has nothing for `{service}`; give the FileDescriptorSet of its methods there"
                    ))
                })?;
                sets.insert(service.clone(), Set::read(protos).map_err(at)?);
            }
            sets.get_mut(service).map_or(Ok(()), |set| set.keep(method)).map_err(at)?;
        }
    }
    definition.protos = sets.into_iter().map(|(service, set)| (service, set.cut())).collect();
    Ok(())
}

/// Whether a step can call a method, `package.Service/Method`.
///
/// # Errors
/// Why not.
pub fn callable(protos: &Protos, method: &str) -> Result<(), String> {
    Set::read(protos)?.keep(method)
}

/// Descriptors, of which some are to be kept.
struct Set {
    files: Vec<FileDescriptorProto>,
    /// Where each type that is not inside of another is.
    types: HashMap<String, Type>,
    kept: BTreeSet<Type>,
    methods: BTreeSet<(usize, usize, usize)>,
    /// Which file uses which.
    uses: BTreeSet<(usize, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Type {
    Message { file: usize, number: usize },
    Enum { file: usize, number: usize },
}

impl Type {
    fn file(self) -> usize {
        match self {
            Self::Message { file, .. } | Self::Enum { file, .. } => file,
        }
    }
}

/// What may hold anything, of which nobody knows the form.
const ANY: &str = ".google.protobuf.Any";

impl Set {
    fn read(protos: &Protos) -> Result<Self, String> {
        let set = FileDescriptorSet::decode(protos.as_bytes());
        let files = set.map_err(|error| format!("its protos are no FileDescriptorSet: {error}"))?.file;
        let mut types = HashMap::new();
        for (file, of) in files.iter().enumerate() {
            for (number, message) in of.message_type.iter().enumerate() {
                types.insert(full_name(of, message.name()), Type::Message { file, number });
            }
            for (number, one) in of.enum_type.iter().enumerate() {
                types.insert(full_name(of, one.name()), Type::Enum { file, number });
            }
        }
        Ok(Self { files, types, kept: BTreeSet::new(), methods: BTreeSet::new(), uses: BTreeSet::new() })
    }

    /// Keeps a method, `package.Service/Method`, and all that its messages are made of.
    fn keep(&mut self, name: &str) -> Result<(), String> {
        let place = self.find(name).ok_or_else(|| self.none_of(name))?;
        if !self.methods.insert(place) {
            return Ok(());
        }
        let (file, service, method) = place;
        let method = &self.files[file].service[service].method[method];
        if method.client_streaming() || method.server_streaming() {
            return Err("it streams; a step calls methods that take one message and answer one".to_owned());
        }
        let mut open = vec![(file, method.input_type().to_owned()), (file, method.output_type().to_owned())];
        while let Some((from, name)) = open.pop() {
            if name == ANY {
                return Err(format!(
                    "its messages have a `{}`, of whose content nobody knows the form",
                    &ANY[1..]
                ));
            }
            let found = self.outermost(&name).ok_or_else(|| {
                format!("its protos lack `{}`; give them with their imports", name.trim_start_matches('.'))
            })?;
            if from != found.file() {
                self.uses.insert((from, found.file()));
            }
            if self.kept.insert(found)
                && let Type::Message { file, number } = found
            {
                used(&self.files[file].message_type[number], &mut |name| open.push((file, name.to_owned())));
            }
        }
        Ok(())
    }

    /// Which method of which service of which file.
    fn find(&self, name: &str) -> Option<(usize, usize, usize)> {
        let (service, method) = name.split_once('/')?;
        self.files.iter().enumerate().find_map(|(number, file)| {
            let is_it = |it: &ServiceDescriptorProto| &full_name(file, it.name())[1..] == service;
            let service = file.service.iter().position(is_it)?;
            let is_it = |it: &MethodDescriptorProto| it.name() == method;
            Some((number, service, file.service[service].method.iter().position(is_it)?))
        })
    }

    fn none_of(&self, name: &str) -> String {
        let services = self.files.iter().flat_map(|file| file.service.iter().map(move |it| (file, it)));
        let methods = services.flat_map(|(file, service)| {
            let service_name = full_name(file, service.name());
            service.method.iter().map(move |it| format!("`{}/{}`", &service_name[1..], it.name()))
        });
        let some: Vec<String> = methods.take(8).collect();
        match some.is_empty() {
            true => format!("there is no method `{name}` in its protos, nor any other"),
            false => format!("there is no method `{name}` in its protos; there are {}", some.join(", ")),
        }
    }

    /// The type of this name, or the one that it is inside of.
    fn outermost(&self, name: &str) -> Option<Type> {
        let mut name = name;
        loop {
            if let Some(found) = self.types.get(name) {
                return Some(*found);
            }
            name = name.rsplit_once('.')?.0;
        }
    }

    fn cut(self) -> Protos {
        let cut = |(number, file): (usize, &FileDescriptorProto)| {
            let message = |it: &Type| match it {
                Type::Message { file, number: of } if *file == number => Some(*of),
                _ => None,
            };
            let one = |it: &Type| match it {
                Type::Enum { file, number: of } if *file == number => Some(*of),
                _ => None,
            };
            let uses =
                |(from, to): &(usize, usize)| (*from == number).then_some(self.files[*to].name.clone()?);
            let cut = FileDescriptorProto {
                name: file.name.clone(),
                package: file.package.clone(),
                syntax: file.syntax.clone(),
                dependency: self.uses.iter().filter_map(uses).collect(),
                message_type: self
                    .kept
                    .iter()
                    .filter_map(message)
                    .map(|of| cut_message(&file.message_type[of]))
                    .collect(),
                enum_type: self.kept.iter().filter_map(one).map(|of| cut_enum(&file.enum_type[of])).collect(),
                service: self.services(number),
                ..FileDescriptorProto::default()
            };
            let is_empty = cut.message_type.is_empty() && cut.enum_type.is_empty() && cut.service.is_empty();
            (!is_empty).then_some(cut)
        };
        let file = self.files.iter().enumerate().filter_map(cut).collect();
        Protos::new(&FileDescriptorSet { file }.encode_to_vec())
    }

    fn services(&self, file: usize) -> Vec<ServiceDescriptorProto> {
        let mut services: Vec<ServiceDescriptorProto> = Vec::new();
        for (_, service, method) in self.methods.iter().filter(|(of, ..)| *of == file) {
            let of = &self.files[file].service[*service];
            let method = MethodDescriptorProto { options: None, ..of.method[*method].clone() };
            match services.last_mut().filter(|last| last.name == of.name) {
                Some(last) => last.method.push(method),
                None => services.push(ServiceDescriptorProto {
                    name: of.name.clone(),
                    method: vec![method],
                    options: None,
                }),
            }
        }
        services
    }
}

fn full_name(file: &FileDescriptorProto, name: &str) -> String {
    match file.package() {
        "" => format!(".{name}"),
        package => format!(".{package}.{name}"),
    }
}

/// The types of a message's fields, and of those of the messages inside of it.
fn used(message: &DescriptorProto, each: &mut dyn FnMut(&str)) {
    message.field.iter().filter_map(|field| field.type_name.as_deref()).for_each(&mut *each);
    message.nested_type.iter().for_each(|nested| used(nested, each));
}

fn cut_message(message: &DescriptorProto) -> DescriptorProto {
    let map_entry = message.options.as_ref().and_then(|options| options.map_entry);
    let oneof = |it: &OneofDescriptorProto| OneofDescriptorProto { options: None, ..it.clone() };
    DescriptorProto {
        name: message.name.clone(),
        field: message.field.iter().map(cut_field).collect(),
        nested_type: message.nested_type.iter().map(cut_message).collect(),
        enum_type: message.enum_type.iter().map(cut_enum).collect(),
        oneof_decl: message.oneof_decl.iter().map(oneof).collect(),
        options: map_entry.map(|_| MessageOptions { map_entry, ..MessageOptions::default() }),
        ..DescriptorProto::default()
    }
}

fn cut_field(field: &FieldDescriptorProto) -> FieldDescriptorProto {
    let packed = field.options.as_ref().and_then(|options| options.packed);
    let options = packed.map(|_| FieldOptions { packed, ..FieldOptions::default() });
    FieldDescriptorProto { options, ..field.clone() }
}

fn cut_enum(of: &EnumDescriptorProto) -> EnumDescriptorProto {
    let allow_alias = of.options.as_ref().and_then(|options| options.allow_alias);
    let value = |it: &EnumValueDescriptorProto| EnumValueDescriptorProto { options: None, ..it.clone() };
    EnumDescriptorProto {
        name: of.name.clone(),
        value: of.value.iter().map(value).collect(),
        options: allow_alias.map(|_| EnumOptions { allow_alias, ..EnumOptions::default() }),
        ..EnumDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests;
