//! A private PostgreSQL server for tests: made in a temporary folder from the programs of the system's package, reached
//! by a socket in that folder and by nothing else, and gone when the test's process is, however it ends.
//!
//! One server serves a test program ([`shared`]), with a database for each test ([`PrivateServer::database`]). Started
//! by root it runs as an unprivileged user, for PostgreSQL refuses root.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What the keeper of the server runs. It reads words from a pipe; the pipe ends with the test's process, and then so
/// does the server. Its arguments: the programs' folder, the server's, and more options of the server.
const KEEPER: &str = r#"
trap '' INT TERM HUP
options="$3 -c unix_socket_directories=$2 -c max_connections=300 -c shared_buffers=64MB"
fail() { cat "$2/log" >&2; rm -rf "$2"; exit 1; }
"$1/initdb" -D "$2/data" -U tenon -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1 || fail "$1" "$2"
"$1/pg_ctl" start -w -t 600 -D "$2/data" -l "$2/log" -o "$options" >/dev/null 2>&1 || fail "$1" "$2"
echo ready
while read -r word; do
  case $word in
    start) "$1/pg_ctl" start -w -t 600 -D "$2/data" -l "$2/log" -o "$options" >/dev/null 2>&1 ;;
    stop) "$1/pg_ctl" stop -w -m fast -D "$2/data" >/dev/null 2>&1 ;;
    crash) "$1/pg_ctl" stop -w -m immediate -D "$2/data" >/dev/null 2>&1 ;;
  esac
  echo "$word" done
done
"$1/pg_ctl" stop -w -m immediate -D "$2/data" >/dev/null 2>&1
rm -rf "$2"
"#;

/// What names the socket of a server that has no port. Servers do not share a folder.
const SOCKET_PORT: u16 = 5432;

/// What a server that takes TLS finds beside its data.
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// A server of this process alone. Dropping it ends it.
#[derive(Debug)]
pub struct PrivateServer {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

/// Why there is no server to test on.
#[derive(Debug, thiserror::Error)]
pub enum NoServer {
    /// PostgreSQL is not installed.
    #[error("PostgreSQL is not installed; on Debian and Ubuntu: sudo apt-get install -y postgresql")]
    NotInstalled,
    /// It could not be started.
    #[error("a private PostgreSQL did not start: {0}")]
    NotStarted(String),
}

/// The server of this test program; started by whoever asks first. It outlives clients that are killed, and does not
/// wait for a disk, which others may be using: what it has is gone with the test anyway.
///
/// # Panics
/// If there is none to be had: a test that needs it must not pass without it.
#[allow(clippy::panic, reason = "a test that cannot run fails")]
pub fn shared() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    let start = || PrivateServer::make(None, SOCKET_PORT, "-c listen_addresses= -c fsync=off");
    SERVER.get_or_init(|| start().unwrap_or_else(|error| panic!("{error}")))
}

impl PrivateServer {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// [`NoServer`] says what is missing.
    pub fn start() -> Result<Self, NoServer> {
        Self::make(None, SOCKET_PORT, "-c listen_addresses=")
    }

    /// One that is reached by TLS, too: at a port of 127.0.0.1, with this certificate and its private key (PEM).
    ///
    /// # Errors
    /// [`NoServer`] says what is missing.
    pub fn start_with_tls(certificate: &str, key: &str) -> Result<Self, NoServer> {
        let not_started = |error: std::io::Error| NoServer::NotStarted(error.to_string());
        let mut tries = 5;
        loop {
            // Somebody else may take it in between.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
            let port = free.map_err(not_started)?.port();
            let options = format!(
                "-c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file=../{CERTIFICATE} -c ssl_key_file=../{KEY}"
            );
            match Self::make(Some([(CERTIFICATE, certificate), (KEY, key)]), port, &options) {
                Err(NoServer::NotStarted(_)) if tries > 1 => tries -= 1,
                made => return made,
            }
        }
    }

    fn make(files: Option<[(&str, &str); 2]>, port: u16, options: &str) -> Result<Self, NoServer> {
        let not_started = |error: std::io::Error| NoServer::NotStarted(error.to_string());
        let programs = programs().ok_or(NoServer::NotInstalled)?;
        // Short: the path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("tenon-pg-").tempdir().map_err(not_started)?.keep();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(&programs).arg(&folder);
        command.arg(format!("{options} -c port={port}")).current_dir("/");
        let paths = files.into_iter().flatten().map(|(name, text)| (folder.join(name), text));
        for (path, text) in paths.clone() {
            fs::write(&path, text).map_err(not_started)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(not_started)?;
        }
        if let Some((user, group)) = other_user() {
            for (path, _) in paths {
                chown(path, Some(user), Some(group)).map_err(not_started)?;
            }
            chown(&folder, Some(user), Some(group)).map_err(not_started)?;
            command.uid(user).gid(group);
        }
        // A group of its own, so that what interrupts the tests does not interrupt their end.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(not_started)?;
        let Some(answers) = process.stdout.take().map(BufReader::new) else {
            return Err(NoServer::NotStarted("it has no output".to_owned()));
        };
        let mut keeper = Keeper { process, answers };
        if keeper.answer().as_deref() != Some("ready") {
            return Err(NoServer::NotStarted("its output tells why".to_owned()));
        }
        Ok(Self { programs, folder, port, keeper: Mutex::new(keeper), databases: AtomicU32::new(0) })
    }

    /// Makes an empty database and answers with its URL.
    ///
    /// # Panics
    /// If the server does not make it.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // Of the template that nobody is let into: of another none can be made while somebody is.
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.url(&name)
    }

    /// The URL of a database, by the socket.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?user=tenon&host={}&port={}", self.folder.display(), self.port)
    }

    /// The port at 127.0.0.1, of a server that takes TLS; what names the socket, of another.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL in a database (a name or a URL) by `psql`, and answers with what it prints.
    ///
    /// # Panics
    /// If it fails.
    #[allow(clippy::panic, reason = "a test that cannot run fails")]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let url = if database.contains(':') { database.to_owned() } else { self.url(database) };
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql])
            .output()
            .unwrap_or_else(|error| panic!("psql: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends the server in order: clients are cut off.
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// Ends the server as a crash would.
    pub fn crash(&self) {
        self.tell("crash");
    }

    /// Starts the server after it was ended.
    pub fn start_again(&self) {
        self.tell("start");
    }

    #[allow(clippy::panic, reason = "a test that cannot run fails")]
    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let told = keeper.process.stdin.as_mut().map(|input| writeln!(input, "{word}"));
        assert!(matches!(told, Some(Ok(()))), "the private PostgreSQL's keeper is gone");
        let answer = keeper.answer();
        assert_eq!(answer, Some(format!("{word} done")));
    }
}

impl Keeper {
    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.process.stdin.take());
        // There is nobody left to tell.
        let _ = keeper.process.wait();
    }
}

/// The folder of PostgreSQL's programs: of the newest version that Debian's packages installed, or where `pg_config`
/// says.
fn programs() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin")))).max();
    newest.map(|(_, bin)| bin).or_else(asked).filter(|bin| bin.join("initdb").exists())
}

fn asked() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Whom the server runs as, if this process is root's: the package's own user, or nobody.
fn other_user() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let ids = |name: &str| {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect())
            .find(|it: &Vec<&str>| it.first() == Some(&name))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    if root { ids("postgres").or_else(|| ids("nobody")) } else { None }
}
