//! Who owns which data store.

use super::services;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::suggest;
use crate::manifest::tree::Node;
use std::collections::BTreeMap;

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    let (mut by_name, mut by_connection) = (BTreeMap::new(), BTreeMap::new());
    for service in services(root) {
        for (index, store) in
            service.value.get("data").map(Node::items).unwrap_or_default().iter().enumerate()
        {
            let store = Store {
                service: &service.key,
                path: format!("services.{}.data[{index}]", service.key),
                node: store,
            };
            let shared =
                store.claim("name", &mut by_name).or_else(|| store.claim("connection", &mut by_connection));
            if let Some(draft) = shared {
                problems.add(draft);
            }
            if let Some(draft) = store.nearly_known_type() {
                problems.add(draft);
            }
        }
    }
}

/// Who first had a name or a connection, and where.
type Owners<'a> = BTreeMap<&'a str, (&'a str, Span)>;

struct Store<'a> {
    service: &'a str,
    path: String,
    node: &'a Node,
}

impl<'a> Store<'a> {
    /// Notes the owner; the problem if there is another one already.
    fn claim(&self, key: &str, owners: &mut Owners<'a>) -> Option<Draft> {
        let stated = self.node.get(key)?;
        let place = stated.get("env").unwrap_or(stated);
        let text = place.text()?;
        let (owner, first) = *owners.entry(text).or_insert((self.service, place.span));
        if owner == self.service {
            return None;
        }
        let (what, help) = match key {
            "name" => (
                format!("the data store `{text}`"),
                "give it to one of them; if they are different stores, give them different names",
            ),
            _ => (format!("the connection `{text}`"), "give each service a store of its own"),
        };
        let message = format!("{what} is shared by `{owner}` and `{}`", self.service);
        let draft =
            Draft::new(Finding::SharedStore, place.span, message).path(format!("{}.{key}", self.path));
        Some(
            draft
                .label("expected a store that only this service has")
                .note(first, format!("`{owner}` has it here"))
                .help(help),
        )
    }

    fn nearly_known_type(&self) -> Option<Draft> {
        const KNOWN: [&str; 6] = ["postgresql", "mongodb", "redis", "elasticsearch", "sqlite", "file"];
        const OTHER_NAMES: [(&str, &str); 4] = [
            ("postgres", "postgresql"),
            ("pg", "postgresql"),
            ("mongo", "mongodb"),
            ("elastic", "elasticsearch"),
        ];
        let node = self.node.get("type")?;
        let text = node.text().filter(|text| !KNOWN.contains(text))?;
        let alias = OTHER_NAMES.iter().find(|(other, _)| *other == text).map(|(_, name)| *name);
        let meant = alias.or_else(|| suggest::nearest(text, KNOWN))?;
        let draft = Draft::new(
            Finding::UnknownStoreType,
            node.span,
            format!("`{text}` is not a known type of data store"),
        );
        Some(
            draft
                .path(format!("{}.type", self.path))
                .label("is checked as little as any unknown type")
                .suggestion(Some(meant)),
        )
    }
}
