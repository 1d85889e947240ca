//! The `.proto` files that gRPC interfaces name: what their methods are given and answer.
//!
//! They are compiled here, and what sagas need of them becomes part of these, so that nothing is looked up when they run.
//!
//! Bounds: [`MOST_FILES`] files of [`MOST_BYTES`] bytes together, for one manifest; [`MOST_LEVELS`] levels of messages in each other.

use super::build::parsed;
use super::finding::Finding;
use super::problems::{Draft, Problems};
use super::source::Span;
use super::tree::{Entry, Node};
use miette::Diagnostic;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::saga::Protos;
use tenon_core::{Namespace, ServiceName, ServiceRef};

/// The most `.proto` files of a manifest.
const MOST_FILES: usize = 1_000;
/// The most bytes that these have together.
const MOST_BYTES: usize = 2 << 20;
/// How deeply messages may be nested: the compiler goes down with them.
const MOST_LEVELS: usize = 64;

/// Where the files are that a manifest names, by their paths relative to its folder.
pub trait Files: Send + Sync {
    /// The text of a file.
    ///
    /// # Errors
    /// Why there is none: what comes after the file's name in a sentence.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// Files by their paths, as they were sent along with a manifest.
impl Files for BTreeMap<String, String> {
    fn read(&self, path: &str) -> Result<String, String> {
        self.get(path).cloned().ok_or_else(|| "was not sent along with the manifest".to_owned())
    }
}

/// What the gRPC methods of each service of a manifest are given and answer.
#[derive(Default)]
pub(super) struct Compiled {
    namespace: Namespace,
    services: BTreeMap<ServiceName, Service>,
}

/// What those of one service are.
pub(super) struct Service {
    /// As it is written into sagas, before it is cut to what they need.
    pub(super) protos: Protos,
    pool: DescriptorPool,
}

impl Service {
    /// A method, `package.Service/Method`.
    pub(super) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        let (service, method) = name.split_once('/')?;
        self.pool.get_service_by_name(service)?.methods().find(|it| it.name() == method)
    }

    /// The names of all methods.
    pub(super) fn methods(&self) -> Vec<String> {
        let services = self.pool.services().collect::<Vec<_>>();
        services.iter().flat_map(|it| it.methods().map(|method| method_name(&method))).collect()
    }
}

