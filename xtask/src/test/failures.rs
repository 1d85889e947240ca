//! What failed, told again at the end: among the output of thousands of tests nobody finds it.

/// The most that is told of one test, and of how many.
const MOST_LINES: usize = 40;
const MOST_TESTS: usize = 20;

/// Reads what tests print, and keeps what those that failed say of it.
#[derive(Debug, Default)]
pub(super) struct Failures {
    told: Vec<Failure>,
    is_within: bool,
    is_backtrace: bool,
}

#[derive(Debug)]
struct Failure {
    name: String,
    lines: Vec<String>,
}

impl Failures {
    /// Takes the next line of the output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.told.push(Failure { name: name.to_owned(), lines: Vec::new() });
            (self.is_within, self.is_backtrace) = (true, false);
            return;
        }
        // After the last of a program's come their names.
        if line == "failures:" || line.starts_with("test ") || line.trim_start().starts_with("Running ") {
            self.is_within = false;
        }
        self.is_backtrace = match line {
            "stack backtrace:" => true,
            _ => self.is_backtrace && line.starts_with(' '),
        };
        let failure = self.told.last_mut().filter(|_| self.is_within && !self.is_backtrace);
        if let Some(failure) = failure.filter(|_| !line.is_empty()) {
            failure.lines.push(line.to_owned());
        }
    }

    /// Tells what failed, if anything did.
    pub(super) fn tell(&self) {
        for Failure { name, lines } in self.told.iter().take(MOST_TESTS) {
            println!("\n{name} failed:");
            lines.iter().take(MOST_LINES).for_each(|line| println!("  {line}"));
            if lines.len() > MOST_LINES {
                println!("  … and {} more lines above", lines.len() - MOST_LINES);
            }
        }
        if !self.told.is_empty() {
            println!("\n{} failed", self.told.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failures;

    #[test]
    fn what_failed_is_kept_without_backtraces_and_what_passed() {
        let output = "running 3 tests\n\
            test one ... ok\n\
            test two ... FAILED\n\
            test three ... FAILED\n\
            \n\
            failures:\n\
            \n\
            ---- two stdout ----\n\
            thread 'two' panicked at src/lib.rs:1:2:\n\
            it is not so\n\
            stack backtrace:\n   0: begin_panic\n             at /lib.rs\n\
            note: Some details are omitted\n\
            \n\
            ---- three stdout ----\n\
            neither is this\n\
            \n\
            failures:\n    two\n    three\n\
            test result: FAILED. 1 passed\n";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        let told: Vec<_> =
            failures.told.iter().map(|failure| (failure.name.as_str(), failure.lines.join("|"))).collect();
        let two = "thread 'two' panicked at src/lib.rs:1:2:|it is not so|note: Some details are omitted";
        assert_eq!(told, [("two", two.to_owned()), ("three", "neither is this".to_owned())]);
    }
}
