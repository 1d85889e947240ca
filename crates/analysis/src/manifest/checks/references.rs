//! Names that refer to services, and names that must differ.

use super::services;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::{Span, shortened};
use crate::manifest::suggest;
use crate::manifest::tree::Node;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    let known = services(root).iter().map(|entry| entry.key.as_str()).collect();
    let mut names = Names { known, problems };
    names.of_services(root);
    names.of_traffic(root);
    names.of_gateway(root);
    names.of_config(root);
    names.of_subscriptions(root);
    names.of_sagas(root);
}

struct Names<'a, 'b, 'c> {
    known: BTreeSet<&'a str>,
    problems: &'b mut Problems<'c>,
}

impl Names<'_, '_, '_> {
    fn of_services(&mut self, root: &Node) {
        for entry in services(root) {
            let path = format!("services.{}", entry.key);
            let depends_on = entry.value.get("depends_on").map(Node::items).unwrap_or_default();
            for (index, item) in depends_on.iter().enumerate() {
                self.must_be_known(item, &format!("{path}.depends_on[{index}]"));
            }
            self.must_differ(depends_on, Some, &format!("{path}.depends_on"));
            for (list, key) in [("interfaces", "name"), ("data", "name")] {
                let items = entry.value.get(list).map(Node::items).unwrap_or_default();
                self.must_differ(items, |item| item.get(key), &format!("{path}.{list}"));
            }
            let addresses = entry.value.get("addresses").map(Node::items).unwrap_or_default();
            self.must_differ(addresses, Some, &format!("{path}.addresses"));
        }
    }

    fn of_traffic(&mut self, root: &Node) {
        for entry in root.get("traffic").map(Node::entries).unwrap_or_default() {
            if entry.key != "*" {
                self.name_must_be_known(&entry.key, entry.key_span, &format!("traffic.{}", entry.key));
            }
        }
    }

    fn of_gateway(&mut self, root: &Node) {
        let routes = super::at(root, &["gateway", "routes"]).map(Node::items).unwrap_or_default();
        self.must_differ(routes, |route| route.get("name"), "gateway.routes");
        for (route, node) in routes.iter().enumerate() {
            for (index, backend) in
                node.get("backends").map(Node::items).unwrap_or_default().iter().enumerate()
            {
                if let Some(service) = backend.get("service") {
                    self.must_be_known(
                        service,
                        &format!("gateway.routes[{route}].backends[{index}].service"),
                    );
                }
            }
        }
    }

    fn of_config(&mut self, root: &Node) {
        for entry in root.get("config").map(Node::entries).unwrap_or_default() {
            self.name_must_be_known(&entry.key, entry.key_span, &format!("config.{}", entry.key));
        }
    }

    /// A service of another namespace is another system's.
    fn of_subscriptions(&mut self, root: &Node) {
        for entry in root.get("subscriptions").map(Node::entries).unwrap_or_default() {
            let service = entry.value.get("push").and_then(|push| push.get("service"));
            if let Some(service) = service.filter(|it| it.text().is_some_and(|name| !name.contains('.'))) {
                self.must_be_known(service, &format!("subscriptions.{}.push.service", entry.key));
            }
        }
    }

    /// The same.
    fn of_sagas(&mut self, root: &Node) {
        for saga in root.get("sagas").map(Node::entries).unwrap_or_default() {
            for step in saga.value.get("steps").map(Node::entries).unwrap_or_default() {
                let path = format!("sagas.{}.steps.{}", saga.key, step.key);
                for (keys, path) in [
                    (&["call", "service"][..], format!("{path}.call.service")),
                    (&["undo", "call", "service"], format!("{path}.undo.call.service")),
                ] {
                    let service = super::at(&step.value, keys);
                    if let Some(service) =
                        service.filter(|it| it.text().is_some_and(|name| !name.contains('.')))
                    {
                        self.must_be_known(service, &path);
                    }
                }
            }
        }
    }

    fn must_be_known(&mut self, node: &Node, path: &str) {
        if let Some(name) = node.text() {
            self.name_must_be_known(name, node.span, path);
        }
    }

    fn name_must_be_known(&mut self, name: &str, span: Span, path: &str) {
        if self.known.contains(name) {
            return;
        }
        let message = format!("there is no service `{}`", shortened(name));
        let draft = Draft::new(Finding::UnknownService, span, message).path(path);
        let draft = draft.label("expected the name of one of the services");
        self.problems.add(draft.suggestion(suggest::nearest(name, self.known.iter().copied())));
    }

    fn must_differ<'n>(
        &mut self,
        items: &'n [Node],
        name: impl Fn(&'n Node) -> Option<&'n Node>,
        path: &str,
    ) {
        let mut taken: BTreeMap<&str, Span> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let Some((node, text)) = name(item).and_then(|node| Some((node, node.text()?))) else { continue };
            if let Some(first) = taken.get(text) {
                let message = format!("`{}` stands twice in `{path}`", shortened(text));
                let draft =
                    Draft::new(Finding::DuplicateName, node.span, message).path(format!("{path}[{index}]"));
                self.problems.add(draft.label("expected another name").note(*first, "first here"));
            } else {
                taken.insert(text, node.span);
            }
        }
    }
}
