//! Short texts.

use smol_str::SmolStr;
use std::fmt;
use std::ops::Deref;

/// An immutable text that is cheap to make and to copy: one of up to 23 bytes is kept in place, a longer one is shared.
#[derive(Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(SmolStr);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(SmolStr::new(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(SmolStr::from(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_was_made_of_short_or_long() {
        for length in [0, 1, 22, 23, 24, 300] {
            let text = "é".repeat(length / 2);
            let made = Text::from(text.as_str());
            assert_eq!(
                (made.as_str(), &made, made.clone()),
                (text.as_str(), &Text::from(text.clone()), made.clone())
            );
            assert_eq!((made.to_string(), String::from(made)), (text.clone(), text));
        }
    }
}