fn method_name(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

impl Compiled {
    /// What is known of a service.
    pub(super) fn get(&self, service: &ServiceRef) -> Option<&Service> {
        self.services.get(&service.name).filter(|_| self.is_own(service))
    }

    /// Whether a service is one of this manifest's system.
    pub(super) fn is_own(&self, service: &ServiceRef) -> bool {
        service.namespace == self.namespace
    }

    /// Where the services are.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Compiles what the services of a manifest name.
pub(super) fn compile(root: &Node, files: &Arc<dyn Files>, problems: &mut Problems<'_>) -> Compiled {
    let left = Arc::new(Mutex::new(Left { files: MOST_FILES, bytes: MOST_BYTES }));
    let mut services = BTreeMap::new();
    for entry in root.get("services").map(Node::entries).unwrap_or_default() {
        let Ok(name) = entry.key.parse::<ServiceName>() else { continue };
        if let Some(service) = of_service(entry, files, &left, problems) {
            services.insert(name, service);
        }
    }
    Compiled { namespace: parsed(root.get("namespace")).unwrap_or_default(), services }
}

/// What may still be read.
struct Left {
    files: usize,
    bytes: usize,
}

/// What files below a folder describe, with all that they import.
///
/// # Errors
/// What is wrong with which of them.
pub fn descriptors(folder: &str, named: &[String], files: &Arc<dyn Files>) -> Result<Protos, String> {
    let left = Arc::new(Mutex::new(Left { files: MOST_FILES, bytes: MOST_BYTES }));
    let reading = Reading { folder: folder.trim_end_matches('/').to_owned(), files: Arc::clone(files), left };
    let mut compiler = reading.clone().compiler();
    for file in named {
        compiler.open_file(file).map_err(|error| reading.told(file, &error))?;
    }
    Ok(Protos::new(&compiler.file_descriptor_set().encode_to_vec()))
}

fn of_service(
    entry: &Entry,
    files: &Arc<dyn Files>,
    left: &Arc<Mutex<Left>>,
    problems: &mut Problems<'_>,
) -> Option<Service> {
    let mut set: Vec<FileDescriptorProto> = Vec::new();
    let mut first: Option<Span> = None;
    let mut failed = false;
    let interfaces = entry.value.get("interfaces").map(Node::items).unwrap_or_default();
    for (index, interface) in interfaces.iter().enumerate() {
        let Some(named) = interface.get("protos") else { continue };
        first.get_or_insert(named.span);
        let folder = interface.get("proto_root").and_then(Node::text).unwrap_or_default();
        let reading = Reading {
            folder: folder.trim_end_matches('/').to_owned(),
            files: Arc::clone(files),
            left: Arc::clone(left),
        };
        let mut wrong = |span: Span, path: &str, problem: String| {
            failed = true;
            let path = format!("services.{}.interfaces[{index}].protos{path}", entry.key);
            let draft = Draft::new(Finding::ProtoInvalid, span, problem).path(path);
            problems.add(draft.label("expected a file that can be compiled, with all that it imports"));
        };
        let mut compiler = reading.clone().compiler();
        for (number, item) in named.items().iter().enumerate() {
            let Some(file) = item.text() else { continue };
            if let Err(error) = compiler.open_file(file) {
                wrong(item.span, &format!("[{number}]"), reading.told(file, &error));
            }
        }
        for one in compiler.file_descriptor_set().file {
            match set.iter().find(|other| other.name == one.name) {
                Some(other) if *other == one => {}
                Some(_) => wrong(named.span, "", format!("there are two files `{}` that differ", one.name())),
                None => set.push(one),
            }
        }
    }
    let span = first.filter(|_| !failed)?;
    let set = FileDescriptorSet { file: set };
    let protos = Protos::new(&set.encode_to_vec());
    match DescriptorPool::from_file_descriptor_set(set) {
        Ok(pool) => Some(Service { protos, pool }),
        Err(error) => {
            let message = format!("the files of `{}` do not fit together: {error}", entry.key);
            let draft = Draft::new(Finding::ProtoInvalid, span, message);
            problems.add(draft.path(format!("services.{}.interfaces", entry.key)).label("these files"));
            None
        }
    }
}

/// Files below a folder, within what may still be read.
#[derive(Clone)]
struct Reading {
    folder: String,
    files: Arc<dyn Files>,
    left: Arc<Mutex<Left>>,
}

impl Reading {
    /// Compiles these, and what Google's libraries bring along.
    fn compiler(self) -> protox::Compiler {
        let mut resolver = ChainFileResolver::new();
        resolver.add(self);
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).include_source_info(false);
        compiler
    }

    fn path(&self, name: &str) -> String {
        match self.folder.as_str() {
            "" | "." => name.to_owned(),
            folder => format!("{folder}/{name}"),
        }
    }

    /// What is wrong, with file, line and column so far as they are known.
    fn told(&self, file: &str, error: &protox::Error) -> String {
        let place = error.labels().and_then(|mut labels| labels.next()).and_then(|label| {
            let found = error.source_code()?.read_span(label.inner(), 0, 0).ok()?;
            Some(format!(":{}:{}", found.line() + 1, found.column() + 1))
        });
        let path = self.path(error.file().unwrap_or(file));
        match (place, self.files.read(&path)) {
            (Some(place), _) => format!("{path}{place}: {error}"),
            (None, Ok(_)) => format!("{path}: {error}"),
            (None, Err(why)) => format!("`{path}` {why}"),
        }
    }

    fn take(&self, bytes: usize) -> Result<(), protox::Error> {
        // What was counted stays right whoever panicked.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match (left.files.checked_sub(1), left.bytes.checked_sub(bytes)) {
            (Some(files), Some(bytes)) => {
                *left = Left { files, bytes };
                Ok(())
            }
            _ => Err(protox::Error::new(format!(
                "a manifest has at most {MOST_FILES} .proto files, of {} MiB together",
                MOST_BYTES >> 20
            ))),
        }
    }
}

/// On how many levels a text has braces, be they of messages or of comments.
fn levels(text: &str) -> usize {
    let (mut level, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' => level += 1,
            b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        most = most.max(level);
    }
    most
}

impl FileResolver for Reading {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = self.files.read(&self.path(name)).map_err(|_| protox::Error::file_not_found(name))?;
        self.take(text.len())?;
        if levels(&text) > MOST_LEVELS {
            return Err(protox::Error::new(format!("it has braces on more than {MOST_LEVELS} levels")));
        }
        File::from_source(name, &text)
    }
}
