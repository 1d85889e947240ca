use super::*;

fn program(directory: &Path, command: &[&str]) -> Program {
    Program {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        directory: directory.to_owned(),
        env: BTreeMap::new(),
        hidden: Vec::new(),
        log: directory.join("test.log"),
    }
}

#[test]
fn a_program_is_found_as_a_shell_would_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let search = OsString::from("/usr/bin:/bin");
    assert!(find_executable(&program(folder.path(), &["sh"]), &search).unwrap().ends_with("sh"));
    let tool = folder.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\n").unwrap();
    let relative = program(folder.path(), &["./tool"]);
    assert!(find_executable(&relative, &search).is_err(), "it is not executable yet");
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(find_executable(&relative, &search).unwrap(), folder.path().join("./tool"));
}

#[test]
fn what_cannot_be_started_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let search = OsString::from("/usr/bin:/bin");
    let said = |program: &Program| find_executable(program, &search).unwrap_err().to_string();
    assert!(said(&program(folder.path(), &["no-such-tool"])).contains("\"no-such-tool\" is not in PATH"));
    assert!(said(&program(&folder.path().join("none"), &["sh"])).contains("none does not exist"));
    assert!(said(&program(folder.path(), &[])).contains("no program is given"));
}
