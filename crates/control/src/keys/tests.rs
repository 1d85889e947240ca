use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn instance(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

#[test]
fn missing_keys_are_made_for_their_owner_only() {
    let data = folder();
    let keys = data.path().join("keys");
    Keys::open(&keys).unwrap();
    assert_eq!(mode(&keys), 0o700);
    assert_eq!(mode(&keys.join(API_TOKEN_FILE)), 0o600);
    assert_eq!(mode(&keys.join(MESH_KEY_FILE)), 0o600);
}

#[test]
fn keys_survive_a_restart_and_differ_between_systems() {
    let (first, second) = (folder(), folder());
    let made = Keys::open(first.path()).unwrap();
    let read = Keys::open(first.path()).unwrap();
    let other = Keys::open(second.path()).unwrap();
    let payment = instance("payment-1");
    assert_eq!(made.api_token(), read.api_token());
    assert_eq!(made.instance_secret(&payment), read.instance_secret(&payment));
    assert_ne!(made.api_token(), other.api_token());
    assert_ne!(made.instance_secret(&payment), other.instance_secret(&payment));
}

#[test]
fn every_instance_has_a_secret_of_its_own() {
    let data = folder();
    let keys = Keys::open(data.path()).unwrap();
    assert_ne!(keys.instance_secret(&instance("a")), keys.instance_secret(&instance("b")));
    assert_ne!(keys.instance_secret(&instance("a")), keys.api_token());
    assert_eq!(
        keys.instance_credential(&instance("a")),
        sha256(keys.instance_secret(&instance("a")).as_bytes())
    );
}

/// The expected value was made with `openssl dgst -sha256 -mac HMAC`.
#[test]
fn a_secret_is_the_hmac_sha256_of_the_id() {
    let keys = Keys { folder: PathBuf::new(), api_token: String::new(), mesh: [0; KEY_BYTES] };
    let expected = "e5117c5d39b53e3bbbc4aabbb7f3a6f6650de36d9ff6f6d01f2b6ee6c58ef0b9";
    assert_eq!(keys.instance_secret(&instance("payment-1")), expected);
}

#[test]
fn only_the_token_itself_is_accepted() {
    let data = folder();
    let keys = Keys::open(data.path()).unwrap();
    let token = keys.api_token().to_owned();
    assert!(keys.is_api_token(&token));
    assert!(!keys.is_api_token(&token[1..]));
    assert!(!keys.is_api_token(&token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "x")));
    assert!(!keys.is_api_token(""));
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let data = folder();
    Keys::open(data.path()).unwrap();
    let path = data.path().join(MESH_KEY_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Keys::open(data.path()).unwrap_err().to_string();
    assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_damaged_key_is_refused_and_not_replaced() {
    let data = folder();
    Keys::open(data.path()).unwrap();
    let path = data.path().join(API_TOKEN_FILE);
    for text in ["", "00ff", &"zz".repeat(32), &"é".repeat(32)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(Keys::open(data.path()), Err(KeyError::Malformed { .. })), "{text:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_a_crash_left_half_written_is_replaced() {
    let data = folder();
    fs::write(data.path().join("mesh.new"), "12").unwrap();
    Keys::open(data.path()).unwrap();
    assert!(Keys::open(data.path()).is_ok());
}

#[test]
fn keys_are_not_shown_when_printed() {
    let data = folder();
    let keys = Keys::open(data.path()).unwrap();
    assert!(!format!("{keys:?}").contains(keys.api_token()));
}
