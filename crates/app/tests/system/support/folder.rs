//! A folder with a manifest.

use super::tenon::Tenon;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder of its own, removed at the end. Its path is short, because a Unix socket lives in it.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    hold: &'static str,
}

impl Folder {
    /// A folder with this manifest.
    pub(crate) fn with(manifest: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("tenon-").tempdir().unwrap();
        let folder = Self { folder, hold: "60s" };
        folder.write_manifest(manifest);
        folder
    }

    /// The same for a system that holds calls which find no instance for so long, not for as long as they may take.
    pub(crate) fn holding(self, hold: &'static str) -> Self {
        Self { hold, ..self }
    }

    /// A copy of the example shop, whose calls have more time than any machine needs: that they end in time is shown
    /// elsewhere.
    pub(crate) fn of_the_shop() -> Self {
        let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
        let mut manifest = fs::read_to_string(shop.join("tenon.yaml")).unwrap();
        for (own, patient) in [
            ("\n    timeout: 2s\n", "\n    timeout: 60s\n"),
            ("\n    timeout: 8s\n", "\n    timeout: 60s\n"),
            ("\n      timeout: 10s\n", "\n      timeout: 60s\n"),
            ("per_try_timeout: 250ms", "per_try_timeout: 60s"),
        ] {
            assert!(manifest.contains(own), "the shop has other times than {own:?}");
            manifest = manifest.replace(own, patient);
        }
        let folder = Self::with(&manifest);
        for part in ["recommendation", "notification", "loyalty"] {
            copy_files(&shop.join(part), &folder.path().join(part));
        }
        folder
    }

    /// Writes the manifest anew.
    pub(crate) fn write_manifest(&self, manifest: &str) {
        for program in ["shop-payment", "shop-order", "shop-inventory"] {
            assert!(
                !manifest.contains(program) || beside_tenon(program).is_file(),
                "{program} is not built: run `cargo xtask test`, which builds what these tests need"
            );
        }
        fs::write(self.manifest(), manifest).unwrap();
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join("tenon.yaml")
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join(".tenon")
    }

    /// Where `tenon up` prints to.
    pub(crate) fn printed(&self) -> PathBuf {
        self.path().join("up.log")
    }

    /// A `tenon` command on this folder.
    pub(crate) fn tenon(&self) -> Tenon {
        Tenon::on(self.path(), &self.data(), self.hold)
    }

    /// The ends of all that was printed, for a test that fails.
    pub(crate) fn show_logs(&self) {
        eprintln!("--- {} ---\n{}", self.printed().display(), tail(&self.printed()));
        let Ok(entries) = fs::read_dir(self.data().join("logs")) else { return };
        for entry in entries.flatten() {
            eprintln!("--- {} ---\n{}", entry.path().display(), tail(&entry.path()));
        }
    }
}

/// A program in the folder of the binary under test.
fn beside_tenon(program: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tenon")).with_file_name(program)
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The last 40 lines of a file.
fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
