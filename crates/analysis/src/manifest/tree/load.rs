//! From text to tree: YAML events are put together with their places, within bounds.
//!
//! The parser is pulled event by event and the open lists and maps are kept on a stack of our own, so that
//! neither deep nesting nor an alias that repeats a large part can exhaust memory.

use super::{Entry, MOST_BYTES, MOST_LEVELS, MOST_NODES, Node, Scalar, Value};
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::{Source, Span, shortened};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::{BTreeMap, btree_map};

/// The tree of a manifest's text, or `None` if the text is not one YAML document within the bounds.
pub(crate) fn load(source: &Source<'_>, problems: &mut Problems<'_>) -> Option<Node> {
    if source.text().len() > MOST_BYTES {
        problems.add(*too_large(Span::default(), "it has more than 1 MiB"));
        return None;
    }
    let mut loader = Loader::new(source, problems);
    let mut parser = Parser::new_from_str(source.text());
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => loader.take(event, source.span(span.start.index(), span.end.index())),
            Err(error) => {
                let index = error.marker().index();
                Err(syntax(source.span(index, index + 1), error.info()))
            }
        };
        if let Err(draft) = step {
            loader.problems.add(*draft);
            return None;
        }
    }
    if loader.root.is_none() {
        let draft = Draft::new(Finding::WrongType, Span::default(), "the manifest is empty".to_owned());
        loader.problems.add(draft.label("expected `name:` and `services:`").section("system"));
    }
    loader.root
}

struct Loader<'a, 'b> {
    source: &'a Source<'a>,
    problems: &'a mut Problems<'b>,
    open: Vec<Open>,
    /// What aliases stand for, by the parser's number of the anchor.
    anchors: BTreeMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

/// A list or map that is not at its end.
struct Open {
    span: Span,
    anchor: usize,
    /// Nodes within, and levels below, so far.
    nodes: usize,
    levels: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: BTreeMap<String, Span>, pending: Option<Key> },
}

/// A key whose value has not come yet.
struct Key {
    /// `None` for one that is already reported; its value is dropped.
    text: Option<String>,
    span: Span,
}

/// A node that aliases may repeat, with its size.
#[derive(Clone)]
struct Anchored {
    node: Node,
    nodes: usize,
    levels: usize,
}

impl<'a, 'b> Loader<'a, 'b> {
    fn new(source: &'a Source<'a>, problems: &'a mut Problems<'b>) -> Self {
        let (open, anchors) = (Vec::new(), BTreeMap::new());
        Self { source, problems, open, anchors, nodes: 0, documents: 0, root: None }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Draft>> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.begin_document(span),
            Event::Alias(anchor) => self.repeat(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let node = Node { span: self.source.first_line(span), value: Value::Scalar(scalar) };
                self.finish(Anchored { node, nodes: 1, levels: 0 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.begin(Content::List(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let content = Content::Map { entries: Vec::new(), keys: BTreeMap::new(), pending: None };
                self.begin(content, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    fn begin_document(&mut self, span: Span) -> Result<(), Box<Draft>> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let draft = Draft::new(Finding::Syntax, span, "a second YAML document begins here".to_owned())
            .label("a manifest is one document")
            .help("remove the line `---` and what follows it, or put it into a file of its own");
        Err(Box::new(draft))
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let draft = Draft::new(
                Finding::Syntax,
                self.source.first_line(span),
                "a value has a YAML tag".to_owned(),
            )
            .label("expected a value without a `!tag`")
            .help("remove the tag; put a value in quotes to make it text");
            self.problems.add(draft);
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Box<Draft>> {
        if self.open.len() >= MOST_LEVELS {
            return Err(too_large(span, "lists and maps are nested more than 64 levels deep here"));
        }
        self.count(1, span)?;
        self.open.push(Open { span, anchor, nodes: 1, levels: 1, content });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Box<Draft>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let whole = Span { start: open.span.start, end: end.end.max(open.span.end) };
        let span = self.source.first_line(whole);
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let whole = Anchored { node: Node { span, value }, nodes: open.nodes, levels: open.levels };
        self.attach(whole, open.anchor)
    }

    fn repeat(&mut self, anchor: usize, span: Span) -> Result<(), Box<Draft>> {
        let Some(anchored) = self.anchors.get(&anchor).cloned() else {
            return Err(syntax(span, "an alias stands within what it repeats"));
        };
        if self.open.len() + anchored.levels > MOST_LEVELS {
            return Err(too_large(
                span,
                "with this alias, lists and maps are nested more than 64 levels deep",
            ));
        }
        self.finish(anchored, 0)
    }

    /// Counts a node that came whole, and puts it in its place.
    fn finish(&mut self, anchored: Anchored, anchor: usize) -> Result<(), Box<Draft>> {
        self.count(anchored.nodes, anchored.node.span)?;
        self.attach(anchored, anchor)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Box<Draft>> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(too_large(span, "up to here it has more than 100,000 values, aliases included"));
        }
        Ok(())
    }

    fn attach(&mut self, anchored: Anchored, anchor: usize) -> Result<(), Box<Draft>> {
        if anchor != 0 {
            // What is kept for aliases takes memory too, so it counts.
            self.count(anchored.nodes, anchored.node.span)?;
            self.anchors.insert(anchor, anchored.clone());
        }
        let Anchored { node, nodes, levels } = anchored;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes += nodes;
        open.levels = open.levels.max(levels + 1);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, keys, pending } => match pending.take() {
                Some(Key { text: Some(key), span }) => entries.push(entry(key, span, node)),
                Some(Key { text: None, .. }) => {}
                None => *pending = Some(key(node, keys, self.problems)),
            },
        }
        Ok(())
    }
}

/// A value that is not there at all is reported where its key stands.
fn entry(key: String, key_span: Span, mut value: Node) -> Entry {
    if value.span.start == value.span.end && matches!(value.value, Value::Scalar(_)) {
        value.span = key_span;
    }
    Entry { key, key_span, value }
}

fn key(node: Node, keys: &mut BTreeMap<String, Span>, problems: &mut Problems<'_>) -> Key {
    let span = node.span;
    let Value::Scalar(Scalar { text, .. }) = node.value else {
        let draft = Draft::new(Finding::WrongType, span, format!("a key is {}", node.kind()));
        problems.add(draft.label("expected text"));
        return Key { text: None, span };
    };
    match keys.entry(text) {
        btree_map::Entry::Vacant(vacant) => {
            let text = vacant.key().clone();
            vacant.insert(span);
            Key { text: Some(text), span }
        }
        btree_map::Entry::Occupied(first) => {
            let message = format!("the key `{}` stands twice in the same map", shortened(first.key()));
            let draft = Draft::new(Finding::DuplicateKey, span, message)
                .label("this one would be lost")
                .note(*first.get(), "first here");
            problems.add(draft.help("remove one of them, or merge the two"));
            Key { text: None, span }
        }
    }
}

fn syntax(span: Span, info: &str) -> Box<Draft> {
    let draft = Draft::new(Finding::Syntax, span, format!("this is not YAML: {}", shortened(info)))
        .label("here the text stops making sense")
        .help(
            "check the indentation and the quotes here and just above; text with `{`, `}`, `[`, `]`, `,`, \
               `: ` or ` #` needs quotes, as in \"/orders/{id}\"",
        );
    Box::new(draft)
}

fn too_large(span: Span, what: &str) -> Box<Draft> {
    let draft = Draft::new(Finding::TooLarge, span, format!("the manifest is too large: {what}"))
        .label("no further than here")
        .help("a manifest has at most 1 MiB, 100,000 values and 64 levels; split the system into several");
    Box::new(draft)
}
