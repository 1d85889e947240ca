//! "Did you mean": the known word that was most likely meant.

/// The candidate that is nearest to what was written, if one is near: the same but for case, `-` and `_`,
/// or at most a third of its letters away (at least one).
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = folded(written);
    let most = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The longest text that is compared letter by letter: comparing takes the square of it.
const MOST_COMPARED: usize = 64;

fn folded(text: &str) -> String {
    let letters = text.chars().filter(|letter| !matches!(letter, '-' | '_' | ' '));
    letters.flat_map(char::to_lowercase).take(MOST_COMPARED).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_keyboard_finds_the_word() {
        let known = ["replicas", "depends_on", "env", "health"];
        assert_eq!(nearest("replcias", known), Some("replicas"));
        assert_eq!(nearest("dependsOn", known), Some("depends_on"));
        assert_eq!(nearest("depends-on", known), Some("depends_on"));
        assert_eq!(nearest("Health", known), Some("health"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("volumes", ["replicas", "env"]), None);
        assert_eq!(nearest("", ["replicas"]), None);
    }

    #[test]
    fn what_is_written_in_any_alphabet_is_compared() {
        assert_eq!(nearest("名前", ["name"]), None);
        assert_eq!(nearest(&"é".repeat(10_000), ["name"]), None);
    }
}
