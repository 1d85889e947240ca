//! Where in a manifest something stands, as people write it: `services.order.interfaces[0].name`.

use std::fmt;

/// A path from the root, linked upwards so that walking down allocates nothing.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    step: Option<(&'a Path<'a>, Step<'a>)>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { step: None };

    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self { step: Some((self, Step::Key(key))) }
    }

    pub(super) fn item(&'a self, index: usize) -> Self {
        Self { step: Some((self, Step::Item(index))) }
    }

    /// What the value at this path is called in a message: its key, or which item of which list.
    pub(super) fn name(&self) -> String {
        match self.step {
            None => "the manifest".to_owned(),
            Some((_, Step::Key(key))) => format!("`{}`", super::source::shortened(key)),
            Some((parent, Step::Item(index))) => format!("item {} of {}", index + 1, parent.name()),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, step)) = &self.step else { return Ok(()) };
        parent.fmt(f)?;
        match step {
            Step::Item(index) => write!(f, "[{index}]"),
            Step::Key(key) if parent.step.is_none() => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
        }
    }
}
