//! Certificates on disk, so that a data plane that starts with no server there can show who it is.
//!
//! A folder (mode 0700) with a file for each workload, named as [`Workload::dns_name`](tenon_core::identity::Workload)
//! has it with `.pem`: the certificate, what leads to its root, and the private key (PKCS #8); and `roots.pem`. Files that
//! anything else made will do as well.

use super::identities::{Identities, Identity};
use super::peers::named;
use crate::pool::chain;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use tenon_core::Timestamp;

const ROOTS_FILE: &str = "roots.pem";
/// A line before the certificates, which PEM readers pass over.
const UNTIL: &str = "until: ";

/// Uses what is in `folder`. What cannot be used is reported and left alone.
pub(crate) fn restore(identities: &Identities, folder: &Path) {
    let Ok(roots) = fs::read(folder.join(ROOTS_FILE)) else { return };
    let roots = certificates(&roots);
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "pem"));
    for file in files.filter(|path| path.file_name().is_some_and(|name| name != ROOTS_FILE)) {
        match read(&file, &roots).and_then(|identity| identities.put(&identity).map_err(io::Error::other)) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(file = %file.display(), error = chain(&error), "a certificate cannot be used");
            }
        }
    }
}

fn read(file: &Path, roots: &[Vec<u8>]) -> io::Result<Identity> {
    let text = fs::read_to_string(file)?;
    let certificates = certificates(text.as_bytes());
    let id = certificates.first().and_then(|first| named(&CertificateDer::from(first.as_slice())));
    let id = id.ok_or_else(|| io::Error::other("it holds no certificate with an identity"))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(io::Error::other)?;
    let stated = text.lines().find_map(|line| line.strip_prefix(UNTIL)?.trim().parse().ok());
    let until = Timestamp::from_micros(stated.unwrap_or(u64::MAX));
    let key = key.secret_pkcs8_der().to_vec();
    Ok(Identity { id, certificates, key, roots: roots.to_vec(), until })
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).map(|it| it.to_vec()).collect()
}

/// Keeps an identity. That it cannot be kept is reported and does no other harm.
pub(crate) fn save(folder: &Path, identity: &Identity) {
    let name = format!("{}.pem", identity.id.workload.dns_name());
    let saved = (|| {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        write(
            folder,
            ROOTS_FILE,
            &identity.roots.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>(),
        )?;
        write(folder, &name, &own_text(identity))
    })();
    if let Err(error) = saved {
        tracing::warn!(folder = %folder.display(), error = chain(&error), "a certificate could not be kept");
    }
}

fn own_text(identity: &Identity) -> String {
    let chain: String = identity.certificates.iter().map(|der| pem("CERTIFICATE", der)).collect();
    format!("{UNTIL}{}\n{chain}{}", identity.until.as_micros(), pem("PRIVATE KEY", &identity.key))
}

/// Whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = folder.join(format!("{name}.draft"));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(draft, folder.join(name))
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
