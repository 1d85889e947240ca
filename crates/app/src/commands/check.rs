//! `tenon check` and `tenon schema`.

use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::render::Screen;
use crate::session;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tenon_analysis::manifest::{self, Files, Note, Place, Problem, Report, Style};
use tenon_core::Code;
use tenon_core::manifest::System;
use tenon_core::saga::Protos;

/// A manifest is read no further than this; the reader itself takes 1 MiB.
const MAX_FILE: u64 = 4 << 20;

/// Reports every problem of a manifest.
pub(crate) fn check(screen: Screen, options: &cli::Check) -> Outcome {
    let text = read(&options.file)?;
    let (system, report) = understood(&text, &options.file, &Folder::of(&options.file));
    let report = if options.strict { report.strict() } else { report };
    if screen.is_json() {
        screen.json(&as_json(&report))?;
    } else {
        print(screen, &report);
        if let (Some(system), false) = (&system, report.has_errors()) {
            screen.line(&summary(&options.file, system, &report))?;
        }
    }
    if report.has_errors() { Err(Failure::printed(Code::ManifestInvalid)) } else { Ok(()) }
}

/// Prints the JSON Schema.
pub(crate) fn schema(screen: Screen) -> Outcome {
    Ok(screen.json(&manifest::schema())?)
}

/// What `.proto` files below a folder describe.
pub(crate) fn described(folder: &str, named: &[String]) -> Result<Protos, Failure> {
    let files: Arc<dyn Files> = Arc::new(Folder { root: PathBuf::from(folder), read: Mutex::default() });
    let found = manifest::descriptors("", named, &files);
    found.map_err(|problem| Failure::new(Code::RequestInvalid, problem))
}

/// A manifest as it was written, with the files that it names.
pub(crate) struct Written {
    pub(crate) text: String,
    /// By their paths relative to its folder.
    pub(crate) files: BTreeMap<String, String>,
}

/// Reads a manifest and prints what is wrong with it; errors end the command.
pub(crate) fn load(screen: Screen, file: &Path) -> Result<(Written, System), Failure> {
    let text = read(file)?;
    let folder = Folder::of(file);
    let (system, report) = understood(&text, file, &folder);
    print(screen, &report);
    match system {
        Some(system) => Ok((Written { text, files: folder.read() }, system)),
        None => Err(Failure::printed(Code::ManifestInvalid)),
    }
}

fn understood(text: &str, file: &Path, folder: &Arc<Folder>) -> (Option<System>, Report) {
    let files: Arc<dyn Files> = Arc::clone(folder) as Arc<dyn Files>;
    manifest::read_with(text, &file.display().to_string(), &files)
}

/// The folder of a manifest, and what was read there.
struct Folder {
    root: PathBuf,
    read: Mutex<BTreeMap<String, String>>,
}

impl Folder {
    fn of(manifest: &Path) -> Arc<Self> {
        Arc::new(Self { root: session::folder_of(manifest), read: Mutex::default() })
    }

    fn read(&self) -> BTreeMap<String, String> {
        // Whoever panicked has added a whole file or none.
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        let file = self.root.join(path);
        let size = std::fs::metadata(&file).map_err(|error| format!("cannot be read: {error}"))?.len();
        if size > MAX_FILE {
            return Err(format!("has {size} bytes; {MAX_FILE} is the most"));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot be read: {error}"))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(path.to_owned(), text.clone());
        Ok(text)
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| {
        let message = format!("cannot read the manifest {}: {why}", file.display());
        Failure::new(Code::ManifestUnreadable, message)
    };
    let size = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(unreadable(format!("it has {size} bytes; a manifest has at most 1 MiB")));
    }
    std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))
}

fn print(screen: Screen, report: &Report) {
    let terminal = std::io::stderr().is_terminal();
    let width = if terminal { terminal_width() } else { 100 };
    let style = Style { color: screen.colors_remarks(), unicode: true, width };
    let text = report.to_text(style);
    if !text.is_empty() {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .map_or(100, |size| usize::from(size.ws_col).clamp(40, 120))
}

fn summary(file: &Path, system: &System, report: &Report) -> String {
    let replicas: u32 = system.services.values().map(tenon_core::manifest::Service::replicas).sum();
    let routes = system.gateway.as_ref().map_or(0, |gateway| gateway.routes.len());
    let warnings = match report.problems.len() {
        0 => String::new(),
        1 => "; 1 warning".to_owned(),
        many => format!("; {many} warnings"),
    };
    format!(
        "{} is well formed: {} services, {replicas} replicas, {routes} gateway routes, {} sagas{warnings}",
        file.display(),
        system.services.len(),
        system.sagas.len(),
    )
}

fn as_json(report: &Report) -> Value {
    json!({
        "file": report.name,
        "ok": !report.has_errors(),
        "problems": report.problems.iter().map(problem_as_json).collect::<Vec<_>>(),
        "omitted": report.omitted,
    })
}

fn problem_as_json(problem: &Problem) -> Value {
    let mut value = place_as_json(&problem.place);
    let notes = problem.notes.iter().map(|Note { place, label }| {
        let mut note = place_as_json(place);
        note["label"] = json!(label);
        note
    });
    value["code"] = json!(problem.code());
    value["severity"] = json!(problem.severity.as_str());
    value["message"] = json!(problem.message);
    value["path"] = json!(problem.path);
    value["expected"] = json!(problem.label);
    value["suggestion"] = json!(problem.suggestion);
    value["help"] = json!(problem.help);
    value["documentation"] = json!(problem.documentation());
    value["notes"] = notes.collect();
    value
}

fn place_as_json(place: &Place) -> Value {
    json!({"line": place.line, "column": place.column, "text": place.text})
}
