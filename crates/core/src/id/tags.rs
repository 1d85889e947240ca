//! The tags of an event.

use super::Tag;
use std::collections::BTreeSet;
use std::ops::Deref;

/// A small set of tags, kept flat and in order: there are few, and there are many such sets.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// No tags.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a tag, unless it is there.
    pub fn insert(&mut self, tag: Tag) {
        // Nearly always they come in order.
        match self.0.last() {
            Some(last) if *last >= tag => {
                if let Err(at) = self.0.binary_search(&tag) {
                    self.0.insert(at, tag);
                }
            }
            _ => self.0.push(tag),
        }
    }

    /// Whether every one of some tags is there.
    pub fn include(&self, wanted: &BTreeSet<Tag>) -> bool {
        wanted.iter().all(|tag| self.0.binary_search(tag).is_ok())
    }
}

impl Deref for Tags {
    type Target = [Tag];
    fn deref(&self) -> &[Tag] {
        &self.0
    }
}

impl Extend<Tag> for Tags {
    fn extend<I: IntoIterator<Item = Tag>>(&mut self, tags: I) {
        tags.into_iter().for_each(|tag| self.insert(tag));
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let mut set = Self::new();
        set.extend(tags);
        set
    }
}

impl<const N: usize> From<[Tag; N]> for Tags {
    fn from(tags: [Tag; N]) -> Self {
        tags.into_iter().collect()
    }
}

impl From<BTreeSet<Tag>> for Tags {
    fn from(tags: BTreeSet<Tag>) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl IntoIterator for Tags {
    type Item = Tag;
    type IntoIter = std::vec::IntoIter<Tag>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = &'a Tag;
    type IntoIter = std::slice::Iter<'a, Tag>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tags_are_the_set_that_a_tree_would_be(texts in prop::collection::vec("[a-e]{1,2}", 0..12), wanted in prop::collection::btree_set("[a-e]{1,2}", 0..3)) {
            let tree: BTreeSet<Tag> = texts.iter().map(|text| Tag::new(text).unwrap()).collect();
            let tags: Tags = texts.iter().map(|text| Tag::new(text).unwrap()).collect();
            prop_assert!(tags.iter().eq(&tree));
            prop_assert_eq!(&tags, &Tags::from(tree.clone()));
            let wanted = wanted.iter().map(|text| Tag::new(text).unwrap()).collect();
            prop_assert_eq!(tags.include(&wanted), tree.is_superset(&wanted));
        }
    }
}
