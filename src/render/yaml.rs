//! YAML to JSON values, as Kubernetes reads YAML. Pure.
//!
//! The events come from `granit-parser`; what they mean is decided here, because no YAML crate
//! decides it as Kubernetes does (docs/adr/0003-yaml-parser.md): scalars by the rules of go-yaml
//! v2 ([`scalar`]), merge keys in the order they are written, keys that are no strings made
//! strings. Errors carry the line and the column; they never quote a value, because it may be a
//! secret.
//!
//! Invariant: no input makes this panic, overflow the stack or exceed its [`Budget`]. Nesting is
//! bounded by [`DEPTH_MAX`] also where aliases add to it, and an alias is paid for before it is
//! copied, so an alias bomb is refused at the first copy that does not fit.

mod scalar;

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};

use self::scalar::Wanted;
pub(super) use self::scalar::fraction;

/// The deepest nesting of lists and maps. Real manifests stay below 30 (CRD schemas); the bound
/// keeps every recursive walk over a manifest within a small stack.
pub(super) const DEPTH_MAX: usize = 100;

/// What one value costs beside its text: the size of a [`Value`] in a map with its key's header.
const NODE_COST_BYTES: u64 = 64;

/// What the copies that anchors and aliases make may cost together. Real files share a few
/// kilobytes; a bomb is refused before it takes more than this.
const COPIES_BYTES_MAX: u64 = 16 << 20;

/// The most warnings that one file gives.
const WARNINGS_MAX: usize = 20;

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The parser does not accept it.
    #[error("invalid YAML: {0}")]
    Syntax(String),
    /// It is not valid JSON.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// It is not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// It holds a NUL byte: a binary file, most likely.
    #[error("holds a NUL byte: is it a binary file?")]
    Nul,
    /// A key occurs twice in one mapping.
    #[error("duplicate key `{key}`")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key is a list, a mapping or null.
    #[error("a key must be text, a number or a boolean")]
    Key,
    /// A tag that is not understood.
    #[error("the tag `{tag}` is not supported")]
    Tag {
        /// The tag as written.
        tag: String,
    },
    /// A scalar is not what its tag says.
    #[error("the value does not fit its tag {tag}")]
    TagMismatch {
        /// The tag.
        tag: &'static str,
    },
    /// Infinity or not-a-number.
    #[error("infinity and not-a-number cannot be written as JSON")]
    NotFinite,
    /// The value of `<<` is not a mapping or a list of mappings.
    #[error("the value of `<<` must be a mapping or a list of mappings")]
    Merge,
    /// An alias inside the node that it stands for.
    #[error("an alias refers to the node that it is part of")]
    RecursiveAlias,
    /// Nested too deeply.
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// Too many documents.
    #[error("more documents than the {max} that one application may have")]
    TooManyDocuments {
        /// The limit.
        max: usize,
    },
    /// Too large.
    #[error("needs more than {max} bytes of memory, together with the files before it")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// Too many copies through aliases.
    #[error("aliases expand to more than {COPIES_BYTES_MAX} bytes")]
    TooManyCopies,
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {problem}")]
pub struct Error {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What the documents of one render may use together.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: u64,
    bytes_left: u64,
    copies_left: u64,
    documents_max: usize,
    documents_left: usize,
}

impl Budget {
    pub(super) fn new(bytes_max: u64, documents_max: usize) -> Self {
        Self {
            bytes_max,
            bytes_left: bytes_max,
            copies_left: COPIES_BYTES_MAX,
            documents_max,
            documents_left: documents_max,
        }
    }

    /// Pays for a value with `text_bytes` of text.
    pub(super) fn node(&mut self, text_bytes: usize) -> Result<u64, Problem> {
        self.pay(NODE_COST_BYTES.saturating_add(text_bytes as u64))
    }

    /// Pays for a copy of a value that cost `cost`.
    fn copy(&mut self, cost: u64) -> Result<(), Problem> {
        let left = self.copies_left.checked_sub(cost);
        self.copies_left = left.ok_or(Problem::TooManyCopies)?;
        self.pay(cost).map(|_| ())
    }

    pub(super) fn document(&mut self) -> Result<(), Problem> {
        let left = self.documents_left.checked_sub(1);
        self.documents_left = left.ok_or(Problem::TooManyDocuments { max: self.documents_max })?;
        Ok(())
    }

    fn pay(&mut self, cost: u64) -> Result<u64, Problem> {
        let left = self.bytes_left.checked_sub(cost);
        self.bytes_left = left.ok_or(Problem::TooLarge { max: self.bytes_max })?;
        Ok(cost)
    }
}

