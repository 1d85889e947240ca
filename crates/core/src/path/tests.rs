use super::*;
use proptest::prelude::*;

#[test]
fn there_is_one_spelling() {
    for (path, spelled) in [
        ("/a/%62/./../c", "/a/c"),
        ("/%7euser", "/~user"),
        ("/a%2fb", "/a%2Fb"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/%2e%2e/a", "/a"),
        ("//a/..//b", "///b"),
    ] {
        assert_eq!(normalise(path), Ok(Some(spelled.to_owned())), "{path}");
    }
    for path in ["/", "/a%2Fb", "/.hidden", "/a..b", "*"] {
        assert_eq!(normalise(path), Ok(None), "{path}");
    }
    for path in ["/%", "/%4", "/%zz", "/%4\u{e9}"] {
        assert_eq!(normalise(path), Err(MalformedEscape), "{path}");
    }
}

proptest! {
    #[test]
    fn a_spelling_is_its_own(path in "/([a./]|%[0-9a-fA-F]{2}){0,12}") {
        let once = normalise(&path).unwrap().unwrap_or(path);
        prop_assert_eq!(normalise(&once), Ok(None));
        prop_assert!(once.starts_with('/'));
        let has_dots = once.split('/').any(|segment| matches!(segment, "." | ".."));
        prop_assert!(!has_dots);
    }
}
