use super::*;

fn spelled(path: &str) -> Result<String, MalformedEscape> {
    let uri: Uri = path.parse().unwrap();
    Ok(normalise(&uri)?.unwrap_or(uri).to_string())
}

#[test]
fn each_path_has_one_spelling() {
    let cases = [
        ("/a/b?x=%2e", "/a/b?x=%2e"),
        ("/%61dmin", "/admin"),
        ("/a%2fb", "/a%2Fb"),
        ("/a/./b/../c", "/a/c"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/../../a", "/a"),
        ("/%2e%2e/a?q", "/a?q"),
        ("/..a/.b", "/..a/.b"),
        ("/a//b/../c", "/a//c"),
        ("http://host/a/../b", "http://host/b"),
    ];
    for (given, expected) in cases {
        assert_eq!(spelled(given).as_deref(), Ok(expected), "{given}");
    }
}

#[test]
fn a_spelled_path_is_its_own_spelling() {
    for path in ["/%61/../%2e/%7e%2f", "/./..//a/%2E%2E/b", "/%c3%a9/.."] {
        let once = spelled(path).unwrap();
        assert_eq!(spelled(&once).as_deref(), Ok(once.as_str()), "{path}");
    }
}

#[test]
fn malformed_escapes_are_refused() {
    for path in ["/%", "/%2", "/%zz", "/a%2"] {
        assert_eq!(spelled(path), Err(MalformedEscape), "{path}");
    }
}