/// What to do with a key that occurs twice in one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// An error: what a person wrote is ambiguous.
    Refuse,
    /// The last one wins, with a warning, as kubectl and Helm do it with a chart's output.
    LastWins,
}

/// One document that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// The line where its content begins, from 1.
    pub(super) line: u64,
    /// The content.
    pub(super) value: Value,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub(super) documents: Vec<Document>,
    /// Line and text.
    pub(super) warnings: Vec<(u64, String)>,
}

/// Reads every document of `bytes`. Empty documents and such with comments only are left out.
///
/// # Errors
/// The first problem, with its line and column.
pub(super) fn parse(
    bytes: &[u8],
    duplicates: Duplicates,
    budget: &mut Budget,
) -> Result<Parsed, Error> {
    let text = text(bytes)?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        // As go-yaml, which is a port of libyaml, reads it.
        block_scalar_eof_without_line_feed: true,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(duplicates, budget);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| scan_error(&error))?;
        builder.event(event, &span.start).map_err(|problem| at(&span.start, problem))?;
    }
    Ok(builder.parsed)
}

/// The bytes as text, without a byte-order mark.
///
/// # Errors
/// Not UTF-8, or a NUL byte.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Error> {
    let position = |offset: usize, problem: Problem| {
        let before = &bytes[..offset];
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Error { line: line as u64 + 1, column: column as u64 + 1, problem }
    };
    let text =
        str::from_utf8(bytes).map_err(|error| position(error.valid_up_to(), Problem::NotUtf8))?;
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(position(offset, Problem::Nul));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn at(marker: &Marker, problem: Problem) -> Error {
    Error { line: marker.line() as u64, column: marker.col() as u64 + 1, problem }
}

fn scan_error(error: &ScanError) -> Error {
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Problem::TooDeep,
        _ => Problem::Syntax(error.info()),
    };
    at(error.marker(), problem)
}

/// A value that an anchor names, with what a copy of it costs.
struct Anchored {
    value: Value,
    cost: u64,
    depth: usize,
}

/// A value with what it costs and how deep it is.
struct Node {
    value: Value,
    cost: u64,
    depth: usize,
    /// The node is a plain `<<`.
    merges: bool,
}

/// A list or mapping that is still open.
struct Frame {
    content: Content,
    anchor: usize,
    cost: u64,
    /// The depth of the deepest child so far.
    depth: usize,
}

enum Content {
    List(Vec<Value>),
    Map { map: Map<String, Value>, merged: BTreeSet<String>, key: Option<Key> },
}

enum Key {
    Named(String),
    Merge,
}

struct Builder<'b> {
    duplicates: Duplicates,
    budget: &'b mut Budget,
    parsed: Parsed,
    /// The line of the current document's content; 0 before it.
    line: u64,
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
}

impl<'b> Builder<'b> {
    fn new(duplicates: Duplicates, budget: &'b mut Budget) -> Self {
        let parsed = Parsed::default();
        Self { duplicates, budget, parsed, line: 0, open: Vec::new(), anchors: BTreeMap::new() }
    }

