use super::*;
use std::os::unix::fs::PermissionsExt;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const TTL: Duration = Duration::from_secs(3_600);

fn system(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn payment() -> Workload {
    Workload::Service("payment".parse().unwrap())
}

fn request() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    // Asks to be somebody else, and to be an authority.
    let mut params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn issue(ca: &Ca, system_name: &str) -> Issued {
    ca.issue(&system(system_name), payment(), &request(), TTL, NOW).unwrap()
}

#[test]
fn a_certificate_says_who_its_holder_is_and_nothing_of_what_it_asked_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let issued = issue(&Ca::new(folder.path()), "shop");
    assert_eq!(issued.id.to_string(), "spiffe://shop/ns/default/sa/payment");
    assert_eq!(issued.until, NOW.after(TTL));
    let text = String::from_utf8_lossy(&issued.certificates[0]).into_owned();
    assert!(text.contains("spiffe://shop/ns/default/sa/payment"));
    assert!(!text.contains("admin.example"));
}

#[test]
fn a_restarted_authority_is_the_same_one_whatever_the_system_is_called_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let before = issue(&Ca::new(folder.path()), "shop");
    let after = issue(&Ca::new(folder.path()), "renamed");
    assert_eq!(before.roots, after.roots);
    assert_eq!(after.id.trust_domain.as_str(), "shop");
}

#[test]
fn roots_that_were_added_are_believed_too() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    issue(&Ca::new(folder.path()), "shop");
    let old = issue(&Ca::new(other.path()), "shop");
    let both = ["ca.pem"].map(|file| {
        fs::read_to_string(folder.path().join(file)).unwrap()
            + &fs::read_to_string(other.path().join(file)).unwrap()
    });
    fs::write(folder.path().join("ca.pem"), &both[0]).unwrap();
    let roots = issue(&Ca::new(folder.path()), "shop").roots;
    assert_eq!(roots.len(), 2);
    assert_eq!(roots[1], old.roots[0]);
}

#[test]
fn the_key_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    issue(&Ca::new(folder.path()), "shop");
    let key = folder.path().join(KEY_FILE);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Ca::new(folder.path()).issue(&system("shop"), payment(), &request(), TTL, NOW);
    assert!(matches!(refused, Err(CaError::Exposed { .. })));
}

#[test]
fn what_is_no_request_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new(folder.path());
    let mut forged = request();
    // The last byte is of the signature.
    *forged.last_mut().unwrap() ^= 1;
    for bytes in [Vec::new(), vec![1, 2, 3], forged] {
        let refused = ca.issue(&system("shop"), payment(), &bytes, TTL, NOW);
        assert!(matches!(refused, Err(CaError::Request(_))));
    }
}

#[test]
fn what_is_told_of_its_end_is_not_later_than_what_stands_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let now = NOW.after(Duration::from_micros(999_999));
    let ca = Ca::new(folder.path());
    let issued = ca.issue(&system("shop"), payment(), &request(), Duration::from_secs(2), now).unwrap();
    assert_eq!(issued.until, NOW.after(Duration::from_secs(2)));
}
