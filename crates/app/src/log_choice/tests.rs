use super::*;

#[test]
fn a_password_on_the_command_line_is_refused_without_showing_it() {
    for url in [
        "postgres://ada:secret@db/shop",
        "postgres://ada:secret@",
        "postgres://db/shop?user=ada&password=secret",
    ] {
        let error = check_without_password(url).unwrap_err();
        assert!(error.contains(LOG_URL) && !error.contains("secret"), "{error}");
    }
    for url in ["postgres://ada@db:5432/shop", "postgres://db/shop", "postgres:///shop?host=/run/pg"] {
        assert_eq!(check_without_password(url), Ok(()));
    }
}

#[test]
fn a_url_from_a_file_is_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://ada:secret@db/shop\n").unwrap();
    let choice = cli::LogChoice { url: None, file: Some(file.path().to_owned()), keep: cli::Keep::default() };
    let url = LogUrl::chosen(&choice).unwrap().unwrap();
    assert_eq!(url.secret(), "postgres://ada:secret@db/shop");
    assert!(!format!("{url:?}").contains("secret"));
}