    fn event(&mut self, event: Event<'_>, start: &Marker) -> Result<(), Problem> {
        if self.line == 0 && event.is_node() {
            self.line = start.line() as u64;
        }
        match event {
            Event::DocumentStart(..) => {
                self.line = 0;
                self.budget.document()
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref())?;
                self.finished(node, anchor, start)
            }
            Event::SequenceStart(_, anchor, tag) => {
                expect_tag(tag.as_deref(), "seq")?;
                self.begin(Content::List(Vec::new()), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                expect_tag(tag.as_deref(), "map")?;
                let map = Map::new();
                self.begin(Content::Map { map, merged: BTreeSet::new(), key: None }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(start),
            Event::Alias(id) => self.alias(id, start),
            // Comments and anchor events are switched off, unresolved aliases are errors.
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<Node, Problem> {
        let plain = style == ScalarStyle::Plain;
        let value = match tag.map(wanted).transpose()? {
            Some(wanted) => scalar::tagged(text, wanted)?,
            None if plain => scalar::plain(text)?,
            None => Value::String(text.to_owned()),
        };
        let merges = plain && tag.is_none() && text == "<<";
        Ok(Node { cost: self.budget.node(text.len())?, value, depth: 0, merges })
    }

    fn begin(&mut self, content: Content, anchor: usize) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Problem::TooDeep);
        }
        let cost = self.budget.node(0)?;
        self.open.push(Frame { content, anchor, cost, depth: 0 });
        Ok(())
    }

    fn end(&mut self, start: &Marker) -> Result<(), Problem> {
        let Some(frame) = self.open.pop() else {
            return Err(Problem::Syntax("the end of nothing".to_owned()));
        };
        let value = match frame.content {
            Content::List(list) => Value::Array(list),
            Content::Map { map, .. } => Value::Object(map),
        };
        let node = Node { value, cost: frame.cost, depth: frame.depth + 1, merges: false };
        self.finished(node, frame.anchor, start)
    }

    fn alias(&mut self, id: usize, start: &Marker) -> Result<(), Problem> {
        let anchored = self.anchors.get(&id).ok_or(Problem::RecursiveAlias)?;
        if self.open.len() + anchored.depth > DEPTH_MAX {
            return Err(Problem::TooDeep);
        }
        let (cost, depth) = (anchored.cost, anchored.depth);
        self.budget.copy(cost)?;
        let value = anchored.value.clone();
        self.finished(Node { value, cost, depth, merges: false }, 0, start)
    }

    /// Puts a finished value where it belongs: into what is open, or out as a document.
    fn finished(&mut self, node: Node, anchor: usize, start: &Marker) -> Result<(), Problem> {
        if anchor != 0 {
            self.budget.copy(node.cost)?;
            let (value, cost, depth) = (node.value.clone(), node.cost, node.depth);
            self.anchors.insert(anchor, Anchored { value, cost, depth });
        }
        let Some(frame) = self.open.last_mut() else {
            if !node.value.is_null() {
                self.parsed.documents.push(Document { line: self.line, value: node.value });
            }
            return Ok(());
        };
        frame.cost = frame.cost.saturating_add(node.cost);
        frame.depth = frame.depth.max(node.depth);
        match &mut frame.content {
            Content::List(list) => list.push(node.value),
            Content::Map { map, merged, key } => match key.take() {
                None if node.merges => *key = Some(Key::Merge),
                None => {
                    let name = scalar::key(node.value).ok_or(Problem::Key)?;
                    if map.contains_key(&name) && !merged.remove(&name) {
                        self.duplicate(name.clone(), start)?;
                        // The borrow of the frame ended with the warning.
                        self.expect_value_of(name);
                    } else {
                        *key = Some(Key::Named(name));
                    }
                }
                Some(Key::Merge) => merge(map, merged, node.value)?,
                Some(Key::Named(name)) => {
                    map.insert(name, node.value);
                }
            },
        }
        Ok(())
    }

    fn expect_value_of(&mut self, name: String) {
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key::Named(name));
        }
    }

    fn duplicate(&mut self, key: String, start: &Marker) -> Result<(), Problem> {
        if self.duplicates == Duplicates::Refuse {
            return Err(Problem::DuplicateKey { key });
        }
        if self.parsed.warnings.len() < WARNINGS_MAX {
            let warning = format!("duplicate key `{key}`: the last one wins");
            self.parsed.warnings.push((start.line() as u64, warning));
        }
        Ok(())
    }
}

/// Writes the keys of a merge into `map`. As in go-yaml v2, a merge overwrites what stands
/// before it and is overwritten by what stands after it; in a list the first mapping wins.
fn merge(
    map: &mut Map<String, Value>,
    merged: &mut BTreeSet<String>,
    value: Value,
) -> Result<(), Problem> {
    let sources = match value {
        Value::Array(list) => list,
        single => vec![single],
    };
    for source in sources.into_iter().rev() {
        let Value::Object(source) = source else { return Err(Problem::Merge) };
        for (key, value) in source {
            merged.insert(key.clone());
            map.insert(key, value);
        }
    }
    Ok(())
}

/// What a scalar's tag asks for.
fn wanted(tag: &Tag) -> Result<Wanted, Problem> {
    match tag.core_suffix() {
        Some("str") => Ok(Wanted::Text),
        Some("null") => Ok(Wanted::Null),
        Some("bool") => Ok(Wanted::Boolean),
        Some("int") => Ok(Wanted::Integer),
        Some("float") => Ok(Wanted::Float),
        None if is_non_specific(tag) => Ok(Wanted::Text),
        _ => Err(unsupported(tag)),
    }
}

fn expect_tag(tag: Option<&Tag>, suffix: &str) -> Result<(), Problem> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.core_suffix() == Some(suffix) || is_non_specific(tag) => Ok(()),
        Some(tag) => Err(unsupported(tag)),
    }
}

/// Whether the tag is `!` alone, which says: what it looks like, and a scalar is text.
fn is_non_specific(tag: &Tag) -> bool {
    format!("{}{}", tag.handle(), tag.suffix()) == "!"
}

fn unsupported(tag: &Tag) -> Problem {
    Problem::Tag { tag: format!("{}{}", tag.original_handle(), tag.suffix()) }
}

#[cfg(test)]
mod tests;
